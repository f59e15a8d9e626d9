//! The verdict on one recorded case, in a line.

use ksync::recorded::{self, Otherwise};
use lockdep::recorded::{Case, Expect, Noticed, Player};
use serde_json::{Value, json};

/// What a case should say, and what it said.
pub(super) struct Verdict<'a> {
    pub(super) file: &'a str,
    pub(super) line: usize,
    pub(super) case: &'a Case,
    pub(super) got: Option<Noticed>,
    /// A wait/wound mutex answered otherwise than recorded.
    otherwise: Option<Otherwise>,
}

impl<'a> Verdict<'a> {
    /// Plays a case up to its first report. What it does with read sections, allocations and wait/wound mutexes is done
    /// by those of the simulation; a case without is played on the validator alone, which costs less.
    pub(super) fn of(player: &mut Player, file: &'a str, line: usize, case: &'a Case) -> Verdict<'a> {
        let played = if recorded::performs(case) { recorded::play(case) } else { Ok(player.play(case, false)) };
        let (got, otherwise) = match played {
            Ok(got) => (got, None),
            Err(otherwise) => (None, Some(otherwise)),
        };
        Verdict { file, line, case, got, otherwise }
    }

    /// Whether it came as expected; nothing if nothing was expected.
    pub(super) fn agrees(&self) -> Option<bool> {
        if self.otherwise.is_some() {
            return Some(false);
        }
        self.case.expect.agrees(self.got.as_ref())
    }

    /// The first operation at which expectation and result part.
    pub(super) fn parts_at(&self) -> Option<usize> {
        let expected = match &self.case.expect {
            Expect::Report(noticed) => Some(noticed.op),
            Expect::Silent | Expect::Unknown => None,
        };
        let got = self.got.as_ref().map(|noticed| noticed.op).or(self.otherwise.as_ref().map(|otherwise| otherwise.op));
        expected.into_iter().chain(got).min()
    }

    /// `FILE:LINE: ID: agrees, operation 3: WARNING: ...`
    pub(super) fn to_text(&self) -> String {
        let got = self.result();
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
        self.otherwise.as_ref().map_or_else(|| said(self.got.as_ref()), ToString::to_string)
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
            "answered_otherwise": self.otherwise.as_ref().map(ToString::to_string),
            "agrees": self.agrees(),
            "explanation": explanation,
        })
    }
}

fn said(noticed: Option<&Noticed>) -> String {
    noticed.map_or_else(|| "silent".to_owned(), ToString::to_string)
}
