//! What came of all exhibits: problems, a table for people and for the documentation, JSON.

use super::exhibit::{Exhibit, Runs};
use super::show::{Acquittal, Certainty, Hunt};
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// One exhibit, shown.
#[derive(Clone)]
pub struct Shown {
    /// It.
    pub exhibit: Exhibit,
    /// The bug, or why it was not found as the exhibit says.
    pub hunt: Result<Hunt, String>,
    /// What the finding is worth.
    pub certainty: Certainty,
    /// The fixed version.
    pub acquittal: Acquittal,
    /// What finding it took, if somebody measured: the only figure that is not the same every time.
    pub seconds: Option<f64>,
}

impl Shown {
    /// Shows an exhibit: `tries` runs for a proof, at most `twin_runs` of the fixed version. `timed` runs what it is given and
    /// says how long that took.
    pub fn of(exhibit: &Exhibit, tries: u64, twin_runs: u64, timed: &dyn Fn(&mut dyn FnMut()) -> f64) -> Shown {
        let mut hunt = Err(String::new());
        let seconds = timed(&mut || hunt = exhibit.hunt());
        let certainty = hunt.as_mut().map_or(Certainty::Happened, |hunt| hunt.prove(exhibit, tries));
        let acquittal = hunt.as_ref().map_or_else(|_| Acquittal::default(), |hunt| exhibit.acquit(hunt, twin_runs));
        Shown { exhibit: exhibit.clone(), hunt, certainty, acquittal, seconds: Some(seconds) }
    }

    /// What is not as the exhibit promises.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let name = &self.exhibit.name;
        if let Err(why) = &self.hunt {
            return vec![format!("{name}: {why}")];
        }
        let found = self.acquittal.found.iter().map(|found| format!("{name}, fixed: {found}"));
        let unreached = &self.acquittal.unreached;
        let blind = (!unreached.is_empty())
            .then(|| format!("{name}, fixed: does not reach {}, so its silence says little", unreached.join(", ")));
        found.chain(blind).collect()
    }

    fn runs(&self) -> String {
        match (&self.hunt, self.exhibit.runs) {
            (Ok(_), Runs::One) => "one run".to_owned(),
            (Ok(hunt), Runs::UpTo(_)) => format!("run {}", hunt.runs),
            (Err(_), _) => "not found".to_owned(),
        }
    }

    fn worth(&self) -> &'static str {
        match &self.certainty {
            Certainty::Happened => "happened",
            Certainty::Proven { .. } => "proven",
            Certainty::Predicted { .. } => "predicted",
        }
    }

    fn time(&self) -> String {
        self.seconds.map_or_else(String::new, |s| format!("{:.0} ms", s * 1000.0))
    }

    fn twin(&self) -> String {
        let problems = self.problems().len();
        if problems == 0 { format!("silent in {}", self.acquittal.runs) } else { format!("{problems} problems") }
    }
}

/// Every exhibit that was shown.
#[derive(Clone, Default)]
pub struct Museum {
    /// In the order of their names.
    pub shown: Vec<Shown>,
}

/// How the lock findings fared.
struct Proofs {
    proven: usize,
    feasible: usize,
    infeasible: usize,
}

impl Museum {
    /// Everything that is not as promised: of each exhibit, and of the findings of cycles together. `proofs`: whether it was
    /// tried to prove them.
    #[must_use]
    pub fn problems(&self, proofs: bool) -> Vec<String> {
        let mut problems: Vec<String> = self.shown.iter().flat_map(Shown::problems).collect();
        let Proofs { proven, feasible, .. } = self.proofs();
        if proofs && proven * 10 < feasible * 9 {
            problems.push(format!("only {proven} of {feasible} feasible cycles of locks are proven: 9 of 10 must be"));
        }
        problems
    }

    fn proofs(&self) -> Proofs {
        let count = |wanted: fn(&Certainty) -> bool| self.shown.iter().filter(|s| wanted(&s.certainty)).count();
        let proven = count(|c| matches!(c, Certainty::Proven { .. }));
        let open = count(|c| matches!(c, Certainty::Predicted { feasible: true, .. }));
        let infeasible = count(|c| matches!(c, Certainty::Predicted { feasible: false, .. }));
        Proofs { proven, feasible: proven + open, infeasible }
    }

    fn lines(&self) -> Vec<[String; 7]> {
        let head = ["exhibit", "kind", "found by", "after", "time", "finding", "fixed"].map(str::to_owned);
        let line = |s: &Shown| {
            let codes = s.hunt.as_ref().map_or_else(|_| s.exhibit.code().to_string(), |hunt| hunt.codes().join(", "));
            let e = &s.exhibit;
            [e.name.clone(), e.kind.clone(), codes, s.runs(), s.time(), s.worth().to_owned(), s.twin()]
        };
        std::iter::once(head).chain(self.shown.iter().map(line)).collect()
    }

    /// A line an exhibit, then what is to be said about some of them, then the sum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let lines = self.lines();
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let mut text = String::new();
        for line in &lines {
            let words = line.iter().zip(widths).enumerate().map(|(column, (word, width))| match column {
                4 => format!("{word:>width$}"),
                _ => format!("{word:<width$}"),
            });
            let _ = writeln!(text, "{}", words.collect::<Vec<_>>().join("  ").trim_end());
        }
        text.push('\n');
        for shown in &self.shown {
            if let Certainty::Predicted { reason, .. } = &shown.certainty {
                let _ = writeln!(text, "{}: predicted: {reason}", shown.exhibit.name);
            }
        }
        text.push_str(&self.sum());
        text
    }

    /// One line about all.
    #[must_use]
    pub fn sum(&self) -> String {
        let kinds: BTreeSet<&str> = self.shown.iter().map(|s| s.exhibit.kind.as_str()).collect();
        let found = self.shown.iter().filter(|s| s.hunt.is_ok()).count();
        let Proofs { proven, feasible, infeasible } = self.proofs();
        format!(
            "{} exhibits of {} kinds, {found} found; of {feasible} feasible cycles of locks {proven} proven, {infeasible} more can \
             not happen in their scenario\n",
            self.shown.len(),
            kinds.len(),
        )
    }

    /// One exhibit with its reports, for people.
    #[must_use]
    pub fn to_page(shown: &Shown) -> String {
        let e = &shown.exhibit;
        let mut text = format!("{}: {} ({}, {})\n\n", e.name, e.title(), e.of, e.year);
        match &shown.hunt {
            Err(why) => {
                let _ = writeln!(text, "not found as it should be: {why}");
            }
            Ok(hunt) => text.push_str(&hunt.found().to_text()),
        }
        if let Some(because) = &e.because {
            let _ = writeln!(text, "\nthe record names another detector ({}): {because}", e.detector);
        }
        let found = match &shown.hunt {
            Ok(_) => format!("{} by {}", shown.runs(), e.code()),
            Err(_) => "nothing".to_owned(),
        };
        let Acquittal { runs, .. } = shown.acquittal;
        let _ = writeln!(text, "\nbuggy: {found}, {}; fixed: {runs} runs, {}", shown.worth(), shown.twin());
        text
    }

    /// The table in Markdown, with links to the pages beside it. Times are left out.
    #[must_use]
    pub fn to_markdown(&self) -> String {
        let mut text =
            "| exhibit | kind | versions differ in | found by | after | finding |\n|---|---|---|---|---|---|\n"
                .to_owned();
        for s in &self.shown {
            let codes = s.hunt.as_ref().map_or_else(|_| Vec::new(), Hunt::codes).join(", ");
            let (name, kind, by) = (&s.exhibit.name, &s.exhibit.kind, s.exhibit.by().word());
            let _ = writeln!(text, "| [{name}]({name}.md) | {kind} | {by} | {codes} | {} | {} |", s.runs(), s.worth());
        }
        text
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        let shown = self.shown.iter().map(Shown::to_json).collect::<Vec<_>>();
        let Proofs { proven, feasible, infeasible } = self.proofs();
        serde_json::json!({ "exhibits": shown, "proven": proven, "feasible": feasible, "infeasible": infeasible })
    }
}

impl Shown {
    fn to_json(&self) -> serde_json::Value {
        let e = &self.exhibit;
        let hunt = self.hunt.as_ref().ok();
        let (token, tries, reason) = match &self.certainty {
            Certainty::Happened => (None, None, None),
            Certainty::Proven { token, tries } => (Some(token), Some(tries), None),
            Certainty::Predicted { reason, .. } => (None, None, Some(reason)),
        };
        serde_json::json!({
            "name": e.name, "title": e.title(), "kind": e.kind, "year": e.year, "of": e.of, "detector": e.detector,
            "because": e.because, "by": e.by().word(), "code": e.code().text(), "one_run": e.runs == Runs::One,
            "found": hunt.map(Hunt::codes), "runs": hunt.map(|h| h.runs), "seconds": self.seconds,
            "token": hunt.map(|h| h.report.token.to_string()), "replay": hunt.map(|h| h.found().replay.clone()),
            "finding": self.worth(), "proof": token, "tries": tries, "reason": reason,
            "fixed_runs": self.acquittal.runs, "problems": self.problems(),
        })
    }
}
