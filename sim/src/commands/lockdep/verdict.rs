//! The verdict on one recorded case, in a line.

use lockdep::recorded::{Case, Expect, Noticed, Player};
use serde_json::{Value, json};

/// What a case should say, and what it said.
pub(super) struct Verdict<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    pub(super) case: &'a Case,
    pub(super) got: Option<Noticed>,
}

impl<'a> Verdict<'a> {
    /// Plays a case up to its first report.
    pub(super) fn of(player: &mut Player, file: &'a str, line: usize, case: &'a Case) -> Verdict<'a> {
        Verdict { file, line, case, got: player.play(case, false) }
    }

    /// Whether it came as expected; nothing if nothing was expected.
    pub(super) fn agrees(&self) -> Option<bool> {
        self.case.expect.agrees(self.got.as_ref())
    }

    /// The first operation at which expectation and result part.
    pub(super) fn parts_at(&self) -> Option<usize> {
        let expected = match &self.case.expect {
            Expect::Report(noticed) => Some(noticed.op),
            Expect::Silent | Expect::Unknown => None,
        };
        expected.into_iter().chain(self.got.as_ref().map(|noticed| noticed.op)).min()
    }

    /// `FILE:LINE: ID: agrees, operation 3: WARNING: ...`
    pub(super) fn to_text(&self) -> String {
        let got = said(self.got.as_ref());
        let verdict = match self.agrees() {
            None => got,
            Some(true) => format!("agrees, {got}"),
            Some(false) => format!("differs, expected {}, got {got}", self.expected()),
        };
        let id = match self.case.id.as_str() {
            "" => String::new(),
            id => format!(" {id}:"),
        };
        format!("{}:{}:{id} {verdict}\n", self.file, self.line)
    }

    /// What was expected, in words.
    pub(super) fn expected(&self) -> String {
        match &self.case.expect {
            Expect::Report(noticed) => noticed.to_string(),
            Expect::Silent | Expect::Unknown => said(None),
        }
    }

    /// What came, in words.
    pub(super) fn result(&self) -> String {
        said(self.got.as_ref())
    }

    pub(super) fn to_json(&self, explanation: &Value) -> Value {
        let expected = match &self.case.expect {
            Expect::Report(noticed) => Some(noticed),
            Expect::Silent | Expect::Unknown => None,
        };
        json!({
            "type": "case",
            "file": self.file,
            "line": self.line,
            "id": self.case.id,
            "report": self.got.as_ref().map(|noticed| &noticed.title),
            "at_op": self.got.as_ref().map(|noticed| noticed.op),
            "expected_report": expected.map(|noticed| &noticed.title),
            "expected_at_op": expected.map(|noticed| noticed.op),
            "agrees": self.agrees(),
            "explanation": explanation,
        })
    }
}

fn said(noticed: Option<&Noticed>) -> String {
    noticed.map_or_else(|| "silent".to_owned(), ToString::to_string)
}
