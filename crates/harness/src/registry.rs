//! Which drivers a scenario may name, and the vocabulary that follows from them.

use crate::verdict::hook_word;
use driver_model::{DriverKind, OpInfo, OptionInfo};
use properties::{Code, Stats};
use scenario::{DriverWords, OptionKind, Parameter, ParameterKind, RangeRule, Vocabulary};
use std::sync::Arc;

/// The drivers of a tool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    kinds: Arc<Vec<DriverKind>>,
}

impl Registry {
    /// The drivers that are shipped.
    #[must_use]
    pub fn builtin() -> Registry {
        Registry { kinds: Arc::new(driver_model::builtin()) }
    }

    /// The same with one more; a driver of the same name is replaced.
    #[must_use]
    pub fn with(self, kind: DriverKind) -> Registry {
        let mut kinds = (*self.kinds).clone();
        kinds.retain(|k| k.name != kind.name);
        kinds.push(kind);
        Registry { kinds: Arc::new(kinds) }
    }

    /// Every driver, in order of registration.
    #[must_use]
    pub fn kinds(&self) -> &[DriverKind] {
        &self.kinds
    }

    /// The driver with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&DriverKind> {
        self.kinds.iter().find(|k| k.name == name)
    }

    /// What a scenario may say.
    #[must_use]
    pub fn vocabulary(&self) -> Vocabulary {
        let mut known = Vocabulary::builtin_only();
        for kind in self.kinds.iter() {
            known.drivers.insert(kind.name.to_owned(), words(kind));
        }
        for inline in ["interval", "list"] {
            if let Some(words) = known.drivers.get_mut(inline) {
                words.callbacks = Stats::HOOKS.iter().map(|h| hook_word(*h).to_owned()).collect();
            }
        }
        known.finding_codes = Code::ALL.iter().map(|c| c.text().to_owned()).collect();
        known.never_kinds = Code::NEVER_WORDS.iter().map(|w| (*w).to_owned()).collect();
        known.quirks = crate::listing::quirks().into_iter().map(|(name, _)| name).collect();
        known.behaviours = crate::listing::behaviours().into_iter().map(|(name, _)| name).collect();
        known
    }
}

fn words(kind: &DriverKind) -> DriverWords {
    DriverWords {
        range: if kind.whole_mm { RangeRule::Absent } else { RangeRule::Required },
        options: kind.options.iter().map(|o| (o.name.to_owned(), option_kind(o))).collect(),
        mutants: kind.mutants.iter().map(|m| m.name.to_owned()).collect(),
        operations: kind.ops.iter().map(|op| (op.name.to_owned(), parameters(op))).collect(),
        callbacks: Stats::HOOKS.iter().map(|h| hook_word(*h).to_owned()).collect(),
        ..DriverWords::default()
    }
}

fn option_kind(option: &OptionInfo) -> OptionKind {
    if option.words.is_empty() {
        OptionKind::Number
    } else {
        OptionKind::Word(option.words.iter().map(|w| (*w).to_owned()).collect())
    }
}

/// Reads the words of [`OpInfo::args`]: `RANGE`, `ADDR`, `VALUE`, in brackets if optional.
fn parameters(op: &OpInfo) -> Vec<Parameter> {
    op.args
        .split_whitespace()
        .filter_map(|word| {
            let inner = word.trim_matches(['[', ']']);
            let optional = inner.len() != word.len();
            let parameter = match inner {
                "RANGE" => Parameter::RANGE,
                "ADDR" => Parameter::ADDRESS,
                "VALUE" => Parameter { name: "value", kind: ParameterKind::Number, optional: true },
                _ => return None,
            };
            Some(Parameter { optional: optional || parameter.optional, ..parameter })
        })
        .collect()
}
