//! An oracle is believed after it has failed: for each code something wrong on purpose that makes it report, alone or with
//! which others, and the corrected twin that is silent. `docs/properties.md` names the same mutants, quirks and scenarios.

mod rude;

use harness::{Experiment, ExplorePlan, Mode, Recipe, Registry};
use properties::Code;
use rude::RUDE;
use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

/// Where a scenario comes from.
enum Text {
    Shipped(&'static str),
    Here(&'static str),
}
use Text::{Here, Shipped};

/// What turns the wrong scenario into its corrected twin.
enum Change {
    /// As `--set` does.
    Set(&'static str),
    /// Every occurrence of a text becomes another.
    Edit(&'static str, &'static str),
}
use Change::{Edit, Set};

/// One thing wrong on purpose.
struct Row {
    code: &'static str,
    /// A word by which `docs/properties.md` names it in the row of the code.
    proof: &'static str,
    wrong: Text,
    /// What the wrong one's benign run finds: exactly these.
    run: &'static [&'static str],
    /// What random runs may find beside these.
    also: &'static [&'static str],
    twin: &'static [Change],
}

const NO_QUIRKS: &[Change] = &[Set("quirks=none")];
const NO_MUTANT: &[Change] = &[Set("gpu0.mutant=none")];

const ROWS: &[Row] = &[
    Row {
        code: "LD-CIRCULAR",
        proof: "userptr-reclaim.mms",
        wrong: Shipped("userptr-reclaim.mms"),
        run: &["LD-CIRCULAR"],
        also: &["LD-RECURSIVE", "PROG-DEADLOCK"],
        twin: NO_MUTANT,
    },
    Row {
        code: "LD-CIRCULAR",
        proof: "toy-inversion.mms",
        wrong: Shipped("toy-inversion.mms"),
        run: &["LD-CIRCULAR"],
        also: &["LD-RECURSIVE", "PROG-DEADLOCK"],
        twin: &[Edit("with toy.vm_lock { alloc 1 GFP_KERNEL }", "alloc 1 GFP_KERNEL  with toy.vm_lock { }")],
    },
    Row {
        code: "LD-RECURSIVE",
        proof: "unmap-under-callback-lock.mms",
        wrong: Shipped("unmap-under-callback-lock.mms"),
        run: &["LD-RECURSIVE", "PROG-DEADLOCK"],
        also: &[],
        twin: &[Edit("with toy.m { munmap A 0x10000..0x11000 }", "with toy.m { }  munmap A 0x10000..0x11000")],
    },
    Row {
        code: "LIFE",
        proof: "mirror-keeps-subscription.mms",
        wrong: Shipped("mirror-keeps-subscription.mms"),
        run: &["LIFE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "COH",
        proof: "mirror-keeps-old-frame.mms",
        wrong: Shipped("mirror-keeps-old-frame.mms"),
        run: &["COH", "STALE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "ORD-CLEAR",
        proof: "munmap-clears-before-start",
        wrong: Shipped("quirk-clears-before-start.mms"),
        run: &["ORD-CLEAR"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "ORD-PAIR",
        proof: "munmap-unpaired-end",
        wrong: Shipped("quirk-unpaired-end.mms"),
        run: &["ORD-PAIR"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        // A reader waits for the end that never comes.
        code: "ORD-PAIR",
        proof: "munmap-unpaired-end",
        wrong: Here(
            "quirks { munmap-unpaired-end }
             device gpu0 : interval_mirror(A, 0x10000..0x50000)
             task user { gpu0.map 0x10000..0x12000  munmap A 0x10000..0x11000  gpu0.map 0x11000..0x12000 }",
        ),
        run: &["ORD-PAIR", "PROG-DEADLOCK"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "ORD-CALLBACK",
        proof: "callback-after-unregister",
        wrong: Shipped("quirk-callback-after-unregister.mms"),
        run: &["ORD-CALLBACK"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        // The same in the other family of subscribers.
        code: "ORD-CALLBACK",
        proof: "callback-after-unregister",
        wrong: Here(
            "quirks { callback-after-unregister }
             device ear : list(A) { on start(range) { } }
             task user { munmap A 0x10000..0x11000  unregister ear  munmap A 0x11000..0x12000 }",
        ),
        run: &["ORD-CALLBACK"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "ORD-CALLBACK",
        proof: "refuse-blocking",
        wrong: Here(
            "device gpu0 : rude(A, 0x10000..0x50000) { mutant \"refuse-blocking\" }
             task user { munmap A 0x10000..0x11000 }",
        ),
        run: &["ORD-CALLBACK"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "STALE",
        proof: "ignore-one-invalidation",
        wrong: Shipped("mirror-ignores-protection.mms"),
        run: &["STALE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "STALE",
        proof: "late-zap",
        wrong: Here(
            "device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant \"late-zap\" }
             task dev { gpu0.map_write 0x10000..0x12000  mprotect A 0x10000..0x11000 r  gpu0.write 0x10000 }",
        ),
        run: &["STALE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "STALE-HARM",
        proof: "ignore-one-invalidation",
        wrong: Shipped("mirror-ignores-unmap.mms"),
        run: &["STALE", "STALE-HARM"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "STALE-HARM",
        proof: "munmap-frees-before-start",
        wrong: Shipped("quirk-frees-before-start.mms"),
        run: &["ORD-CLEAR", "STALE-HARM"],
        also: &[],
        twin: &[Set("quirks=none"), Edit("dev@user.used < unmap@notifier.range_start", "")],
    },
    Row {
        code: "STALE",
        proof: "flush-dirty-before-unlock",
        wrong: Shipped("quirks/flush-dirty-before-unlock.mms"),
        run: &["STALE"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "STALE",
        proof: "flush-before-unlock-in-migrate",
        wrong: Shipped("quirks/flush-before-unlock-in-migrate.mms"),
        run: &["STALE"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "ORD-CLEAR",
        proof: "bracket-under-mmap-lock",
        wrong: Shipped("quirks/bracket-under-mmap-lock.mms"),
        run: &["ORD-CLEAR"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "LIFE",
        proof: "test-exit-under-mmap-lock",
        wrong: Shipped("quirks/test-exit-under-mmap-lock.mms"),
        run: &["LIFE"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "STALE-HARM",
        proof: "flush-before-free",
        wrong: Shipped("quirk-frees-before-flush.mms"),
        run: &["STALE-HARM"],
        also: &[],
        twin: &[Set("quirks=none"), Edit("user@user.used < unmap@mm.flush", "")],
    },
    Row {
        code: "STALE-HARM",
        proof: "flush-other-cpus",
        wrong: Shipped("quirk-lost-flush.mms"),
        run: &["STALE", "STALE-HARM"],
        also: &[],
        twin: NO_QUIRKS,
    },
    Row {
        code: "SEQ",
        proof: "skip-retry",
        wrong: Shipped("mirror-skips-retry.mms"),
        run: &["SEQ"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        // Every page is pinned and good, but it is another page: only the data is wrong.
        code: "COH",
        proof: "overruns-page",
        wrong: Here(
            "device gpu0 : hfi1_cache(A, 0x10000..0x50000) { mutant \"overruns-page\" }
             task user { write A 0x10000 5  write A 0x11000 6  gpu0.send 0x10000..0x12000 }",
        ),
        run: &["COH"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        // The device mirrors the page of zeros and goes on reading it when the CPU has a copy.
        code: "COH",
        proof: "keep-old-frame-after-cow",
        wrong: Here(
            "device gpu0 : interval_mirror(A, 0x10000..0x50000) { mutant \"keep-old-frame-after-cow\" }
             task user { gpu0.read 0x20000  write A 0x20000 5  gpu0.read 0x20000 }",
        ),
        run: &["COH", "STALE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "CTX",
        proof: "alloc-under-spinlock.mms",
        wrong: Shipped("alloc-under-spinlock.mms"),
        run: &["CTX"],
        // Exploration enters reclaim under the spinlock, and lockdep has its say about that.
        also: &["LD-CIRCULAR"],
        twin: &[Edit("GFP_KERNEL", "GFP_ATOMIC")],
    },
    Row {
        code: "PROG-DEADLOCK",
        proof: "two-locks-two-orders.mms",
        wrong: Shipped("two-locks-two-orders.mms"),
        run: &["LD-CIRCULAR", "PROG-DEADLOCK"],
        also: &[],
        twin: &[
            Edit("with toy.b { sync first  sync second  with toy.a { } }", "with toy.a { with toy.b { } }  sync first"),
            Edit("one@user.first < two@user.second", ""),
            Edit("two@user.first < one@user.second", ""),
        ],
    },
    Row {
        code: "PROG-LIVELOCK",
        proof: "retry-without-read-begin.mms",
        wrong: Shipped("retry-without-read-begin.mms"),
        run: &["PROG-LIVELOCK"],
        also: &[],
        twin: &[Edit("        read_begin\n", ""), Edit("retry {", "retry { read_begin")],
    },
    Row {
        code: "PROG-REQUEST",
        proof: "reclaim-pinned.mms",
        wrong: Shipped("reclaim-pinned.mms"),
        run: &["PROG-REQUEST"],
        also: &[],
        twin: &[Edit("    rdma.pin 0x10000..0x11000\n", "")],
    },
    Row {
        code: "STALE",
        proof: "mirror-dax.mms",
        wrong: Shipped("mirror-dax.mms"),
        run: &["STALE"],
        also: &[],
        twin: NO_MUTANT,
    },
    Row {
        code: "LD-WAIT",
        proof: "mutex-under-spinlock.mms",
        wrong: Shipped("mutex-under-spinlock.mms"),
        run: &["CTX", "LD-WAIT"],
        also: &[],
        twin: &[Edit("    spinlock table_lock\n", "    mutex table_lock\n")],
    },
    Row {
        code: "LD-IRQ",
        proof: "irq-lock-inversion.mms",
        wrong: Shipped("irq-lock-inversion.mms"),
        run: &["LD-IRQ"],
        also: &["PROG-DEADLOCK"],
        twin: &[Edit("task send { with queue_lock", "task send { with irqsave queue_lock")],
    },
    Row {
        code: "CHECK",
        proof: "lost-invalidation.mms",
        wrong: Shipped("lost-invalidation.mms"),
        run: &["CHECK"],
        also: &[],
        twin: &[Edit("if now has 1 { return }", "if now not seq { return }")],
    },
    Row {
        code: "PANIC",
        proof: "panic",
        wrong: Here(
            "device gpu0 : rude(A, 0x10000..0x50000) { mutant \"panic\" }
             task user { munmap A 0x10000..0x11000 }",
        ),
        run: &["PANIC"],
        also: &[],
        twin: NO_MUTANT,
    },
];

/// Codes that no scenario can bring about, and where they are seen to fail.
const ELSEWHERE: &[(&str, &str)] = &[
    ("LD-UNLOCK", "crates/lockdep/tests/rules.rs"),
    ("LD-HELD", "crates/ksync/tests/ww_rcu.rs"),
    ("LD-RCU", "crates/ksync/tests/ww_rcu.rs"),
    ("LD-MISUSE", "crates/lockdep/tests/checks.rs"),
];

/// Quirks that no run of one scenario shows, or whose harm no rule is about, and where it is seen.
const QUIRKS_ELSEWHERE: &[(&str, &str)] = &[
    ("flush-when-nested", "crates/mm/tests/suite/tlb.rs"),
    ("flush-before-writepage", "crates/mm/tests/suite/tlb.rs"),
    ("write-protect-seq", "tests/tests/quirks.rs"),
];

const HEAD: &str = "scenario \"oracle\"\nmachine { memory 16M  swap 4M }\n\
                    mm A { vma 0x10000..0x50000 rw anon  touch 0x10000..0x14000 }\n";

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn registry() -> Registry {
    Registry::builtin().with(RUDE)
}

#[track_caller]
fn load(text: &str) -> Experiment {
    harness::install_panic_hook();
    Experiment::load(&registry(), "oracle.mms", text).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|m| m.render("oracle.mms", text, false)).collect::<Vec<_>>().join("\n"))
    })
}

impl Row {
    fn text(&self) -> String {
        match self.wrong {
            Shipped(name) => read(Path::new("sim/scenarios").join(name)),
            Here(body) => format!("{HEAD}{body}\n"),
        }
    }

    fn corrected(&self) -> Experiment {
        let mut text = self.text();
        for change in self.twin {
            if let Edit(from, to) = change {
                assert!(text.contains(from), "{}: {from:?} is not in\n{text}", self.proof);
                text = text.replace(from, to);
            }
        }
        self.twin.iter().fold(load(&text), |twin, change| match change {
            Set(setting) => twin.with_setting(setting).unwrap_or_else(|why| panic!("{setting}: {why}")),
            Edit(..) => twin,
        })
    }
}

fn benign(experiment: &Experiment) -> harness::RunReport {
    experiment.run(Recipe { mode: Mode::Benign, seed: experiment.seed(), run: 0 }, false)
}

/// What 300 random runs find.
fn explored(experiment: &Experiment) -> harness::ExploreReport {
    let plan = ExplorePlan { seed: 1, runs: 300, jobs: 1, stop_at_first: false };
    experiment.explore(&plan, &|_| ControlFlow::Continue(()))
}

/// What is not as the row says; one text each.
fn failures(row: &Row) -> Vec<String> {
    let mut failures = Vec::new();
    let wrong = load(&row.text());
    let report = benign(&wrong);
    let found = system_tests::codes(&report);
    if found != row.run || !found.contains(&row.code) {
        failures.push(format!("one run finds {found:?}, not {:?}", row.run));
    }
    let unexpected = |code: &str| !row.run.contains(&code) && !row.also.contains(&code);
    for found in explored(&wrong).findings.into_iter().filter(|f| unexpected(&f.found.code)) {
        failures.push(format!("random runs find also {}", found.found.text));
    }
    let twin = row.corrected();
    failures.extend(benign(&twin).findings.into_iter().map(|f| format!("the twin is not silent: {}", f.text)));
    let report = explored(&twin);
    if !report.findings.is_empty() || !report.across_runs.is_empty() {
        failures.push(format!("the twin, explored, is not silent: {}", report.to_text()));
    }
    failures
}

#[test]
fn what_is_wrong_is_found_and_its_twin_is_silent() {
    let failures: Vec<String> = ROWS
        .iter()
        .flat_map(|row| failures(row).into_iter().map(|why| format!("{} by {}: {why}", row.code, row.proof)))
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Of each family something makes it report, and nothing else does.
#[test]
fn each_oracle_fails_alone_on_something() {
    let families = ["ORD", "STALE", "SEQ", "COH", "CTX", "LIFE", "PROG"];
    for family in families {
        let of = |code: &&str| code.split('-').next() == Some(family);
        let alone = ROWS.iter().any(|row| of(&row.code) && row.run.iter().chain(row.also).all(of));
        // Reclaim that is entered under a spinlock is also an inversion: one benign run is alone.
        let alone_in_one_run = ROWS.iter().any(|row| of(&row.code) && row.run == [row.code]);
        assert!(alone || (family == "CTX" && alone_in_one_run), "{family} is never alone");
    }
}

#[test]
fn a_panic_says_what_and_where() {
    let row = ROWS.iter().find(|row| row.code == "PANIC").expect("a row");
    let report = benign(&load(&row.text()));
    assert!(report.findings[0].title.contains("the driver did not expect UNMAP"), "{:?}", report.findings[0]);
    assert!(report.findings[0].text.contains("rude"), "its location: {}", report.findings[0].text);
}

#[test]
fn every_shipped_scenario_runs_as_its_file_says() {
    let folder = root().join("sim/scenarios");
    let mut seen = 0;
    for entry in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            continue;
        }
        let text = read(&path);
        assert!(text.starts_with("# "), "{}: no words on what it shows", path.display());
        let report = benign(&load(&text));
        assert!(report.verdict.as_expected(), "{}: {:?}", path.display(), report.verdict.problems);
        seen += 1;
    }
    assert!(seen >= 20, "{seen} scenarios");
}

/// The first and the last cell of each row of the table of properties.
fn documented() -> Vec<(String, String)> {
    let text = read("docs/properties.md");
    let table = text.lines().skip_while(|line| !line.starts_with("| id |")).skip(2);
    let rows = table.take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        (cells[0].to_owned(), cells[cells.len() - 1].to_owned())
    })
    .collect()
}

/// The words in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// What a proof may be called: files, scenarios, quirks, drivers, their mutants.
fn exists(name: &str, known: &BTreeSet<String>) -> bool {
    known.contains(name)
        || (name.ends_with(".mms") && root().join("sim/scenarios").join(name).is_file())
        || (name.contains('/') && root().join(name).is_file())
}

#[test]
fn the_document_names_these_proofs_and_no_others() {
    let mut known: BTreeSet<String> = harness::listing::quirks().into_iter().map(|(name, _)| name).collect();
    for kind in registry().kinds() {
        known.insert(kind.name.to_owned());
        known.extend(kind.mutants.iter().map(|m| m.name.to_owned()));
    }
    let documented = documented();
    assert_eq!(
        documented.iter().map(|(code, _)| code.as_str()).collect::<BTreeSet<_>>(),
        Code::ALL.iter().map(|c| c.text()).collect::<BTreeSet<_>>()
    );
    for (code, cell) in &documented {
        let named = quoted(cell);
        for name in &named {
            assert!(exists(name, &known), "{code}: there is no `{name}`");
        }
        let rows = ROWS.iter().filter(|row| row.code == code).map(|row| row.proof);
        let proofs: Vec<&str> =
            rows.chain(ELSEWHERE.iter().filter(|(c, _)| c == code).map(|(_, file)| *file)).collect();
        assert!(!proofs.is_empty(), "nothing proves that {code} can fail");
        for proof in proofs {
            assert!(named.contains(&proof), "{code}: the document does not name `{proof}`");
        }
    }
}

#[test]
fn every_quirk_is_proven_to_be_found() {
    for (quirk, _) in harness::listing::quirks() {
        let old_bug = root().join("sim/scenarios/quirks").join(&quirk).with_extension("mms").is_file();
        let elsewhere = QUIRKS_ELSEWHERE.iter().find(|(name, _)| *name == quirk).map(|(_, file)| *file);
        let by_test = elsewhere.is_some_and(|file| read(file).contains(&quirk.replace('-', "_").to_uppercase()));
        assert!(old_bug || by_test || ROWS.iter().any(|row| row.proof == quirk), "nothing switches {quirk} on");
        assert!(
            read("docs/properties.md").contains(&format!("| `{quirk}` |")),
            "{quirk} is not in the table of quirks"
        );
    }
}
