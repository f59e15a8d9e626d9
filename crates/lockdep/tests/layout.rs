//! Report texts, part by part and beside the kernel's own (`tests/data/lockdep/sample_reports.txt`).

mod common;

use std::path::PathBuf;

use common::World;
use lockdep::{Acquire, ClassSpec, Detail, Held, Lockdep, Run, Site, WaitType};

const IDENT: &str = "6.1.192 #3 Not tainted";

/// A place of its own, with a frame if one is given.
#[track_caller]
fn at(frame: Option<&'static str>) -> Site {
    let site = Site::here();
    frame.map_or(site, |frame| site.framed(frame))
}

/// The 2019 driver: the object mutex is held over an allocation, and taken in the notifier's callback.
fn userptr() -> (Run, [Site; 6]) {
    let lockdep = Lockdep::new();
    let mutex = lockdep.class(&ClassSpec::new("&obj->mm.lock").wait(WaitType::Sleep));
    let reclaim = lockdep.class(&ClassSpec::new("fs_reclaim"));
    let start = lockdep.class(&ClassSpec::new("mmu_notifier_invalidate_range_start"));
    let mut run = Run::new(lockdep);
    let mut held = Held::new("worker", 12);
    let how = Acquire::exclusive();
    let sites = [
        at(Some("userptr.mms:14 (ioctl)")),
        at(Some("userptr.mms:14 (ioctl)")),
        at(None),
        at(None),
        at(Some("userptr.mms:20 (munmap)")),
        at(Some("userptr.mms:20 (munmap)")),
    ];
    assert!(run.acquire(&mut held, mutex, 0x10, how, sites[0]).is_ok());
    assert!(run.acquire(&mut held, reclaim, 0x20, how, sites[1]).is_ok());
    assert!(run.release(&mut held, 0x20, sites[1]).is_ok());
    assert!(run.release(&mut held, 0x10, sites[0]).is_ok());
    assert!(run.acquire(&mut held, reclaim, 0x20, how, sites[2]).is_ok());
    assert!(run.acquire(&mut held, start, 0x30, how, sites[3]).is_ok());
    assert!(run.release(&mut held, 0x30, sites[3]).is_ok());
    assert!(run.release(&mut held, 0x20, sites[2]).is_ok());
    let mut other = Held::new("munmap", 13);
    assert!(run.acquire(&mut other, start, 0x30, how, sites[4]).is_ok());
    assert!(!run.acquire(&mut other, mutex, 0x10, how, sites[5]).is_ok());
    (run, sites)
}

#[test]
fn circular_report_shows_every_dependency_with_its_place() {
    let (run, sites) = userptr();
    let [_, s1, _, s3, s4, s5] = sites.map(|site| site.location);
    let expect = format!(
        "
======================================================
WARNING: possible circular locking dependency detected
6.12 shootdown
------------------------------------------------------
munmap/13 is trying to acquire lock:
0000000000000010 (&obj->mm.lock){{+.+.}}-{{4:4}}, at: {s5}

but task is already holding lock:
0000000000000030 (mmu_notifier_invalidate_range_start){{+.+.}}-{{0:0}}, at: {s4}

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:

-> #2 (mmu_notifier_invalidate_range_start){{+.+.}}-{{0:0}}:
       {s3}

-> #1 (fs_reclaim){{+.+.}}-{{0:0}}:
       {s1}
       userptr.mms:14 (ioctl)

-> #0 (&obj->mm.lock){{+.+.}}-{{4:4}}:
       {s5}
       userptr.mms:20 (munmap)

other info that might help us debug this:

Chain exists of:
  &obj->mm.lock --> fs_reclaim --> mmu_notifier_invalidate_range_start

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  lock(mmu_notifier_invalidate_range_start);
                               lock(fs_reclaim);
                               lock(mmu_notifier_invalidate_range_start);
  lock(&obj->mm.lock);

 *** DEADLOCK ***

1 lock held by munmap/13:
 #0: 0000000000000030 (mmu_notifier_invalidate_range_start){{+.+.}}-{{0:0}}, at: {s4}

stack backtrace:
PID: 13 Comm: munmap 6.12 shootdown
Call Trace:
 <TASK>
 ? {s5}
 ? userptr.mms:20 (munmap)
 </TASK>
"
    );
    assert_eq!(run.reports()[0].to_text("6.12 shootdown"), expect);
}

#[test]
fn circular_report_has_the_cycle_in_typed_parts() {
    let (run, sites) = userptr();
    let report = &run.reports()[0];
    let Detail::Circular { next, prev, cycle } = &report.detail else { panic!("{report:?}") };
    assert_eq!((next.instance, prev.instance), (0x10, 0x30));
    let steps: Vec<_> = cycle
        .iter()
        .map(|step| (step.from.name.as_str(), step.to.name.as_str(), &step.held_at, &step.taken_at))
        .collect();
    let text = |i: usize| lockdep::SiteText::from(sites[i]);
    let start = "mmu_notifier_invalidate_range_start";
    assert_eq!(
        steps,
        [
            (start, "&obj->mm.lock", &text(4), &text(5)),
            ("&obj->mm.lock", "fs_reclaim", &text(0), &text(1)),
            ("fs_reclaim", start, &text(2), &text(3)),
        ]
    );
    let json = serde_json::to_value(report).expect("JSON");
    assert_eq!(json["kind"], "circular");
    assert_eq!(json["id"], report.id.to_string());
    assert_eq!(json["detail"]["cycle"][1]["taken_at"]["frame"], "userptr.mms:14 (ioctl)");
}

#[test]
fn usage_is_four_characters_of_write_and_read() {
    let mut world = World::new();
    world.play("W ; r:r ; both ; both:R ; U:u ; T:t");
    world.play("; W both r:r T:t U:u");
    let text = world.run.held_text(&world.held);
    for usage in ["(W){+.+.}-{0:0}", "(both){++++}", "(r){.+.+}", "(T){+.+.}", "(U){....}"] {
        assert!(text.contains(usage), "{usage} in {text}");
    }
    assert!(text.starts_with("5 locks held by task/1:\n #0: "), "{text}");
    world.held.reset();
    assert_eq!(world.run.held_text(&world.held), "no locks held by task/1.\n");
}

#[test]
fn scenario_says_rlock_for_readers() {
    let mut world = World::new();
    world.play("A:r B ; B A:r");
    let text = world.run.reports()[0].to_text(IDENT);
    assert!(text.contains("\n  lock(B);\n"), "{text}");
    assert!(text.contains("\n  rlock(A);\n"), "{text}");
}

/// The kernel's samples and ours, with what must differ replaced: addresses, code locations, stacks, the dump's line.
#[test]
fn layout_is_that_of_the_kernel_samples() {
    let spin = |name| ClassSpec::new(name).wait(WaitType::Config);
    let how = Acquire::exclusive();
    let world = || (Run::new(Lockdep::new()), Held::new("swapper/0", 0));

    let (mut run, mut held) = world();
    let lock = run.lockdep().class(&spin("lock"));
    let _ = run.acquire(&mut held, lock, 1, how, Site::here());
    let _ = run.acquire(&mut held, lock, 2, how, Site::here());
    same_layout("AA_spin", &run);

    let (mut run, mut held) = world();
    let (a, b) = (run.lockdep().class(&spin("&lock_A")), run.lockdep().class(&spin("&lock_B")));
    for (outer, inner) in [((a, 1), (b, 2)), ((b, 2), (a, 1))] {
        let _ = run.acquire(&mut held, outer.0, outer.1, how, Site::here());
        let _ = run.acquire(&mut held, inner.0, inner.1, how, Site::here());
        let _ = run.release(&mut held, inner.1, Site::here());
        let _ = run.release(&mut held, outer.1, Site::here());
    }
    same_layout("ABBA_spin", &run);

    let (mut run, mut held) = world();
    let lock = run.lockdep().class(&spin("&lock_A"));
    let _ = run.acquire(&mut held, lock, 1, how, Site::here());
    let _ = run.release_of(&mut held, lock, 1, Site::here());
    let _ = run.release_of(&mut held, lock, 1, Site::here());
    same_layout("double_unlock_spin", &run);
}

#[track_caller]
fn same_layout(case: &str, run: &Run) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/lockdep/sample_reports.txt");
    let samples = std::fs::read_to_string(path).expect("the samples");
    let sample = samples
        .split("==== case ")
        .find_map(|sample| sample.strip_prefix(case)?.strip_prefix('\n'))
        .unwrap_or_else(|| panic!("no sample {case}"));
    assert_eq!(run.reports().len(), 1);
    assert_eq!(normal(&run.reports()[0].to_text(IDENT)), normal(sample.trim_end_matches('\n')), "{case}");
}

fn normal(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = normal_line(line);
        // Stacks differ in depth: one line stands for all of a stack.
        if !(line.ends_with("CODE") && lines.last() == Some(&line) && !line.contains("at:")) {
            lines.push(line);
        }
    }
    lines
}

fn normal_line(line: &str) -> String {
    if line.starts_with("CPU: ") || line.starts_with("PID: ") {
        return "DUMP".into();
    }
    let words: Vec<String> = line
        .split(' ')
        .filter(|word| !word.starts_with("[<"))
        .map(|word| {
            let hex = word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            let code = word.contains("+0x") || word.contains(".rs:");
            if hex {
                "ADDRESS".into()
            } else if code {
                "CODE".into()
            } else {
                word.to_owned()
            }
        })
        .collect();
    words.join(" ")
}
