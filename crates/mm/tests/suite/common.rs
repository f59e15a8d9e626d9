//! A world to run in, and what an observer saw in it.

use ksync::{Kernel, KernelConfig};
use lockdep::Lockdep;
use mm::{Machine, MachineConfig, Mm};
use mm_types::{MmId, Name, PAGE_SIZE, PageRange, Pte, PteKind, VirtAddr, Vpn};
use mmu_notifier::{
    Annotations, Framework, Hooks, IntervalNotifier, IntervalSub, MmHost, Notifier, Subscriptions, WouldBlock,
};
use sched::{FirstScheduler, RandomScheduler};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use trace::{AccessModel, BracketId, Event, EventKind, Hook, LockMode, NotifyRange, Observer, RunEnd};

/// Where the recorded scenarios put their arena: alone in its part of the address space.
pub(crate) const ARENA: Vpn = Vpn(0x10_0000_0000 >> 12);

/// Arena pages `[start, start + len)`.
pub(crate) fn pages(start: u64, len: u64) -> PageRange {
    PageRange::with_len(ARENA + start, len).expect("not empty")
}

pub(crate) fn addr(page: u64) -> VirtAddr {
    (ARENA + page).addr()
}

pub(crate) fn bytes(nr_pages: u64) -> u64 {
    nr_pages * PAGE_SIZE
}

/// Every event of a run.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) events: Vec<Event>,
}

impl Observer for Recorder {
    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }
}

/// Where the body of a test runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Context {
    Setup,
    Task,
}

pub(crate) struct World {
    pub(crate) kernel: Kernel,
    pub(crate) machine: Arc<Machine>,
    recorder: Rc<RefCell<Recorder>>,
}

impl World {
    pub(crate) fn new(config: MachineConfig) -> World {
        let kernel = Kernel::new(KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() });
        let recorder = Rc::new(RefCell::new(Recorder::default()));
        kernel.set_observer(Some(recorder.clone()));
        let machine = kernel.enter(|k| Machine::new(k, config, Framework::new(k, Annotations::default())));
        World { kernel, machine, recorder }
    }

    pub(crate) fn new_mm(&self, name: &str) -> Arc<Mm> {
        self.kernel.enter(|k| self.machine.new_mm(k, Name::new(name)))
    }

    /// Runs the tasks there are in a random schedule, to their end and without any report of the validator; then `mm` exits, and
    /// nothing but the page cache is left.
    #[track_caller]
    pub(crate) fn run_random_and_exit(&self, seed: u64, mm: &Mm) {
        let end = self.kernel.run(&mut RandomScheduler::new(seed, 0));
        assert_eq!(end, RunEnd::Finished, "seed {seed}");
        assert!(self.kernel.lock_reports().is_empty(), "seed {seed}: {:?}", self.kernel.lock_reports());
        self.kernel.enter(|_| mm.exit());
        self.assert_empty();
    }

    /// Nobody has memory, swap or a reverse map any more.
    #[track_caller]
    pub(crate) fn assert_empty(&self) {
        let counts = self.machine.frame_counts();
        assert_eq!((counts.allocated - counts.page_cache, counts.mapped, counts.pinned), (0, 0, 0));
        assert_eq!((self.machine.swap_used(), self.machine.nr_anon_vmas()), (0, 0));
    }

    /// Runs `body` to its end, without any report of the validator.
    #[track_caller]
    pub(crate) fn run<R: 'static>(&self, context: Context, body: impl FnOnce() -> R + 'static) -> R {
        let result = match context {
            Context::Setup => self.kernel.enter(|_| body()),
            Context::Task => {
                let slot = Rc::new(RefCell::new(None));
                let out = Rc::clone(&slot);
                self.kernel.enter(|k| {
                    k.spawn(Name::new("task"), move || *out.borrow_mut() = Some(body()));
                });
                assert_eq!(self.kernel.run(&mut FirstScheduler), RunEnd::Finished);
                slot.take().expect("the task ran to its end")
            }
        };
        let reports = self.kernel.lock_reports();
        assert!(reports.is_empty(), "{reports:#?}");
        result
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.recorder.borrow().events.clone()
    }

    /// Counts the events that `pick` picks.
    pub(crate) fn count(&self, pick: impl Fn(&EventKind) -> bool) -> usize {
        self.recorder.borrow().events.iter().filter(|e| pick(&e.kind)).count()
    }
}

/// A subscriber that does nothing: its callbacks are in the events.
pub(crate) struct Quiet {
    pub(crate) name: Name,
    pub(crate) hooks: Hooks,
}

impl Notifier for Quiet {
    fn name(&self) -> Name {
        self.name
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn hooks(&self) -> Hooks {
        self.hooks
    }
    fn invalidate_range_start(&self, _range: &NotifyRange) -> Result<(), WouldBlock> {
        Ok(())
    }
}

impl IntervalNotifier for Quiet {
    fn name(&self) -> Name {
        self.name
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, _range: &NotifyRange, cur_seq: u64) -> bool {
        sub.set_seq(cur_seq);
        true
    }
}

/// Registers what one registration of the recorder was: start and end, and apart from them the secondary hook.
pub(crate) fn register(mm: &Arc<Mm>, number: u32) {
    let host: &dyn MmHost = &**mm;
    let hooks = Hooks::RELEASE | Hooks::RANGE_START | Hooks::RANGE_END;
    for (name, hooks) in [(format!("n{number}"), hooks), (format!("n{number}.tlb"), Hooks::SECONDARY_TLB)] {
        let sub = Subscriptions::register(host, Arc::new(Quiet { name: Name::new(&name), hooks }));
        // Kept for good: the address space goes with its subscribers.
        let _listed = sub.expect("registered");
    }
}

/// One callback in the words of the recordings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Callback {
    pub(crate) hook: String,
    pub(crate) who: String,
    /// `[start,end)` in arena pages, or `min`, `max`.
    pub(crate) pages: Option<(String, String)>,
    pub(crate) event: Option<String>,
    pub(crate) blockable: Option<bool>,
    /// `none`, `R`, `W`: how the task holds the notified address space's lock.
    pub(crate) mmap: String,
    /// A page-table lock is held.
    pub(crate) ptl: bool,
    /// The first 16 pages' entries, run-length coded; a missing table reads as an empty entry.
    pub(crate) entries: Option<String>,
}

/// Rebuilds, from the events alone, what the recorder of a running kernel would have noted.
#[derive(Default)]
pub(crate) struct Reconstruction {
    ptes: BTreeMap<(MmId, Vpn), Pte>,
    held: Vec<(&'static str, LockMode)>,
    ranges: BTreeMap<BracketId, NotifyRange>,
    subs: BTreeMap<trace::SubId, (MmId, Name)>,
}

impl Reconstruction {
    /// Takes one event in; a callback comes out if it began one.
    pub(crate) fn event(&mut self, event: &Event) -> Option<Callback> {
        match event.kind {
            EventKind::PteSet { mm, vpn, new, .. } => {
                self.ptes.insert((mm, vpn), new);
            }
            EventKind::LockAcquired { lock, mode, .. } => self.held.push((lock.class.as_str(), mode)),
            EventKind::LockReleased { lock, mode } => {
                let at = self.held.iter().rposition(|h| *h == (lock.class.as_str(), mode));
                self.held.remove(at.expect("a lock that is held"));
            }
            EventKind::RangeStart { bracket, range } => {
                self.ranges.insert(bracket, range);
            }
            EventKind::Subscribed { sub, mm, name, .. } => {
                self.subs.insert(sub, (mm, name));
            }
            EventKind::CallbackEnter { sub, hook, pages, bracket, blockable } => {
                let range = bracket.and_then(|b| self.ranges.get(&b)).copied();
                return Some(self.callback(sub, hook, pages, range, blockable));
            }
            _ => {}
        }
        None
    }

    fn callback(
        &self,
        sub: trace::SubId,
        hook: Hook,
        pages: PageRange,
        range: Option<NotifyRange>,
        blockable: bool,
    ) -> Callback {
        let (mm, name) = self.subs[&sub];
        let word = match hook {
            Hook::RangeStart => "start",
            Hook::RangeEnd => "end",
            Hook::Invalidate => "interval",
            Hook::SecondaryTlb => "secondary_tlb",
            Hook::Release => "release",
            other => other.word(),
        };
        let ranged = hook != Hook::Release;
        let bracketed = matches!(hook, Hook::RangeStart | Hook::RangeEnd | Hook::Invalidate);
        let mmap = self.held.iter().find(|(class, _)| *class == "&mm->mmap_lock").map(|(_, mode)| *mode);
        Callback {
            hook: word.to_owned(),
            who: name.as_str().trim_end_matches(".tlb").to_owned(),
            pages: ranged.then(|| (relative(pages.start(), "min"), relative(pages.end(), "max"))),
            event: range.filter(|_| bracketed).map(|r| r.event.word().to_owned()),
            blockable: bracketed.then_some(blockable),
            mmap: match mmap {
                None => "none",
                Some(LockMode::Shared) => "R",
                Some(LockMode::Exclusive) => "W",
            }
            .to_owned(),
            ptl: self.held.iter().any(|(class, _)| class.starts_with("ptlock_ptr")),
            entries: ranged.then(|| self.entries(mm, pages)),
        }
    }

    fn entries(&self, mm: MmId, pages: PageRange) -> String {
        let start = pages.start().max(ARENA);
        let letters = (start.0..pages.end().0.min(start.0 + 16)).map(|vpn| {
            let pte = self.ptes.get(&(mm, Vpn(vpn))).copied().unwrap_or(Pte::NONE);
            match pte.kind() {
                PteKind::None => '.',
                PteKind::Guard => 'g',
                PteKind::Swap { .. } => 's',
                PteKind::Migration { .. } => 'm',
                PteKind::ProtNone { .. } => 'n',
                PteKind::DevicePrivate { .. } => 'd',
                PteKind::DeviceExclusive { .. } => 'e',
                PteKind::HwPoison { .. } => 'p',
                PteKind::Present if pte.is_special() => 'z',
                PteKind::Present if pte.is_writable() => 'w',
                PteKind::Present => 'r',
            }
        });
        run_length(letters)
    }
}

pub(crate) fn run_length(letters: impl IntoIterator<Item = char>) -> String {
    let mut runs: Vec<(char, u32)> = Vec::new();
    for letter in letters {
        match runs.last_mut() {
            Some((last, n)) if *last == letter => *n += 1,
            _ => runs.push((letter, 1)),
        }
    }
    runs.iter().map(|(c, n)| if *n == 1 { c.to_string() } else { format!("{c}{n}") }).collect()
}

fn relative(vpn: Vpn, unbounded: &str) -> String {
    match vpn {
        Vpn(0) | Vpn::MAX => unbounded.to_owned(),
        vpn => (vpn.0 as i64 - ARENA.0 as i64).to_string(),
    }
}

/// Every frame is allocated before it is freed, and freed once.
pub(crate) fn check_frame_events(world: &World) {
    let mut live = BTreeSet::new();
    for event in world.events() {
        match event.kind {
            EventKind::FrameAlloc { pfn } => assert!(live.insert(pfn), "{pfn} was given out twice"),
            EventKind::FrameFree { pfn } => assert!(live.remove(&pfn), "{pfn} was freed twice"),
            _ => {}
        }
    }
    assert!(live.is_empty(), "leaked: {live:?}");
}
