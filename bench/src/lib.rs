//! Shootdown's costs beside its peers', in one run on one machine: `just bench`.
//!
//! Every row is ours, a peer's, and the ratio of the two, printed as one table at the end ([`Table`]); a figure alone says
//! more about the machine than about the code. The rows are in `benches/rows/`, one file an area.

mod counter;
pub mod validator;

pub use counter::{Bare, Counter, loom_counter};

use serde_json::Value;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What is measured.
    pub what: String,
    /// Criterion's id of our side, `group/function`.
    pub ours: String,
    /// Criterion's id of the peer, if there is one, and its name.
    pub peer: Option<(String, String)>,
    /// What the two times are divided by before they are shown: operations in one measured iteration, ours and the peer's.
    pub per: (f64, f64),
    /// Whether the row is what ours takes beyond the peer, not ours.
    pub added: bool,
    /// What the row is meant to stay under, in words.
    pub budget: &'static str,
}

/// A figure that is no time of an iteration: measured by its row, and shown below the table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What is measured.
    pub what: String,
    /// Ours and the peers', in words.
    pub measured: String,
    /// What it is meant to stay above or under, in words.
    pub budget: &'static str,
}

/// The rows of a run.
#[derive(Debug)]
pub struct Table {
    rows: Vec<Row>,
    figures: Vec<Figure>,
    results: PathBuf,
    since: SystemTime,
}

impl Table {
    /// A table of what criterion writes below `results` from now on: earlier results are not shown.
    #[must_use]
    pub fn new(results: &Path) -> Table {
        Table { rows: Vec::new(), figures: Vec::new(), results: results.to_owned(), since: SystemTime::now() }
    }

    /// Adds a row whose two sides do one operation an iteration.
    pub fn row(&mut self, what: &str, ours: &str, peer: Option<(&str, &str)>, budget: &'static str) {
        self.row_per(what, ours, peer, (1.0, 1.0), budget);
    }

    /// Adds a row whose sides do `per` operations an iteration.
    pub fn row_per(
        &mut self,
        what: &str,
        ours: &str,
        peer: Option<(&str, &str)>,
        per: (f64, f64),
        budget: &'static str,
    ) {
        let peer = peer.map(|(id, name)| (id.to_owned(), name.to_owned()));
        self.rows.push(Row { what: what.to_owned(), ours: ours.to_owned(), peer, per, added: false, budget });
    }

    /// Adds a row that shows how much longer ours takes than the one it is made of.
    pub fn added(&mut self, what: &str, ours: &str, bare: &str, budget: &'static str) {
        let peer = Some((bare.to_owned(), "what it is made of".to_owned()));
        self.rows.push(Row {
            what: what.to_owned(),
            ours: ours.to_owned(),
            peer,
            per: (1.0, 1.0),
            added: true,
            budget,
        });
    }

    /// Whether a figure of this name is to be measured: as criterion does it with its own, by the filters of the command line.
    #[must_use]
    pub fn wants(name: &str) -> bool {
        let mut filters = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).peekable();
        filters.peek().is_none() || filters.any(|filter| name.contains(filter.as_str()))
    }

    /// Adds a figure that the caller measured itself.
    pub fn figure(&mut self, what: &str, measured: String, budget: &'static str) {
        self.figures.push(Figure { what: what.to_owned(), measured, budget });
    }

    /// The median of a benchmark of this run, in nanoseconds; `None` if a filter left it out.
    fn median_ns(&self, id: &str) -> Option<f64> {
        let file = self.results.join(id).join("new").join("estimates.json");
        if fs::metadata(&file).ok()?.modified().ok()? < self.since {
            return None;
        }
        let estimates: Value = serde_json::from_str(&fs::read_to_string(file).ok()?).ok()?;
        estimates["median"]["point_estimate"].as_f64()
    }
}

fn time(ns: Option<f64>) -> String {
    match ns {
        None => "-".to_owned(),
        Some(ns) if ns < 1e3 => format!("{ns:.1} ns"),
        Some(ns) if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        Some(ns) => format!("{:.2} ms", ns / 1e6),
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<52} {:>10} {:>10} {:>11}  {:<28} budget",
            "what (median)", "ours", "peer", "ours / peer", "peer is"
        )?;
        for row in &self.rows {
            let ours = self.median_ns(&row.ours).map(|ns| ns / row.per.0);
            let peer = row.peer.as_ref().and_then(|(id, _)| self.median_ns(id)).map(|ns| ns / row.per.1);
            if ours.is_none() && peer.is_none() {
                continue;
            }
            let ours = if row.added { ours.zip(peer).map(|(ours, bare)| ours - bare) } else { ours };
            let ratio = ours.zip(peer).map_or_else(|| "-".to_owned(), |(ours, peer)| format!("{:.2}", ours / peer));
            let name = row.peer.as_ref().map_or("-", |(_, name)| name.as_str());
            let (ours, peer) = (time(ours), time(peer));
            writeln!(f, "{:<52} {ours:>10} {peer:>10} {ratio:>11}  {name:<28} {}", row.what, row.budget)?;
        }
        for Figure { what, measured, budget } in &self.figures {
            writeln!(f, "{what:<52} {measured:<64} {budget}")?;
        }
        Ok(())
    }
}
