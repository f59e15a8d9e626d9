//! What must hold of any text that one of the readers is given. Taken in by the fuzz targets, and by the test that runs
//! the corpora through the same functions.
//!
//! Each function panics when something does not hold.

use harness::strace::{Maps, StraceLog, TextError, compare};
use harness::{Experiment, Registry};
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
        AnonVmaId(anons)
    };
    if tree.load_maps(&maps.lines, file, fresh).is_err() {
        return;
    }
    let loaded: Vec<_> = tree.iter().map(|vma| (vma.range(), vma.flags().prot())).collect();
    let shown: Vec<_> =
        maps.lines.iter().filter(|l| l.name != "[vsyscall]").map(|line| (line.range, line.prot)).collect();
    assert_eq!(loaded, shown);
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
