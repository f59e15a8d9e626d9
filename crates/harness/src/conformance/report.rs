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
    /// The scenario.
    pub scenario: String,
}

impl Outcome {
    /// Whether nothing was wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
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
        let how = if self.passed() { "ok".to_owned() } else { format!("FAILED: {}", self.codes().join(", ")) };
        format!("test {} ... {how}\n", self.case)
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
        let ok = if self.passed() { "ok" } else { "not ok" };
        let _ = writeln!(text, "{ok} {number} {}", self.case);
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
    /// Whether every case passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.outcomes.iter().all(Outcome::passed)
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
        let failed: Vec<&Outcome> = self.outcomes.iter().filter(|o| !o.passed()).collect();
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
        let word = if failed.is_empty() { "ok" } else { "FAILED" };
        let passed = self.outcomes.len() - failed.len();
        let runs: u64 = self.outcomes.iter().map(|o| o.runs).sum();
        let steps: u64 = self.outcomes.iter().map(|o| o.steps).sum();
        let _ = writeln!(
            text,
            "\ntest result: {word}. {passed} passed; {} failed; {runs} runs, {steps} steps, sampled",
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
