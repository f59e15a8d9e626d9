//! A mock mm, subscribers that write down what they are told, and a world to run tasks in.

#![expect(unreachable_pub, dead_code, reason = "each test file includes this module and uses its part")]

use ksync::{Completion, Kernel, KernelConfig, Mutex, RwSem, Scheduler};
use lockdep::Lockdep;
use mm_types::{Errno, MmId, Name, ObjId, PageRange, Pte, Vpn};
use mmu_notifier::{
    Annotations, Framework, Hooks, IntervalNotifier, IntervalSub, MmHost, Notifier, Subscriptions, WouldBlock,
};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use trace::{AccessModel, Event, EventKind, NotifyEvent, NotifyRange, Observer, RunEnd};

pub struct MockMm {
    pub id: MmId,
    pub subs: Subscriptions,
    pub mmap_lock: RwSem<()>,
    all_locks: Mutex<()>,
    pub anon_vma: RwSem<()>,
    pub count: AtomicI64,
}

impl MmHost for MockMm {
    fn mm_id(&self) -> MmId {
        self.id
    }
    fn with_mmap_write(&self, body: &mut dyn FnMut()) {
        let _guard = self.mmap_lock.write();
        body();
    }
    fn take_all_locks(&self, body: &mut dyn FnMut()) -> Result<(), Errno> {
        let _all = self.all_locks.lock();
        let _anon = self.anon_vma.write();
        body();
        Ok(())
    }
    fn mmgrab(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
    fn mmdrop(&self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
    fn subscriptions(&self) -> &Subscriptions {
        &self.subs
    }
}

impl MockMm {
    pub fn new(k: &Kernel, framework: Arc<Framework>) -> MockMm {
        MockMm {
            id: MmId(0),
            subs: Subscriptions::new(k, framework, MmId(0)),
            mmap_lock: k.rwsem("&mm->mmap_lock", ()),
            all_locks: k.mutex("mm_all_locks_mutex", ()),
            anon_vma: k.rwsem("&anon_vma->rwsem", ()),
            count: AtomicI64::new(1),
        }
    }
    pub fn range(&self, event: NotifyEvent, pages: PageRange) -> NotifyRange {
        NotifyRange { mm: self.id, pages, event, blockable: true, owner: None }
    }
    /// One whole bracket.
    #[track_caller]
    pub fn zap(&self, pages: PageRange) {
        self.subs.invalidate_range_start(self.range(NotifyEvent::Unmap, pages)).end();
    }
    pub fn open(&self, pages: PageRange) -> mmu_notifier::Bracket<'_> {
        self.subs.invalidate_range_start(self.range(NotifyEvent::Unmap, pages))
    }
}

pub fn pages(start: u64, len: u64) -> PageRange {
    PageRange::with_len(Vpn(start), len).unwrap()
}

#[derive(Default)]
pub struct Log(pub Vec<Event>);

impl Observer for Log {
    fn event(&mut self, event: &Event) {
        self.0.push(*event);
    }
}

pub struct World {
    pub k: Kernel,
    pub mm: Arc<MockMm>,
    pub log: Rc<RefCell<Log>>,
    pub told: Told,
}

impl World {
    pub fn new(annotations: Annotations) -> World {
        let config = KernelConfig { lockdep: Some(Lockdep::new()), ..KernelConfig::default() };
        let k = Kernel::new(config);
        let log = Rc::new(RefCell::new(Log::default()));
        k.set_observer(Some(log.clone()));
        let framework = Framework::new(&k, annotations);
        let mm = Arc::new(MockMm::new(&k, framework));
        World { k, mm, log, told: Told::default() }
    }

    pub fn task(&self, name: &str, body: impl FnOnce(&MockMm) + 'static) {
        let mm = Arc::clone(&self.mm);
        self.k.spawn(Name::new(name), move || body(&mm));
    }

    pub fn run(&self) -> RunEnd {
        self.k.run(&mut sched::FirstScheduler)
    }

    pub fn run_under(&self, scheduler: &mut dyn Scheduler) -> RunEnd {
        self.k.run(scheduler)
    }

    pub fn gate(&self, name: &str) -> Arc<Completion> {
        Arc::new(Completion::new(&self.k, Name::new(name)))
    }

    pub fn edges(&self) -> Vec<(String, String)> {
        self.k.lock_edges().into_iter().map(|e| (e.from, e.to)).collect()
    }

    pub fn learnt(&self, from: &str, to: &str) -> bool {
        self.edges().iter().any(|(f, t)| f == from && t == to)
    }

    pub fn events(&self, mut f: impl FnMut(&EventKind) -> bool) -> usize {
        self.log.borrow().0.iter().filter(|e| f(&e.kind)).count()
    }
}

/// What subscribers were told, in order, by all of them.
#[derive(Clone, Default)]
pub struct Told(Arc<parking_lot::Mutex<Vec<String>>>);

impl Told {
    pub fn say(&self, text: String) {
        self.0.lock().push(text);
    }
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

pub struct Toy {
    pub name: &'static str,
    pub told: Told,
    pub hooks: Hooks,
    pub refuse: AtomicBool,
    pub lock: Option<Mutex<()>>,
    /// In `invalidate_range_start`: says that it is there, then waits.
    pub pause: Option<(Arc<Completion>, Arc<Completion>)>,
}

impl Toy {
    pub fn new(w: &World, name: &'static str, hooks: Hooks) -> Toy {
        Toy { name, told: w.told.clone(), hooks, refuse: AtomicBool::new(false), lock: None, pause: None }
    }
    pub fn locked(mut self, w: &World, class: &str) -> Toy {
        self.lock = Some(w.k.mutex(class, ()));
        self
    }
    pub fn refusing(self) -> Toy {
        self.refuse.store(true, Ordering::Relaxed);
        self
    }
    fn refuses(&self, range: &NotifyRange) -> bool {
        !range.blockable && self.refuse.load(Ordering::Relaxed)
    }
    fn say(&self, what: &str, range: &NotifyRange) {
        self.told.say(format!("{} {what} {} {}", self.name, range.event, range.pages));
    }
}

impl Notifier for Toy {
    fn name(&self) -> Name {
        Name::new(self.name)
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn hooks(&self) -> Hooks {
        self.hooks
    }
    fn release(&self, _mm: MmId) {
        self.told.say(format!("{} release", self.name));
    }
    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        self.say("start", range);
        let _guard = self.lock.as_ref().map(|l| l.lock());
        if let Some((here, go)) = &self.pause {
            here.complete();
            go.wait();
        }
        if self.refuses(range) { Err(WouldBlock) } else { Ok(()) }
    }
    fn invalidate_range_end(&self, range: &NotifyRange) {
        self.say("end", range);
    }
    fn clear_flush_young(&self, _: MmId, pages: PageRange) -> bool {
        self.told.say(format!("{} clear_flush_young {pages}", self.name));
        true
    }
    fn test_young(&self, _: MmId, vpn: Vpn) -> bool {
        self.told.say(format!("{} test_young {vpn}", self.name));
        true
    }
    fn change_pte(&self, _: MmId, vpn: Vpn, pte: Pte) {
        self.told.say(format!("{} change_pte {vpn} {pte}", self.name));
    }
    fn arch_invalidate_secondary_tlbs(&self, _: MmId, pages: PageRange) {
        self.told.say(format!("{} tlb {pages}", self.name));
    }
    fn owner(&self) -> Option<ObjId> {
        None
    }
}

impl IntervalNotifier for Toy {
    fn name(&self) -> Name {
        Name::new(self.name)
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        self.told.say(format!("{} invalidate {} {} seq {cur_seq}", self.name, range.event, range.pages));
        if self.refuses(range) {
            return false;
        }
        let _guard = self.lock.as_ref().map(|l| l.lock());
        sub.set_seq(cur_seq);
        true
    }
}

pub const START_END: Hooks = Hooks::RANGE_START.union(Hooks::RANGE_END).union(Hooks::RELEASE);

/// Inserts `toy` from the current task.
pub fn insert(mm: &MockMm, at: PageRange, toy: Toy) -> Arc<IntervalSub> {
    Subscriptions::interval_insert(mm, at, Arc::new(toy)).unwrap()
}

pub fn register(mm: &MockMm, toy: Toy) -> mmu_notifier::ListSub {
    Subscriptions::register(mm, Arc::new(toy)).unwrap()
}

/// Runs `f` inside the kernel's setup.
pub fn setup<R>(w: &World, f: impl FnOnce(&MockMm) -> R) -> R {
    w.k.enter(|_| f(&w.mm))
}
