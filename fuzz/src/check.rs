//! What must hold of any text that one of the readers is given. Taken in by the fuzz targets, and by the test that runs
//! the corpora through the same functions.
//!
//! Each function panics when something does not hold.

use harness::strace::{Maps, StraceLog, TextError, compare};
use harness::{Experiment, Registry};
use lockdep::kernel_trace::TraceJudge;
use lockdep::recorded::{BadLine, Case, Player};
use lockdep::{Lockdep, Run};
use mm::vma::{AnonVmaId, FileId, VmaTree};

/// A scenario: what was printed reads as what it was printed from; every diagnostic can be shown; what is read can be
/// checked and resolved.
pub fn scenario(text: &str) {
    let registry = Registry::builtin();
    let known = registry.vocabulary();
    match scenario::parse_with(&known, "fuzz.mms", text) {
        Ok(parsed) => {
            let printed = parsed.to_string();
            let again = scenario::parse_with(&known, "again.mms", &printed);
            assert_eq!(again.as_ref(), Ok(&parsed), "printed:\n{printed}");
            assert_eq!(again.map(|a| a.to_string()), Ok(printed), "printing is not stable");
            // Resolving may find further mistakes; they are values too.
            drop(Experiment::load(&registry, "fuzz.mms", text));
        }
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a reason");
            for diagnostic in &diagnostics {
                assert!(text.get(diagnostic.span.start..diagnostic.span.end).is_some(), "{diagnostic:?}");
            }
            // Showing is quadratic in the size of the text.
            for diagnostic in diagnostics.iter().take(1).chain(diagnostics.last()) {
                assert!(diagnostic.render("fuzz.mms", text, false).contains("fuzz.mms"));
            }
        }
    }
}

/// A log: entries are in order of completion, each in lines that exist and of one thread at a time; mistakes have places.
pub fn strace(text: &str) {
    let lines = text.lines().count();
    match StraceLog::parse(text) {
        Ok(log) => {
            assert!(!log.entries.is_empty(), "an empty log was read");
            for pair in log.entries.windows(2) {
                assert!(pair[0].line <= pair[1].line, "{pair:?} are not in order");
            }
            for entry in &log.entries {
                assert!((1..=entry.line).contains(&entry.began) && entry.line <= lines, "{entry:?} of {lines} lines");
            }
            assert_eq!(log.counts().values().sum::<usize>(), log.entries.len());
            // A log cut after a line is read, or something in it is still unfinished: nothing else can be wrong.
            let kept: Vec<&str> = text.lines().take(lines / 2).collect();
            if let Err(errors) = StraceLog::parse(&(kept.join("\n") + "\n")) {
                let cut = |e: &TextError| e.message.contains("never resumed") || e.message == "the log is empty";
                assert!(errors.iter().all(cut), "{errors:?}");
            }
        }
        Err(errors) => have_places(&errors, text),
    }
}

/// A snapshot: what was printed reads as what it was printed from, differs nowhere from itself, and can be an address
/// space or is refused as one.
pub fn maps(text: &str) {
    match Maps::parse(text) {
        Ok(maps) => {
            let printed = maps.to_string();
            assert_eq!(Maps::parse(&printed).as_ref(), Ok(&maps), "printed:\n{printed}");
            assert_eq!(compare(&maps, &maps), [], "differs from itself");
            load(&maps);
        }
        Err(errors) => have_places(&errors, text),
    }
}

/// A loaded snapshot has the pages and the access it shows, and neighbours that did not merge.
fn load(maps: &Maps) {
    let mut tree = VmaTree::default();
    let (mut files, mut anons) = (0, 0);
    let file = |_: &_| {
        files += 1;
        FileId(files)
    };
    let fresh = || {
        anons += 1;
        AnonVmaId::new(anons)
    };
    if tree.load_maps(&maps.lines, file, fresh).is_err() {
        return;
    }
    let loaded: Vec<_> = tree.iter().map(|vma| (vma.range(), vma.flags().prot())).collect();
    let shown: Vec<_> =
        maps.lines.iter().filter(|l| l.name != "[vsyscall]").map(|line| (line.range, line.prot)).collect();
    assert_eq!(loaded, shown);
}

/// Recorded operations, a case a line: what is read can be played, alone and after others with the same verdict, drawn and
/// judged from its chains alone.
pub fn lockdep(text: &str) {
    let mut shared = Player::default();
    for line in text.lines() {
        match Case::parse(line) {
            Ok(case) => play(&mut shared, &case),
            Err(error) => one_line(&error),
        }
    }
    drawn(shared.run_mut());
    judged(shared.into_run());
}

fn play(shared: &mut Player, case: &Case) {
    let mut alone = Player::default();
    let first = alone.play(case, false);
    assert_eq!(shared.play(case, false), first, "{case:?} after other cases");
    assert_eq!(shared.play(case, true), first, "{case:?} played to its end");
    if let Some(noticed) = &first {
        assert!(noticed.op < case.ops.len(), "{noticed} of {} operations", case.ops.len());
        assert!(!noticed.title.is_empty() && !noticed.title.contains('\n'), "{noticed}");
    }
    assert_eq!(shared.run().reports().is_empty(), first.is_none(), "{case:?}");
}

/// A trace: read and judged twice with the same reports, each of them once; nothing is held that was not taken.
pub fn locktrace(text: &str) {
    let (once, again) = (judge(text), judge(text));
    let texts =
        |judge: &TraceJudge| -> Vec<String> { judge.run().reports().iter().map(|r| r.to_text("fuzz")).collect() };
    assert_eq!(texts(&once), texts(&again));
    assert_eq!(once.summary(), again.summary());
    let mut ids: Vec<u64> = once.run().reports().iter().map(|report| report.id.value()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), once.run().reports().len(), "a finding twice");
    let mut run = once.into_run();
    drawn(&mut run);
    judged(run);
}

fn judge(text: &str) -> TraceJudge {
    let mut judge = TraceJudge::new(Run::new(Lockdep::new()), "fuzz");
    let mut reported = 0;
    for (number, line) in (1..).zip(text.lines()) {
        match judge.line(number, line) {
            Ok(verdict) => reported += verdict.reports().len(),
            Err(error) => one_line(&error),
        }
    }
    assert_eq!(reported, judge.run().reports().len(), "a finding that no line made");
    let summary = judge.summary();
    assert!(summary.events <= text.lines().count() as u64 && summary.without_context <= summary.events, "{summary:?}");
    judge
}

fn one_line(error: &BadLine) {
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?}");
}

/// The graph in its three forms says of every dependency.
fn drawn(run: &mut Run) {
    let (graph, stats) = (run.graph(), run.stats());
    assert_eq!(graph.classes.len(), stats.lock_classes);
    assert!(graph.edges.len() >= stats.direct_dependencies, "{stats}");
    assert_eq!(graph.to_dot().lines().count(), 3 + graph.classes.len() + graph.edges.len());
    assert!(run.proc_lockdep().matches("OPS:").count() >= stats.lock_classes);
}

/// What the chains alone say is sorted and each once.
fn judged(run: Run) {
    let judgement = run.lockdep().judge(&run.chains());
    assert!(judgement.findings.windows(2).all(|pair| pair[0] < pair[1]), "{judgement:?}");
}

fn have_places(errors: &[TextError], text: &str) {
    assert!(!errors.is_empty(), "refused without a reason");
    for error in errors {
        // An empty text has its mistake in its first line.
        let line = text.lines().nth(error.line.wrapping_sub(1)).unwrap_or_default();
        assert!(error.line >= 1 && error.line <= text.lines().count().max(1), "{error} is beyond the text");
        assert!((1..=line.chars().count() + 1).contains(&error.column), "{error} is beyond its line");
        assert!(!error.message.contains('\n'), "{error}");
    }
}
