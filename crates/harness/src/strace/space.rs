//! One address space of a replay: recorded calls done on it, its anonymous memory mirrored by devices.

use super::explain::Change;
use super::{Call, Fd, Outcome};
use driver_model::{Args, Config, Driver, DriverKind};
use ksync::{Kernel, current};
use mm::vma::{FileId, MapFlags, MapsLine, MmapArgs, MmapBacking, Vma};
use mm::{Advice, Machine, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, VirtAddr, VmFlags, Vpn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::DevId;

/// Pages of one mapping that are mirrored at most: 256 MiB. Programs reserve more than they use.
const MIRRORED_PAGES: u64 = 1 << 16;

/// A call that did not do what the recorded one did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// Its line.
    pub line: usize,
    /// What it did, and should have done.
    pub what: String,
    /// The line of the last call before it that changed the pages in its way.
    pub last: Option<usize>,
}

/// What a replay writes down, over all its address spaces.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) mismatches: RefCell<Vec<Mismatch>>,
    pub(super) skipped: RefCell<Vec<String>>,
    /// Calls that are not modelled and may have changed mappings: how many of each, and the first one's line.
    pub(super) unmodelled: RefCell<BTreeMap<String, (u64, usize)>>,
    /// Mappings that are larger than what is mirrored of one.
    pub(super) cut: Cell<u64>,
    devices: Cell<u32>,
}

impl Notes {
    pub(super) fn unmodelled(&self, name: &str, line: usize) {
        self.unmodelled.borrow_mut().entry(name.to_owned()).or_insert((0, line)).0 += 1;
    }
}

/// The driver that mirrors.
#[derive(Clone)]
pub(super) struct Victim {
    pub(super) kind: DriverKind,
    pub(super) mutant: Option<String>,
}

/// What an address space began with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Began {
    /// The mappings of a start snapshot.
    Snapshot,
    /// A copy of the memory of this process.
    Fork(u32),
    /// Nothing: what it had then is in no log.
    Empty,
}

/// Whose an address space is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Owner {
    pub(super) pid: u32,
    pub(super) comm: String,
}

/// An address space, with an instance of the driver for each piece of anonymous memory it was found to have.
pub(super) struct Space {
    pub(super) mm: Arc<Mm>,
    pub(super) owner: Owner,
    pub(super) began: Began,
    /// None: nothing is mirrored here (a forked child has no subscribers until it registers some).
    victim: Option<Victim>,
    /// Whether it began with the recorded mappings, so that results can be held against the recorded ones.
    pub(super) known: bool,
    /// Tasks that were in it.
    pub(super) tasks: Cell<u64>,
    /// Calls done, by name.
    pub(super) calls: RefCell<BTreeMap<String, u64>>,
    /// What changed its mappings, in order.
    pub(super) changes: RefCell<Vec<Change>>,
    /// The mappings at its end marker.
    pub(super) end: RefCell<Option<Vec<MapsLine>>>,
    /// Files mapped, by path and descriptor.
    files: RefCell<BTreeMap<(String, i64), FileId>>,
    objects: RefCell<Vec<(PageRange, Arc<dyn Driver>)>>,
}

impl Space {
    /// An address space without mappings.
    pub(super) fn empty(k: &Kernel, machine: &Arc<Machine>, owner: Owner, victim: Victim) -> Space {
        let mm = machine.new_mm(k, owner.name());
        Space::of(mm, owner, Began::Empty, Some(victim), false)
    }

    /// An address space with recorded mappings.
    pub(super) fn load(
        k: &Kernel,
        machine: &Arc<Machine>,
        owner: Owner,
        lines: &[MapsLine],
        victim: Victim,
    ) -> Result<Space, String> {
        let mm = machine.new_mm(k, owner.name());
        mm.load_maps(lines).map_err(|e| e.to_string())?;
        Ok(Space::of(mm, owner, Began::Snapshot, Some(victim), true))
    }

    /// The child `pid` has its parent's memory and none of its subscribers; the parent's devices go on.
    pub(super) fn fork(&self, notes: &Notes, pid: u32) -> Result<Space, Errno> {
        self.mirror(notes, PageRange::ALL);
        let owner = Owner { pid, comm: self.owner.comm.clone() };
        let forked = current(|k| self.mm.fork(k, owner.name()));
        self.access(PageRange::ALL);
        let child = Space::of(forked?, owner, Began::Fork(self.owner.pid), None, self.known);
        child.changes.borrow_mut().clone_from(&self.changes.borrow());
        child.files.borrow_mut().clone_from(&self.files.borrow());
        Ok(child)
    }

    fn of(mm: Arc<Mm>, owner: Owner, began: Began, victim: Option<Victim>, known: bool) -> Space {
        Space {
            mm,
            owner,
            began,
            victim,
            known,
            tasks: Cell::new(0),
            calls: RefCell::default(),
            changes: RefCell::default(),
            end: RefCell::default(),
            files: RefCell::default(),
            objects: RefCell::default(),
        }
    }

    pub(super) fn count(&self, call: &Call) {
        *self.calls.borrow_mut().entry(call.name().to_owned()).or_default() += 1;
    }

    /// The pages that a call is about to change, as far as its arguments tell.
    pub(super) fn about(&self, call: &Call) -> Option<PageRange> {
        match call {
            Call::Mmap { addr, len_bytes, flags, .. } if flags.contains(MapFlags::FIXED) => pages(*addr, *len_bytes),
            Call::Munmap { addr, len_bytes }
            | Call::Mprotect { addr, len_bytes, .. }
            | Call::Madvise { addr, len_bytes, .. } => pages(*addr, *len_bytes),
            Call::Mremap { addr, old_len_bytes, .. } => pages(*addr, *old_len_bytes),
            Call::Brk { addr } => {
                let end = self.mm.brk_end().page_align_up()?;
                PageRange::new(addr.page_align_up()?.vpn(), end.vpn()).ok()
            }
            _ => None,
        }
    }

    /// Pages that the recorded kernel found free for what this call maps, and that are mapped here.
    pub(super) fn in_the_way(&self, call: &Call, outcome: &Outcome) -> Option<PageRange> {
        let Outcome::Value(at) = outcome else { return None };
        let wanted = match call {
            Call::Mmap { len_bytes, flags, .. } if !flags.contains(MapFlags::FIXED) => pages(VirtAddr(*at), *len_bytes),
            Call::Mremap { addr, old_len_bytes, new_len_bytes, .. } if addr.0 == *at => {
                pages(VirtAddr(addr.0.checked_add(*old_len_bytes)?), new_len_bytes.saturating_sub(*old_len_bytes))
            }
            Call::Mremap { new_len_bytes, flags, .. } if !flags.contains(mm::vma::MremapFlags::FIXED) => {
                pages(VirtAddr(*at), *new_len_bytes)
            }
            _ => None,
        }?;
        let mapped = self.mm.vmas().iter().any(|vma| vma.range().overlaps(wanted));
        mapped.then_some(wanted)
    }

    /// Does one call and compares its result with the recorded one; the pages it was about.
    pub(super) fn call(&self, notes: &Notes, line: usize, call: &Call, outcome: &Outcome) -> Vec<PageRange> {
        let (result, touched) = match call {
            Call::Mmap { .. } => self.mmap(call, outcome),
            Call::Brk { addr } => self.brk(*addr, outcome),
            Call::Munmap { addr, len_bytes } => {
                (self.mm.munmap(*addr, *len_bytes).map(|()| 0), pages(*addr, *len_bytes).into_iter().collect())
            }
            Call::Mprotect { addr, len_bytes, prot } => {
                let done = self.mm.mprotect(*addr, *len_bytes, *prot).map(|()| 0);
                (done, pages(*addr, *len_bytes).into_iter().collect())
            }
            Call::Mremap { addr, old_len_bytes, new_len_bytes, flags, new_addr } => {
                let recorded = value(outcome).map(VirtAddr);
                let moved = self.mm.mremap(*addr, *old_len_bytes, *new_len_bytes, *flags, *new_addr, recorded);
                let to = moved.ok().and_then(|at| pages(at, *new_len_bytes));
                (moved.map(|at| at.0), pages(*addr, *old_len_bytes).into_iter().chain(to).collect())
            }
            Call::Madvise { addr, len_bytes, advice } => {
                let Some(advice) = Advice::from_word(advice) else {
                    notes.unmodelled(&format!("madvise {advice}"), line);
                    return Vec::new();
                };
                let done = self.mm.madvise(*addr, *len_bytes, advice).map(|()| 0);
                (done, pages(*addr, *len_bytes).into_iter().collect())
            }
            _ => return Vec::new(),
        };
        if result.is_ok() {
            let advice = matches!(call, Call::Madvise { .. });
            let changes = touched.iter().map(|pages| Change { line, pages: *pages, advice });
            self.changes.borrow_mut().extend(changes.filter(|_| !is_about_contents(call)));
        }
        if self.known && !same(outcome, result) {
            notes.mismatches.borrow_mut().push(mismatch(line, call, outcome, result));
        }
        touched
    }

    fn mmap(&self, call: &Call, outcome: &Outcome) -> (Result<u64, Errno>, Vec<PageRange>) {
        let Call::Mmap { addr, len_bytes, prot, flags, fd, offset_bytes } = call else {
            return (Err(Errno::EINVAL), Vec::new());
        };
        let args = MmapArgs {
            addr: *addr,
            len_bytes: *len_bytes,
            prot: *prot,
            flags: *flags,
            backing: self.backing(fd, *flags),
            offset_bytes: *offset_bytes,
        };
        // Where the recorded kernel placed it is not ours to choose.
        let placed = match value(outcome) {
            Some(at) => self.mm.mmap_recorded(&args, VirtAddr(at)),
            None => self.mm.mmap(&args),
        };
        let touched = placed.ok().and_then(|at| pages(at, *len_bytes));
        (placed.map(|at| at.0), touched.into_iter().collect())
    }

    /// How a file was opened is not recorded; one opened for both never refuses. Nor is when it was closed: a descriptor of
    /// the same number and path is taken for the same open file, whose mappings merge.
    fn backing(&self, fd: &Fd, flags: MapFlags) -> MmapBacking {
        match &fd.path {
            Some(path) if !flags.contains(MapFlags::ANONYMOUS) => {
                let mut files = self.files.borrow_mut();
                let open = || self.mm.machine().open_file(path, "");
                let file = *files.entry((path.clone(), fd.number)).or_insert_with(open);
                MmapBacking::File { file, readable: true, writable: true }
            }
            _ => MmapBacking::None,
        }
    }

    /// `brk` returns the end of the heap whether or not it moved. The first answer tells where the heap starts.
    fn brk(&self, to: VirtAddr, outcome: &Outcome) -> (Result<u64, Errno>, Vec<PageRange>) {
        let Some(recorded) = value(outcome) else { return (Err(Errno::ENOMEM), Vec::new()) };
        if self.mm.brk_end() == VirtAddr(0) {
            self.mm.set_start_brk(VirtAddr(recorded));
        }
        let before = self.mm.brk_end();
        let after = self.mm.brk(to);
        let (low, high) = (before.min(after), before.max(after));
        let end = high.page_align_up().map(VirtAddr::vpn);
        let touched = end.and_then(|end| PageRange::new(low.vpn(), end).ok());
        (Ok(after.0), touched.into_iter().collect())
    }

    /// Makes room where the recorded kernel had it.
    pub(super) fn make_room(&self, pages: PageRange) {
        // The range is one that was mapped, so it can be unmapped.
        let _: Result<(), Errno> = self.mm.munmap(pages.start().addr(), pages.nr_pages() * PAGE_SIZE);
        self.access(pages);
    }

    /// Every device accesses what it still translates of `pages`, writing where it may.
    pub(super) fn access(&self, pages: PageRange) {
        for (own, driver) in self.objects.borrow().iter().filter(|(own, _)| own.overlaps(pages)) {
            let device = driver.device();
            for vpn in own.intersect(pages).into_iter().flat_map(PageRange::iter) {
                let Some(spte) = device.lookup(self.mm.id(), vpn) else { continue };
                // A translation that went meanwhile is a device fault: nothing was accessed.
                let _ = match spte.writable {
                    true => device.write(self.mm.id(), vpn, vpn.0),
                    false => device.read(self.mm.id(), vpn).map(drop),
                };
            }
        }
    }

    /// Mirrors the readable anonymous memory in `pages`, of each mapping at most [`MIRRORED_PAGES`].
    pub(super) fn mirror(&self, notes: &Notes, pages: PageRange) {
        let Some(victim) = &self.victim else { return };
        for (piece, writable) in self.anonymous(pages) {
            let piece = self.within_bounds(notes, piece);
            let driver = self.object(notes, victim, piece);
            let op = match victim.kind.ops.iter().find(|op| writable && op.name == "map_write") {
                Some(op) => op.name,
                // The first operation of a driver publishes translations.
                None => victim.kind.ops.first().map_or("map", |op| op.name),
            };
            match driver.op(Name::new(op), &Args::range(piece)) {
                // A driver that wants to write cannot have memory that may only be read.
                Ok(()) | Err(Errno::EFAULT) if !writable => {}
                Ok(()) => {}
                Err(errno) => notes.skipped.borrow_mut().push(format!("{op} {piece}: {errno}")),
            }
        }
    }

    fn within_bounds(&self, notes: &Notes, piece: PageRange) -> PageRange {
        if piece.nr_pages() <= MIRRORED_PAGES {
            return piece;
        }
        notes.cut.set(notes.cut.get() + 1);
        PageRange::with_len(piece.start(), MIRRORED_PAGES).unwrap_or(piece)
    }

    /// The pieces of readable anonymous memory in `pages`, each within one VMA.
    fn anonymous(&self, pages: PageRange) -> Vec<(PageRange, bool)> {
        let mirrored = |vma: &Vma| vma.is_anonymous() && vma.flags().contains(VmFlags::READ);
        let vmas = self.mm.vmas();
        vmas.iter()
            .filter(|vma| mirrored(vma))
            .filter_map(|vma| Some((vma.range().intersect(pages)?, vma.flags().contains(VmFlags::WRITE))))
            .collect()
    }

    /// The driver instance that covers `piece`, made and attached if there is none yet.
    fn object(&self, notes: &Notes, victim: &Victim, piece: PageRange) -> Arc<dyn Driver> {
        if let Some((_, driver)) = self.objects.borrow().iter().find(|(own, _)| own.covers(piece)) {
            return driver.clone();
        }
        let number = notes.devices.replace(notes.devices.get() + 1);
        let mut config = Config::new(DevId(number), Name::new(&format!("{}{number}", victim.kind.name)));
        config.mutant.clone_from(&victim.mutant);
        if victim.kind.options.iter().any(|option| option.name == "retries") {
            // After a fork every page that is faulted in is copied, and each copy makes the look-up start over.
            config.options.insert("retries".to_owned(), (64 + piece.nr_pages()).to_string());
        }
        let driver = current(|k| (victim.kind.make)(k, &self.mm, piece, &config));
        if let Err(errno) = driver.attach() {
            notes.skipped.borrow_mut().push(format!("attach {piece}: {errno}"));
        }
        self.objects.borrow_mut().push((piece, driver.clone()));
        driver
    }
}

impl Owner {
    fn name(&self) -> Name {
        if self.comm.is_empty() { Name::new(&self.pid.to_string()) } else { Name::new(&self.comm) }
    }
}

/// Advice that changes no VMA.
fn is_about_contents(call: &Call) -> bool {
    let Call::Madvise { advice, .. } = call else { return false };
    let words =
        ["DONTNEED", "DONTNEED_LOCKED", "FREE", "WILLNEED", "COLD", "PAGEOUT", "POPULATE_READ", "POPULATE_WRITE"];
    advice.strip_prefix("MADV_").is_some_and(|word| words.contains(&word))
}

fn value(outcome: &Outcome) -> Option<u64> {
    match outcome {
        Outcome::Value(value) => Some(*value),
        Outcome::Failed(_) | Outcome::Unknown => None,
    }
}

fn same(recorded: &Outcome, got: Result<u64, Errno>) -> bool {
    match (recorded, got) {
        (Outcome::Value(want), Ok(got)) => *want == got,
        (Outcome::Failed(_), Err(errno)) => recorded.errno() == Some(errno),
        (Outcome::Unknown, _) => true,
        _ => false,
    }
}

fn mismatch(line: usize, call: &Call, recorded: &Outcome, got: Result<u64, Errno>) -> Mismatch {
    let want = match recorded {
        Outcome::Value(v) => format!("{v:#x}"),
        Outcome::Failed(name) => format!("-{name}"),
        Outcome::Unknown => "?".to_owned(),
    };
    let got = got.map_or_else(|e| format!("-{e}"), |v| format!("{v:#x}"));
    Mismatch { line, what: format!("{} = {got}, recorded {want}", call.name()), last: None }
}

/// The pages of `len_bytes` from `addr`, rounded out as the kernel does; `None` if there are none.
fn pages(addr: VirtAddr, len_bytes: u64) -> Option<PageRange> {
    PageRange::with_len(Vpn(addr.0 / PAGE_SIZE), len_bytes.div_ceil(PAGE_SIZE))
}
