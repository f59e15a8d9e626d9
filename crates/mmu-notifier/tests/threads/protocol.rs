//! The registration and invalidation protocol on OS threads: random tasks on one address space, each in a kernel of its own.
//!
//! Pages are words that hold the number of a frame. Whoever takes a page away opens a bracket, puts another frame there, frees
//! the old one and closes the bracket; mirrors look frames up as a driver does (`read_begin`, look, `read_retry` under their
//! own lock). What must hold is asked where it must hold:
//!
//! * what a mirror has published is not free, whenever its lock is held;
//! * a subscriber whose removal returned is not called, nor still inside a callback;
//! * at the end nothing is subscribed, the count of the mm is what it was, and the sequence is even;
//! * no thread's validator reports anything, nor does the union of what they learnt.

#[path = "../common/mod.rs"]
mod common;

use common::MockMm;
use ksync::{Kernel, KernelConfig, Mutex, Threads, current};
use lockdep::Lockdep;
use mm_types::{Gfp, MmId, Name, PageRange, Vpn};
use mmu_notifier::{
    Annotations, Framework, Hooks, IntervalNotifier, IntervalSub, ListSub, Notifier, Quirks, Subscriptions, WouldBlock,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use trace::{AccessModel, NotifyEvent, NotifyRange};

/// Pages of the address space.
const PAGES: u64 = 32;
/// Random operations of each thread of a round.
const OPERATIONS: u32 = 60;

/// What is wrong on purpose, so that the checks are seen to fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing.
    None,
    /// The framework leaves subscribers where brackets find them.
    CallbackAfterUnregister,
    /// Mirrors publish whatever they saw.
    SkipRetry,
    /// Mirrors allocate under the lock that their callback takes.
    AllocUnderLock,
}

/// What a round did and found.
#[derive(Clone, Default, Debug)]
pub struct Tally {
    /// Brackets that were opened.
    pub brackets: u64,
    /// Those that a subscriber refused.
    pub refused: u64,
    /// Callbacks of either family.
    pub callbacks: u64,
    /// Translations published.
    pub published: u64,
    /// Lookups that had to be done again.
    pub retries: u64,
    /// Registrations and insertions.
    pub subscribed: u64,
    /// What did not hold, in words.
    pub findings: Vec<String>,
}

impl Fault {
    /// Each with the word that asks for it.
    pub const ALL: [(&'static str, Fault); 4] = [
        ("none", Fault::None),
        ("callback-after-unregister", Fault::CallbackAfterUnregister),
        ("skip-retry", Fault::SkipRetry),
        ("alloc-under-lock", Fault::AllocUnderLock),
    ];

    /// The one with this word.
    pub fn from_word(word: &str) -> Option<Fault> {
        Fault::ALL.iter().find(|(of, _)| *of == word).map(|(_, fault)| *fault)
    }
}

impl Tally {
    /// Adds another's.
    pub fn add(&mut self, other: Tally) {
        self.brackets += other.brackets;
        self.refused += other.refused;
        self.callbacks += other.callbacks;
        self.published += other.published;
        self.retries += other.retries;
        self.subscribed += other.subscribed;
        self.findings.extend(other.findings);
    }
}

/// One round: `threads` threads on a new address space, each doing random operations of (`seed`, thread).
pub fn round(seed: u64, threads: u64, fault: Fault) -> Tally {
    let lockdep = Lockdep::new();
    let k = Kernel::new(KernelConfig { lockdep: Some(Arc::clone(&lockdep)), ..KernelConfig::default() });
    let space = k.enter(|k| Space::new(k, fault));
    let world = Threads::of(&k);
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let task = |thread: u64| {
            let (space, world) = (&space, &world);
            move || {
                let mut actor = Actor::new(space, seed ^ thread << 32);
                let (tally, reports) = world.task(|_| actor.run());
                let texts = reports.iter().map(|report| report.report.first_line().into_owned());
                (tally, texts.collect::<Vec<_>>())
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(task(thread))).collect();
        for thread in running {
            let (done, reports) = thread.join().expect("a task of the round panicked");
            tally.add(done);
            tally.findings.extend(reports);
        }
    });
    tally.callbacks = space.callbacks.load(Ordering::Relaxed);
    tally.findings.extend(space.findings.lock().drain(..));
    tally.findings.extend(space.final_state());
    let union = lockdep.judge(&lockdep.merged());
    tally.findings.sort_unstable();
    tally.findings.dedup();
    tally.findings.extend((!union.is_ok()).then(|| "the lock orders of all threads together have a cycle".to_owned()));
    tally
}

/// The address space and what its subscribers share.
struct Space {
    mm: MockMm,
    fault: Fault,
    ptes: Vec<AtomicU64>,
    frames: AtomicU64,
    /// By frame modulo its size, the last that was freed there: frames are numbered upwards, and none lives so long.
    free: Vec<AtomicU64>,
    mirrors: Vec<Arc<Mirror>>,
    callbacks: AtomicU64,
    findings: parking_lot::Mutex<Vec<String>>,
}

/// Frames that can be told from free ones at a time.
const FRAMES: u64 = 1 << 16;

impl Space {
    fn new(k: &Kernel, fault: Fault) -> Arc<Space> {
        let quirks = match fault {
            Fault::CallbackAfterUnregister => Quirks::CALLBACK_AFTER_UNREGISTER,
            _ => Quirks::empty(),
        };
        let framework = Framework::with_quirks(k, Annotations::default(), quirks);
        Arc::new_cyclic(|space| Space {
            mm: MockMm::new(k, framework),
            fault,
            ptes: (1..=PAGES).map(AtomicU64::new).collect(),
            frames: AtomicU64::new(PAGES),
            free: (0..FRAMES).map(|_| AtomicU64::new(0)).collect(),
            mirrors: (0..3)
                .map(|_| {
                    let sptes = k.mutex("&mirror->lock", vec![0; PAGES as usize]);
                    Arc::new(Mirror { space: space.clone(), alive: Alive::default(), sptes })
                })
                .collect(),
            callbacks: AtomicU64::new(0),
            findings: parking_lot::Mutex::default(),
        })
    }

    fn finding(&self, what: &str) {
        let mut findings = self.findings.lock();
        if !findings.iter().any(|known| known == what) {
            findings.push(what.to_owned());
        }
    }

    fn is_free(&self, frame: u64) -> bool {
        self.free[(frame % FRAMES) as usize].load(Ordering::SeqCst) == frame
    }

    /// Puts other frames under the pages and frees the old ones.
    fn replace(&self, pages: PageRange) {
        for vpn in pages.iter() {
            let frame = self.frames.fetch_add(1, Ordering::SeqCst) + 1;
            let old = self.ptes[vpn.0 as usize].swap(frame, Ordering::SeqCst);
            self.free[(old % FRAMES) as usize].store(old, Ordering::SeqCst);
        }
    }

    fn final_state(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.mm.count.load(Ordering::SeqCst) != 1 {
            wrong.push(format!("the mm is kept {} times", self.mm.count.load(Ordering::SeqCst) - 1));
        }
        if self.mm.subs.peek_seq() % 2 == 1 {
            wrong.push(format!("the sequence is odd: {}", self.mm.subs.peek_seq()));
        }
        wrong
    }
}

/// Whether a subscription is one, and how many callbacks it is inside of.
#[derive(Default)]
struct Alive {
    subscribed: AtomicBool,
    inside: AtomicI64,
}

impl Alive {
    fn called<R>(&self, space: &Space, callback: impl FnOnce() -> R) -> R {
        self.inside.fetch_add(1, Ordering::SeqCst);
        space.callbacks.fetch_add(1, Ordering::Relaxed);
        if !self.subscribed.load(Ordering::SeqCst) {
            space.finding("a callback of a subscriber whose removal returned");
        }
        let result = callback();
        self.inside.fetch_sub(1, Ordering::SeqCst);
        result
    }

    fn begins(&self) {
        self.subscribed.store(true, Ordering::SeqCst);
    }

    /// The removal has returned.
    fn ends(&self, space: &Space) {
        if self.inside.load(Ordering::SeqCst) != 0 {
            space.finding("a removal returned inside of a callback");
        }
        self.subscribed.store(false, Ordering::SeqCst);
    }
}

/// An interval subscriber with a table of its own.
struct Mirror {
    space: std::sync::Weak<Space>,
    alive: Alive,
    sptes: Mutex<Vec<u64>>,
}

impl Mirror {
    fn check(space: &Space, sptes: &[u64]) {
        if sptes.iter().any(|frame| *frame != 0 && space.is_free(*frame)) {
            space.finding("a mirror has published a frame that is free");
        }
    }
}

impl IntervalNotifier for Mirror {
    fn name(&self) -> Name {
        Name::new("mirror")
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        let Some(space) = self.space.upgrade() else { return true };
        self.alive.called(&space, || {
            let guard = if range.blockable { Some(self.sptes.lock()) } else { self.sptes.try_lock() };
            let Some(mut sptes) = guard else { return false };
            Mirror::check(&space, &sptes);
            sub.set_seq(cur_seq);
            if let Some(pages) = range.pages.intersect(sub.pages()) {
                pages.iter().for_each(|vpn| sptes[vpn.0 as usize] = 0);
            }
            true
        })
    }
}

/// A list subscriber that only listens.
struct Listener {
    space: std::sync::Weak<Space>,
    alive: Alive,
    slow: bool,
}

impl Listener {
    fn called(&self) {
        let Some(space) = self.space.upgrade() else { return };
        self.alive.called(&space, || {
            if self.slow {
                std::thread::yield_now();
            }
        });
    }
}

impl Notifier for Listener {
    fn name(&self) -> Name {
        Name::new("listener")
    }
    fn model(&self) -> AccessModel {
        AccessModel::PinUntilInvalidate
    }
    fn hooks(&self) -> Hooks {
        Hooks::RELEASE | Hooks::RANGE_START | Hooks::RANGE_END
    }
    fn release(&self, _mm: MmId) {
        self.called();
    }
    fn invalidate_range_start(&self, _range: &NotifyRange) -> Result<(), WouldBlock> {
        self.called();
        Ok(())
    }
    fn invalidate_range_end(&self, _range: &NotifyRange) {
        self.called();
    }
}

/// One thread.
struct Actor<'a> {
    space: &'a Arc<Space>,
    random: ChaCha8Rng,
    listeners: Vec<(ListSub, Arc<Listener>)>,
    /// A mirror of its own, as long as it is inserted.
    own: Option<(Arc<IntervalSub>, Arc<Mirror>)>,
    tally: Tally,
}

impl<'a> Actor<'a> {
    fn new(space: &'a Arc<Space>, seed: u64) -> Actor<'a> {
        let random = ChaCha8Rng::seed_from_u64(seed);
        Actor { space, random, listeners: Vec::new(), own: None, tally: Tally::default() }
    }

    fn run(&mut self) -> Tally {
        for _ in 0..OPERATIONS {
            match self.random.random_range(0..10) {
                0..4 => self.invalidate(),
                4 => self.register(),
                5 => self.unregister(),
                6 => self.insert_or_remove(),
                _ => self.fault(),
            }
        }
        while !self.listeners.is_empty() {
            self.unregister();
        }
        if self.own.is_some() {
            self.insert_or_remove();
        }
        std::mem::take(&mut self.tally)
    }

    fn pages(&mut self) -> PageRange {
        let first = self.random.random_range(0..PAGES);
        let len = self.random.random_range(1..=PAGES - first);
        PageRange::with_len(Vpn(first), len).expect("inside the address space")
    }

    fn invalidate(&mut self) {
        let (space, pages) = (self.space, self.pages());
        let blockable = self.random.random_ratio(3, 4);
        let range = NotifyRange { mm: MmId(0), pages, event: NotifyEvent::Unmap, blockable, owner: None };
        let _mmap = space.mm.mmap_lock.read();
        self.tally.brackets += 1;
        let bracket = if blockable {
            Some(space.mm.subs.invalidate_range_start(range))
        } else {
            space.mm.subs.invalidate_range_start_nonblock(range).ok()
        };
        match bracket {
            None => self.tally.refused += 1,
            Some(bracket) => {
                std::thread::yield_now();
                space.replace(pages);
                bracket.end();
            }
        }
    }

    fn register(&mut self) {
        let slow = self.random.random();
        let listener = Arc::new(Listener { space: Arc::downgrade(self.space), alive: Alive::default(), slow });
        listener.alive.begins();
        let sub = Subscriptions::register(&self.space.mm, listener.clone()).expect("memory");
        self.tally.subscribed += 1;
        self.listeners.push((sub, listener));
    }

    fn unregister(&mut self) {
        if self.listeners.is_empty() {
            return;
        }
        let which = self.random.random_range(0..self.listeners.len());
        let (sub, listener) = self.listeners.swap_remove(which);
        Subscriptions::unregister(&self.space.mm, sub);
        listener.alive.ends(self.space);
    }

    fn insert_or_remove(&mut self) {
        if let Some((sub, mirror)) = self.own.take() {
            Subscriptions::interval_remove(&self.space.mm, &sub);
            mirror.sptes.lock().fill(0);
            mirror.alive.ends(self.space);
            return;
        }
        // Those of the space are shared: whoever finds one free has it.
        let Some(mirror) =
            self.space.mirrors.iter().find(|mirror| !mirror.alive.subscribed.swap(true, Ordering::SeqCst))
        else {
            return;
        };
        let pages = self.pages();
        let sub = Subscriptions::interval_insert(&self.space.mm, pages, mirror.clone()).expect("memory");
        self.tally.subscribed += 1;
        self.own = Some((sub, mirror.clone()));
    }

    fn fault(&mut self) {
        let Some((sub, mirror)) = &self.own else { return };
        let space = self.space;
        let published = retry(|| {
            let seq = space.mm.subs.read_begin(sub);
            let seen: Vec<u64> = {
                let _mmap = space.mm.mmap_lock.read();
                sub.pages().iter().map(|vpn| space.ptes[vpn.0 as usize].load(Ordering::SeqCst)).collect()
            };
            std::thread::yield_now();
            let mut sptes = mirror.sptes.lock();
            if space.fault == Fault::AllocUnderLock {
                current(|k| k.might_alloc(Gfp::KERNEL));
            }
            if sub.read_retry(seq) && space.fault != Fault::SkipRetry {
                return ControlFlow::Continue(());
            }
            for (vpn, frame) in sub.pages().iter().zip(&seen) {
                sptes[vpn.0 as usize] = *frame;
            }
            // Long enough for a callback that must not wait to find the lock taken.
            std::thread::yield_now();
            Mirror::check(space, &sptes);
            ControlFlow::Break(seen.len() as u64)
        });
        let (retries, published) = published;
        self.tally.retries += retries;
        self.tally.published += published;
    }
}

/// Does something until it is done; how often it was done in vain.
fn retry<R>(mut attempt: impl FnMut() -> ControlFlow<R>) -> (u64, R) {
    let mut vain = 0;
    loop {
        if let ControlFlow::Break(done) = attempt() {
            return (vain, done);
        }
        vain += 1;
    }
}
