//! A small language for event sequences.
//!
//! `World::new()` has one mm `A` (all of whose pages are unmapped), a device `gpu`, and tasks by name; each method adds
//! one event, and the compound ones (`start`, `end`, `call`) what a correct kernel emits.

use crate::{Code, Finding, Oracles, Stats};
use mm_types::{Gfp, MmId, Name, ObjId, PageRange, Pfn, Pte, TaskId, Vpn};
use trace::{
    AccessModel, BlockedTask, BracketId, DevId, Event, EventKind, Hook, LockKind, LockMode, LockRef, NotifyEvent,
    NotifyRange, Observer, RunEnd, SubId, SubKind,
};

pub(crate) const A: MmId = MmId(0);
pub(crate) const GPU: DevId = DevId(0);
/// The tasks of [`World::new`].
pub(crate) const UNMAP: TaskId = TaskId(1);
pub(crate) const GPU_TASK: TaskId = TaskId(2);
pub(crate) const OTHER: TaskId = TaskId(3);
pub(crate) const TOY: SubId = SubId(ObjId(0x70));
pub(crate) const LIST: SubId = SubId(ObjId(0x71));
pub(crate) const OWNER: ObjId = ObjId(0x99);

pub(crate) fn pages(start: u64, end: u64) -> PageRange {
    PageRange::new(Vpn(start), Vpn(end)).expect("a test names a range with pages in it")
}

pub(crate) fn rw(pfn: u64) -> Pte {
    Pte::present(Pfn(pfn)).with_write(true)
}

pub(crate) fn ro(pfn: u64) -> Pte {
    Pte::present(Pfn(pfn))
}

pub(crate) fn lock(n: u64, class: &str, kind: LockKind) -> LockRef {
    LockRef { obj: ObjId(n), class: Name::new(class), kind }
}

pub(crate) struct World {
    oracles: Oracles,
    step: u64,
    brackets: u64,
}

impl World {
    pub(crate) fn new() -> World {
        let mut w = World { oracles: Oracles::all(), step: 0, brackets: 0 };
        for (child, name) in [(UNMAP, "unmap"), (GPU_TASK, "ioctl"), (OTHER, "other")] {
            w.ev(TaskId(0), EventKind::TaskSpawned { child, name: Name::new(name) });
        }
        w.ev(TaskId(0), EventKind::MmCreated { mm: A, name: Name::new("A") });
        w.ev(TaskId(0), EventKind::DeviceCreated { dev: GPU, name: Name::new("gpu") });
        w
    }

    pub(crate) fn ev(&mut self, task: TaskId, kind: EventKind) -> &mut Self {
        self.step += 1;
        self.oracles.event(&Event { step: self.step, task, kind });
        self
    }

    /// Subscribes `sub` during setup.
    pub(crate) fn subscribe(&mut self, sub: SubId, kind: SubKind, range: PageRange, model: AccessModel) -> &mut Self {
        self.subscribe_by(TaskId(0), sub, kind, range, model)
    }

    pub(crate) fn subscribe_by(
        &mut self,
        task: TaskId,
        sub: SubId,
        kind: SubKind,
        range: PageRange,
        model: AccessModel,
    ) -> &mut Self {
        let name = Name::new(if sub == TOY { "toy" } else { "list" });
        let owner = Some(OWNER);
        self.ev(task, EventKind::Subscribed { sub, mm: A, kind, pages: range, model, owner, name })
    }

    /// `toy`: an interval mirror of pages 0x10..0x20.
    pub(crate) fn toy(&mut self) -> &mut Self {
        self.subscribe(TOY, SubKind::Interval, pages(0x10, 0x20), AccessModel::Mirror)
    }

    /// `list`: a list subscriber.
    pub(crate) fn list(&mut self, model: AccessModel) -> &mut Self {
        self.subscribe(LIST, SubKind::List, PageRange::ALL, model)
    }

    pub(crate) fn enter(&mut self, task: TaskId, call: &str, range: PageRange) -> &mut Self {
        self.ev(task, EventKind::CallEnter { mm: A, call: Name::new(call), pages: Some(range) })
    }

    pub(crate) fn leave(&mut self, task: TaskId) -> &mut Self {
        self.ev(task, EventKind::CallExit { error: None })
    }

    pub(crate) fn pte(&mut self, task: TaskId, page: u64, old: Pte, new: Pte) -> &mut Self {
        self.ev(task, EventKind::PteSet { mm: A, vpn: Vpn(page), old, new })
    }

    /// Announces a bracket; no callbacks yet.
    pub(crate) fn open(&mut self, task: TaskId, range: PageRange, event: NotifyEvent) -> BracketId {
        self.open_as(task, NotifyRange { mm: A, pages: range, event, blockable: true, owner: None })
    }

    pub(crate) fn open_as(&mut self, task: TaskId, range: NotifyRange) -> BracketId {
        self.brackets += 1;
        let bracket = BracketId(ObjId::created(task, self.brackets));
        self.ev(task, EventKind::RangeStart { bracket, range });
        bracket
    }

    /// One whole callback of a bracket.
    pub(crate) fn tell(&mut self, task: TaskId, b: BracketId, sub: SubId, hook: Hook, range: PageRange) -> &mut Self {
        self.enter_callback(task, Some(b), sub, hook, range, true).exit_callback(task, sub, hook, true)
    }

    pub(crate) fn enter_callback(
        &mut self,
        task: TaskId,
        bracket: Option<BracketId>,
        sub: SubId,
        hook: Hook,
        pages: PageRange,
        blockable: bool,
    ) -> &mut Self {
        self.ev(task, EventKind::CallbackEnter { sub, hook, pages, bracket, blockable })
    }

    pub(crate) fn exit_callback(&mut self, task: TaskId, sub: SubId, hook: Hook, ok: bool) -> &mut Self {
        self.ev(task, EventKind::CallbackExit { sub, hook, ok })
    }

    pub(crate) fn started(&mut self, task: TaskId, bracket: BracketId, ok: bool) -> &mut Self {
        self.ev(task, EventKind::RangeStarted { bracket, ok })
    }

    /// A whole start that tells `toy`.
    pub(crate) fn start(&mut self, task: TaskId, range: PageRange, event: NotifyEvent) -> BracketId {
        let b = self.open(task, range, event);
        self.tell(task, b, TOY, Hook::Invalidate, range).started(task, b, true);
        b
    }

    /// A whole start that tells `list`.
    pub(crate) fn start_list(&mut self, task: TaskId, range: PageRange, event: NotifyEvent) -> BracketId {
        let b = self.open(task, range, event);
        self.tell(task, b, LIST, Hook::RangeStart, range).started(task, b, true);
        b
    }

    pub(crate) fn end(&mut self, task: TaskId, bracket: BracketId) -> &mut Self {
        self.ev(task, EventKind::RangeEnd { bracket })
    }

    pub(crate) fn read_begin(&mut self, task: TaskId, seq: u64) -> &mut Self {
        self.ev(task, EventKind::ReadBegin { sub: TOY, seq })
    }

    pub(crate) fn read_retry(&mut self, task: TaskId, seq: u64, retry: bool) -> &mut Self {
        self.ev(task, EventKind::ReadRetry { sub: TOY, seq, retry })
    }

    pub(crate) fn spte(&mut self, sub: SubId, page: u64, pfn: u64, writable: bool) -> &mut Self {
        let kind = EventKind::SpteSet { dev: GPU, sub, mm: A, vpn: Vpn(page), pfn: Pfn(pfn), writable };
        self.ev(GPU_TASK, kind)
    }

    pub(crate) fn spte_clear(&mut self, task: TaskId, sub: SubId, page: u64) -> &mut Self {
        self.ev(task, EventKind::SpteClear { dev: GPU, sub, mm: A, vpn: Vpn(page) })
    }

    /// `toy` publishes a writable translation by the whole protocol.
    pub(crate) fn map(&mut self, page: u64, pfn: u64) -> &mut Self {
        self.read_begin(GPU_TASK, 1).read_retry(GPU_TASK, 1, false).spte(TOY, page, pfn, true)
    }

    pub(crate) fn access(&mut self, sub: SubId, page: u64, pfn: u64, write: bool) -> &mut Self {
        self.device_value(sub, page, pfn, write, 0)
    }

    pub(crate) fn device_value(&mut self, sub: SubId, page: u64, pfn: u64, write: bool, value: u64) -> &mut Self {
        let kind = EventKind::DeviceAccess { dev: GPU, sub, mm: A, vpn: Vpn(page), pfn: Pfn(pfn), write, value };
        self.ev(GPU_TASK, kind)
    }

    pub(crate) fn cpu(&mut self, mm: MmId, page: u64, pfn: u64, write: bool, value: u64) -> &mut Self {
        self.ev(UNMAP, EventKind::CpuAccess { mm, vpn: Vpn(page), pfn: Pfn(pfn), write, value })
    }

    pub(crate) fn alloc(&mut self, task: TaskId, gfp: Gfp) -> &mut Self {
        self.ev(task, EventKind::Alloc { gfp, nr_pages: 1, ok: true })
    }

    pub(crate) fn acquire(&mut self, task: TaskId, lock: LockRef) -> &mut Self {
        self.ev(task, EventKind::LockAcquired { lock, mode: LockMode::Exclusive, trylock: false })
    }

    pub(crate) fn release(&mut self, task: TaskId, lock: LockRef) -> &mut Self {
        self.ev(task, EventKind::LockReleased { lock, mode: LockMode::Exclusive })
    }

    pub(crate) fn stats(&self) -> &Stats {
        self.oracles.stats()
    }

    pub(crate) fn ends(&mut self, end: &RunEnd) -> &mut Self {
        self.oracles.end(end);
        self
    }

    /// Every task returns, the run finishes.
    pub(crate) fn finish(&mut self) -> &mut Self {
        for task in [UNMAP, GPU_TASK, OTHER] {
            self.ev(task, EventKind::TaskExited);
        }
        self.ends(&RunEnd::Finished)
    }

    /// The findings so far have exactly these codes, in order.
    #[track_caller]
    pub(crate) fn expect(&self, codes: &[Code]) -> &Self {
        let found: Vec<Code> = self.oracles.findings().iter().map(|f| f.code).collect();
        let text: Vec<String> = self.oracles.findings().iter().map(Finding::to_string).collect();
        assert_eq!(found, codes, "findings:\n{}", text.join("\n"));
        self
    }

    /// One finding, with this text in its title.
    #[track_caller]
    pub(crate) fn expect_one(&self, code: Code, title: &str) -> &Finding {
        self.expect(&[code]);
        let finding = &self.oracles.findings()[0];
        assert!(finding.title.contains(title), "{title:?} is not in:\n{finding}");
        finding
    }

    pub(crate) fn oracles(&mut self) -> &mut Oracles {
        &mut self.oracles
    }
}

/// A task blocked on a mutex `what` that `holder` holds, holding the mutex `holds` itself.
pub(crate) fn blocked(task: TaskId, name: &str, what: &str, holder: &[TaskId], holds: &str) -> BlockedTask {
    BlockedTask {
        task,
        name: Name::new(name),
        waits_for: trace::WaitFor {
            obj: ObjId(1),
            what: Name::new(what),
            site: "a.rs:1".to_owned(),
            holders: holder.to_vec(),
        },
        holds: vec![trace::HeldRef {
            obj: ObjId(2),
            class: Name::new(holds),
            kind: LockKind::Mutex,
            mode: LockMode::Exclusive,
            site: "b.rs:2".to_owned(),
        }],
    }
}
