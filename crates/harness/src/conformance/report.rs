//! How a driver did: values, as a test list, and as KTAP.

use serde::{Deserialize, Serialize};
use std::fmt::Write as _;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The finding's code, or one of [`CODES`](super::CODES).
    pub code: String,
    /// One line.
    pub title: String,
    /// The whole report.
    pub text: String,
    /// The command that shows it again.
    pub replay: String,
    /// A smaller scenario that shows the same.
    pub shrunk: Option<Smaller>,
}

/// A scenario made smaller, with its finding kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Smaller {
    /// It.
    pub scenario: String,
    /// Its size and that of the case's, and which run of it shows the finding.
    pub about: String,
}

/// How one case went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Its name.
    pub case: String,
    /// Runs it took.
    pub runs: u64,
    /// Visible operations in all of them.
    pub steps: u64,
    /// What was wrong; empty for a case that passed.
    pub failures: Vec<Failure>,
    /// Why it was not run, if it was not.
    pub skipped: Option<String>,
    /// What the case would have called, had the driver an operation for it.
    pub without: Vec<String>,
    /// The scenario; empty for a case that was not run.
    pub scenario: String,
}

impl Outcome {
    /// A case that failed otherwise than by being run to its end.
    #[must_use]
    pub fn failed(case: &str, failure: Failure, scenario: String) -> Outcome {
        let case = case.to_owned();
        Outcome { case, runs: 1, steps: 0, failures: vec![failure], skipped: None, without: Vec::new(), scenario }
    }

    /// Whether it was run and nothing was wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.skipped.is_none()
    }

    /// Whether something was wrong.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        !self.failures.is_empty()
    }

    /// The codes found, each once, sorted.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self.failures.iter().map(|f| f.code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// As a line of a test list.
    #[must_use]
    pub fn line(&self) -> String {
        let how = match &self.skipped {
            Some(why) => format!("skipped: {why}"),
            None if self.passed() => "ok".to_owned(),
            None => format!("FAILED: {}", self.codes().join(", ")),
        };
        format!("test {} ... {how}{}\n", self.case, self.left_out())
    }

    fn left_out(&self) -> String {
        if self.without.is_empty() { String::new() } else { format!(", without {}", self.without.join(", ")) }
    }

    /// As a result of KTAP, the `number`th, with diagnostics before it.
    #[must_use]
    pub fn ktap(&self, number: usize) -> String {
        let mut text = String::new();
        let shown = |f: &Failure| f.shrunk.as_ref().map_or(String::new(), |s| format!("{}\n{}", s.about, s.scenario));
        let texts: Vec<String> =
            self.failures.iter().map(|f| format!("{}\n{}\n{}", shown(f), f.text, f.replay)).collect();
        for line in texts.iter().flat_map(|text| text.trim_start().lines()) {
            let _ = writeln!(text, "# {line}");
        }
        if !self.without.is_empty() {
            let _ = writeln!(text, "# {}{}", self.case, self.left_out());
        }
        let ok = if self.is_failure() { "not ok" } else { "ok" };
        let skip = self.skipped.as_ref().map_or_else(String::new, |why| format!(" # SKIP {why}"));
        let _ = writeln!(text, "{ok} {number} {}{skip}", self.case);
        text
    }
}

/// How a driver did in all cases.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// The driver.
    pub driver: String,
    /// Case by case.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether no case failed, and some were run.
    #[must_use]
    pub fn passed(&self) -> bool {
        let failed = self.outcomes.iter().any(Outcome::is_failure);
        !failed && (self.outcomes.iter().any(Outcome::passed) || self.outcomes.is_empty())
    }

    /// The codes found in any case, each once, sorted.
    #[must_use]
    pub fn codes(&self) -> Vec<&str> {
        let mut codes: Vec<&str> = self.outcomes.iter().flat_map(Outcome::codes).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// What stands above the cases.
    #[must_use]
    pub fn head(driver: &str, cases: usize) -> String {
        format!("running {cases} conformance cases against {driver}\n")
    }

    /// What stands below the cases: each failure with the scenario, as small as it could be made, and its replay line; and the sum.
    #[must_use]
    pub fn tail(&self) -> String {
        let mut text = String::new();
        let failed: Vec<&Outcome> = self.outcomes.iter().filter(|o| o.is_failure()).collect();
        if !failed.is_empty() {
            text.push_str("\nfailures:\n");
        }
        for outcome in &failed {
            let _ = writeln!(text, "\n---- {} ----", outcome.case);
            if outcome.failures.iter().all(|failure| failure.shrunk.is_none()) {
                let _ = writeln!(text, "{}", outcome.scenario.trim_end());
            }
            for failure in &outcome.failures {
                if let Some(Smaller { scenario, about }) = &failure.shrunk {
                    let _ = writeln!(text, "shrunk for {}: {about}\n\n{}", failure.code, scenario.trim_end());
                }
                let _ = writeln!(text, "\n{}\nreplay: {}", failure.text, failure.replay);
            }
        }
        if !failed.is_empty() {
            text.push_str("\nfailures:\n");
            for outcome in &failed {
                let _ = writeln!(text, "    {}: {}", outcome.case, outcome.codes().join(", "));
            }
        }
        let word = match (failed.is_empty(), self.passed()) {
            (true, true) => "ok",
            (true, false) => "nothing was run",
            (false, _) => "FAILED",
        };
        let passed = self.outcomes.iter().filter(|o| o.passed()).count();
        let skipped = self.outcomes.iter().filter(|o| o.skipped.is_some()).count();
        let runs: u64 = self.outcomes.iter().map(|o| o.runs).sum();
        let steps: u64 = self.outcomes.iter().map(|o| o.steps).sum();
        let _ = writeln!(
            text,
            "\ntest result: {word}. {passed} passed; {} failed; {skipped} skipped; {runs} runs, {steps} steps, sampled",
            failed.len()
        );
        text
    }

    /// As a test list.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines: String = self.outcomes.iter().map(Outcome::line).collect();
        format!("{}{lines}{}", Report::head(&self.driver, self.outcomes.len()), self.tail())
    }

    /// As KTAP, version 1.
    #[must_use]
    pub fn to_ktap(&self) -> String {
        let results: String = self.outcomes.iter().enumerate().map(|(i, o)| o.ktap(i + 1)).collect();
        format!("{}{results}", Report::ktap_head(self.outcomes.len()))
    }

    /// What stands above the results of KTAP.
    #[must_use]
    pub fn ktap_head(cases: usize) -> String {
        format!("KTAP version 1\n1..{cases}\n")
    }
}
