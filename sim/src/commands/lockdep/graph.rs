//! `lockdep graph`: what all inputs together teach.

use super::input::{Form, Input};
use crate::cli::LockdepGraphArgs;
use crate::{Exit, out};
use lockdep::kernel_trace::TraceJudge;
use lockdep::recorded::{Case, Player};
use lockdep::{Lockdep, Run};
use std::fs;
use std::path::Path;

pub(super) fn graph(args: &LockdepGraphArgs) -> Exit {
    let mut learnt = Learnt { run: Run::new(Lockdep::new()), exit: Exit::AsExpected, cases: 0 };
    for path in &args.files {
        match Input::open(path, args.input) {
            Ok(mut input) => match input.form {
                Form::Json => learnt = learnt.cases(&mut input, args.only.as_deref()),
                Form::Trace => learnt = learnt.trace(&mut input),
            },
            Err(why) => learnt.bad(&why),
        }
    }
    if let (Some(id), 0) = (&args.only, learnt.cases) {
        learnt.bad(&format!("--only {id}: no case has this id"));
    }
    let exit = learnt.exit;
    let written = write_all(args, &mut learnt.run);
    exit.and(written)
}

/// What was learnt up to now.
struct Learnt {
    run: Run,
    exit: Exit,
    /// Recorded cases.
    cases: u64,
}

impl Learnt {
    fn cases(mut self, input: &mut Input, only: Option<&str>) -> Learnt {
        let mut player = Player::on(self.run);
        let mut complaints = Vec::new();
        while let Some((number, line)) = input.next_line() {
            match line.and_then(|line| Case::parse(&line).map_err(|e| e.to_string())) {
                Ok(case) if only.is_none_or(|id| case.id == id) => {
                    player.teach(&case);
                    self.cases += 1;
                }
                Ok(_) => {}
                Err(why) => complaints.push(format!("{}:{number}: {why}", input.name)),
            }
        }
        self.run = player.into_run();
        complaints.iter().for_each(|why| self.bad(why));
        self
    }

    fn trace(mut self, input: &mut Input) -> Learnt {
        let mut judge = TraceJudge::new(self.run, &input.name);
        let mut complaints = Vec::new();
        while let Some((number, line)) = input.next_line() {
            // Findings are `check`'s to print.
            if let Err(why) = line.and_then(|line| judge.line(number, &line).map_err(|e| e.to_string())) {
                complaints.push(format!("{}:{number}: {why}", input.name));
            }
        }
        self.run = judge.into_run();
        complaints.iter().for_each(|why| self.bad(why));
        self
    }

    fn bad(&mut self, why: &str) {
        out::error(why);
        self.exit = self.exit.and(Exit::BadInput);
    }
}

fn write_all(args: &LockdepGraphArgs, run: &mut Run) -> Exit {
    let mut exit = Exit::AsExpected;
    let mut write = |path: &Path, text: &str| exit = exit.and(write(path, text));
    if let Some(path) = &args.json {
        let graph = serde_json::to_value(run.graph()).unwrap_or_default();
        write(path, &format!("{graph}\n"));
    }
    if let Some(path) = &args.proc {
        let parts = [
            ("/proc/lockdep", run.proc_lockdep()),
            ("/proc/lockdep_chains", run.proc_lockdep_chains()),
            ("/proc/lockdep_stats", run.stats().to_string()),
        ];
        let parts = parts.map(|(name, text)| format!("==> {name} <==\n{}\n", text.trim_end()));
        write(path, &parts.join("\n"));
    }
    let only_dot = args.json.is_none() && args.proc.is_none();
    if let Some(path) = args.dot.as_deref().or(only_dot.then_some(Path::new("-"))) {
        write(path, &run.graph().to_dot());
    }
    exit
}

/// To a file, or to standard output for `-`.
fn write(path: &Path, text: &str) -> Exit {
    if path == Path::new("-") {
        out::print(text);
        return Exit::AsExpected;
    }
    match fs::write(path, text) {
        Ok(()) => Exit::AsExpected,
        Err(why) => {
            out::error(&format!("{}: cannot be written: {why}", path.display()));
            Exit::Internal
        }
    }
}
