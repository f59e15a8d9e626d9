//! [`DriverKind`]: a driver that can be made by name, and what it can be told.

use crate::driver::{Driver, OpInfo};
use ksync::Kernel;
use mm::Mm;
use mm_types::{Name, PageRange};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use trace::DevId;

/// A driver that can be made by name.
#[derive(Clone, Copy, Debug)]
pub struct DriverKind {
    /// The name a scenario writes.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// Ways in which it can be wrong on purpose.
    pub mutants: &'static [MutantInfo],
    /// What else it can be told.
    pub options: &'static [OptionInfo],
    /// Its operations.
    pub ops: &'static [OpInfo],
    /// What they are for.
    pub roles: Roles,
    /// It hears of the whole address space: a scenario gives it no range.
    pub whole_mm: bool,
    /// Makes one for pages of an address space, not attached yet. Called with a configuration that
    /// [`DriverKind::check`] found nothing wrong with; context: setup.
    pub make: fn(&Kernel, &Arc<Mm>, PageRange, &Config) -> Arc<dyn Driver>,
}

/// Which operations of a driver do what every driver does in some way: how the conformance suite and property tests call one that they
/// know nothing of. What an operation is called with is in its [`OpInfo::args`]: one that takes an address is called for each page, and
/// one that takes nothing for any.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roles {
    /// Establishes translations of some pages for reading, if need be by accesses.
    pub map: Option<&'static str>,
    /// The same for writing.
    pub map_write: Option<&'static str>,
    /// Drops translations on the driver's own behalf.
    pub unmap: Option<&'static str>,
    /// The device reads.
    pub read: Option<&'static str>,
    /// The device writes.
    pub write: Option<&'static str>,
}

impl Roles {
    /// None: a driver that can be subscribed, and no more.
    pub const NONE: Roles = Roles { map: None, map_write: None, unmap: None, read: None, write: None };

    /// Accesses that map what they miss, and nothing else.
    pub const ACCESSES: Roles =
        Roles { map: Some("read"), map_write: Some("write"), read: Some("read"), write: Some("write"), ..Roles::NONE };

    /// Those of a driver whose operations are called as the roles are.
    pub const BY_NAME: Roles = Roles {
        map: Some("map"),
        map_write: Some("map_write"),
        unmap: Some("unmap"),
        read: Some("read"),
        write: Some("write"),
    };

    /// Every role by its name, with its operation.
    #[must_use]
    pub const fn all(&self) -> [(&'static str, Option<&'static str>); 5] {
        [
            ("map", self.map),
            ("map_write", self.map_write),
            ("unmap", self.unmap),
            ("read", self.read),
            ("write", self.write),
        ]
    }
}

/// A driver's type that says by itself how it is made by name: what a test names it by.
pub trait HasKind {
    /// How.
    const KIND: DriverKind;
}

/// A way in which a driver can be wrong on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MutantInfo {
    /// Its name.
    pub name: &'static str,
    /// One line: what it does wrong.
    pub doc: &'static str,
}

/// A numeric or worded setting of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OptionInfo {
    /// Its name.
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    /// What holds when it is not given.
    pub default: &'static str,
    /// What it may be: the words, or none of them for a number from 1.
    pub words: &'static [&'static str],
}

/// How one driver is made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The device's number, unique in its world.
    pub dev: DevId,
    /// The device's name.
    pub name: Name,
    /// Which mutant, or the correct driver.
    pub mutant: Option<String>,
    /// Options given, by name.
    pub options: BTreeMap<String, String>,
}

impl Config {
    /// The correct driver with its defaults.
    #[must_use]
    pub fn new(dev: DevId, name: Name) -> Config {
        Config { dev, name, mutant: None, options: BTreeMap::new() }
    }

    /// Whether it is to be wrong in this way.
    #[must_use]
    pub fn is_mutant(&self, name: &str) -> bool {
        self.mutant.as_deref() == Some(name)
    }

    /// The same as a mutant.
    #[must_use]
    pub fn mutant(mut self, name: &str) -> Config {
        self.mutant = Some(name.to_owned());
        self
    }

    /// The same with an option.
    #[must_use]
    pub fn option(mut self, name: &str, value: &str) -> Config {
        self.options.insert(name.to_owned(), value.to_owned());
        self
    }

    /// An option as a number, or `default` when it was not given.
    #[must_use]
    pub fn number(&self, name: &str, default: u64) -> u64 {
        self.options.get(name).and_then(|v| v.parse().ok()).unwrap_or(default)
    }

    /// Whether an option was given as `word`.
    #[must_use]
    pub fn says(&self, name: &str, word: &str) -> bool {
        self.options.get(name).is_some_and(|v| v == word)
    }
}

/// Why a driver cannot be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConfigError {
    /// It has no such mutant.
    UnknownMutant(String),
    /// It has no such option.
    UnknownOption(String),
    /// The option cannot be that: its name, the value.
    BadValue(String, String),
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownMutant(name) => write!(f, "unknown mutant {name:?}"),
            Self::UnknownOption(name) => write!(f, "unknown option {name:?}"),
            Self::BadValue(name, value) => write!(f, "option {name:?} cannot be {value:?}"),
        }
    }
}

impl std::error::Error for ConfigError {}

impl DriverKind {
    /// Everything that is wrong with a configuration.
    #[must_use]
    pub fn check(&self, config: &Config) -> Vec<ConfigError> {
        let mutant = config.mutant.iter().filter(|m| self.mutants.iter().all(|info| info.name != m.as_str()));
        let mut errors: Vec<_> = mutant.cloned().map(ConfigError::UnknownMutant).collect();
        for (name, value) in &config.options {
            match self.options.iter().find(|info| info.name == name) {
                None => errors.push(ConfigError::UnknownOption(name.clone())),
                Some(info) if !info.allows(value) => {
                    errors.push(ConfigError::BadValue(name.clone(), value.clone()));
                }
                Some(_) => {}
            }
        }
        errors
    }
}

impl OptionInfo {
    fn allows(&self, value: &str) -> bool {
        if self.words.is_empty() { value.parse::<u64>().is_ok_and(|n| n >= 1) } else { self.words.contains(&value) }
    }
}
