//! Every driver that is correct is silent under every schedule, and every mutant is found by the rule it breaks.

use crate::common::*;
use driver_model::{Args, BLOCK_PAGES, Config, DeviceFault, Driver, Fault, Timeline, builtin};
use ksync::{ChoiceKind, IrqLine, Kernel, Pin, Steer, Takes};
use lockdep::ReportKind;
use mm::{Advice, Mm};
use mm_types::{Errno, Name, PAGE_SIZE, PageRange, Prot};
use properties::Code;
use sched::{FirstScheduler, RandomScheduler, SchedView, Scheduler};
use std::collections::BTreeSet;
use std::sync::Arc;
use trace::{DevId, EventKind, NotifyEvent, NotifyRange, RunEnd};

/// An operation on some of the pages.
type Op = (&'static str, u64, u64);

fn ops(d: &dyn Driver, ops: impl IntoIterator<Item = Op>) {
    for (n, (op, start, len)) in ops.into_iter().enumerate() {
        // Pages may be gone, and a bound on retries reached.
        let _may_fail = d.op(Name::new(op), &Args { pages: Some(pages(start, len)), value: n as u64 });
    }
}

/// A driver, with an option, and what it is asked to do.
type Asked = (&'static str, &'static [Op]);

/// What each driver is asked to do by two tasks, forwards and backwards, and what it must have done over all runs.
const DRIVERS: &[Asked] = &[
    (
        "amdgpu_userptr completion=interrupt",
        &[("submit", 2, 2), ("wait", 0, 1), ("submit_read", 4, 2), ("submit", 1, 2)],
    ),
    ("amdgpu_userptr", &[("submit", 2, 2), ("submit_read", 4, 2), ("submit", 1, 2), ("wait", 0, 1), ("submit", 2, 1)]),
    ("amdkfd_svm", &[("prefetch", 2, 2), ("map", 0, 4), ("split", 4, 1), ("write", 2, 2), ("prefetch", 1, 2)]),
    ("amdkfd_svm", &[("map", 0, 4), ("write", 2, 2), ("read", 3, 2), ("wait_restored", 0, 1), ("write", 4, 2)]),
    ("dmirror", &[("write", 2, 2), ("fault", 0, 6), ("snapshot", 1, 4), ("read", 3, 2), ("write", 4, 2)]),
    ("gntdev", &[("map", 1, 3), ("write", 2, 2), ("map", 4, 2), ("read", 4, 1), ("unmap", 1, 3), ("map", 1, 3)]),
    ("iommu_sva", &[("write", 2, 2), ("read", 3, 2), ("write", 4, 2), ("read", 0, 3)]),
    ("kvm", &[("write", 2, 2), ("gpc_write", 3, 1), ("read", 3, 3), ("gpc_write", 2, 1), ("write", 4, 2)]),
    ("kvm", &[("write", 2, 2), ("delete_slot", 0, 8), ("gpc_write", 3, 1), ("add_slot", 0, 8), ("write", 3, 2)]),
    ("mlx5_implicit_odp", &[("write", 2, 2), ("read", 1, 3), ("write", 4, 2), ("read", 2, 1), ("write", 3, 1)]),
    ("mlx5_odp", &[("write", 2, 2), ("prefetch", 3, 2), ("read", 1, 2), ("write", 4, 2)]),
    ("nouveau_svm", &[("write", 2, 2), ("read", 3, 2), ("write", 4, 2), ("read", 0, 3)]),
    ("nouveau_svm faults=interrupt", &[("write", 2, 2), ("read", 3, 2), ("write", 4, 2), ("read", 0, 3)]),
    ("vhost_vq", &[("write", 2, 2), ("read", 3, 2), ("write", 4, 2), ("read", 0, 3), ("write", 2, 2)]),
    (
        "xe_userptr power=runtime",
        &[("again", 2, 2), ("exec", 3, 2), ("wait_suspended", 0, 1), ("again", 2, 2), ("bind", 1, 3), ("again", 4, 1)],
    ),
    ("xe_userptr", &[("exec", 2, 2), ("bind", 1, 3), ("exec", 3, 2), ("exec", 1, 1)]),
];

/// Device tasks against everything that takes pages away.
fn contend(w: &World, of: &'static [Op]) {
    w.task("dev", move |_, d| ops(d, of.iter().copied()));
    w.task("dev2", move |_, d| ops(d, of.iter().rev().copied()));
    w.task("unmap", |mm, _| {
        munmap(mm, pages(2, 2));
        mm.mmap_anon(pages(2, 2), Prot::READ | Prot::WRITE).expect("mapped");
        protect(mm, pages(4, 2), Prot::READ);
        protect(mm, pages(4, 2), Prot::READ | Prot::WRITE);
    });
    w.task("mem", |mm, _| {
        mm.reclaim_pages(pages(0, 6));
        mm.compact(all());
    });
    w.task("fork", |mm, _| {
        let child = ksync::current(|k| mm.fork(k, Name::new("child"))).expect("forked");
        let _unmapped = child.write_page(pages(1, 1).start(), 7);
        child.exit();
    });
}

fn protect(mm: &Mm, what: PageRange, prot: Prot) {
    mm.mprotect(what.start().addr(), what.nr_pages() << 12, prot).expect("mapped");
}

#[test]
fn a_correct_driver_is_silent_under_every_schedule_and_gives_everything_back() {
    let (mut all_waited, mut all_in_reclaim) = (0, 0);
    for (kind, of) in DRIVERS {
        let mut happened = Happened::default();
        for seed in 0..100 {
            let setting = Setting { reclaim_by_choice: seed % 2 == 1, ..Setting::default() };
            let w = with_option(kind, setting);
            contend(&w, of);
            let end = w.run(&mut RandomScheduler::new(seed, 0));
            assert_eq!(end, RunEnd::Finished, "{kind} seed {seed}");
            w.assert_silent_for(&format!("{kind} seed {seed}"));
            happened.add(&w);
            w.setup(|w| {
                w.driver.detach();
                w.mm.exit();
            });
            let counts = w.machine.frame_counts();
            assert_eq!((counts.pinned, counts.mapped), (0, 0), "{kind} seed {seed}");
            assert!(w.sptes().is_empty() || *kind == "gntdev", "{kind} seed {seed}: {:?}", w.sptes());
        }
        let Happened { published, taken_away, accesses, waited, in_reclaim, .. } = happened;
        // amdgpu takes nothing away: it waits until nothing is used.
        let taken_away = taken_away > 100 || kind.starts_with("amdgpu_userptr");
        assert!(published > 300 && taken_away && accesses > 200, "{kind} {happened:?}");
        (all_waited, all_in_reclaim) = (all_waited + waited, all_in_reclaim + in_reclaim);
    }
    // Over all of them: some hear of no bracket, and some never wait.
    assert!(all_waited > 500 && all_in_reclaim > 1000, "{all_waited} {all_in_reclaim}");
}

/// Benign choices, but the nth allocation fails, and some after it. Not all: a worker that restores until it has memory does so
/// in the kernel, too.
struct Failing {
    nth: u32,
    times: u32,
    asked: u32,
}

impl Scheduler for Failing {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        FirstScheduler.next_task(now)
    }

    fn choose(&mut self, kind: ChoiceKind, _options: u32) -> u32 {
        if kind != ChoiceKind::AllocFails {
            return 0;
        }
        self.asked += 1;
        u32::from((self.nth..self.nth + self.times).contains(&self.asked))
    }
}

/// Each allocation of what a driver is asked to do fails once, its own and those of whom it calls, and twenty from each on.
#[test]
fn a_correct_driver_keeps_nothing_when_an_allocation_fails_and_is_silent() {
    let mut points = 0;
    for (kind, of) in DRIVERS {
        for times in [1, 20] {
            for nth in 1.. {
                let w = with_option(kind, Setting::default());
                w.k.enter(|k| k.set_alloc_failures(true));
                w.task("dev", move |mm, d| {
                    ops(d, of.iter().copied());
                    mm.reclaim_pages(pages(0, 4));
                    let _short = mm.munmap(pages(4, 1).start().addr(), PAGE_SIZE);
                    ops(d, of.iter().rev().copied());
                });
                let mut failing = Failing { nth, times, asked: 0 };
                let about = format!("{kind}: allocation {nth} fails, {times} times");
                assert_eq!(w.run(&mut failing), RunEnd::Finished, "{about}");
                w.assert_silent_for(&about);
                w.setup(|w| {
                    w.k.set_alloc_failures(false);
                    w.driver.detach();
                    w.mm.exit();
                });
                assert!(w.codes().is_empty(), "{about}: {:?}", w.codes());
                let counts = w.machine.frame_counts();
                assert_eq!((counts.pinned, counts.mapped, w.mm.count()), (0, 0, 0), "{about}");
                assert_eq!(w.driver.device().objects().alive(), [], "{about}");
                if failing.asked < nth {
                    break;
                }
                points += 1;
            }
        }
    }
    assert!(points > 200, "{points} points");
}

/// A world with a driver that is named with an option.
fn with_option(asked: &str, setting: Setting) -> World {
    let (kind, option) = asked.split_once(' ').unwrap_or((asked, ""));
    let config = Config::new(DevId(0), Name::new("gpu0"));
    let config = option.split_once('=').into_iter().fold(config, |config, (name, value)| config.option(name, value));
    World::with(kind, &config, setting)
}

/// What a driver with big entries is asked to do with a huge page, beside everything that takes it apart.
fn contend_for_a_huge_page(w: &World) {
    for name in ["dev", "dev2"] {
        w.task(name, |_, d| {
            ops(d, [("write", HUGE + 1, 2), ("read", HUGE + 4, 2), ("write", HUGE + 4, 1), ("read", HUGE + 600, 1)]);
        });
    }
    w.task("unmap", |mm, _| {
        munmap(mm, pages(HUGE + 2, 1));
        protect(mm, pages(HUGE + 4, 1), Prot::READ);
    });
    w.task("mem", |mm, d| {
        let _gone = mm.madvise(pages(HUGE + 5, 1).start().addr(), PAGE_SIZE, Advice::DontNeed);
        mm.reclaim_pages(pages(HUGE + 1, 2));
        ops(d, [("read", HUGE + 1, 1)]);
    });
}

#[test]
fn a_driver_with_big_entries_is_silent_while_huge_pages_are_taken_apart() {
    for kind in ["kvm", "nouveau_svm"] {
        let (mut big, mut small) = (0, 0);
        for seed in 0..30 {
            let w = World::new(kind, None, Setting { huge: true, ..Setting::default() });
            contend_for_a_huge_page(&w);
            assert_eq!(w.run(&mut RandomScheduler::new(seed, 0)), RunEnd::Finished, "{kind} seed {seed}");
            w.assert_silent_for(&format!("{kind} seed {seed}"));
            let set = w.count(|e| matches!(e, EventKind::SpteSet { .. })) as u64;
            (big, small) = (big + set / BLOCK_PAGES, small + set % BLOCK_PAGES);
            w.setup(|w| w.driver.detach());
        }
        assert!(big > 30 && small > 30, "{kind}: {big} big entries, {small} small ones");
    }
}

/// A world that never ran, ran to its end, or was cut, keeps nothing alive.
#[test]
fn no_driver_outlives_its_world() {
    for kind in builtin() {
        for (mutant, runs) in [(None, false), (None, true), (kind.mutants.last(), true)] {
            let w = World::new(kind.name, mutant.map(|m| m.name), Setting::default());
            if let (true, Some((_, of))) = (runs, DRIVERS.iter().find(|(name, _)| *name == kind.name)) {
                contend(&w, of);
                w.run(&mut RandomScheduler::new(3, 0));
            }
            let (mm, device) = (Arc::downgrade(&w.mm), Arc::downgrade(w.driver.device()));
            drop(w);
            assert_eq!((mm.strong_count(), device.strong_count()), (0, 0), "{} {mutant:?}", kind.name);
        }
    }
}

/// How a mutant is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// In the one benign run.
    OneRun,
    /// Within so many random schedules.
    Runs(u64),
}
use By::{OneRun, Runs};

/// A mutant, and what finds it: its driver with no mutant is silent in the same world.
struct Row {
    driver: &'static str,
    mutant: &'static str,
    code: Code,
    /// What may be found beside it in the same run.
    also: &'static [Code],
    by: By,
    world: fn(&World),
    /// An option of the driver, for both.
    option: Option<(&'static str, &'static str)>,
    /// The process has huge pages.
    huge: bool,
}

const fn row(driver: &'static str, mutant: &'static str, code: Code, by: By, world: fn(&World)) -> Row {
    Row { driver, mutant, code, also: &[], by, world, option: None, huge: false }
}

impl Row {
    const fn also(mut self, codes: &'static [Code]) -> Row {
        self.also = codes;
        self
    }

    const fn huge(mut self) -> Row {
        self.huge = true;
        self
    }

    const fn with(mut self, name: &'static str, value: &'static str) -> Row {
        self.option = Some((name, value));
        self
    }
}

/// Use of two pages, and their munmap.
fn race(w: &World, of: &'static [Op]) {
    w.task("dev", move |_, d| ops(d, of.iter().copied()));
    w.task("unmap", |mm, _| munmap(mm, pages(2, 2)));
}

fn write_race(w: &World) {
    race(w, &[("write", 2, 2), ("read", 2, 1), ("read", 3, 1)]);
}

/// Use of a page that reclaim, which needs no mmap_lock, takes away.
fn reclaim_race(w: &World) {
    w.task("dev", |_, d| ops(d, [("write", 2, 1), ("read", 2, 1), ("write", 2, 1), ("read", 2, 1)]));
    reclaim_twice(w);
}

/// A munmap from start to end between the vCPU's look-up of the page and its taking of mmu_lock to map it.
fn whole_bracket_between(w: &World) {
    let pin = |before: (&str, &str), after: (&str, &str)| {
        let point = |(task, point): (&str, &str)| (Name::new(task), Name::new(point));
        w.k.add_pin(Pin { before: point(before), after: point(after) });
    };
    pin(("dev", "&mm->mmap_lock"), ("unmap", "user.go"));
    pin(("unmap", "user.done"), ("dev", "&(kvm)->mmu_lock"));
    w.task("dev", |_, d| ops(d, [("write", 2, 1), ("write", 2, 1)]));
    w.task("unmap", |mm, _| {
        ksync::current(|k| k.sync_point(Name::new("user.go")));
        munmap(mm, pages(2, 1));
        ksync::current(|k| k.sync_point(Name::new("user.done")));
    });
}

fn reclaim_twice(w: &World) {
    w.task("mem", |mm, _| {
        mm.reclaim_pages(pages(2, 1));
        mm.reclaim_pages(pages(2, 1));
    });
}

fn submit_race(w: &World) {
    race(w, &[("submit", 2, 2), ("submit_read", 2, 1)]);
}

fn exec_race(w: &World) {
    race(w, &[("exec", 2, 2), ("exec", 3, 1)]);
}

/// Use, then munmap, then use, one after the other.
fn in_turn(w: &World, of: &'static [Op]) {
    w.task("all", move |mm, d| {
        ops(d, of.iter().copied());
        munmap(mm, pages(2, 2));
        ops(d, of.iter().copied());
    });
}

fn write_in_turn(w: &World) {
    in_turn(w, &[("write", 2, 2), ("read", 2, 2), ("read", 3, 1)]);
}

/// Use of a huge page, munmap of one of its small pages, and use of that again.
fn part_of_a_huge_page(w: &World) {
    w.task("all", |mm, d| {
        ops(d, [("write", HUGE + 1, 1), ("read", HUGE + 2, 2)]);
        munmap(mm, pages(HUGE + 2, 1));
        ops(d, [("read", HUGE + 2, 2), ("write", HUGE + 3, 1)]);
    });
}

/// Pages go while the device sleeps, and it uses them when it is awake again.
fn gone_while_suspended(w: &World) {
    w.task("all", |mm, d| {
        ops(d, [("again", 2, 2), ("wait_suspended", 0, 1)]);
        munmap(mm, pages(2, 1));
        mm.mmap_anon(pages(2, 1), Prot::READ | Prot::WRITE).expect("mapped");
        ops(d, [("again", 2, 2), ("wait_suspended", 0, 1)]);
    });
}

/// The OOM reaper's bracket, which must not sleep, and a use after it.
fn nonblocking(w: &World) {
    w.task("reaper", |mm, d| {
        ops(d, [("map", 0, 4), ("write", 2, 1)]);
        let range =
            NotifyRange { mm: mm.id(), pages: pages(2, 2), event: NotifyEvent::Clear, blockable: false, owner: None };
        if let Ok(bracket) = mm.subscriptions().invalidate_range_start_nonblock(range) {
            bracket.end();
        }
    });
}

const MUTANTS: &[Row] = &[
    row("amdgpu_userptr", "gup-under-reservation", Code::LdCircular, OneRun, submit_race),
    row("amdgpu_userptr", "skip-retry", Code::Seq, OneRun, submit_race),
    row("amdgpu_userptr", "unlock-before-update", Code::Seq, Runs(500), submit_race).also(HARM),
    row("amdgpu_userptr", "no-fence-wait", Code::Stale, Runs(500), submit_race).also(HARM),
    row("amdgpu_userptr", "reread-seq", Code::Stale, Runs(2000), |w| {
        w.task("dev", |_, d| ops(d, [("submit", 2, 2)]));
        w.task("unmap", |mm, _| munmap(mm, pages(2, 1)));
    })
    .also(HARM),
    row("amdgpu_userptr", "alloc-in-signalling", Code::LdCircular, OneRun, submit_race),
    row("amdgpu_userptr", "mmap-lock-in-signalling", Code::LdCircular, OneRun, submit_race).also(&[Code::ProgDeadlock]),
    row("amdgpu_userptr", "iterates-unreserved", Code::LdMisuse, OneRun, submit_race),
    row("amdgpu_userptr", "shrinker-opens-acquire", Code::LdCircular, OneRun, |w| {
        w.task("kswapd", |mm, _| {
            mm.machine().shrink(1);
        });
    }),
    row("amdgpu_userptr", "alloc-under-notifier-lock", Code::LdCircular, OneRun, submit_race),
    row("amdgpu_userptr", "done-locks-job-list", Code::LdIrq, OneRun, submit_race).with("completion", "interrupt"),
    row("amdgpu_userptr", "alloc-in-fence-callback", Code::Ctx, OneRun, submit_race)
        .with("completion", "interrupt")
        .also(&[Code::LdIrq, Code::LdCircular]),
    row("amdgpu_userptr", "prime-reclaim-under-notifier-lock", Code::LdCircular, OneRun, submit_race),
    row("amdkfd_svm", "flush-under-svms-lock", Code::LdCircular, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("map", 0, 4)]);
            protect(mm, pages(1, 1), Prot::READ);
            ops(d, [("wait_restored", 0, 1)]);
            d.detach();
        });
    }),
    row("amdkfd_svm", "flush-in-callback", Code::LdCircular, OneRun, |w| {
        w.task("map", |_, d| ops(d, [("map", 0, 4)]));
        w.task("mem", |mm, _| {
            mm.reclaim_pages(pages(1, 1));
        });
    })
    .also(&[Code::ProgDeadlock]),
    row("amdkfd_svm", "map-without-prange-lock", Code::Seq, Runs(500), write_race).also(HARM),
    row("amdkfd_svm", "migrate-recursively", Code::LdRecursive, OneRun, |w| {
        w.task("gpu", |_, d| ops(d, [("prefetch", 2, 2)]));
    })
    .also(&[Code::ProgDeadlock]),
    row("amdkfd_svm", "ignore-unmap", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("dmirror", "unlock-before-store", Code::Seq, Runs(500), write_race).also(HARM),
    row("dmirror", "erase-first-page-only", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("dmirror", "dirty-in-callback", Code::LdRecursive, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("write", 2, 1)]);
            mm.reclaim_pages(pages(2, 1));
        });
    })
    .also(&[Code::ProgDeadlock]),
    row("dmirror", "trylock-always", Code::OrdCallback, Runs(500), write_race).also(HARM),
    row("dmirror", "sleep-in-nonblock", Code::Ctx, OneRun, nonblocking),
    row("gntdev", "compares-vma-bounds", Code::Stale, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("map", 2, 2)]);
            munmap(mm, pages(3, 1));
            ops(d, [("read", 3, 1)]);
        });
    }),
    row("gntdev", "whole-map-only", Code::Stale, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("map", 1, 4)]);
            munmap(mm, pages(2, 2));
            ops(d, [("write", 2, 2)]);
        });
    }),
    row("gntdev", "sleep-in-nonblock", Code::Ctx, OneRun, nonblocking),
    row("hfi1_cache", "overruns-page", Code::Coh, OneRun, |w| {
        w.task("all", |mm, d| {
            for n in 2..4 {
                mm.write_page(pages(n, 1).start(), n).expect("mapped");
            }
            ops(d, [("send", 2, 2)]);
        });
    }),
    row("hfi1_cache", "remove-under-spinlock", Code::Ctx, OneRun, |w| {
        w.task("all", |_, d| {
            ops(d, [("send", 2, 2)]);
            d.detach();
        });
    }),
    row("iommu_sva", "flush-in-start", Code::StaleHarm, Runs(500), write_race),
    row("iommu_sva", "last-page-stays", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("iommu_sva", "no-release", Code::StaleHarm, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("write", 2, 2)]);
            mm.exit();
            ops(d, [("read", 2, 2)]);
        });
    }),
    row("iommu_sva", "sleep-in-hook", Code::Ctx, OneRun, write_in_turn),
    row("kvm", "ignore-in-progress", Code::Stale, Runs(3000), reclaim_race).also(HARM),
    row("kvm", "ignore-seq", Code::Stale, OneRun, whole_bracket_between).also(HARM),
    row("kvm", "zap-in-end", Code::Stale, Runs(500), write_race).also(HARM),
    row("kvm", "zaps-small-only", Code::Stale, OneRun, part_of_a_huge_page).huge().also(HARM),
    row("kvm", "no-tlb-flush", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("kvm", "slots-change-in-bracket", Code::ProgDeadlock, Runs(2000), |w| {
        race(w, &[("write", 2, 1), ("write", 4, 1), ("write", 5, 1)]);
        w.task("slots", |_, d| ops(d, [("delete_slot", 0, 8), ("add_slot", 0, 8)]));
    })
    .also(HARM),
    row("kvm", "alloc-under-mmu-lock", Code::Ctx, OneRun, write_race).also(&[Code::LdCircular]),
    row("kvm", "resched-nonblock", Code::Ctx, OneRun, nonblocking),
    row("kvm", "skips-invalid-slots", Code::Stale, Runs(3000), |w| {
        w.task("dev", |_, d| ops(d, [("write", 2, 1), ("read", 2, 1), ("read", 2, 1)]));
        w.task("slots", |_, d| ops(d, [("delete_slot", 0, 8)]));
        w.task("unmap", |mm, _| munmap(mm, pages(2, 1)));
    })
    .also(HARM),
    row("kvm", "skips-after-yield", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("kvm", "gpc-ignores-active", Code::Stale, Runs(3000), |w| {
        w.task("dev", |_, d| ops(d, [("gpc_write", 2, 1); 4]));
        reclaim_twice(w);
    })
    .also(HARM),
    row("mlx5_odp", "alloc-under-umem-mutex", Code::LdCircular, OneRun, write_race),
    row("mlx5_odp", "zap-by-iova", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("mlx5_odp", "fault-under-umem-mutex", Code::LdCircular, OneRun, write_race),
    row("mlx5_odp", "nonblock-missed-unlock", Code::LdHeld, OneRun, |w| {
        nonblocking(w);
        w.task("late", |_, d| ops(d, [("write", 5, 1)]));
    })
    .also(&[Code::ProgDeadlock]),
    row("mlx5_implicit_odp", "destroys-twice", Code::Life, Runs(2000), |w| {
        w.task("dev", |_, d| ops(d, [("write", 2, 1)]));
        for name in ["one", "two"] {
            w.task(name, |mm, _| {
                mm.reclaim_pages(pages(2, 1));
                mm.compact(pages(2, 2));
                let _gone = mm.madvise(pages(2, 1).start().addr(), 4096, Advice::DontNeed);
            });
        }
    }),
    row("mlx5_odp", "revoke-unlocked", Code::Life, Runs(2000), |w| {
        w.task("dev", |_, d| {
            ops(d, [("write", 2, 1)]);
            d.detach();
        });
        w.task("unmap", |mm, _| munmap(mm, pages(2, 1)));
    }),
    row("mlx5_odp", "skip-retry", Code::Seq, OneRun, write_race),
    row("nouveau_svm", "skip-retry", Code::Stale, Runs(500), write_race).also(HARM),
    row("nouveau_svm", "no-set-seq", Code::Stale, Runs(500), write_race).also(HARM),
    row("nouveau_svm", "flushes-small-only", Code::Stale, OneRun, part_of_a_huge_page).huge().also(HARM),
    row("nouveau_svm", "no-tlb-flush", Code::Stale, OneRun, write_in_turn).also(HARM),
    row("nouveau_svm", "remove-under-mutex", Code::LdCircular, OneRun, write_race),
    row("nouveau_svm", "fault-under-mutex", Code::LdCircular, OneRun, write_race),
    row("nouveau_svm", "unlocks-after-retry", Code::LdUnlock, Runs(2000), |w| {
        w.task("dev", |_, d| ops(d, [("write", 2, 1), ("write", 3, 1)]));
        reclaim_twice(w);
    }),
    row("nouveau_svm", "fault-in-interrupt", Code::Ctx, OneRun, write_in_turn)
        .with("faults", "interrupt")
        .also(&[Code::LdIrq, Code::LdCircular]),
    row("nouveau_svm", "sleep-in-nonblock", Code::Ctx, OneRun, nonblocking),
    row("sgx_encl", "release-takes-mmap-lock", Code::LdRecursive, OneRun, |w| {
        w.task("close", |_, d| ops(d, [("enter", 0, 1), ("close", 0, 1)]));
    })
    .also(&[Code::ProgDeadlock]),
    row("sgx_encl", "free-before-unregister", Code::Life, OneRun, |w| {
        w.task("close", |_, d| d.detach());
    }),
    row("vhost_vq", "no-invalidate-count", Code::Stale, Runs(500), write_race).also(HARM),
    row("vhost_vq", "dirty-under-spinlock", Code::Ctx, OneRun, write_race),
    row("xe_userptr", "write-entries-unlocked", Code::Seq, Runs(500), exec_race).also(HARM),
    row("xe_userptr", "maps-unlocked", Code::Seq, OneRun, exec_race).also(HARM),
    row("xe_userptr", "forgets-while-suspended", Code::Stale, OneRun, gone_while_suspended)
        .with("power", "runtime")
        .also(HARM),
    row("xe_userptr", "resumes-in-callback", Code::LdCircular, OneRun, exec_race)
        .with("power", "runtime")
        .also(&[Code::LdRecursive]),
    row("xe_userptr", "unlock-on-error", Code::LdUnlock, OneRun, |w| {
        w.task("all", |mm, d| {
            munmap(mm, pages(2, 1));
            ops(d, [("bind", 2, 1)]);
        });
    }),
    row("xe_userptr", "no-tlb-invalidation", Code::Stale, OneRun, |w| {
        w.task("all", |mm, d| {
            ops(d, [("exec", 2, 2)]);
            munmap(mm, pages(2, 2));
        });
        w.task("other", |mm, d| {
            let _may_fault = d.device().read(mm.id(), pages(2, 1).start());
        });
    })
    .also(HARM),
    row("xe_userptr", "alloc-under-notifier-lock", Code::LdCircular, OneRun, exec_race),
    row("xe_userptr", "dirty-under-notifier-lock", Code::LdCircular, OneRun, |w| {
        w.task("dev", |_, d| ops(d, [("bind", 2, 2)]));
        w.task("mem", |mm, _| {
            mm.compact(pages(4, 1));
        });
    }),
];

/// Mutants of which the rule that they break is judged by the harness, from more than events: their exhibits in the museum are
/// held to what they find by `sim/tests/museum.rs`. Some need a bound on steps, or schedules
/// that are not drawn uniformly.
const IN_THE_MUSEUM: &[(&str, &str)] = &[
    ("iommu_sva", "command-per-page"),
    ("kvm", "gpc-maps-in-loop"),
    ("amdkfd_svm", "mmput-in-callback"),
    ("amdkfd_svm", "insert-without-users"),
    ("amdkfd_svm", "unref-unlocked"),
    ("gntdev", "forgets-on-error"),
    ("iommu_sva", "context-after-drop"),
    ("kvm", "keeps-page-on-retry"),
    ("mlx5_implicit_odp", "keeps-parent"),
    ("nouveau_svm", "binds-from-hole"),
];

/// What follows from a translation that is used too late.
const HARM: &[Code] = &[Code::Seq, Code::Stale, Code::StaleHarm, Code::Coh];

fn lock_code(kind: ReportKind) -> Code {
    match kind {
        ReportKind::Recursive => Code::LdRecursive,
        ReportKind::Circular => Code::LdCircular,
        // The validator's own view of a sleeping lock under a spinlock.
        ReportKind::InvalidWaitContext => Code::Ctx,
        // As the harness names it.
        ReportKind::LocksHeldAtExit => Code::LdHeld,
        ReportKind::UnlockBalance => Code::LdUnlock,
        ReportKind::AssertionFailed => Code::LdMisuse,
        ReportKind::InconsistentState | ReportKind::IrqInversion | ReportKind::IrqUnsafe => Code::LdIrq,
        other => panic!("{other:?}"),
    }
}

fn found(row: &Row, mutant: Option<&str>, run: Option<u64>) -> BTreeSet<Code> {
    let config = Config::new(DevId(0), Name::new("gpu0"));
    let config = mutant.into_iter().fold(config, |config, mutant| config.mutant(mutant));
    let config = row.option.into_iter().fold(config, |config, (name, value)| config.option(name, value));
    let w = World::with(row.driver, &config, Setting { huge: row.huge, ..Setting::default() });
    (row.world)(&w);
    match run {
        None => w.run(&mut FirstScheduler),
        Some(seed) => w.run(&mut RandomScheduler::new(seed, 0)),
    };
    w.codes().into_iter().chain(w.k.lock_reports().iter().map(|r| lock_code(r.report.kind))).collect()
}

fn runs(by: By) -> Box<dyn Iterator<Item = Option<u64>>> {
    match by {
        OneRun => Box::new(std::iter::once(None)),
        Runs(n) => Box::new((0..n).map(Some)),
    }
}

#[test]
fn every_mutant_is_found_by_the_rule_it_breaks() {
    let mut wrong = Vec::new();
    for row in MUTANTS {
        let name = format!("{} {}", row.driver, row.mutant);
        let first =
            runs(row.by).map(|run| (run, found(row, Some(row.mutant), run))).find(|(_, f)| f.contains(&row.code));
        match first {
            None => wrong.push(format!("{name}: no {} ({:?})", row.code, found(row, Some(row.mutant), None))),
            Some((run, codes)) => {
                let more: Vec<_> = codes.iter().filter(|c| **c != row.code && !row.also.contains(c)).collect();
                if !more.is_empty() {
                    wrong.push(format!("{name}: run {run:?} finds {more:?} too"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_correct_twin_of_every_mutant_is_silent_in_the_same_world() {
    for row in MUTANTS {
        for run in runs(row.by).take(150).chain((0..30).map(Some)) {
            assert_eq!(found(row, None, run), BTreeSet::new(), "{} instead of {}, run {run:?}", row.driver, row.mutant);
        }
    }
}

#[test]
fn the_table_has_every_mutant_of_these_drivers() {
    let of_their_own = ["i915_userptr", "interval_mirror"];
    for kind in builtin().iter().filter(|kind| !of_their_own.contains(&kind.name)) {
        for mutant in kind.mutants {
            let there = MUTANTS.iter().any(|row| row.driver == kind.name && row.mutant == mutant.name)
                || IN_THE_MUSEUM.contains(&(kind.name, mutant.name));
            assert!(there, "{} {}", kind.name, mutant.name);
        }
    }
}

/// A callback runs once, where the fence is signalled; of one that is signalled nothing is kept.
#[test]
fn callbacks_of_a_fence_run_in_the_interrupt_that_signals_it() {
    let w = with_option("amdgpu_userptr completion=interrupt", Setting::default());
    let seen: Arc<parking_lot::Mutex<Vec<bool>>> = Arc::default();
    let line = w.k.enter(|k| Arc::new(IrqLine::new(k, Name::new("irq"))));
    let fence = w.k.enter(|k| Timeline::with_irq(k, Name::new("fence"), "&fence->lock").next());
    let (theirs, of, raised) = (seen.clone(), fence.clone(), line.clone());
    w.task("all", move |_, _| {
        let note = theirs.clone();
        let in_interrupt = move || note.lock().push(ksync::current(Kernel::in_interrupt));
        assert!(of.add_callback(Box::new(in_interrupt)) && !of.is_signalled());
        raised.raise();
        of.wait();
        assert!(!of.add_callback(Box::new(|| panic!("it was signalled before"))));
    });
    w.k.enter(|k| k.request_irq(&line, move || fence.signal()));
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    w.assert_silent();
    assert_eq!(*seen.lock(), [true]);
}

#[test]
fn a_device_that_sleeps_accesses_nothing_and_wakes_up_with_an_empty_tlb() {
    let w = with_option("xe_userptr power=runtime", Setting::default());
    w.task("all", |mm, d| {
        let (device, vpn) = (d.device().clone(), pages(2, 1).start());
        let fault = |fault| Err(DeviceFault { dev: device.id(), mm: mm.id(), vpn, fault });
        assert_eq!(device.read(mm.id(), vpn), fault(Fault::Off), "at first");
        ops(d, [("again", 2, 1), ("wait_suspended", 0, 1)]);
        assert_eq!(device.read(mm.id(), vpn), fault(Fault::Off), "after the last use");
        // What only the TLB had does not come back with the power; the table does.
        assert!(device.clear(mm.id(), vpn).is_some());
        device.power_on();
        assert_eq!(device.read(mm.id(), vpn), fault(Fault::NotPresent));
    });
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    w.assert_silent();
    assert_eq!(w.count(|e| matches!(e, EventKind::DeviceAccess { .. })), 1);
}

#[test]
fn a_resume_that_fails_leaves_the_device_asleep_and_the_next_one_wakes_it() {
    let w = with_option("xe_userptr power=runtime", Setting::default());
    w.k.enter(|k| {
        k.set_alloc_failures(true);
        k.add_steer(Steer { task: Name::new("all"), kind: ChoiceKind::AllocFails, nth: 1, takes: Takes::Option(1) });
    });
    w.task("all", |_, d| {
        let again = |_: u32| d.op(Name::new("again"), &Args { pages: Some(pages(2, 1)), value: 1 });
        assert_eq!(again(1), Err(Errno::ENOMEM));
        assert_eq!(again(2), Ok(()));
        ops(d, [("wait_suspended", 0, 1)]);
    });
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    w.assert_silent();
    assert_eq!(w.count(|e| matches!(e, EventKind::DeviceAccess { .. })), 1);
}

#[test]
fn a_kernel_mapping_that_was_invalidated_is_made_anew() {
    let w = World::new("kvm", None, Setting::default());
    w.task("all", |mm, d| {
        let write = |value| d.op(Name::new("gpc_write"), &Args { pages: Some(pages(2, 1)), value });
        write(5).expect("written");
        mm.reclaim_pages(pages(2, 1));
        write(6).expect("written");
        assert_eq!(mm.read_page(pages(2, 1).start()), Ok(6));
    });
    assert_eq!(w.run(&mut FirstScheduler), RunEnd::Finished);
    w.assert_silent();
    assert_eq!(w.count(|e| matches!(e, EventKind::DeviceAccess { .. })), 2);
}
