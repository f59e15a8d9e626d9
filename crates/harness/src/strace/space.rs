//! One address space of a replay: recorded calls done on it, its anonymous memory mirrored by devices.

use super::{Call, Outcome};
use driver_model::{Args, Config, Driver, DriverKind};
use ksync::{Kernel, current};
use mm::vma::{MapFlags, MapsLine, MmapArgs, MmapBacking, Vma};
use mm::{Advice, Machine, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, VirtAddr, VmFlags, Vpn};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::DevId;

/// What a replay writes down, over all its address spaces.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) calls: RefCell<BTreeMap<String, u64>>,
    pub(super) mismatches: RefCell<Vec<String>>,
    pub(super) skipped: RefCell<Vec<String>>,
    devices: Cell<u32>,
}

/// The driver that mirrors.
#[derive(Clone)]
pub(super) struct Victim {
    pub(super) kind: DriverKind,
    pub(super) mutant: Option<String>,
}

/// An address space, with an instance of the driver for each piece of anonymous memory it was found to have.
pub(super) struct Space {
    pub(super) mm: Arc<Mm>,
    machine: Arc<Machine>,
    /// None: nothing is mirrored here (a forked child has no subscribers until it registers some).
    victim: Option<Victim>,
    /// Whether it began with the recorded mappings, so that results can be held against the recorded ones.
    pub(super) known: bool,
    objects: RefCell<Vec<(PageRange, Arc<dyn Driver>)>>,
}

impl Space {
    /// An address space with recorded mappings.
    pub(super) fn load(
        k: &Kernel,
        machine: &Arc<Machine>,
        name: Name,
        lines: &[MapsLine],
        victim: Victim,
    ) -> Result<Space, String> {
        let mm = machine.new_mm(k, name);
        mm.load_maps(lines).map_err(|e| e.to_string())?;
        Ok(Space::of(mm, machine, Some(victim)).known_if(true))
    }

    /// An address space as it is; what was mapped before the log tells is not known.
    pub(super) fn of(mm: Arc<Mm>, machine: &Arc<Machine>, victim: Option<Victim>) -> Space {
        Space { mm, machine: machine.clone(), victim, known: false, objects: RefCell::default() }
    }

    /// The same, with every mapping known or not.
    pub(super) fn known_if(mut self, known: bool) -> Space {
        self.known = known;
        self
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

    /// Does one call and compares its result with the recorded one; the pages it was about.
    pub(super) fn call(&self, notes: &Notes, line: usize, call: &Call, outcome: &Outcome) -> Vec<PageRange> {
        let result = match call {
            Call::Mmap { .. } => return self.mmap(notes, line, call, outcome),
            Call::Brk { addr } => return self.brk(notes, line, *addr, outcome),
            Call::Munmap { addr, len_bytes } => self.mm.munmap(*addr, *len_bytes).map(|()| 0),
            Call::Mprotect { addr, len_bytes, prot } => self.mm.mprotect(*addr, *len_bytes, *prot).map(|()| 0),
            Call::Mremap { addr, old_len_bytes, new_len_bytes, flags, new_addr } => {
                let recorded = match outcome {
                    Outcome::Value(at) => Some(VirtAddr(*at)),
                    _ => None,
                };
                let moved = self.mm.mremap(*addr, *old_len_bytes, *new_len_bytes, *flags, *new_addr, recorded);
                self.compare(notes, line, call, outcome, moved.map(|at| at.0));
                let to = moved.ok().and_then(|at| pages(at, *new_len_bytes));
                return pages(*addr, *old_len_bytes).into_iter().chain(to).collect();
            }
            Call::Madvise { addr, len_bytes, advice } => match Advice::from_word(advice) {
                Some(advice) => self.mm.madvise(*addr, *len_bytes, advice).map(|()| 0),
                None => {
                    notes.skipped.borrow_mut().push(format!("line {line}: madvise {advice} is not modelled"));
                    return Vec::new();
                }
            },
            _ => return Vec::new(),
        };
        self.compare(notes, line, call, outcome, result);
        match call {
            Call::Munmap { addr, len_bytes }
            | Call::Mprotect { addr, len_bytes, .. }
            | Call::Madvise { addr, len_bytes, .. } => pages(*addr, *len_bytes).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    fn mmap(&self, notes: &Notes, line: usize, call: &Call, outcome: &Outcome) -> Vec<PageRange> {
        let Call::Mmap { addr, len_bytes, prot, flags, fd, offset_bytes } = call else { return Vec::new() };
        let args = MmapArgs {
            addr: *addr,
            len_bytes: *len_bytes,
            prot: *prot,
            flags: *flags,
            backing: self.backing(fd.path.as_deref(), *flags),
            offset_bytes: *offset_bytes,
        };
        // Where the recorded kernel placed it is not ours to choose.
        let placed = match outcome {
            Outcome::Value(at) => self.mm.mmap_recorded(&args, VirtAddr(*at)),
            _ => self.mm.mmap(&args),
        };
        self.compare(notes, line, call, outcome, placed.map(|at| at.0));
        placed.ok().and_then(|at| pages(at, *len_bytes)).into_iter().collect()
    }

    fn backing(&self, path: Option<&str>, flags: MapFlags) -> MmapBacking {
        match path {
            // How a file was opened is not recorded; one opened for both never refuses.
            Some(path) if !flags.contains(MapFlags::ANONYMOUS) => {
                MmapBacking::File { file: self.machine.open_file(path, ""), readable: true, writable: true }
            }
            _ => MmapBacking::None,
        }
    }

    /// `brk` returns the end of the heap whether or not it moved. The first answer tells where the heap starts.
    fn brk(&self, notes: &Notes, line: usize, to: VirtAddr, outcome: &Outcome) -> Vec<PageRange> {
        let Outcome::Value(recorded) = outcome else { return Vec::new() };
        if self.mm.brk_end() == VirtAddr(0) {
            self.mm.set_start_brk(VirtAddr(*recorded));
        }
        let before = self.mm.brk_end();
        let after = self.mm.brk(to);
        self.compare(notes, line, &Call::Brk { addr: to }, outcome, Ok(after.0));
        let (low, high) = (before.min(after), before.max(after));
        let end = high.page_align_up().map(VirtAddr::vpn);
        end.and_then(|end| PageRange::new(low.vpn(), end).ok()).into_iter().collect()
    }

    fn compare(&self, notes: &Notes, line: usize, call: &Call, recorded: &Outcome, got: Result<u64, Errno>) {
        let same = match (recorded, got) {
            (Outcome::Value(want), Ok(got)) => *want == got,
            (Outcome::Failed(_), Err(errno)) => recorded.errno() == Some(errno),
            (Outcome::Unknown, _) => true,
            _ => false,
        };
        if same || !self.known {
            return;
        }
        let want = match recorded {
            Outcome::Value(v) => format!("{v:#x}"),
            Outcome::Failed(name) => format!("-{name}"),
            Outcome::Unknown => "?".to_owned(),
        };
        let got = got.map_or_else(|e| format!("-{e}"), |v| format!("{v:#x}"));
        notes.mismatches.borrow_mut().push(format!("line {line}: {} = {got}, recorded {want}", call.name()));
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

    /// Mirrors the readable anonymous memory in `pages`.
    pub(super) fn mirror(&self, notes: &Notes, pages: PageRange) {
        let Some(victim) = &self.victim else { return };
        for (piece, writable) in self.anonymous(pages) {
            let driver = self.object(notes, victim, piece);
            let op = match victim.kind.ops.iter().find(|op| writable && op.name == "map_write") {
                Some(op) => op.name,
                // The first operation of a driver publishes translations.
                None => victim.kind.ops.first().map_or("map", |op| op.name),
            };
            if let Err(errno) = driver.op(Name::new(op), &Args::range(piece)) {
                notes.skipped.borrow_mut().push(format!("{op} {piece}: {errno}"));
            }
        }
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

/// The pages of `len_bytes` from `addr`, rounded out as the kernel does; `None` if there are none.
fn pages(addr: VirtAddr, len_bytes: u64) -> Option<PageRange> {
    PageRange::with_len(Vpn(addr.0 / PAGE_SIZE), len_bytes.div_ceil(PAGE_SIZE))
}
