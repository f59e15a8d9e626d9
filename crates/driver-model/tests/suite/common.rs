//! A world with one address space, one driver, and everything that looks on.

#![expect(unreachable_pub, reason = "for the other modules of this suite")]

use driver_model::{Args, BLOCK_PAGES, Config, Driver, builtin};
use ksync::{Kernel, KernelConfig, Scheduler};
use lockdep::Lockdep;
use mm::{Advice, Machine, MachineConfig, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Prot, Vpn};
use mmu_notifier::{Annotations, Framework};
use properties::{Code, Oracles};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use trace::{DevId, Event, EventKind, Observer, RunEnd};

pub struct Watch {
    pub oracles: Oracles,
    pub log: Vec<Event>,
}

impl Observer for Watch {
    fn event(&mut self, event: &Event) {
        self.oracles.event(event);
        self.log.push(*event);
    }
    fn end(&mut self, end: &RunEnd) {
        self.oracles.end(end);
    }
}

pub struct World {
    pub k: Kernel,
    pub machine: Arc<Machine>,
    pub mm: Arc<Mm>,
    pub driver: Arc<dyn Driver>,
    pub watch: Rc<RefCell<Watch>>,
}

/// What a world is made of, besides the driver.
#[derive(Clone, Copy, Default)]
pub struct Setting {
    pub annotations: Annotations,
    pub reclaim_by_choice: bool,
    /// Two blocks of 2 MiB, mapped by huge pages, in the place of the 8 pages; [`HUGE`] on is the first.
    pub huge: bool,
}

/// Where the first huge page is, counted as the pages of [`pages`].
pub const HUGE: u64 = BLOCK_PAGES - FIRST;

/// The pages of the one VMA, 8 of them; the driver's are all.
pub const FIRST: u64 = 16;
pub const PAGES: u64 = 8;

pub fn pages(start: u64, len: u64) -> PageRange {
    PageRange::with_len(Vpn(FIRST + start), len).unwrap()
}

pub fn all() -> PageRange {
    pages(0, PAGES)
}

impl World {
    #[track_caller]
    pub fn new(kind: &str, mutant: Option<&str>, setting: Setting) -> World {
        let mut config = Config::new(DevId(0), Name::new("gpu0"));
        config.mutant = mutant.map(str::to_owned);
        World::with(kind, &config, setting)
    }

    #[track_caller]
    pub fn with(kind: &str, config: &Config, setting: Setting) -> World {
        let kind = builtin().into_iter().find(|k| k.name == kind).expect("a builtin driver");
        assert_eq!(kind.check(config), []);
        let k = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
        let watch = Rc::new(RefCell::new(Watch { oracles: Oracles::all(), log: Vec::new() }));
        k.set_observer(Some(watch.clone()));
        let (machine, mm, driver) = k.enter(|k| {
            let framework = Framework::new(k, setting.annotations);
            let config_of = MachineConfig { reclaim_by_choice: setting.reclaim_by_choice, ..MachineConfig::default() };
            let machine = Machine::new(k, config_of, framework);
            let mm = machine.new_mm(k, Name::new("A"));
            let served = if setting.huge { pages(HUGE, 2 * BLOCK_PAGES) } else { all() };
            mm.mmap_anon(served, Prot::READ | Prot::WRITE).unwrap();
            let step = if setting.huge { BLOCK_PAGES } else { 1 };
            if setting.huge {
                let len = served.nr_pages() * PAGE_SIZE;
                mm.madvise(served.start().addr(), len, Advice::HugePage).unwrap();
            }
            for vpn in served.iter().step_by(step as usize) {
                mm.write_page(vpn, vpn.0).unwrap();
            }
            let driver = (kind.make)(k, &mm, served, config);
            driver.attach().unwrap();
            (machine, mm, driver)
        });
        World { k, machine, mm, driver, watch }
    }

    /// Inside setup.
    pub fn setup<R>(&self, f: impl FnOnce(&World) -> R) -> R {
        self.k.enter(|_| f(self))
    }

    pub fn op(&self, op: &str, args: Args) -> Result<(), Errno> {
        self.driver.op(Name::new(op), &args)
    }

    pub fn munmap(&self, what: PageRange) {
        self.mm.munmap(what.start().addr(), what.nr_pages() * PAGE_SIZE).unwrap();
    }

    pub fn task(&self, name: &str, body: impl FnOnce(&Arc<Mm>, &dyn Driver) + 'static) {
        let (mm, driver) = (Arc::clone(&self.mm), Arc::clone(&self.driver));
        self.k.spawn(Name::new(name), move || body(&mm, &*driver));
    }

    pub fn run(&self, scheduler: &mut dyn Scheduler) -> RunEnd {
        self.k.enter(|k| self.driver.request_irqs(k));
        self.k.run(scheduler)
    }

    /// Codes of the findings, each once, sorted.
    pub fn codes(&self) -> Vec<Code> {
        let mut codes: Vec<Code> = self.watch.borrow().oracles.findings().iter().map(|f| f.code).collect();
        if !self.driver.device().objects().misuses().is_empty() {
            codes.push(Code::Life);
        }
        codes.sort_unstable_by_key(|c| c.to_string());
        codes.dedup();
        codes
    }

    #[track_caller]
    pub fn assert_silent(&self) {
        self.assert_silent_for("");
    }

    /// The same; `what` is said when it is not so.
    #[track_caller]
    pub fn assert_silent_for(&self, what: &str) {
        let watch = self.watch.borrow();
        let titles: Vec<_> = watch.oracles.findings().iter().map(|f| (&f.title, &f.details)).collect();
        assert!(titles.is_empty(), "{what} {titles:#?}");
        let reports: Vec<_> = self.k.lock_reports().iter().map(|r| r.report.to_text("test")).collect();
        assert!(reports.is_empty(), "{what} {}", reports.join("\n"));
    }

    pub fn count(&self, mut f: impl FnMut(&EventKind) -> bool) -> usize {
        self.watch.borrow().log.iter().filter(|e| f(&e.kind)).count()
    }

    pub fn sptes(&self) -> Vec<u64> {
        self.driver.device().sptes().iter().map(|(_, vpn, _)| vpn.0 - FIRST).collect()
    }
}

/// What really happened over many runs, so that silence is not that of a test in which nothing collides.
#[derive(Default, Debug)]
pub struct Happened {
    pub published: usize,
    pub taken_away: usize,
    pub accesses: usize,
    pub collided: usize,
    pub waited: usize,
    pub in_reclaim: u64,
}

impl Happened {
    pub fn add(&mut self, w: &World) {
        self.published += w.count(|e| matches!(e, EventKind::SpteSet { .. }));
        self.taken_away += w.count(|e| matches!(e, EventKind::SpteClear { .. }));
        self.accesses += w.count(|e| matches!(e, EventKind::DeviceAccess { .. }));
        self.collided += w.count(|e| matches!(e, EventKind::ReadRetry { retry: true, .. }));
        self.waited += w.count(|e| matches!(e, EventKind::Wait { .. }));
        self.in_reclaim += w.watch.borrow().oracles.stats().reclaim_invalidations;
    }
}

pub fn munmap(mm: &Mm, what: PageRange) {
    mm.munmap(what.start().addr(), what.nr_pages() * PAGE_SIZE).unwrap();
}
