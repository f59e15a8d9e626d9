//! The corpora of the fuzz targets through what the targets check, so that every build does what a fuzzer did once.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../../fuzz/src/check.rs"]
#[expect(unreachable_pub, reason = "the targets take the same file in")]
mod check;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The texts in a folder, by name.
#[track_caller]
fn texts(folder: &str) -> Vec<(String, String)> {
    let folder = root().join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut texts: Vec<(String, String)> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .filter_map(|path| Some((path.display().to_string(), String::from_utf8(fs::read(&path).ok()?).ok()?)))
        .collect();
    texts.sort();
    texts
}

/// Gives each file to `check` whole, and cut in every so many bytes: most of what a reader gets wrong, it gets wrong at an
/// end that comes too early.
#[track_caller]
fn replays_clean(target: &str, at_least: usize, check: fn(&str)) {
    let corpus = texts(&format!("fuzz/corpus/{target}"));
    assert!(corpus.len() >= at_least, "{target}: {} files", corpus.len());
    for (name, text) in corpus {
        let whole = std::panic::catch_unwind(|| check(&text));
        assert!(whole.is_ok(), "{name}");
        let step = (text.len() / 40).max(1);
        for end in (0..text.len()).step_by(step).filter(|end| text.is_char_boundary(*end)) {
            let cut = std::panic::catch_unwind(|| check(&text[..end]));
            assert!(cut.is_ok(), "{name}, the first {end} bytes");
        }
    }
}

#[test]
fn scenarios() {
    replays_clean("scenario", 9, check::scenario);
}

#[test]
fn strace_logs() {
    replays_clean("strace", 14, check::strace);
}

#[test]
fn maps_snapshots() {
    replays_clean("maps", 8, check::maps);
}

#[test]
fn recorded_locks() {
    replays_clean("lockdep", 20, check::lockdep);
}

#[test]
fn lock_traces() {
    replays_clean("locktrace", 7, check::locktrace);
}

/// What fuzzing starts from must get beyond the first line of a reader.
#[test]
fn most_seeds_are_read() {
    let read = |target: &str, reads: fn(&str) -> bool| {
        let corpus = texts(&format!("fuzz/corpus/{target}"));
        let good = corpus.iter().filter(|(_, text)| reads(text)).count();
        assert!(good * 2 > corpus.len(), "{target}: {good} of {}", corpus.len());
    };
    read("scenario", |text| harness::Experiment::load(&harness::Registry::builtin(), "seed.mms", text).is_ok());
    read("strace", |text| harness::strace::StraceLog::parse(text).is_ok());
    read("maps", |text| harness::strace::Maps::parse(text).is_ok());
    read("lockdep", |text| text.lines().all(|line| lockdep::recorded::Case::parse(line).is_ok()));
    read("locktrace", |text| text.lines().all(|line| lockdep::kernel_trace::TraceLine::parse(line).is_ok()));
}
