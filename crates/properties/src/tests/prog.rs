use crate::Code;
use crate::test_utils::*;
use mm_types::{Gfp, ObjId};
use trace::{EventKind, RunEnd, SubId};

#[test]
fn a_deadlock_names_every_task_of_the_cycle_with_what_it_waits_for_and_holds() {
    let rows = || {
        vec![
            blocked(UNMAP, "unmap", "vm_lock", &[GPU_TASK], "range_map"),
            blocked(GPU_TASK, "ioctl", "range_map", &[UNMAP], "vm_lock"),
            blocked(OTHER, "other", "vm_lock", &[GPU_TASK], "mmap_lock"),
        ]
    };
    let mut w = World::new();
    w.enter(UNMAP, "munmap", pages(1, 2));
    w.ends(&RunEnd::Deadlock { blocked: rows(), cycle: vec![UNMAP, GPU_TASK] });
    let title = "deadlock: ioctl waits for range_map, held by unmap; unmap waits for vm_lock, held by ioctl";
    let finding = w.expect_one(Code::ProgDeadlock, title).clone();
    let text = finding.to_string();
    for part in [
        "task unmap waits for vm_lock, held by ioctl at a.rs:1",
        "in munmap [0x1000, 0x2000) by task unmap",
        "holds mutex range_map, taken at b.rs:2",
        "holds mutex vm_lock, taken at b.rs:2",
        "also blocked: task other waits for vm_lock, held by ioctl at a.rs:1",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    // Found from the other side it is the same.
    let mut w = World::new();
    w.ends(&RunEnd::Deadlock { blocked: rows(), cycle: vec![GPU_TASK, UNMAP] });
    assert_eq!(w.expect_one(Code::ProgDeadlock, "").key, finding.key);
}

#[test]
fn a_task_that_waits_for_itself_or_for_nobody_is_told() {
    let mut w = World::new();
    let row = blocked(UNMAP, "unmap", "vm_lock", &[UNMAP], "vm_lock");
    w.ends(&RunEnd::Deadlock { blocked: vec![row], cycle: vec![UNMAP] });
    w.expect_one(Code::ProgDeadlock, "unmap waits for vm_lock, held by itself");

    let mut w = World::new();
    let row = blocked(UNMAP, "unmap", "subscriptions->wq", &[], "vm_lock");
    w.ends(&RunEnd::Deadlock { blocked: vec![row], cycle: vec![] });
    w.expect_one(Code::ProgDeadlock, "nobody owes a wake-up: unmap waits for subscriptions->wq");
}

#[test]
fn a_bound_reached_is_not_passed() {
    let mut w = World::new();
    w.ev(OTHER, EventKind::TaskExited).ends(&RunEnd::MaxSteps { max_steps: 50 });
    let finding = w.expect_one(Code::ProgLivelock, "no end within 50 visible operations");
    assert_eq!(finding.details, ["tasks that did not return: unmap, ioctl"]);
}

#[test]
fn a_task_that_gets_nowhere_is_told_with_what_it_did_meanwhile() {
    let mut w = World::new();
    let sub = SubId(ObjId(1));
    for seq in [1, 3, 5] {
        w.ev(UNMAP, EventKind::ReadBegin { sub, seq });
        w.ev(UNMAP, EventKind::ReadRetry { sub, seq, retry: seq < 5 });
    }
    w.ev(OTHER, EventKind::TaskExited).ends(&RunEnd::MaxSteps { max_steps: 50 });
    let finding = w.expect_one(Code::ProgLivelock, "no end within 50 visible operations");
    assert_eq!(finding.details[1..], ["unmap: told 2 times by read_retry to begin again, announced 0 invalidations"]);
}

#[test]
fn a_finished_run_leaves_no_task_behind() {
    World::new().finish().expect(&[]);
    let mut w = World::new();
    w.ev(UNMAP, EventKind::TaskExited).ev(OTHER, EventKind::TaskExited).ends(&RunEnd::Finished);
    w.expect_one(Code::ProgDeadlock, "left tasks behind: ioctl");
}

#[test]
fn a_panic_is_a_finding_and_a_stopped_or_diverged_run_is_not() {
    let mut w = World::new();
    let (message, location) = ("no such page\nmore".to_owned(), Some("drv.rs:3".to_owned()));
    w.enter(UNMAP, "munmap", pages(1, 2)).ends(&RunEnd::Panicked { task: UNMAP, message, location });
    let finding = w.expect_one(Code::Panic, "task unmap panicked: no such page");
    assert_eq!(finding.details, ["more", "at drv.rs:3", "during munmap [0x1000, 0x2000) by task unmap"]);
    World::new().ends(&RunEnd::Stopped).expect(&[]);
    World::new().ends(&RunEnd::Diverged { at: 1, why: String::new() }).expect(&[]);
}

#[test]
fn reclaim_of_the_same_task_is_counted() {
    use trace::NotifyEvent;
    let mut w = World::new();
    w.toy().ev(OTHER, EventKind::ReclaimStart { direct: true });
    let b = w.start(UNMAP, pages(0x11, 0x12), NotifyEvent::Unmap);
    w.end(UNMAP, b);
    assert_eq!(w.stats().reclaim_invalidations, 0);
    let b = w.start(OTHER, pages(0x11, 0x12), NotifyEvent::Clear);
    w.end(OTHER, b).ev(OTHER, EventKind::ReclaimEnd { freed: 1 });
    let b = w.start(OTHER, pages(0x11, 0x12), NotifyEvent::Clear);
    w.end(OTHER, b).alloc(OTHER, Gfp::KERNEL);
    let stats = w.stats();
    assert_eq!((stats.reclaim_invalidations, stats.brackets, stats.allocations), (1, 3, 1));
    assert_eq!(stats.invalidations_by_event().collect::<Vec<_>>(), [(NotifyEvent::Unmap, 1), (NotifyEvent::Clear, 2)]);
    assert_eq!(stats.callbacks(trace::Hook::Invalidate), 3);
}
