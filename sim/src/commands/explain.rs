//! `explain CODE`: a page about a finding code.
//!
//! The pages are `docs/findings/CODE.md`. Where a page runs a shipped scenario, it is run here, and what it finds of this code
//! is printed: two columns or a kernel report that cannot grow old.

use crate::cli::ExplainArgs;
use crate::{Exit, out};
use harness::{Experiment, Mode, Recipe, Registry};

macro_rules! pages {
    ($($code:literal,)*) => {
        const PAGES: &[(&str, &str)] = &[$(($code, include_str!(concat!("../../../docs/findings/", $code, ".md"))),)*];
    };
}

pages! {
    "LD-CIRCULAR", "LD-RECURSIVE", "LD-UNLOCK", "LD-IRQ", "LD-WAIT", "LD-HELD", "LD-RCU", "LD-MISUSE", "ORD-CLEAR", "ORD-PAIR",
    "ORD-CALLBACK", "STALE", "STALE-HARM", "SEQ", "COH", "CTX", "LIFE", "PROG-DEADLOCK", "PROG-LIVELOCK", "PROG-REQUEST", "CHECK", "PANIC", "CONFORM-ERROR", "CONFORM-IDLE", "CONFORM-HANG",
    "CONFORM-CRASH",
}

macro_rules! scenarios {
    ($($file:literal,)*) => {
        const SCENARIOS: &[(&str, &str)] = &[$((concat!("sim/scenarios/", $file), include_str!(concat!("../../scenarios/", $file))),)*];
    };
}

scenarios! {
    "userptr-reclaim.mms", "unmap-under-callback-lock.mms", "quirk-clears-before-start.mms", "quirk-unpaired-end.mms",
    "quirk-callback-after-unregister.mms", "mirror-ignores-protection.mms", "mirror-ignores-unmap.mms",
    "mirror-skips-retry.mms", "mirror-keeps-old-frame.mms", "mirror-keeps-subscription.mms", "alloc-under-spinlock.mms", "mutex-under-spinlock.mms",
    "retry-without-read-begin.mms", "lost-invalidation.mms", "reclaim-pinned.mms", "irq-lock-inversion.mms",
}

/// What a page's line begins with that names the scenario to run.
const RUNS: &str = "$ shootdown run ";

pub(crate) fn explain(registry: &Registry, args: &ExplainArgs) -> Exit {
    let Some(asked) = &args.code else {
        out::print(&codes());
        return Exit::AsExpected;
    };
    let code = asked.to_ascii_uppercase();
    match PAGES.iter().find(|(c, _)| *c == code) {
        Some((code, page)) => {
            out::print_report(&shown(registry, code, page));
            Exit::AsExpected
        }
        None => {
            out::error(&unknown(asked, &code));
            Exit::BadInput
        }
    }
}

fn unknown(asked: &str, code: &str) -> String {
    match scenario::nearest(code, PAGES.iter().map(|(c, _)| *c)) {
        Some(near) => format!("there is no finding code `{asked}`; did you mean `{near}`?"),
        None => format!("there is no finding code `{asked}`; `explain` without one lists them"),
    }
}

/// Every code with the title of its page.
fn codes() -> String {
    let width = PAGES.iter().map(|(code, _)| code.len()).max().unwrap_or(0);
    PAGES.iter().map(|(code, page)| format!("{code:<width$}  {}\n", title(page))).collect()
}

fn title(page: &str) -> &str {
    page.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, title)| title)
}

/// The page, with what its scenario finds in the place of the fence around the command.
fn shown(registry: &Registry, code: &str, page: &str) -> String {
    let mut text = String::with_capacity(2 * page.len());
    for line in page.lines().filter(|line| !line.starts_with("```")) {
        text.push_str(line);
        text.push('\n');
        if let Some(file) = line.strip_prefix(RUNS) {
            text.push_str(&found(registry, code, file));
        }
    }
    text
}

/// What the run of a shipped scenario finds of `code`.
fn found(registry: &Registry, code: &str, file: &str) -> String {
    let Some((_, scenario)) = SCENARIOS.iter().find(|(name, _)| *name == file) else { return String::new() };
    let Ok(experiment) = Experiment::load(registry, file, scenario) else { return String::new() };
    let report = experiment.run(Recipe { mode: Mode::Benign, seed: experiment.seed(), run: 0 }, false);
    let of_the_code = report.findings.iter().filter(|f| f.code == code);
    of_the_code.map(|f| format!("\n{}\n", f.text.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_code_has_a_page_and_every_page_a_code() {
        let pages: BTreeSet<&str> = PAGES.iter().map(|(code, _)| *code).collect();
        let mut codes: BTreeSet<String> = Registry::builtin().vocabulary().finding_codes.into_iter().collect();
        codes.extend(harness::conformance::CODES.iter().map(|(code, _)| (*code).to_owned()));
        assert_eq!(pages, codes.iter().map(String::as_str).collect());
        for (code, page) in PAGES {
            assert!(page.starts_with(&format!("# {code}: ")) && page.contains("\n## How to fix it\n"), "{code}");
        }
    }

    #[test]
    fn a_page_that_runs_a_scenario_shows_what_it_finds() {
        let mut without = Vec::new();
        for (code, page) in PAGES {
            let Some(file) = page.lines().find_map(|line| line.strip_prefix(RUNS)) else {
                without.push(*code);
                continue;
            };
            let found = found(&Registry::builtin(), code, file);
            // The kernel's layout of a lock report has no code in it.
            assert!(!found.is_empty() && (found.contains(code) || code.starts_with("LD-")), "{code}: {file}");
            assert!(shown(&Registry::builtin(), code, page).contains(found.trim()), "{code}: {file}");
        }
        // What no shipped scenario can do: guards keep the rules of locks, and only a driver in Rust panics, errs, idles,
        // hangs and dies.
        let locks = ["LD-UNLOCK", "LD-HELD", "LD-RCU", "LD-MISUSE"];
        let drivers = ["PANIC", "CONFORM-ERROR", "CONFORM-IDLE", "CONFORM-HANG", "CONFORM-CRASH"];
        assert_eq!(without, [&locks[..], &drivers].concat());
    }

    #[test]
    fn a_slip_gets_a_suggestion() {
        assert_eq!(
            unknown("LD-CIRCULER", "LD-CIRCULER"),
            "there is no finding code `LD-CIRCULER`; did you mean `LD-CIRCULAR`?"
        );
        assert!(unknown("x", "X").contains("lists them"));
        assert_eq!(codes().lines().count(), PAGES.len());
    }
}
