//! `matrix`: settings of the lockdep annotations against workloads.

use super::load;
use crate::cli::{Format, MatrixArgs, ScenarioArgs};
use crate::clock::Clock;
use crate::{Exit, out};
use harness::matrix::{COST_BRACKETS, Matrix, Row, Workload, cost_run, default_rows, measure, product};
use harness::{Experiment, Registry};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs;
use std::path::Path;

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../scenarios/matrix/", $name, ".mms")))),*]
    };
}

/// The workloads that are there without naming any, in the order of the columns.
const SHIPPED: [(&str, &str); 16] = shipped![
    "thread-deadlock",
    "thread-corrected",
    "stranger-reclaimed",
    "notifier-under-lock-nofs",
    "atomic-allocation",
    "allocation-in-callback",
    "end-callback",
    "end-callback-correct",
    "two-processes",
    "wait-for-invalidation",
    "remove-under-lock",
    "register-under-lock",
    "device-file-mapping",
    "unregister-under-lock",
    "unregister-correct",
    "aging-and-device-file",
];

/// Runs whose quickest is the time of a row.
const TIMED_RUNS: usize = 9;

pub(crate) fn matrix(registry: &Registry, args: &MatrixArgs) -> Exit {
    let rows = match rows(args) {
        Ok(rows) => rows,
        Err(line) => {
            out::error(&line);
            return Exit::BadInput;
        }
    };
    let workloads = match workloads(registry, args) {
        Ok(workloads) => workloads,
        Err(exit) => return exit,
    };
    let bar = progress_bar(rows.len());
    let mut matrix = measure(&workloads, &rows, args.jobs, &|done| bar.set_position(done as u64));
    bar.finish_and_clear();
    if args.timed {
        for row in &mut matrix.rows {
            row.ns_per_bracket = Some(ns_per_bracket(registry, &row.row));
        }
    }
    print(&matrix, args.format);
    let mut exit = if matrix.unfit.is_empty() { Exit::AsExpected } else { Exit::Unexpected };
    let pictures = [(&args.markdown, Matrix::to_markdown as fn(&Matrix) -> String), (&args.svg, Matrix::to_svg)];
    for (file, text) in pictures {
        if let Some(file) = file {
            exit = exit.and(write(file, &text(&matrix)));
        }
    }
    exit
}

fn rows(args: &MatrixArgs) -> Result<Vec<Row>, String> {
    if args.vary.is_empty() {
        return Ok(default_rows());
    }
    product(&args.vary).map_err(|why| format!("--vary: {why}"))
}

fn workloads(registry: &Registry, args: &MatrixArgs) -> Result<Vec<Workload>, Exit> {
    if args.files.is_empty() {
        return Ok(SHIPPED.iter().map(|(name, text)| ((*name).to_owned(), shipped(registry, name, text))).collect());
    }
    let no_settings = ScenarioArgs { settings: Vec::new(), format: args.format };
    // All files are read, so that every mistake is told, before anything is run.
    let loaded: Vec<_> = args.files.iter().map(|file| (name(file), load(registry, file, &no_settings))).collect();
    loaded.into_iter().map(|(name, experiment)| Ok((name, experiment?))).collect()
}

fn name(file: &Path) -> String {
    file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

fn shipped(registry: &Registry, name: &str, text: &str) -> Experiment {
    let file = format!("{name}.mms");
    Experiment::load(registry, &file, text).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|m| m.render(&file, text, false)).collect::<String>())
    })
}

/// The quickest of several runs, after one that fills caches.
fn ns_per_bracket(registry: &Registry, row: &Row) -> u64 {
    let (mut soak, recipe) = cost_run(row, registry);
    soak.run(recipe);
    let one = |_| {
        let clock = Clock::start();
        soak.run(recipe);
        clock.elapsed().as_nanos() as u64 / COST_BRACKETS
    };
    (0..TIMED_RUNS).map(one).min().unwrap_or(0)
}

fn print(matrix: &Matrix, format: Format) {
    match format {
        Format::Json => out::print(&format!("{}\n", matrix.to_json())),
        Format::Human => out::print_matrix(&matrix.to_text()),
    }
    for unfit in &matrix.unfit {
        out::error(&format!("{} under {}: unexpectedly {}", unfit.workload, unfit.row, unfit.what));
    }
}

fn write(file: &Path, text: &str) -> Exit {
    match fs::write(file, text) {
        Ok(()) => Exit::AsExpected,
        Err(why) => {
            out::error(&format!("{}: cannot be written: {why}", file.display()));
            Exit::BadInput
        }
    }
}

fn progress_bar(rows: usize) -> ProgressBar {
    // Hidden by itself when standard error is no terminal.
    let bar = ProgressBar::new(rows as u64);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} rows, {eta} left") {
        bar.set_style(style);
    }
    bar
}
