//! A process's recorded calls on the simulated mm, with a driver that mirrors its anonymous memory.
//!
//! The driver gets an instance, a device of its own, for each anonymous mapping it meets: that is how user memory becomes
//! device objects. After every call the devices access what they still translate of the pages the call was about, so
//! that a translation which should have gone is used and not only left lying; then what the call left mapped is mirrored
//! again, and accessed.

use super::{Call, Entry, Event, Maps, Outcome};
use crate::judge::Judge;
use crate::registry::Registry;
use crate::report::Found;
use crate::schedulers::RecipeScheduler;
use crate::token::{Mode, Recipe};
use driver_model::{Args, Config, Driver, DriverKind};
use ksync::{Kernel, KernelConfig, current};
use lockdep::Lockdep;
use mm::vma::{MapFlags, MmapArgs, MmapBacking, Vma};
use mm::{Machine, MachineConfig, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, VirtAddr, VmFlags, Vpn};
use mmu_notifier::{Annotations, Framework};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use trace::{DevId, RunEnd};

/// What to replay.
#[derive(Clone, Copy, Debug)]
pub struct Replay<'a> {
    /// Name of the log in reports.
    pub log: &'a str,
    /// Name of the process.
    pub process: &'a str,
    /// Its calls between the markers.
    pub calls: &'a [Entry],
    /// Its mappings when they begin.
    pub start: &'a Maps,
    /// The driver.
    pub driver: &'a str,
    /// Wrong in which way.
    pub mutant: Option<&'a str>,
}

/// Why nothing was replayed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ReplayFailure {
    /// There is no such driver; the ones there are.
    UnknownDriver(Vec<String>),
    /// The driver has no such mutant; the ones it has.
    UnknownMutant(Vec<String>),
    /// The snapshot cannot be an address space.
    Start(String),
}

impl std::fmt::Display for ReplayFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ReplayFailure::UnknownDriver(known) => write!(f, "unknown driver; there are {}", known.join(", ")),
            ReplayFailure::UnknownMutant(known) if known.is_empty() => f.write_str("the driver has no mutants"),
            ReplayFailure::UnknownMutant(known) => write!(f, "unknown mutant; the driver has {}", known.join(", ")),
            ReplayFailure::Start(why) => write!(f, "the start snapshot cannot be loaded: {why}"),
        }
    }
}

impl std::error::Error for ReplayFailure {}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// Calls done, by name.
    pub calls: BTreeMap<String, u64>,
    /// Callbacks that announced an invalidation, by reason.
    pub invalidations: Vec<(&'static str, u64)>,
    /// Device translations published.
    pub pages_mirrored: u64,
    /// Device translations that the driver took away in its callbacks.
    pub pages_revoked: u64,
    /// Accesses the devices made.
    pub device_accesses: u64,
    /// What the oracles and the validator found.
    pub findings: Vec<Found>,
    /// Calls whose result was not the recorded one: line, and both.
    pub mismatches: Vec<String>,
    /// Calls that are not modelled yet: line and name.
    pub skipped: Vec<String>,
    /// The mappings after the last call.
    pub maps: Maps,
    /// The run's hash.
    pub hash: u64,
    /// How it ended.
    pub end: RunEnd,
}

impl Replay<'_> {
    /// Does the calls.
    ///
    /// # Errors
    /// [`ReplayFailure`]; nothing was run.
    pub fn run(&self, registry: &Registry) -> Result<Replayed, ReplayFailure> {
        let kind = self.kind(registry)?;
        let k = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
        let judge = Rc::new(RefCell::new(Judge::new(false)));
        k.set_observer(Some(judge.clone()));
        let process = k.enter(|k| self.process(k, kind)).map_err(ReplayFailure::Start)?;
        let process = Rc::new(process);
        let (task, calls, log) = (process.clone(), self.calls.to_vec(), self.log.to_owned());
        k.enter(|k| k.spawn(Name::new(self.process), move || task.replay(&log, &calls)));
        let recipe = Recipe { mode: Mode::Benign, seed: 0, run: 0 };
        let end = k.run(&mut RecipeScheduler::new(recipe));
        Ok(self.report(&k, &process, &judge.borrow(), end))
    }

    fn kind(&self, registry: &Registry) -> Result<DriverKind, ReplayFailure> {
        let Some(kind) = registry.get(self.driver) else {
            let known = registry.kinds().iter().map(|k| k.name.to_owned()).collect();
            return Err(ReplayFailure::UnknownDriver(known));
        };
        if let Some(mutant) = self.mutant
            && kind.mutants.iter().all(|m| m.name != mutant)
        {
            return Err(ReplayFailure::UnknownMutant(kind.mutants.iter().map(|m| m.name.to_owned()).collect()));
        }
        Ok(*kind)
    }

    fn process(&self, k: &Kernel, kind: DriverKind) -> Result<Process, String> {
        let framework = Framework::new(k, Annotations::default());
        // Large enough that nothing is reclaimed: the recorded machine did not either.
        let config = MachineConfig { memory_bytes: 16 << 30, ..MachineConfig::default() };
        let machine = Machine::new(k, config, framework);
        let mm = machine.new_mm(k, Name::new(self.process));
        mm.load_maps(&self.start.lines).map_err(|e| e.to_string())?;
        Ok(Process {
            machine,
            mm,
            kind,
            mutant: self.mutant.map(str::to_owned),
            objects: RefCell::default(),
            done: RefCell::default(),
        })
    }

    fn report(&self, k: &Kernel, process: &Process, judge: &Judge, end: RunEnd) -> Replayed {
        let done = process.done.borrow();
        let stats = judge.oracles.stats();
        let mut findings: Vec<Found> = k.lock_reports().iter().map(Found::from_lockdep).collect();
        findings.extend(judge.oracles.findings().iter().map(Found::from_oracle));
        findings.sort_by_key(|f| f.step);
        Replayed {
            calls: done.calls.clone(),
            invalidations: stats.invalidations_by_event().map(|(reason, n)| (reason.word(), n)).collect(),
            pages_mirrored: stats.sptes_set,
            pages_revoked: judge.counts.revoked_in_callbacks,
            device_accesses: stats.device_accesses,
            findings,
            mismatches: done.mismatches.clone(),
            skipped: done.skipped.clone(),
            maps: Maps { lines: done.maps.clone() },
            hash: judge.hash.value(),
            end,
        }
    }
}

/// The process being replayed.
struct Process {
    machine: Arc<Machine>,
    mm: Arc<Mm>,
    kind: DriverKind,
    mutant: Option<String>,
    /// An instance of the driver for each piece of anonymous memory, in order of creation.
    objects: RefCell<Vec<(PageRange, Arc<dyn Driver>)>>,
    done: RefCell<Done>,
}

#[derive(Default)]
struct Done {
    calls: BTreeMap<String, u64>,
    mismatches: Vec<String>,
    skipped: Vec<String>,
    maps: Vec<mm::vma::MapsLine>,
}

impl Process {
    fn replay(&self, log: &str, calls: &[Entry]) {
        self.frame(log, "start");
        self.mirror(PageRange::ALL);
        for entry in calls {
            let Event::Call(call, outcome) = &entry.event else { continue };
            self.frame(&format!("{log}:{}", entry.line), call.name());
            *self.done.borrow_mut().calls.entry(call.name().to_owned()).or_default() += 1;
            let Some(touched) = self.call(entry.line, call, outcome) else { continue };
            self.access(touched);
            self.mirror(touched);
            self.access(touched);
        }
        self.done.borrow_mut().maps = self.mm.maps();
        self.frame(log, "exit");
        self.mm.exit();
    }

    fn frame(&self, place: &str, what: &str) {
        current(|k| k.set_frame(Some(Name::new(&format!("{place} ({what})")))));
    }

    /// Does one call and compares its result with the recorded one; the pages it was about, if any.
    fn call(&self, line: usize, call: &Call, outcome: &Outcome) -> Option<PageRange> {
        match call {
            Call::Mmap { addr, len_bytes, prot, flags, fd, offset_bytes } => {
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
                self.compare(line, call, outcome, placed.map(|at| at.0));
                pages(placed.ok()?, *len_bytes)
            }
            Call::Munmap { addr, len_bytes } => {
                self.compare(line, call, outcome, self.mm.munmap(*addr, *len_bytes).map(|()| 0));
                pages(*addr, *len_bytes)
            }
            Call::Mprotect { addr, len_bytes, prot } => {
                self.compare(line, call, outcome, self.mm.mprotect(*addr, *len_bytes, *prot).map(|()| 0));
                pages(*addr, *len_bytes)
            }
            Call::Brk { addr } => self.brk(line, *addr, outcome),
            Call::Exit { .. } | Call::ExitGroup { .. } | Call::Other { .. } => None,
            _ => {
                self.done.borrow_mut().skipped.push(format!("line {line}: {}", call.name()));
                None
            }
        }
    }

    fn backing(&self, path: Option<&str>, flags: MapFlags) -> MmapBacking {
        match path {
            Some(path) if !flags.contains(MapFlags::ANONYMOUS) => {
                // Opened how is not recorded; a shared mapping of it is read-only in every log so far, and a file opened
                // for both never refuses.
                MmapBacking::File { file: self.machine.open_file(path, ""), readable: true, writable: true }
            }
            _ => MmapBacking::None,
        }
    }

    /// `brk` returns the end of the heap whether or not it moved. The first answer tells where the heap starts.
    fn brk(&self, line: usize, to: VirtAddr, outcome: &Outcome) -> Option<PageRange> {
        let Outcome::Value(recorded) = outcome else { return None };
        if self.mm.brk_end() == VirtAddr(0) {
            self.mm.set_start_brk(VirtAddr(*recorded));
        }
        let before = self.mm.brk_end();
        let after = self.mm.brk(to);
        self.compare(line, &Call::Brk { addr: to }, outcome, Ok(after.0));
        let (low, high) = (before.min(after), before.max(after));
        PageRange::new(low.vpn(), high.page_align_up()?.vpn()).ok()
    }

    fn compare(&self, line: usize, call: &Call, recorded: &Outcome, got: Result<u64, Errno>) {
        let same = match (recorded, got) {
            (Outcome::Value(want), Ok(got)) => *want == got,
            (Outcome::Failed(_), Err(errno)) => recorded.errno() == Some(errno),
            (Outcome::Unknown, _) => true,
            _ => false,
        };
        if !same {
            let want = match recorded {
                Outcome::Value(v) => format!("{v:#x}"),
                Outcome::Failed(name) => format!("-{name}"),
                Outcome::Unknown => "?".to_owned(),
            };
            let got = got.map_or_else(|e| format!("-{e}"), |v| format!("{v:#x}"));
            self.done.borrow_mut().mismatches.push(format!("line {line}: {} = {got}, recorded {want}", call.name()));
        }
    }

    /// Every device accesses what it still translates of `pages`, writing where it may.
    fn access(&self, pages: PageRange) {
        for (own, driver) in self.objects.borrow().iter() {
            if !own.overlaps(pages) {
                continue;
            }
            let device = driver.device();
            for (mm, vpn, spte) in device.sptes() {
                if !pages.contains(vpn) {
                    continue;
                }
                // A translation that went meanwhile is a device fault: nothing was accessed.
                let _ = if spte.writable { device.write(mm, vpn, vpn.0) } else { device.read(mm, vpn).map(drop) };
            }
        }
    }

    /// Mirrors the readable anonymous memory in `pages`.
    fn mirror(&self, pages: PageRange) {
        for (piece, writable) in self.anonymous(pages) {
            let driver = self.object(piece);
            let op = match self.kind.ops.iter().find(|op| writable && op.name == "map_write") {
                Some(op) => op.name,
                // The first operation of a driver publishes translations.
                None => self.kind.ops.first().map_or("map", |op| op.name),
            };
            if let Err(errno) = driver.op(Name::new(op), &Args::range(piece)) {
                self.done.borrow_mut().skipped.push(format!("{op} {piece}: {errno}"));
            }
        }
    }

    /// The pieces of readable anonymous memory in `pages`, each within one VMA.
    fn anonymous(&self, pages: PageRange) -> Vec<(PageRange, bool)> {
        let mirrored = |vma: &Vma| vma.is_anonymous() && vma.flags().contains(VmFlags::READ);
        self.mm
            .vmas()
            .iter()
            .filter(|vma| mirrored(vma))
            .filter_map(|vma| Some((vma.range().intersect(pages)?, vma.flags().contains(VmFlags::WRITE))))
            .collect()
    }

    /// The driver instance that covers `piece`, made and attached if there is none yet.
    fn object(&self, piece: PageRange) -> Arc<dyn Driver> {
        if let Some((_, driver)) = self.objects.borrow().iter().find(|(own, _)| own.covers(piece)) {
            return driver.clone();
        }
        let number = self.objects.borrow().len() as u32;
        let mut config = Config::new(DevId(number), Name::new(&format!("{}{number}", self.kind.name)));
        config.mutant.clone_from(&self.mutant);
        let driver = current(|k| (self.kind.make)(k, &self.mm, piece, &config));
        if let Err(errno) = driver.attach() {
            self.done.borrow_mut().skipped.push(format!("attach {piece}: {errno}"));
        }
        self.objects.borrow_mut().push((piece, driver.clone()));
        driver
    }
}

/// The pages of `len_bytes` from `addr`, rounded out as the kernel does; `None` if there are none.
fn pages(addr: VirtAddr, len_bytes: u64) -> Option<PageRange> {
    PageRange::with_len(Vpn(addr.0 / PAGE_SIZE), len_bytes.div_ceil(PAGE_SIZE))
}
