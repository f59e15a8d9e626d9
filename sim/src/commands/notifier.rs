//! `notifier check`: callbacks recorded on a running kernel against the scenarios of the same names. `notifier pressure`: many
//! random runs, and which reasons for an invalidation came in how many of them.

use crate::cli::{NotifierArgs, NotifierCheckArgs, NotifierCommand, NotifierPressureArgs};
use crate::{Exit, files, out, program};
use harness::recorded::{Difference, Recording, compare};
use harness::{Experiment, Pressure, Recipe, Registry, Sabotage};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(crate) fn notifier(registry: &Registry, args: &NotifierArgs) -> Exit {
    let done = match &args.what {
        NotifierCommand::Check(args) => check(registry, args),
        NotifierCommand::Pressure(args) => pressure(registry, args),
    };
    match done {
        Ok(exit) => exit,
        Err(lines) => {
            lines.iter().for_each(|line| out::error(line));
            Exit::BadInput
        }
    }
}

/// Everything is read before anything is run.
fn check(registry: &Registry, args: &NotifierCheckArgs) -> Result<Exit, Vec<String>> {
    let recordings = read(&args.traces)?;
    let unknown: Vec<String> = args
        .only
        .iter()
        .filter(|name| recordings.iter().all(|r| r.name != **name))
        .map(|name| format!("--only {name}: no such recording in {}", args.traces.display()))
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    let wanted = |r: &&Recording| args.only.is_empty() || args.only.contains(&r.name);
    let mut loaded = Vec::new();
    let mut mistakes = Vec::new();
    for recording in recordings.iter().filter(wanted) {
        match load(registry, &args.scenarios, &recording.name) {
            Ok(experiment) => loaded.push((recording, experiment)),
            Err(lines) => mistakes.extend(lines),
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    let (mut agree, mut differ, mut without) = (0, 0, 0);
    for (recording, experiment) in loaded {
        match experiment.map(|experiment| compare(recording, &experiment.play())) {
            Some(Ok(())) => agree += 1,
            Some(Err(difference)) => {
                differ += 1;
                out::print(&told(&recording.name, &difference));
            }
            None => without += 1,
        }
    }
    out::print(&format!("{agree} scenarios agree, {differ} differ, {without} without scenario\n"));
    Ok(if differ == 0 { Exit::AsExpected } else { Exit::Unexpected })
}

/// Everything is read before anything is run.
fn pressure(registry: &Registry, args: &NotifierPressureArgs) -> Result<Exit, Vec<String>> {
    let mut experiments = Vec::new();
    for path in scenarios(&args.files)? {
        let folder = path.parent().unwrap_or_else(|| Path::new("."));
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let experiment = load(registry, folder, &name)?;
        let experiment = experiment.ok_or_else(|| vec![format!("{}: no such file", path.display())])?;
        experiments.push((path, name, experiment));
    }
    out::print(&format!("{} runs each, seed {}; in how many percent the driver was told what\n", args.runs, args.seed));
    let mut clean = true;
    let mut mutants = Mutants::default();
    for (at, (path, name, experiment)) in experiments.into_iter().enumerate() {
        let Pressure { runs, found, heard } = experiment.pressure(args.seed, args.runs);
        if at == 0 {
            let reasons: Vec<&str> = heard.iter().map(|(reason, _)| *reason).collect();
            out::print(&format!("{:<18} {:>8}  {}\n", "scenario", "found in", reasons.join("  ")));
        }
        let percent = |n: u64| (n * 100).checked_div(runs).unwrap_or(0);
        let cells: Vec<String> = heard.iter().map(|(word, n)| format!("{:>1$}", percent(*n), word.len())).collect();
        let with = found.values().map(|(runs, _)| *runs).max().unwrap_or(0);
        out::print(&format!("{name:<18} {with:>8}  {}\n", cells.join("  ")));
        for (code, (runs, first)) in &found {
            clean = false;
            let recipe = Recipe { mode: Pressure::MODE, seed: args.seed, run: *first };
            let token = experiment.run(recipe, false).token.to_string();
            let replay = program::replay_command(&token, &path, &[]);
            out::print(&format!("  {code} in {runs} runs, first in run {first}\nreplay: {replay}\n"));
        }
        if args.mutants {
            mutants.add(&experiment, args)?;
        }
    }
    if args.mutants {
        clean &= mutants.print();
    }
    Ok(if clean { Exit::AsExpected } else { Exit::Unexpected })
}

/// Each driver's mutants, and whether any scenario with the driver in it found them.
#[derive(Default)]
struct Mutants(BTreeMap<(String, &'static str), bool>);

impl Mutants {
    /// What the same runs of one scenario find.
    fn add(&mut self, experiment: &Experiment, args: &NotifierPressureArgs) -> Result<(), Vec<String>> {
        let driver = experiment.scenario().devices.first().map(|device| device.node.driver.node.clone());
        let driver = driver.unwrap_or_default();
        for Sabotage { mutant, found } in experiment.sabotages(args.seed, args.runs).map_err(|line| vec![line])? {
            let what = found.as_ref().map_or("nothing".to_owned(), |(run, codes)| {
                format!("run {run}: {}", codes.iter().copied().collect::<Vec<_>>().join(" "))
            });
            out::print(&format!("  {mutant:<34} {what}\n"));
            *self.0.entry((driver.clone(), mutant)).or_default() |= found.is_some();
        }
        Ok(())
    }

    /// How many were found; whether all.
    fn print(&self) -> bool {
        let missed: Vec<String> = self
            .0
            .iter()
            .filter(|(_, found)| !**found)
            .map(|((driver, mutant), _)| format!("{driver} {mutant}"))
            .collect();
        let but = if missed.is_empty() { String::new() } else { format!("; not {}", missed.join(", ")) };
        out::print(&format!("{} of {} mutants found{but}\n", self.0.len() - missed.len(), self.0.len()));
        missed.is_empty()
    }
}

/// The files, and those of the folders in order.
fn scenarios(given: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<String>> {
    let mut all = Vec::new();
    for path in given {
        if !path.is_dir() {
            all.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).map_err(|why| vec![format!("{}: {why}", path.display())])?;
        let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.retain(|file| file.extension().is_some_and(|end| end == "mms"));
        files.sort();
        all.extend(files);
    }
    Ok(all)
}

fn told(name: &str, difference: &Difference) -> String {
    let Difference { operation, what, detail } = difference;
    format!("{name}: differs in {what}, at \"{operation}\"\n{detail}\n")
}

fn read(path: &Path) -> Result<Vec<Recording>, Vec<String>> {
    let text = files::read_text_or_gz(path).map_err(|line| vec![line])?;
    let mut recordings = Vec::new();
    let mut errors = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        match Recording::parse(line) {
            Ok(recording) => recordings.push(recording),
            Err(why) => errors.push(format!("{}:{}: {why}", path.display(), number + 1)),
        }
    }
    if errors.is_empty() { Ok(recordings) } else { Err(errors) }
}

/// The scenario of a recording, if there is one.
fn load(registry: &Registry, folder: &Path, name: &str) -> Result<Option<Experiment>, Vec<String>> {
    if !folder.is_dir() {
        return Err(vec![format!("{}: not a folder", folder.display())]);
    }
    let path = folder.join(format!("{name}.mms"));
    if !path.exists() {
        return Ok(None);
    }
    let text = files::read_text(&path).map_err(|line| vec![line])?;
    let shown = path.to_string_lossy();
    match Experiment::load(registry, &shown, &text) {
        Ok(experiment) => Ok(Some(experiment)),
        Err(mistakes) => {
            for mistake in &mistakes {
                out::complain(mistake.render(&shown, &text, true).trim_end());
            }
            Err(vec![format!("{shown}: {} mistakes; nothing was run", mistakes.len())])
        }
    }
}
