//! `list`: what can be named, with one line each.

use crate::cli::{ListArgs, ListWhat};
use crate::{Exit, out};
use harness::Registry;

pub(crate) fn list(registry: &Registry, args: &ListArgs) -> Exit {
    let wanted = |what: ListWhat| args.what.is_none_or(|w| w == what);
    let mut text = String::new();
    let mut section = |title: &str, rows: &[(String, String)]| {
        let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
        text.push_str(&format!("{title}\n"));
        for (name, line) in rows {
            text.push_str(&format!("  {name:<width$}  {line}\n"));
        }
        text.push('\n');
    };
    if wanted(ListWhat::Drivers) {
        section("drivers, with their operations, options and mutants", &harness::listing::drivers(registry));
    }
    if wanted(ListWhat::Codes) {
        section("finding codes (`expect`) and kinds (`never`)", &harness::listing::codes());
    }
    if wanted(ListWhat::SyncPoints) {
        section("sync points (`order`)", &harness::listing::sync_points(registry));
    }
    if wanted(ListWhat::Quirks) {
        section("quirks (`quirks`)", &harness::listing::quirks());
    }
    if wanted(ListWhat::Behaviours) {
        section("behaviours (`behaviours`)", &harness::listing::behaviours());
    }
    if wanted(ListWhat::Statements) {
        section("statements", &harness::listing::statements());
    }
    out::print(text.trim_end_matches('\n'));
    out::print("\n");
    Exit::AsExpected
}
