//! One exhibit: a scenario in two versions, and what its head lines say.
//!
//! ```text
//! # What it is, in words.
//! #: kind wrong-order
//! #: year 2020
//! #: of KVM
//! #: detector stale-translation-oracle + schedule-exploration
//! #: runs 2000
//!
//! scenario "..."
//! expect { STALE }                                               #-
//! device gpu0 : kvm(A, 0x10000..0x20000) { mutant "zap-in-end" } #-
//! #+ device gpu0 : kvm(A, 0x10000..0x20000)
//! ```
//!
//! The text as it stands is the buggy version. A line that ends in `#-` is in that one only; what stands behind `#+` is in the
//! fixed one only. Lines keep their numbers.
//!
//! | head line | what |
//! |---|---|
//! | `kind`, `year`, `of`, `detector` | as in the record of the collection that the exhibit is named after |
//! | `runs N` | how many random schedules may be tried; without it one benign run must do |
//! | `strategy WORD` | how schedules are chosen; random without it |
//! | `because TEXT` | why the code that finds it is right although the record's detector is another |
//! | `only-buggy POINT ..` | sync points that are reached through the bug only |

use crate::experiment::Experiment;
use crate::registry::Registry;
use crate::token::Mode;
use properties::Code;
use scenario::Scenario;
use scenario::ast::DeviceBody;
use std::collections::BTreeSet;
use std::fmt::Write as _;

const BUGGY_ONLY: &str = "#-";
const FIXED_ONLY: &str = "#+ ";

/// How much is spent on finding it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Runs {
    /// One run with benign choices.
    One,
    /// So many runs of an exploration, at most.
    UpTo(u64),
}

/// In what the versions differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// A driver.
    Driver,
    /// A quirk of the memory manager or of the notifier framework.
    Quirk,
    /// The tasks: the scenario is a model of the code that was wrong.
    Scenario,
}

impl By {
    /// One word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            By::Driver => "driver",
            By::Quirk => "quirk",
            By::Scenario => "scenario",
        }
    }
}

/// A bug on show.
#[derive(Clone)]
pub struct Exhibit {
    /// The id of its record.
    pub name: String,
    /// The kind of bug.
    pub kind: String,
    /// When it was found.
    pub year: u32,
    /// Where: a subsystem.
    pub of: String,
    /// What the record says finds it.
    pub detector: String,
    /// How much may be spent.
    pub runs: Runs,
    /// How schedules are chosen.
    pub mode: Mode,
    /// Why another oracle than the record's is right.
    pub because: Option<String>,
    /// Sync points that only the buggy version reaches.
    pub only_buggy: BTreeSet<String>,
    /// The buggy version.
    pub buggy: Experiment,
    /// The fixed one.
    pub fixed: Experiment,
    text: String,
}

impl Exhibit {
    /// Reads an exhibit; no file is read.
    ///
    /// # Errors
    /// What is wrong with it: a head line that is missing or unknown, or the mistakes of a version.
    pub fn load(registry: &Registry, name: &str, text: &str) -> Result<Exhibit, String> {
        let head = Head { name, text };
        head.check_keys()?;
        let strategy = head.of("strategy").unwrap_or("random");
        let modes = [Mode::Random, Mode::Pct, Mode::Pos, Mode::Surw, Mode::Portfolio];
        let exhibit = Exhibit {
            name: name.to_owned(),
            kind: head.need("kind")?.to_owned(),
            year: head.number("year")?.ok_or_else(|| format!("{name}: no line `#: year`"))?,
            of: head.need("of")?.to_owned(),
            detector: head.need("detector")?.to_owned(),
            runs: head.number("runs")?.map_or(Runs::One, Runs::UpTo),
            mode: modes
                .into_iter()
                .find(|mode| mode.word() == strategy)
                .ok_or_else(|| format!("{name}: there is no strategy `{strategy}`"))?,
            because: head.of("because").map(str::to_owned),
            only_buggy: head.of("only-buggy").into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect(),
            buggy: version(registry, &format!("{}{name}", super::PREFIX), text)?,
            fixed: version(registry, &format!("{}{name}/fixed", super::PREFIX), &fixed_text(text))?,
            text: text.to_owned(),
        };
        exhibit.check()?;
        Ok(exhibit)
    }

    /// The text of the fixed version of the exhibit with this text.
    #[must_use]
    pub fn fixed_text(text: &str) -> String {
        fixed_text(text)
    }

    /// What it is called in reports: its scenario's title.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.buggy.scenario().title.node
    }

    /// The code that it must be found by: the first that it expects.
    #[must_use]
    pub fn code(&self) -> Code {
        let first = self.buggy.scenario().expect.first().and_then(|name| Code::parse(&name.node));
        first.expect("checked when it was loaded")
    }

    /// Codes that may be found in the same run.
    #[must_use]
    pub fn expected(&self) -> BTreeSet<Code> {
        crate::verdict::expected_codes(self.buggy.scenario())
    }

    /// In what the versions differ.
    #[must_use]
    pub fn by(&self) -> By {
        let (buggy, fixed) = (self.buggy.scenario(), self.fixed.scenario());
        if buggy.tasks != fixed.tasks || buggy.globals != fixed.globals || buggy.mms != fixed.mms {
            By::Scenario
        } else if buggy.quirks != fixed.quirks {
            By::Quirk
        } else {
            By::Driver
        }
    }

    /// Whether the record's detector is the oracle that makes this code.
    #[must_use]
    pub fn is_by_the_detector(&self) -> bool {
        let code = self.code();
        let is = |word: &str| self.detector.starts_with(word);
        (is("lockdep") && code.is_of_locks())
            || (is("ordering-oracle") && matches!(code, Code::OrdClear | Code::OrdPair | Code::OrdCallback))
            || (is("stale-translation-oracle") && matches!(code, Code::Stale | Code::StaleHarm))
            || (is("refcount/lifetime") && matches!(code, Code::Life | Code::StaleHarm))
            || (is("other (step-budget") && code == Code::ProgLivelock)
            || (is("other (fair-scheduler") && code == Code::ProgLivelock)
            || (is("other (retry budget)") && code == Code::ProgLivelock)
            || (is("other (refcount balance") && code == Code::Life)
    }

    /// The lines that the versions differ in, as a diff without its head; the clause of what is expected is left out.
    #[must_use]
    pub fn diff(&self) -> String {
        let mut diff = String::new();
        for line in self.text.lines().filter(|line| !line.trim_start().starts_with("expect")) {
            if let Some(only) = line.trim_end().strip_suffix(BUGGY_ONLY) {
                let _ = writeln!(diff, "-{}", only.trim_end());
            } else if let Some((indent, rest)) = fixed_only(line) {
                let _ = writeln!(diff, "+{indent}{rest}");
            }
        }
        for (driver, mutant) in self.mutants() {
            let _ = writeln!(diff, " {driver}, {mutant}: {}", driver_model::mutant_doc(&driver, &mutant).unwrap_or(""));
            for line in driver_model::mutant_sites(&driver, &mutant) {
                let _ = writeln!(diff, "     {line}");
            }
        }
        for quirk in &self.buggy.scenario().quirks {
            let doc = crate::listing::quirks().into_iter().find(|(name, _)| *name == quirk.node);
            let _ = writeln!(diff, " quirk {}: {}", quirk.node, doc.map_or_else(String::new, |(_, doc)| doc));
        }
        diff
    }

    /// Driver and mutant of each device that is wrong by name.
    fn mutants(&self) -> Vec<(String, String)> {
        let devices = self.buggy.scenario().devices.iter();
        devices
            .filter_map(|device| match &device.node.body {
                DeviceBody::Named(named) => {
                    Some((device.node.driver.node.clone(), named.mutant.as_ref()?.node.clone()))
                }
                DeviceBody::Inline(_) => None,
            })
            .collect()
    }

    fn check(&self) -> Result<(), String> {
        let name = &self.name;
        let (buggy, fixed) = (self.buggy.scenario(), self.fixed.scenario());
        if buggy.expect.iter().any(|code| Code::parse(&code.node).is_none()) || buggy.expect.is_empty() {
            return Err(format!("{name}: the buggy version expects nothing: put what finds it first into `expect`"));
        }
        if !fixed.expect.is_empty() {
            return Err(format!("{name}: the fixed version expects something: end the line of `expect` in `#-`"));
        }
        if !super::KINDS.contains(&self.kind.as_str()) {
            return Err(format!("{name}: there is no kind `{}`: one of {}", self.kind, super::KINDS.join(", ")));
        }
        if buggy_says_nothing_else(buggy, fixed) {
            return Err(format!("{name}: the versions do not differ: mark lines with `#-` and `#+`"));
        }
        if self.because.is_none() && !self.is_by_the_detector() {
            return Err(format!(
                "{name}: {} is not what `{}` finds: say why it is right, in `#: because`",
                self.code(),
                self.detector
            ));
        }
        Ok(())
    }
}

/// Head lines by their key.
struct Head<'a> {
    name: &'a str,
    text: &'a str,
}

const KEYS: [&str; 8] = ["kind", "year", "of", "detector", "runs", "strategy", "because", "only-buggy"];

impl<'a> Head<'a> {
    fn lines(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let text = self.text;
        text.lines().filter_map(|line| line.strip_prefix("#: ")).map(|line| line.split_once(' ').unwrap_or((line, "")))
    }

    fn of(&self, key: &str) -> Option<&'a str> {
        self.lines().find(|(k, _)| *k == key).map(|(_, value)| value.trim())
    }

    fn need(&self, key: &str) -> Result<&'a str, String> {
        self.of(key).ok_or_else(|| format!("{}: no line `#: {key}`", self.name))
    }

    fn number<N: std::str::FromStr>(&self, key: &str) -> Result<Option<N>, String> {
        let number = |word: &str| word.parse().map_err(|_| format!("{}: `#: {key} {word}` is no number", self.name));
        self.of(key).map(number).transpose()
    }

    fn check_keys(&self) -> Result<(), String> {
        match self.lines().find(|(key, _)| !KEYS.contains(key)) {
            Some((key, _)) => Err(format!("{}: no head line is called `{key}`: {}", self.name, KEYS.join(", "))),
            None => Ok(()),
        }
    }
}

/// Whether the versions differ in what they expect only.
fn buggy_says_nothing_else(buggy: &Scenario, fixed: &Scenario) -> bool {
    let mut silent = buggy.clone();
    silent.expect.clear();
    silent.to_string() == fixed.to_string()
}

fn version(registry: &Registry, file: &str, text: &str) -> Result<Experiment, String> {
    Experiment::load(registry, file, text)
        .map_err(|mistakes| mistakes.iter().map(|m| m.render(file, text, false)).collect::<Vec<_>>().join("\n"))
}

/// Indentation and statement of a line that is in the fixed version only.
fn fixed_only(line: &str) -> Option<(&str, &str)> {
    let rest = line.trim_start();
    rest.strip_prefix(FIXED_ONLY).map(|only| (&line[..line.len() - rest.len()], only))
}

fn fixed_text(text: &str) -> String {
    let line = |line: &str| match fixed_only(line) {
        Some((indent, rest)) => format!("{indent}{rest}\n"),
        None if line.trim_end().ends_with(BUGGY_ONLY) => "\n".to_owned(),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#: kind lifetime-uaf\n#: year 2022\n#: of x\n#: detector refcount/lifetime oracle\n\
        scenario \"s\"\nexpect { LIFE } #-\nmm A { vma 0x10000..0x20000 rw anon }\n\
        device d : interval_mirror(A, 0x10000..0x20000) { mutant \"keep-subscription\" } #-\n\
        #+ device d : interval_mirror(A, 0x10000..0x20000)\ntask t { unregister d }\n";

    #[track_caller]
    fn refused(text: &str, part: &str) {
        let why = Exhibit::load(&Registry::builtin(), "x", text).err().expect("refused");
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn the_marked_lines_are_the_difference() {
        let exhibit = Exhibit::load(&Registry::builtin(), "x", GOOD).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!((exhibit.by(), exhibit.runs, exhibit.code()), (By::Driver, Runs::One, Code::Life));
        assert!(exhibit.fixed.scenario().expect.is_empty());
        assert!(exhibit.diff().starts_with("-device d : interval_mirror(A, 0x10000..0x20000) { mutant"));
        assert!(exhibit.diff().contains("\n+device d : interval_mirror(A, 0x10000..0x20000)\n"));
        assert_eq!(fixed_text(GOOD).lines().count(), GOOD.lines().count());
    }

    #[test]
    fn what_is_wrong_with_an_exhibit_is_told() {
        refused(&GOOD.replace("#: year 2022\n", ""), "no line `#: year`");
        refused(&GOOD.replace("2022", "then"), "is no number");
        refused(&GOOD.replace("#: of x", "#: off x"), "no head line is called `off`");
        refused(&GOOD.replace("lifetime-uaf", "mishap"), "there is no kind `mishap`");
        refused(&GOOD.replace("{ LIFE } #-", "{ LIFE }"), "the fixed version expects something");
        refused(&GOOD.replace("expect { LIFE } #-", ""), "the buggy version expects nothing");
        refused(&GOOD.replace(" { mutant \"keep-subscription\" }", ""), "the versions do not differ");
        refused(&GOOD.replace("refcount/lifetime oracle", "lockdep-single-run"), "say why it is right");
        refused(&GOOD.replace("task t", "tusk t"), "did you mean");
    }
}
