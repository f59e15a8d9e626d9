//! No sequence of events makes an oracle panic.

use crate::Oracles;
use crate::test_utils::{A, GPU, blocked, lock};
use mm_types::{Gfp, MmId, Name, ObjId, PageRange, Pfn, Pte, TaskId, Vpn};
use proptest::prelude::*;
use trace::{
    AccessModel, BracketId, DevId, Event, EventKind, LockKind, LockMode, NotifyRange, Observer, RunEnd, SubId, SubKind,
};

/// Small numbers, so that events meet; and now and then the largest.
fn small() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..4u64, 1 => Just(u64::MAX >> 12)]
}

fn pte() -> impl Strategy<Value = Pte> {
    (0..5u8, small(), any::<bool>()).prop_map(|(kind, n, write)| match kind {
        0 => Pte::NONE,
        1 => Pte::swap(n & 0xffff),
        2 => Pte::migration(Pfn(n & 0xffff)),
        _ => Pte::present(Pfn(n & 0xffff)).with_write(write),
    })
}

fn range() -> impl Strategy<Value = PageRange> {
    (small(), 1..4u64).prop_map(|(start, len)| PageRange::with_len(Vpn(start), len).unwrap_or(PageRange::ALL))
}

fn pick<T: Copy + std::fmt::Debug + 'static>(list: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(list)
}

fn sub() -> impl Strategy<Value = SubId> {
    (0..3u64).prop_map(|n| SubId(ObjId(n)))
}

fn bracket() -> impl Strategy<Value = BracketId> {
    (0..4u64).prop_map(|n| BracketId(ObjId(n)))
}

fn notify_range() -> impl Strategy<Value = NotifyRange> {
    let reason = pick(&crate::Stats::REASONS);
    (0..2u32, range(), reason, any::<bool>(), proptest::option::of(small().prop_map(ObjId)))
        .prop_map(|(mm, pages, event, blockable, owner)| NotifyRange { mm: MmId(mm), pages, event, blockable, owner })
}

fn notifier_event() -> impl Strategy<Value = EventKind> {
    let models = pick(&[
        AccessModel::Mirror,
        AccessModel::PinUntilInvalidate,
        AccessModel::SecondaryTlb,
        AccessModel::LongTermPin,
    ]);
    let kinds = pick(&[SubKind::List, SubKind::Interval]);
    prop_oneof![
        (sub(), kinds, range(), models, proptest::option::of(small().prop_map(ObjId))).prop_map(
            |(sub, kind, pages, model, owner)| {
                EventKind::Subscribed { sub, mm: A, kind, pages, model, owner, name: Name::new("s") }
            }
        ),
        sub().prop_map(|sub| EventKind::SubscribeDeferred { sub, mm: A }),
        sub().prop_map(|sub| EventKind::UnsubscribeStart { sub }),
        sub().prop_map(|sub| EventKind::Unsubscribed { sub }),
        (bracket(), notify_range()).prop_map(|(bracket, range)| EventKind::RangeStart { bracket, range }),
        (bracket(), any::<bool>()).prop_map(|(bracket, ok)| EventKind::RangeStarted { bracket, ok }),
        bracket().prop_map(|bracket| EventKind::RangeEnd { bracket }),
        bracket().prop_map(|bracket| EventKind::BracketLeaked { bracket }),
        (sub(), pick(&crate::Stats::HOOKS), range(), proptest::option::of(bracket()), any::<bool>()).prop_map(
            |(sub, hook, pages, bracket, blockable)| {
                EventKind::CallbackEnter { sub, hook, pages, bracket, blockable }
            }
        ),
        (sub(), pick(&crate::Stats::HOOKS), any::<bool>()).prop_map(|(sub, hook, ok)| EventKind::CallbackExit {
            sub,
            hook,
            ok
        }),
        (sub(), small()).prop_map(|(sub, seq)| EventKind::ReadBegin { sub, seq }),
        (sub(), small(), any::<bool>()).prop_map(|(sub, seq, retry)| EventKind::ReadRetry { sub, seq, retry }),
        (sub(), small()).prop_map(|(sub, seq)| EventKind::SetSeq { sub, seq }),
    ]
}

fn memory_event() -> impl Strategy<Value = EventKind> {
    let place = || (sub(), small().prop_map(Vpn), small().prop_map(Pfn), any::<bool>());
    prop_oneof![
        4 => (0..2u32, small(), pte(), pte())
            .prop_map(|(mm, vpn, old, new)| EventKind::PteSet { mm: MmId(mm), vpn: Vpn(vpn), old, new }),
        1 => (0..2u32, pte(), pte())
            .prop_map(|(mm, old, new)| EventKind::PudSet { mm: MmId(mm), base: Vpn(0), old, new }),
        1 => small().prop_map(|n| EventKind::FrameAlloc { pfn: Pfn(n) }),
        1 => small().prop_map(|n| EventKind::FrameFree { pfn: Pfn(n) }),
        1 => place().prop_map(|(_, vpn, ..)| EventKind::TlbFlushDeferred { mm: A, vpn }),
        1 => place().prop_map(|(_, vpn, ..)| EventKind::TlbFlush { mm: A, pages: PageRange::page(vpn) }),
        1 => place().prop_map(|(_, vpn, pfn, write)| EventKind::CpuAccess { mm: A, vpn, pfn, write, value: pfn.0 }),
        3 => place()
            .prop_map(|(sub, vpn, pfn, writable)| EventKind::SpteSet { dev: GPU, sub, mm: A, vpn, pfn, writable }),
        1 => place().prop_map(|(sub, vpn, ..)| EventKind::SpteClear { dev: GPU, sub, mm: A, vpn }),
        3 => place().prop_map(|(sub, vpn, pfn, write)| {
            EventKind::DeviceAccess { dev: DevId(0), sub, mm: A, vpn, pfn, write, value: vpn.0 }
        }),
    ]
}

fn task_event() -> impl Strategy<Value = EventKind> {
    let kinds = pick(&[LockKind::Spin, LockKind::RawSpin, LockKind::Mutex, LockKind::RwSem, LockKind::Map]);
    let locks = (small(), kinds).prop_map(|(n, kind)| lock(n, "l", kind)).boxed();
    let mode = LockMode::Exclusive;
    prop_oneof![
        (0..4u32).prop_map(|n| EventKind::TaskSpawned { child: TaskId(n), name: Name::new("t") }),
        Just(EventKind::TaskExited),
        (locks.clone(), any::<bool>()).prop_map(move |(lock, trylock)| EventKind::LockAcquired { lock, mode, trylock }),
        locks.prop_map(move |lock| EventKind::LockReleased { lock, mode }),
        Just(EventKind::NonBlockStart),
        Just(EventKind::NonBlockEnd),
        Just(EventKind::MightSleep { what: Name::new("w") }),
        Just(EventKind::Alloc { gfp: Gfp::KERNEL, nr_pages: 1, ok: true }),
        Just(EventKind::ReclaimStart { direct: true }),
        Just(EventKind::ReclaimEnd { freed: 0 }),
        range().prop_map(|p| EventKind::CallEnter { mm: A, call: Name::new("c"), pages: Some(p) }),
        Just(EventKind::CallExit { error: None }),
    ]
}

fn run_end() -> impl Strategy<Value = RunEnd> {
    prop_oneof![
        Just(RunEnd::Finished),
        Just(RunEnd::MaxSteps { max_steps: 3 }),
        proptest::collection::vec((0..4u32, proptest::option::of(0..4u32)), 0..4).prop_map(|rows| {
            let row = |(t, h): &(u32, Option<u32>)| {
                blocked(TaskId(*t), "t", "w", &h.map(TaskId).into_iter().collect::<Vec<_>>(), "h")
            };
            let cycle = rows.iter().filter_map(|(_, h)| h.map(TaskId)).collect();
            RunEnd::Deadlock { blocked: rows.iter().map(row).collect(), cycle }
        }),
    ]
}

fn events() -> impl Strategy<Value = Vec<(u32, EventKind)>> {
    let kind = prop_oneof![3 => notifier_event(), 3 => memory_event(), 1 => task_event()];
    proptest::collection::vec((0..4u32, kind), 0..200)
}

fn feed(oracles: &mut Oracles, events: &[(u32, EventKind)], end: &RunEnd) {
    for (step, (task, kind)) in events.iter().enumerate() {
        oracles.event(&Event { step: step as u64, task: TaskId(*task), kind: *kind });
    }
    oracles.end(end);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_oracle_panics_and_a_reset_leaves_no_trace(first in events(), second in events(), end in run_end()) {
        let mut reused = Oracles::all();
        feed(&mut reused, &first, &end);
        prop_assert!(reused.stats().latent_stale <= reused.stats().sptes_set);
        reused.reset();
        feed(&mut reused, &second, &end);
        let mut fresh = Oracles::all();
        feed(&mut fresh, &second, &end);
        prop_assert_eq!(reused.findings(), fresh.findings());
        prop_assert_eq!(reused.stats(), fresh.stats());
    }
}
