//! An oracle is believed after it has failed: for each code something wrong on purpose that makes it report, and the
//! corrected twin that is silent. `docs/properties.md` names the same mutants.

use harness::drivers::{Args, Config, Device, Driver, DriverKind, DriverLock, OpInfo};
use harness::{Experiment, ExplorePlan, Mode, Recipe, Registry};
use ksync::Kernel;
use mm::Mm;
use mm_types::{Errno, Name, PageRange};
use mmu_notifier::{Hooks, ListSub, Notifier, Subscriptions, WouldBlock};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use trace::{AccessModel, NotifyRange};

/// A list subscriber that does in its start what its mutant says.
struct Rude {
    device: Arc<Device>,
    mm: Arc<Mm>,
    mutant: Option<String>,
    sub: Mutex<Option<ListSub>>,
}

struct RudeCallbacks {
    device: Arc<Device>,
    mutant: Option<String>,
}

impl Notifier for RudeCallbacks {
    fn name(&self) -> Name {
        self.device.name()
    }
    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }
    fn hooks(&self) -> Hooks {
        Hooks::RANGE_START
    }
    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        match self.mutant.as_deref() {
            Some("refuse-blocking") if range.blockable => Err(WouldBlock),
            Some("panic") => panic!("the driver did not expect {}", range.event),
            _ => Ok(()),
        }
    }
}

impl Driver for Rude {
    fn name(&self) -> Name {
        self.device.name()
    }
    fn device(&self) -> &Arc<Device> {
        &self.device
    }
    fn attach(&self) -> Result<(), Errno> {
        let callbacks = RudeCallbacks { device: self.device.clone(), mutant: self.mutant.clone() };
        *self.sub.lock().expect("one thread") = Some(Subscriptions::register(&*self.mm, Arc::new(callbacks))?);
        Ok(())
    }
    fn detach(&self) {
        if let Some(sub) = self.sub.lock().expect("one thread").take() {
            Subscriptions::unregister(&*self.mm, sub);
        }
    }
    fn ops(&self) -> &'static [OpInfo] {
        &[]
    }
    fn op(&self, _: Name, _: &Args) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }
    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}

const RUDE: DriverKind = DriverKind {
    name: "rude",
    doc: "does what no callback may",
    mutants: &[
        harness::drivers::MutantInfo { name: "refuse-blocking", doc: "refuses where blocking is allowed" },
        harness::drivers::MutantInfo { name: "panic", doc: "panics in its callback" },
    ],
    options: &[],
    ops: &[],
    make: |k: &Kernel, mm: &Arc<Mm>, _: PageRange, config: &Config| {
        Arc::new(Rude {
            device: Device::new(k, config.dev, config.name, mm.machine().clone()),
            mm: mm.clone(),
            mutant: config.mutant.clone(),
            sub: Mutex::new(None),
        })
    },
};

const HEAD: &str = "scenario \"oracle\"\nmachine { memory 16M  swap 4M }\n\
                    mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }\n";

#[track_caller]
fn load(body: &str) -> Experiment {
    harness::install_panic_hook();
    let text = format!("{HEAD}{body}");
    Experiment::load(&Registry::builtin().with(RUDE), "oracle.mms", &text).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|m| m.render("oracle.mms", &text, false)).collect::<Vec<_>>().join("\n"))
    })
}

/// The codes that one benign run and 300 random ones find.
#[track_caller]
fn codes(body: &str) -> BTreeSet<String> {
    let experiment = load(body);
    let one = experiment.run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, false);
    let plan = ExplorePlan { seed: 1, runs: 300, jobs: 1, stop_at_first: false };
    let many = experiment.explore(&plan, &|_| ControlFlow::Continue(()));
    let found = one.findings.into_iter().map(|f| f.code).chain(many.findings.into_iter().map(|f| f.found.code));
    found.collect()
}

/// `wrong` makes exactly `expected` report, `right` nothing.
#[track_caller]
fn fails_only(wrong: &str, right: &str, expected: &[&str]) {
    let found = codes(wrong);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected, "{wrong}");
    assert_eq!(codes(right), BTreeSet::new(), "{right}");
}

/// A mirror that maps two pages, and a munmap of one; the device reads on, with a fault handler or by its own
/// translations only.
fn mirror(mutant: &str, tasks: &str) -> String {
    let mutant = if mutant.is_empty() { String::new() } else { format!(" {{ mutant \"{mutant}\" }}") };
    format!("device gpu0 : interval_mirror(A, 0x10000..0x50000){mutant}\n{tasks}")
}

const MAP_THEN_UNMAP: &str = "task dev { gpu0.map_write 0x10000..0x12000  sync mapped  sync again  gpu0.read 0x10000 }\n\
     task unmap { sync go  munmap A 0x10000..0x11000  sync done }\n\
     order { dev@user.mapped < unmap@user.go  unmap@user.done < dev@user.again }\n";

const QUIRK_VICTIM: &str = "device gpu0 : interval_mirror(A, 0x10000..0x50000)\n\
     task unmap { gpu0.map 0x10000..0x12000  munmap A 0x10000..0x11000 }\n";

#[test]
fn ord_clear_by_the_quirk_munmap_clears_before_start() {
    let wrong = format!("quirks {{ munmap-clears-before-start }}\n{QUIRK_VICTIM}");
    fails_only(&wrong, QUIRK_VICTIM, &["ORD-CLEAR"]);
}

#[test]
fn ord_pair_by_the_quirk_munmap_unpaired_end() {
    let wrong = format!("quirks {{ munmap-unpaired-end }}\n{QUIRK_VICTIM}");
    fails_only(&wrong, QUIRK_VICTIM, &["ORD-PAIR"]);
}

#[test]
fn ord_callback_by_a_driver_that_refuses_where_blocking_is_allowed() {
    let body = |m: &str| format!("device d : rude(A, 0x10000..0x50000) {m}\ntask t {{ munmap A 0x10000..0x11000 }}\n");
    fails_only(&body("{ mutant \"refuse-blocking\" }"), &body(""), &["ORD-CALLBACK"]);
}

#[test]
fn stale_and_stale_harm_by_the_mutant_ignore_one_invalidation() {
    let wrong = mirror("ignore-one-invalidation", MAP_THEN_UNMAP);
    fails_only(&wrong, &mirror("", MAP_THEN_UNMAP), &["STALE", "STALE-HARM"]);
}

#[test]
fn stale_alone_when_the_page_is_only_write_protected() {
    let tasks = "task dev { gpu0.map_write 0x10000..0x12000  mprotect A 0x10000..0x11000 r  gpu0.write 0x10000 }\n";
    fails_only(&mirror("ignore-one-invalidation", tasks), &mirror("", tasks), &["STALE"]);
}

#[test]
fn stale_by_the_mutant_late_zap() {
    let found = codes(&mirror("late-zap", MAP_THEN_UNMAP));
    assert!(found.contains("STALE"), "{found:?}");
    assert_eq!(codes(&mirror("", MAP_THEN_UNMAP)), BTreeSet::new());
}

#[test]
fn seq_by_the_mutant_skip_retry() {
    let found = codes(&mirror("skip-retry", MAP_THEN_UNMAP));
    assert!(found.contains("SEQ"), "{found:?}");
    let alone = "task dev { gpu0.map 0x10000..0x11000 }\n";
    fails_only(&mirror("skip-retry", alone), &mirror("", alone), &["SEQ"]);
}

#[test]
fn ctx_by_an_allocation_under_a_spinlock() {
    let body = |gfp: &str| {
        format!(
            "device toy : interval(A, 0x10000..0x50000) {{ spinlock s  on invalidate(range) {{ with s {{ set_seq zap range }} }} }}\n\
             task t {{ with toy.s {{ alloc 1 {gfp} }} }}\n"
        )
    };
    // Exploration also enters reclaim under the spinlock; lockdep has its say about that.
    let found = codes(&body("GFP_KERNEL"));
    assert!(found.contains("CTX"), "{found:?}");
    assert_eq!(codes(&body("GFP_ATOMIC")), BTreeSet::new());
}

#[test]
fn prog_deadlock_and_lockdep_by_two_locks_in_two_orders() {
    let body = |second: &str| {
        format!(
            "device toy : interval(A, 0x10000..0x50000) {{ mutex a  mutex b }}\n\
             task one {{ with toy.a {{ with toy.b {{ }} }} }}\ntask two {{ {second} }}\n"
        )
    };
    let wrong = body("with toy.b { with toy.a { } }");
    fails_only(&wrong, &body("with toy.a { with toy.b { } }"), &["LD-CIRCULAR", "PROG-DEADLOCK"]);
}

#[test]
fn lockdep_recursion_by_a_callback_under_its_own_lock() {
    let body = |task: &str| {
        format!(
            "device toy : interval(A, 0x10000..0x50000) {{ mutex m  on invalidate(range) {{ with m {{ set_seq zap range }} }} }}\n\
             task t {{ {task} }}\n"
        )
    };
    let found = codes(&body("with toy.m { munmap A 0x10000..0x11000 }"));
    assert!(found.contains("LD-RECURSIVE") && found.contains("PROG-DEADLOCK"), "{found:?}");
    assert_eq!(codes(&body("with toy.m { }  munmap A 0x10000..0x11000")), BTreeSet::new());
}

#[test]
fn prog_livelock_by_a_task_that_does_not_end() {
    let body = |times: u32| format!("task t {{ repeat {times} {{ yield }} }}\ntask u {{ yield }}\n");
    let run = |body: &str| load(body).run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, false);
    let wrong = run(&body(2_000_000));
    assert_eq!(wrong.findings.iter().map(|f| f.code.as_str()).collect::<Vec<_>>(), ["PROG-LIVELOCK"]);
    assert_eq!(wrong.end.word(), "max-steps");
    assert!(run(&body(1_000)).findings.is_empty());
}

#[test]
fn panic_by_a_driver_that_panics() {
    let body = |m: &str| format!("device d : rude(A, 0x10000..0x50000) {m}\ntask t {{ munmap A 0x10000..0x11000 }}\n");
    fails_only(&body("{ mutant \"panic\" }"), &body(""), &["PANIC"]);
    let report = load(&body("{ mutant \"panic\" }")).run(Recipe { mode: Mode::Benign, seed: 1, run: 0 }, false);
    assert!(report.findings[0].title.contains("the driver did not expect UNMAP"), "{:?}", report.findings[0]);
    assert!(report.findings[0].text.contains("oracles.rs"), "its location: {}", report.findings[0].text);
}
