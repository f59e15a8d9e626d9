//! `mm`: recorded memory system calls, done again on the simulated mm.

use super::mm_live;
use crate::cli::{Format, MmCheckArgs, MmCommand};
use crate::{Exit, files, out};
use harness::mm_trace::{Check, Checked, Difference, Layer, Trace, parse};
use indicatif::ProgressBar;
use serde_json::json;
use std::path::Path;

/// Differences that are shown in full; of the others there is the number.
const SHOWN: usize = 20;

pub(crate) fn mm(command: &MmCommand) -> Exit {
    match command {
        MmCommand::Check(args) => check(args),
        MmCommand::Live(args) => mm_live::live(args),
        MmCommand::Record(args) => mm_live::record(args),
    }
}

fn check(args: &MmCheckArgs) -> Exit {
    let mut loaded = Vec::new();
    let mut bad = false;
    for path in &args.files {
        match load(path) {
            Ok(traces) => loaded.push((path.display().to_string(), traces)),
            Err(line) => {
                out::error(&line);
                bad = true;
            }
        }
    }
    if bad {
        return Exit::BadInput;
    }
    let check = Check { arena: args.arena };
    let bar = ProgressBar::new(loaded.iter().map(|(_, traces)| traces.len() as u64).sum());
    let mut all = Checked::default();
    for (name, traces) in &loaded {
        for trace in traces {
            let checked = check.trace(trace);
            if args.format == Format::Json {
                checked.differences.iter().for_each(|d| out::print(&format!("{}\n", difference_json(name, d))));
            }
            all.merge(checked);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    match args.format {
        Format::Human => out::print_report(&text(&all)),
        Format::Json => out::print(&format!("{}\n", summary_json(&all))),
    }
    if all.is_clean() { Exit::AsExpected } else { Exit::Unexpected }
}

/// The traces of a file, compressed or not.
fn load(path: &Path) -> Result<Vec<Trace>, String> {
    let text = files::read_text_or_gz(path)?;
    parse(&text).map_err(|e| format!("{}:{}: {}", path.display(), e.line, e.message))
}

fn text(all: &Checked) -> String {
    let mut lines = String::new();
    for difference in all.differences.iter().take(SHOWN) {
        lines.push_str(&format!("{difference}\n"));
    }
    if all.differences.len() > SHOWN {
        lines.push_str(&format!("{} more traces differ\n\n", all.differences.len() - SHOWN));
    }
    all.leaks.iter().for_each(|leak| lines.push_str(&format!("{leak}\n")));
    lines.push_str("layer          traces that part there first\n");
    for (layer, count) in all.by_layer() {
        lines.push_str(&format!("{:<14} {count}\n", layer.word()));
    }
    lines.push_str(&format!("{} of {} traces agree\n", all.traces_agree, all.traces));
    if all.not_followed > 0 {
        lines.push_str(&format!("{} operations come after the first difference of their trace\n", all.not_followed));
    }
    lines.push_str(&format!("{} operations agree, {} differ\n", all.agree, all.differences.len()));
    lines
}

fn difference_json(file: &str, difference: &Difference) -> serde_json::Value {
    let Difference { trace, line, index, part, layer, expected, got, .. } = difference;
    json!({
        "type": "difference", "file": file, "trace": trace, "line": line, "operation": index, "part": part,
        "layer": layer.word(), "expected": expected, "got": got,
    })
}

fn summary_json(all: &Checked) -> serde_json::Value {
    let layers: serde_json::Map<String, serde_json::Value> = all
        .by_layer()
        .into_iter()
        .map(|(layer, count): (Layer, u64)| (layer.word().to_owned(), json!(count)))
        .collect();
    json!({
        "type": "mm_check", "traces": all.traces, "traces_agree": all.traces_agree, "agree": all.agree,
        "differ": all.differences.len(), "not_followed": all.not_followed, "parted_in": layers, "leaks": all.leaks,
    })
}
