//! A trace's operations done on a world of its own.

use super::call::{Fork, Made};
use super::snapshot::push_run;
use super::{Call, Fd, Outcome, Place, Snapshot, Trace, VmaLine};
use ksync::{Kernel, KernelConfig};
use mm::vma::{FileId, MapFlags, MmapArgs, MmapBacking, Placement, Vma, VmaKind};
use mm::{Behaviour, FaultError, Machine, MachineConfig, Mm, PageState};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Prot, TASK_SIZE, VirtAddr, VmFlags, Vpn};
use mmu_notifier::{Annotations, Framework};
use std::collections::BTreeMap;
use std::sync::Arc;

/// VMAs that stand for all that fills the address space outside of the arena.
const FILLERS: u64 = 2;
/// `vm.max_map_count` of the recorded machine.
const MAX_MAP_COUNT: u64 = 65_530;

/// A world in which one trace is played: a machine without swap, one address space, everything but the arena taken.
///
/// All of it happens in the setup context: one task is enough, and no choice is to be made.
pub struct Player {
    kernel: Kernel,
    machine: Arc<Machine>,
    parent: Space,
    files: Files,
    /// Where the arena begins.
    arena: u64,
    arena_pages: u64,
    /// Shared anonymous objects by first appearance in a snapshot.
    shm: BTreeMap<FileId, usize>,
}

/// One address space.
struct Space {
    mm: Arc<Mm>,
}

#[derive(Clone, Copy)]
struct Files {
    f0: FileId,
    f1: FileId,
    f0_read_only: FileId,
}

/// What a fork came to: snapshots in the order they are recorded in, and what was done between them.
#[derive(Clone, Debug)]
pub struct Forked {
    /// The child at its start.
    pub child_first: Snapshot,
    /// What the child's calls came to.
    pub child_acts: Vec<(Outcome, u64)>,
    /// The child after them.
    pub child_acted: Snapshot,
    /// What the parent's calls came to.
    pub parent_acts: Vec<(Outcome, u64)>,
    /// The parent with the child alive.
    pub parent: Snapshot,
    /// The child after that.
    pub child_last: Snapshot,
}

impl Player {
    /// The start of a trace, with the arena at `arena`, which is a multiple of 1 GiB as the recorded one is.
    ///
    /// # Panics
    /// When the arena leaves user space.
    #[must_use]
    pub fn new(trace: &Trace, arena: u64) -> Player {
        let kernel = Kernel::new(KernelConfig::default());
        let (machine, mm, files) = kernel.enter(|k| {
            let config = MachineConfig {
                memory_bytes: 24 << 30,
                swap_bytes: 0,
                reclaim_by_choice: false,
                behaviour: Behaviour::V6_18,
                ..MachineConfig::default()
            };
            let machine = Machine::new(k, config, Framework::new(k, Annotations::default()));
            let mm = machine.new_mm(k, Name::new("trace"));
            fill_outside(&machine, &mm, arena, arena + trace.arena_pages * PAGE_SIZE);
            // Fewer VMAs stand for those that are outside in the recording.
            mm.set_max_map_count((MAX_MAP_COUNT + FILLERS).saturating_sub(trace.outside_vmas) as usize);
            mm.set_memlock_pages(trace.memlock_pages);
            let files = Files::new(&machine);
            (machine, mm, files)
        });
        Player {
            kernel,
            machine,
            parent: Space { mm },
            files,
            arena,
            arena_pages: trace.arena_pages,
            shm: BTreeMap::new(),
        }
    }

    /// Does one call, and tells what it came to, and how many faults it took.
    pub fn call(&self, call: &Call) -> (Outcome, u64) {
        self.kernel.enter(|_| self.call_in(&self.parent, call))
    }

    /// Maps single pages until one cannot be. How many, and why no more.
    pub fn bulk_mmap(&self, first: u64, limit: u64, step: u64) -> (u64, Option<Errno>) {
        self.kernel.enter(|_| {
            let mut made = 0;
            for page in (first..limit).step_by(step as usize) {
                let pages = PageRange::page(Vpn(self.arena / PAGE_SIZE + page));
                match self.parent.mm.mmap_anon(pages, Prot::READ | Prot::WRITE) {
                    Ok(_) => made += 1,
                    Err(error) => return (made, Some(error)),
                }
            }
            (made, None)
        })
    }

    /// A fork: the child acts, then the parent, then the child exits.
    ///
    /// # Errors
    /// That of the fork.
    pub fn fork(&mut self, fork: &Fork) -> Result<(Forked, u64), Errno> {
        let before = self.parent.mm.faults();
        let child = self.kernel.enter(|k| self.parent.mm.fork(k, Name::new("child")))?;
        let faults = self.parent.mm.faults() - before;
        let child = Space { mm: child };
        let acts = |player: &Player, space: &Space, acts: &[Made]| -> Vec<(Outcome, u64)> {
            player.kernel.enter(|_| acts.iter().map(|made| player.call_in(space, &made.call)).collect())
        };
        let child_first = self.snapshot_of(&child.mm);
        let child_acts = acts(self, &child, &fork.child_acts);
        let child_acted = self.snapshot_of(&child.mm);
        let parent_acts = acts(self, &self.parent, &fork.parent_acts);
        let parent = self.snapshot();
        let child_last = self.snapshot_of(&child.mm);
        self.kernel.enter(|_| child.mm.exit());
        Ok((Forked { child_first, child_acts, child_acted, parent_acts, parent, child_last }, faults))
    }

    /// The state of the arena.
    pub fn snapshot(&mut self) -> Snapshot {
        let mm = Arc::clone(&self.parent.mm);
        self.snapshot_of(&mm)
    }

    /// How many VMAs there are in the arena.
    #[must_use]
    pub fn map_count(&self) -> u64 {
        let arena = self.arena_range();
        self.parent.mm.vmas().iter().filter(|v| arena.overlaps(v.range())).count() as u64
    }

    /// The address space ends.
    ///
    /// # Errors
    /// A line that tells which frames were left, if any but those of files were.
    pub fn finish(self) -> Result<(), String> {
        self.kernel.enter(|_| self.parent.mm.exit());
        let left = self.machine.frame_counts();
        if left.allocated != left.page_cache || left.mapped != 0 || left.pinned != 0 {
            return Err(format!("frames are left after the exit: {left:?}"));
        }
        Ok(())
    }

    fn arena_range(&self) -> PageRange {
        let start = VirtAddr(self.arena).vpn();
        PageRange::with_len(start, self.arena_pages).unwrap_or_else(|| panic!("the arena leaves user space"))
    }

    fn call_in(&self, space: &Space, call: &Call) -> (Outcome, u64) {
        let before = space.mm.faults();
        let outcome = self.outcome(&space.mm, call);
        (outcome, space.mm.faults() - before)
    }

    fn outcome(&self, mm: &Mm, call: &Call) -> Outcome {
        let at = |place: Place| place.addr(self.arena);
        let number = |result: Result<u64, Errno>| result.map_or_else(Outcome::Error, Outcome::Number);
        let done = |result: Result<(), Errno>| number(result.map(|()| 0));
        let page = |page: u64| Vpn(self.arena / PAGE_SIZE + page);
        match *call {
            Call::Mmap { addr, len, prot, flags, fd, off } => {
                let args = MmapArgs {
                    addr: at(addr),
                    len_bytes: len,
                    prot,
                    flags,
                    backing: self.files.backing(fd),
                    offset_bytes: off,
                };
                self.placed(mm.mmap(&args))
            }
            Call::Munmap { addr, len } => done(mm.munmap(at(addr), len)),
            Call::Mprotect { addr, len, prot } => done(mm.mprotect(at(addr), len, prot)),
            Call::Mremap { addr, old_len, new_len, flags, new_addr } => {
                self.placed(mm.mremap(at(addr), old_len, new_len, flags, Some(at(new_addr)), None))
            }
            Call::Madvise { addr, len, advice } => done(mm.madvise(at(addr), len, advice)),
            Call::Mlock { addr, len } => done(mm.mlock(at(addr), len)),
            Call::Munlock { addr, len } => done(mm.munlock(at(addr), len)),
            Call::Mlock2 { addr, len, flags } => done(mm.mlock2(at(addr), len, flags)),
            Call::Msync { addr, len, flags } => done(mm.msync(at(addr), len, flags)),
            Call::Mseal { addr, len, flags } => done(mm.mseal(at(addr), len, flags)),
            Call::Mincore { addr, len } => match mm.mincore(at(addr), len) {
                Ok(bits) => Outcome::Bits(bits.into_iter().map(|bit| if bit { '1' } else { '0' }).collect()),
                Err(error) => Outcome::Error(error),
            },
            Call::Ftruncate { fd, size } => number(self.on_file(fd, |file| {
                self.machine.ftruncate(file, size);
                Ok(0)
            })),
            Call::PunchHole { fd, off, len } => {
                number(self.on_file(fd, |file| self.machine.punch_hole(file, off, len).map(|()| 0)))
            }
            Call::Fwrite { fd, page, tag } => {
                let offset = page.checked_mul(PAGE_SIZE).ok_or(Errno::EINVAL);
                number(self.on_file(fd, |file| self.machine.pwrite(file, offset?, tag)))
            }
            Call::Read { page: at } => accessed(mm.read_page(page(at))),
            Call::Write { page: at, tag } => accessed(mm.write_page(page(at), tag).map(|()| 0)),
        }
    }

    fn on_file(&self, fd: Fd, f: impl FnOnce(FileId) -> Result<u64, Errno>) -> Result<u64, Errno> {
        match self.files.backing(fd) {
            MmapBacking::File { file, .. } => f(file),
            MmapBacking::None => Err(Errno::EBADF),
        }
    }

    fn placed(&self, result: Result<VirtAddr, Errno>) -> Outcome {
        let end = self.arena + self.arena_pages * PAGE_SIZE;
        match result {
            Ok(VirtAddr(addr)) if (self.arena..end).contains(&addr) => Outcome::At(Place::Arena(addr - self.arena)),
            Ok(VirtAddr(addr)) => Outcome::At(Place::Absolute(addr)),
            Err(error) => Outcome::Error(error),
        }
    }

    fn snapshot_of(&mut self, mm: &Mm) -> Snapshot {
        let arena = self.arena_range();
        let mut snapshot = Snapshot::default();
        for vma in mm.vmas().iter().filter(|v| arena.overlaps(v.range())) {
            let name = self.name(vma);
            snapshot.vmas.push(vma_line(vma, arena.start(), name));
        }
        for view in mm.pagemap(arena) {
            let page = view.vpn - arena.start();
            push_run(&mut snapshot.pages, page, letter(view.state));
            if let Some(contents) = view.contents {
                push_run(&mut snapshot.contents, page, contents);
            }
        }
        snapshot
    }

    fn name(&mut self, vma: &Vma) -> String {
        match vma.kind() {
            VmaKind::Anon | VmaKind::Special(_) => String::new(),
            VmaKind::File(file) if file == self.files.f0 || file == self.files.f0_read_only => "f0".to_owned(),
            VmaKind::File(file) if file == self.files.f1 => "f1".to_owned(),
            VmaKind::File(file) => {
                let next = self.shm.len();
                format!("shm{}", self.shm.entry(file).or_insert(next))
            }
        }
    }
}

/// Everything outside of `[start, end)` is taken by a shared mapping that nobody may access.
fn fill_outside(machine: &Machine, mm: &Mm, start: u64, end: u64) {
    mm.set_placement(Placement {
        mmap_base: VirtAddr(end),
        min_addr: VirtAddr(PAGE_SIZE),
        may_map_low: true,
        ..Placement::default()
    });
    let file = machine.memfd("fill");
    for (from, to) in [(PAGE_SIZE, start), (end, TASK_SIZE)] {
        let args = MmapArgs {
            addr: VirtAddr(from),
            len_bytes: to - from,
            prot: Prot::empty(),
            flags: MapFlags::SHARED | MapFlags::FIXED,
            backing: MmapBacking::File { file, readable: true, writable: true },
            offset_bytes: 0,
        };
        let filled = mm.mmap(&args);
        assert_eq!(filled, Ok(VirtAddr(from)), "what is outside of the arena is taken");
    }
}

impl Files {
    /// The files of FORMAT.md, in their first state.
    fn new(machine: &Machine) -> Files {
        let (f0, f1) = (machine.memfd("f0"), machine.memfd("f1"));
        let write = |file, page: u64, tag| {
            let written = machine.pwrite(file, page * PAGE_SIZE, tag);
            assert_eq!(written, Ok(8), "an empty machine has room for the files");
        };
        (0..64).for_each(|page| write(f0, page, 1_000_000 + page));
        (0..24).step_by(2).for_each(|page| write(f1, page, 2_000_000 + page));
        machine.ftruncate(f0, 64 * PAGE_SIZE);
        machine.ftruncate(f1, 24 * PAGE_SIZE + 100);
        Files { f0, f1, f0_read_only: machine.reopen(f0) }
    }

    const fn backing(self, fd: Fd) -> MmapBacking {
        match fd {
            Fd::None => MmapBacking::None,
            Fd::F0 => MmapBacking::File { file: self.f0, readable: true, writable: true },
            Fd::F1 => MmapBacking::File { file: self.f1, readable: true, writable: true },
            Fd::F0ReadOnly => MmapBacking::File { file: self.f0_read_only, readable: true, writable: false },
        }
    }
}

/// A page of the arena read or written; a signal is what an access that cannot be served gets.
fn accessed(result: Result<u64, FaultError>) -> Outcome {
    match result {
        Ok(value) => Outcome::Number(value),
        Err(FaultError::NotMapped(_) | FaultError::Guard(_)) => Outcome::Signal("SEGV_MAPERR"),
        Err(FaultError::NotAllowed(_)) => Outcome::Signal("SEGV_ACCERR"),
        Err(FaultError::BeyondFile(_)) => Outcome::Signal("BUS_ADRERR"),
        Err(FaultError::OutOfMemory) => Outcome::Error(Errno::ENOMEM),
        Err(FaultError::Poisoned(_)) => Outcome::Signal("BUS_MCEERR_AR"),
        Err(FaultError::Killed) => Outcome::Signal("SIGKILL"),
    }
}

const fn letter(state: PageState) -> char {
    match state {
        PageState::Anon { exclusive: true, huge: false } => 'a',
        PageState::Anon { exclusive: false, huge: false } => 's',
        PageState::Anon { exclusive: true, huge: true } => 'A',
        PageState::Anon { exclusive: false, huge: true } => 'S',
        PageState::File { exclusive: true } => 'f',
        PageState::File { exclusive: false } => 'F',
        PageState::Zero { huge: false } => 'z',
        PageState::Zero { huge: true } => 'Z',
        PageState::Guard => 'g',
        PageState::Swap | PageState::Migration => 'w',
    }
}

/// The letters of /proc/PID/smaps.
const LETTERS: [(VmFlags, &str); 24] = [
    (VmFlags::READ, "rd"),
    (VmFlags::WRITE, "wr"),
    (VmFlags::EXEC, "ex"),
    (VmFlags::SHARED, "sh"),
    (VmFlags::MAYREAD, "mr"),
    (VmFlags::MAYWRITE, "mw"),
    (VmFlags::MAYEXEC, "me"),
    (VmFlags::MAYSHARE, "ms"),
    (VmFlags::GROWSDOWN, "gd"),
    (VmFlags::MAYBE_GUARD, "gu"),
    (VmFlags::LOCKED, "lo"),
    (VmFlags::LOCKONFAULT, "lf"),
    (VmFlags::SEQ_READ, "sr"),
    (VmFlags::RAND_READ, "rr"),
    (VmFlags::DONTCOPY, "dc"),
    (VmFlags::ACCOUNT, "ac"),
    (VmFlags::NORESERVE, "nr"),
    (VmFlags::WIPEONFORK, "wf"),
    (VmFlags::DONTDUMP, "dd"),
    (VmFlags::HUGEPAGE, "hg"),
    (VmFlags::NOHUGEPAGE, "nh"),
    (VmFlags::MERGEABLE, "mg"),
    (VmFlags::SEALED, "sl"),
    (VmFlags::DROPPABLE, "dp"),
];

fn vma_line(vma: &Vma, arena: Vpn, name: String) -> VmaLine {
    let flags = vma.flags();
    let shared = if flags.contains(VmFlags::MAYSHARE) { 's' } else { 'p' };
    let mut letters: Vec<String> =
        LETTERS.iter().filter(|(bit, _)| flags.contains(*bit)).map(|(_, letters)| (*letters).to_owned()).collect();
    letters.sort();
    VmaLine {
        start: vma.start() - arena,
        end: vma.end() - arena,
        perms: format!("{}{shared}", flags.prot()),
        offset: if vma.is_anonymous() { 0 } else { vma.pgoff().0 },
        name,
        flags: letters,
    }
}
