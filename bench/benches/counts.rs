//! Instructions of the validator's rows, counted by callgrind: a figure that a busy machine does not change.
//!
//! Each load runs under valgrind twice, for different numbers of operations: the difference divided by the difference is
//! what one operation takes, whatever starting and setting up costs. The counts are compared with `counts.txt`, and more
//! than 5 % above one of them fails; `--bless` writes the file. gungraun would count the same, but wants a runner of just its
//! version installed beside it.
//!
//! `cargo bench --manifest-path bench/Cargo.toml --bench counts [-- [--bless] [FILTER]]`. Without valgrind it says so and ends
//! well: there is nothing to compare.

use shootdown_bench::validator::{Cold, Fifo, Shape, Warm};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// How far above its recorded count a load may be.
const SLACK: f64 = 1.05;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, load, times] = &args[..]
        && flag == "--load"
    {
        return perform(load, times);
    }
    // Other flags are criterion's: `cargo bench` hands the same ones to every benchmark.
    let filters: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let wanted = |load: &Load| filters.is_empty() || filters.iter().any(|filter| load.name.contains(filter.as_str()));
    let loads: Vec<Load> = loads().into_iter().filter(wanted).collect();
    count(&loads, args.iter().any(|arg| arg == "--bless"))
}

/// A load: how often it is performed in the shorter and the longer run, and operations each time.
struct Load {
    name: String,
    times: (u64, u64),
    operations: u64,
}

/// Classes of the loads that learn.
const CLASSES: usize = 1_000;

fn loads() -> Vec<Load> {
    let warm = [0, 3, 7].map(|depth| (format!("warm pair, {depth} held"), 1));
    let nested = [("warm pair under a nest_lock, 7 held".to_owned(), 1)];
    let fifo = [2, 4, 8].map(|depth| (format!("release in the order of taking, {depth} locks"), depth));
    let often = warm.into_iter().chain(nested).chain(fifo);
    let mut loads: Vec<Load> =
        often.map(|(name, operations)| Load { name, times: (1_000, 11_000), operations }).collect();
    loads.extend(Shape::ALL.into_iter().flat_map(|shape| {
        let operations = shape.edges(CLASSES).len() as u64;
        ["plain", "mixed"].map(|manner| Load {
            name: format!("new dependency, {}, {CLASSES} classes, {manner}", shape.name()),
            times: (0, 1),
            operations,
        })
    }));
    loads
}

/// In the process that is counted: a load by name, so many times.
fn perform(name: &str, times: &str) -> ExitCode {
    let times: u64 = times.parse().expect("a number of times");
    let repeat = |f: &mut dyn FnMut()| (0..times).for_each(|_| f());
    if let Some(rest) = name.strip_prefix("warm pair") {
        let depth = rest.split(' ').rev().nth(1).and_then(|word| word.parse().ok()).expect("a depth");
        let mut warm = if rest.contains("nest_lock") { Warm::nested(depth) } else { Warm::new(depth) };
        repeat(&mut || warm.pair());
    } else if let Some(rest) = name.strip_prefix("release in the order of taking, ") {
        let depth = rest.split(' ').next().and_then(|word| word.parse().ok()).expect("a depth");
        let mut fifo = Fifo::new(depth);
        repeat(&mut || fifo.round());
    } else {
        let shape = Shape::ALL.into_iter().find(|shape| name.contains(shape.name())).expect("a shape");
        let (edges, mut cold) = (shape.edges(CLASSES), Cold::new(CLASSES, name.ends_with("mixed")));
        repeat(&mut || cold.learn(&edges));
    }
    ExitCode::SUCCESS
}

fn count(loads: &[Load], bless: bool) -> ExitCode {
    if loads.is_empty() {
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: no instructions counted (Debian: apt-get install valgrind)");
        return ExitCode::SUCCESS;
    }
    let recorded = recorded();
    let (mut counts, mut worse) = (recorded.clone(), false);
    println!("{:<64} {:>12} {:>12}", "instructions of one operation", "now", "recorded");
    for load in loads {
        let Some(now) = instructions(load) else {
            println!("{:<64} callgrind gave no count", load.name);
            return ExitCode::FAILURE;
        };
        let before = recorded.get(&load.name).copied();
        let grew = before.is_some_and(|before| now > before * SLACK);
        worse |= grew;
        let before = before.map_or_else(|| "-".to_owned(), |before| format!("{before:.1}"));
        println!("{:<64} {now:>12.1} {before:>12}{}", load.name, if grew { "  MORE" } else { "" });
        counts.insert(load.name.clone(), now);
    }
    if bless {
        write(&counts);
        return ExitCode::SUCCESS;
    }
    if worse {
        println!("some loads take more than {:.0} % more instructions than recorded", 100.0 * (SLACK - 1.0));
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// What one operation of a load takes.
fn instructions(load: &Load) -> Option<f64> {
    let (few, many) = (collected(&load.name, load.times.0)?, collected(&load.name, load.times.1)?);
    let operations = (load.times.1 - load.times.0) * load.operations;
    Some((many - few) / operations as f64)
}

/// Everything the process executes that performs a load so many times.
fn collected(load: &str, times: u64) -> Option<f64> {
    let own = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["--load", load, &times.to_string()])
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find_map(|line| line.split_once("Collected : "))?;
    line.1.trim().parse().ok()
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt")
}

/// `count name` a line.
fn recorded() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(file()).unwrap_or_default();
    let pair = |line: &str| {
        let (count, name) = line.trim_start().split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(pair).collect()
}

fn write(counts: &BTreeMap<String, f64>) {
    let mut text =
        String::from("# Instructions of one operation, as callgrind counts them (x86-64): benches/counts.rs.\n");
    for (name, count) in counts {
        writeln!(text, "{count:>10.1} {name}").expect("writing to a string does not fail");
    }
    std::fs::write(file(), text).expect("counts.txt can be written");
}
