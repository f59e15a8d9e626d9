//! `museum`: real bugs, found in their buggy versions and silent in their fixed ones.

use super::tokens;
use crate::cli::{Format, MuseumArgs};
use crate::clock::Clock;
use crate::museum::{EXHIBITS, unknown};
use crate::{Exit, files, out};
use harness::Registry;
use harness::museum::{Exhibit, Museum, PREFIX, Shown};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs of a fixed version in the short form.
const SHORT_TWIN: u64 = 200;

pub(crate) fn museum(registry: &Registry, args: &MuseumArgs) -> Exit {
    let exhibits = match select(registry, args) {
        Ok(exhibits) => exhibits,
        Err(lines) => {
            // What a scenario is wrong with says `error` itself.
            lines
                .iter()
                .for_each(|line| if line.starts_with("error") { out::complain(line) } else { out::error(line) });
            return Exit::BadInput;
        }
    };
    if args.diff {
        exhibits.iter().for_each(|e| out::print(&format!("{}: {}\n{}", e.name, e.title(), e.diff())));
        return Exit::AsExpected;
    }
    let museum = Museum { shown: show_all(&exhibits, args) };
    match args.format {
        Format::Json => out::print(&format!("{}\n", museum.to_json())),
        Format::Human if args.names.is_empty() => out::print(&museum.to_text()),
        Format::Human => museum.shown.iter().for_each(|shown| out::print_report(&Museum::to_page(shown))),
    }
    let problems = museum.problems(!args.short);
    problems.iter().for_each(|problem| out::error(problem));
    let exit = if problems.is_empty() { Exit::AsExpected } else { Exit::Unexpected };
    let Some(Err(why)) = args.markdown.as_ref().map(|file| files::write(file, &museum.to_markdown())) else {
        return exit;
    };
    out::error(&why);
    exit.and(Exit::BadInput)
}

/// The exhibits of these names, or all.
///
/// # Errors
/// A line for each name that none has, for each exhibit with what is wrong with it, or for the folder that cannot be read.
fn select(registry: &Registry, args: &MuseumArgs) -> Result<Vec<Exhibit>, Vec<String>> {
    let all = match &args.exhibits {
        Some(folder) => in_folder(folder).map_err(|why| vec![why])?,
        None => EXHIBITS.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let known = |name: &&String| all.iter().any(|(known, _)| known == *name);
    let wrong: Vec<String> = args.names.iter().filter(|name| !known(name)).map(|name| unknown(name)).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let wanted = all.iter().filter(|(name, _)| args.names.is_empty() || args.names.contains(name));
    let (mut exhibits, mut mistakes) = (Vec::new(), Vec::new());
    for (name, text) in wanted {
        match Exhibit::load(registry, name, text) {
            Ok(exhibit) => exhibits.push(exhibit),
            Err(why) => mistakes.push(why),
        }
    }
    if mistakes.is_empty() { Ok(exhibits) } else { Err(mistakes) }
}

/// Name and text of each scenario of a folder, by name.
fn in_folder(folder: &Path) -> Result<Vec<(String, String)>, String> {
    let unreadable = |why: std::io::Error| format!("{}: cannot be read: {why}", folder.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        files.push(entry.map_err(unreadable)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|e| e == "mms"));
    files.sort();
    let name = |file: &PathBuf| file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    files.iter().map(|file| Ok((name(file), files::read_text(file)?))).collect()
}

/// Shows them on as many threads as asked for.
fn show_all(exhibits: &[Exhibit], args: &MuseumArgs) -> Vec<Shown> {
    let bar = progress_bar(exhibits.len());
    let next = AtomicUsize::new(0);
    let slots: Vec<Mutex<Option<Shown>>> = exhibits.iter().map(|_| Mutex::default()).collect();
    let work = || {
        while let Some((exhibit, slot)) = take(exhibits, &slots, &next) {
            bar.set_message(exhibit.name.clone());
            *slot.lock().expect("no thread panics while it stores") = Some(show(exhibit, args));
            bar.inc(1);
        }
    };
    std::thread::scope(|threads| {
        for _ in 1..args.jobs.min(exhibits.len()) {
            threads.spawn(work);
        }
        work();
    });
    bar.finish_and_clear();
    slots.into_iter().filter_map(|slot| slot.into_inner().expect("as above")).collect()
}

type Slot = Mutex<Option<Shown>>;

fn take<'a>(exhibits: &'a [Exhibit], slots: &'a [Slot], next: &AtomicUsize) -> Option<(&'a Exhibit, &'a Slot)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((exhibits.get(at)?, slots.get(at)?))
}

fn show(exhibit: &Exhibit, args: &MuseumArgs) -> Shown {
    let (tries, twin) = if args.short { (0, SHORT_TWIN) } else { (args.proofs.prove, u64::MAX) };
    let mut shown = Shown::of(exhibit, tries, twin, &|what| {
        let clock = Clock::start();
        what();
        clock.elapsed().as_secs_f64()
    });
    if let Ok(hunt) = &mut shown.hunt {
        let token = hunt.report.token.clone();
        let file = match &args.exhibits {
            Some(folder) => folder.join(format!("{}.mms", exhibit.name)),
            None => PathBuf::from(format!("{PREFIX}{}", exhibit.name)),
        };
        for found in &mut hunt.report.findings {
            tokens::name_replays(found, &token, &file, &[]);
        }
    }
    shown
}

fn progress_bar(exhibits: usize) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(exhibits as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} exhibits, {eta} left; {wide_msg}") {
        bar.set_style(style);
    }
    bar
}
