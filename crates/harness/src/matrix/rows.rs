//! Rows: a value for every setting of the annotations.

use crate::experiment::Experiment;
use std::fmt;

/// A setting, its values, and which of them 6.12 has.
struct Setting {
    name: &'static str,
    values: &'static [&'static str],
    default: usize,
}

const SETTINGS: [Setting; 7] = [
    Setting { name: "range_start", values: &["none", "global", "per_mm", "per_mm_class"], default: 1 },
    Setting { name: "range_end", values: &["none", "shared", "own"], default: 1 },
    Setting { name: "wrap_start", values: &["always", "subscribed"], default: 0 },
    Setting { name: "wrap_end", values: &["always", "subscribed"], default: 1 },
    Setting {
        name: "prime",
        values: &[
            "none",
            "registration",
            "take_all_locks",
            "fs_reclaim",
            "registration,take_all_locks",
            "registration,fs_reclaim",
            "take_all_locks,fs_reclaim",
            "registration,take_all_locks,fs_reclaim",
        ],
        default: 3,
    },
    Setting { name: "touch", values: &["none", "read_begin", "remove", "read_begin,remove"], default: 3 },
    Setting { name: "other_callbacks", values: &["none", "shared", "own"], default: 0 },
];

/// Settings that were real, oldest first: when, and what differs from 6.12.
const HISTORY: [(&str, &[(&str, &str)]); 3] = [
    ("before 5.4", &[("range_start", "none"), ("range_end", "none"), ("prime", "none"), ("touch", "none")]),
    ("5.4", &[("prime", "registration"), ("touch", "none")]),
    ("5.5 to 5.9", &[("prime", "registration")]),
];

/// A value for every setting of the annotations but `srcu`, which stays as the scenario has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What it is called: what differs from 6.12, or when it was real.
    pub name: String,
    values: [usize; SETTINGS.len()],
}

/// There is no such setting to vary.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownSetting {
    /// What was asked for.
    pub asked: String,
}

impl fmt::Display for UnknownSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
        write!(f, "there is no setting `{}` to vary; there are {}", self.asked, names.join(", "))
    }
}

impl std::error::Error for UnknownSetting {}

impl Row {
    fn of_6_12() -> Row {
        Row { name: "6.12".to_owned(), values: SETTINGS.map(|s| s.default) }
    }

    fn with(&self, setting: usize, value: usize) -> Row {
        let mut row = self.clone();
        row.values[setting] = value;
        row.name = row.difference();
        row
    }

    /// What differs from 6.12.
    fn difference(&self) -> String {
        let changed: Vec<String> = SETTINGS
            .iter()
            .zip(self.values)
            .filter(|(s, value)| *value != s.default)
            .map(|(s, value)| format!("{}={}", s.name, s.values[value]))
            .collect();
        if changed.is_empty() { "6.12".to_owned() } else { changed.join(" ") }
    }

    /// The values: setting and value, in a fixed order.
    pub fn settings(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        SETTINGS.iter().zip(self.values).map(|(s, value)| (s.name, s.values[value]))
    }

    /// As the section of a scenario.
    pub(super) fn section(&self) -> String {
        let braced = |value: &str| if value == "none" { value.to_owned() } else { format!("{{ {value} }}") };
        let items: Vec<String> = self
            .settings()
            .map(|(name, value)| match name {
                "prime" | "touch" => format!("{name} {}", braced(value)),
                _ => format!("{name} {value}"),
            })
            .collect();
        format!("annotations {{ {} }}", items.join("  "))
    }

    pub(super) fn applied_to(&self, experiment: &Experiment) -> Experiment {
        let changed = experiment.with_annotations(&self.section());
        changed.expect("a row is written in the language of scenarios")
    }
}

/// The settings that were real, 6.12's, and each single change from it.
#[must_use]
pub fn default_rows() -> Vec<Row> {
    let base = Row::of_6_12();
    let history = HISTORY.iter().map(|(when, changes)| {
        let mut row = base.clone();
        for (name, value) in *changes {
            let (at, setting) = SETTINGS.iter().enumerate().find(|(_, s)| s.name == *name).expect("a setting's name");
            row.values[at] = setting.values.iter().position(|v| v == value).expect("a value of the setting");
        }
        row.name = format!("as {when}");
        row
    });
    let single = SETTINGS.iter().enumerate().flat_map(|(at, setting)| {
        let base = &base;
        (0..setting.values.len()).filter(|v| *v != setting.default).map(move |v| base.with(at, v))
    });
    // Where nothing primes the map, it counts which brackets enter it when reclaim unmaps a page.
    let unprimed = base.with(4, 0).with(2, 1);
    let mut rows: Vec<Row> = history.chain([base.clone()]).collect();
    // What was real under a name of its own is not said again.
    for row in single.chain([unprimed]) {
        if rows.iter().all(|known| known.values != row.values) {
            rows.push(row);
        }
    }
    rows
}

/// Every combination of the values of the settings named, the others as 6.12 has them.
///
/// # Errors
/// A name that is no setting's.
pub fn product(names: &[String]) -> Result<Vec<Row>, UnknownSetting> {
    let mut rows = vec![Row::of_6_12()];
    for name in names {
        let found = SETTINGS.iter().position(|s| s.name == name);
        let at = found.ok_or_else(|| UnknownSetting { asked: name.clone() })?;
        rows = rows.iter().flat_map(|row| (0..SETTINGS[at].values.len()).map(|v| row.with(at, v))).collect();
    }
    // A setting that is named twice would give each row twice.
    rows.dedup();
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_named_after_what_differs_and_are_distinct() {
        let rows = default_rows();
        assert_eq!(rows.iter().filter(|r| r.name == "6.12").count(), 1);
        assert!(
            rows.iter()
                .any(|r| r.name == "prime=none wrap_start=subscribed" || r.name == "wrap_start=subscribed prime=none")
        );
        for (at, row) in rows.iter().enumerate() {
            assert!(rows[..at].iter().all(|other| other.values != row.values), "{}", row.name);
        }
    }

    #[test]
    fn a_product_has_every_combination() {
        let names = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(product(&names(&["range_start", "prime"])).expect("known").len(), 32);
        let all: Vec<&str> = SETTINGS.iter().map(|s| s.name).collect();
        assert_eq!(product(&names(&all)).expect("known").len(), 4608);
        let unknown = product(&names(&["range_begin"])).expect_err("no such setting");
        assert!(unknown.to_string().contains("range_start, range_end"), "{unknown}");
    }
}
