//! What the language leaves open, told by the caller: this crate knows no driver and no finding.

use crate::ast::{Callback, InlineKind, KernelPreset, LockKind};
use crate::words::{DriverWord, MmOp, TaskWord, Word};
use std::collections::{BTreeMap, BTreeSet};

/// The sync points every world has, whatever its devices.
pub const SYNC_POINTS: [&str; 20] = [
    "notifier.range_start",
    "notifier.range_end",
    "notifier.callback",
    "notifier.read_begin",
    "notifier.read_retry",
    "notifier.register",
    "notifier.unregister",
    "notifier.deferred",
    "notifier.unlinked",
    "mm.zap",
    "mm.cow",
    "mm.moved",
    "mm.window",
    "mm.flush",
    "mm.fault",
    "mm.reclaim",
    "mm.migrate",
    "mm.free",
    "alloc",
    "interrupt.arrive",
];

/// The open words of the language, as one caller knows them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Vocabulary {
    /// Drivers by name. `interval` and `list` are the inline kinds: of their entries only the
    /// operations are read, which every driver of the kind has beside those it declares.
    pub drivers: BTreeMap<String, DriverWords>,
    /// Finding codes that `expect` may name.
    pub finding_codes: BTreeSet<String>,
    /// Sync points that belong to no device.
    pub sync_points: BTreeSet<String>,
    /// Kinds of finding that `never` may name.
    pub never_kinds: BTreeSet<String>,
    /// Bugs of the memory manager and the notifier framework that `quirks` may switch on.
    pub quirks: BTreeSet<String>,
    /// What `behaviours` may do otherwise than the kernel preset.
    pub behaviours: BTreeSet<String>,
    /// Words that may begin a statement, of a task or of an inline driver. A word of the language
    /// left out here is reported as unknown: a runner need not support them all.
    pub statements: BTreeSet<String>,
    /// Presets that `kernel` may name.
    pub kernels: BTreeSet<KernelPreset>,
}

/// What one driver offers to a scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DriverWords {
    /// Whether the device line gives it a range.
    pub range: RangeRule,
    /// Options by name.
    pub options: BTreeMap<String, OptionKind>,
    /// Ways in which it can be made wrong on purpose.
    pub mutants: BTreeSet<String>,
    /// Operations by name, with what each takes.
    pub operations: BTreeMap<String, Vec<Parameter>>,
    /// Locks that a task can take with `with`.
    pub locks: BTreeMap<String, LockKind>,
    /// Callbacks that `assert { callbacks .. }` can count.
    pub callbacks: BTreeSet<String>,
}

/// Whether a device of a driver subscribes to a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RangeRule {
    /// It must be given one.
    #[default]
    Required,
    /// It may be given one.
    Optional,
    /// It has none: it hears of the whole address space.
    Absent,
}

/// What an option's value may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OptionKind {
    /// A number or a size.
    Number,
    /// One of these words.
    Word(BTreeSet<String>),
    /// A string, quoted or a bare word.
    Text,
}

/// One parameter of an operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parameter {
    /// What it is called in messages.
    pub name: &'static str,
    /// Pages or a number.
    pub kind: ParameterKind,
    /// Whether it may be left out. Only the last ones may.
    pub optional: bool,
}

/// What a parameter takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParameterKind {
    /// An address range.
    Range,
    /// An address, any byte.
    Address,
    /// A number.
    Number,
}

impl Parameter {
    /// `RANGE`, required.
    pub const RANGE: Parameter = Parameter { name: "range", kind: ParameterKind::Range, optional: false };
    /// `ADDR`, required.
    pub const ADDRESS: Parameter = Parameter { name: "address", kind: ParameterKind::Address, optional: false };
    /// `[VALUE]`.
    pub const VALUE: Parameter = Parameter { name: "value", kind: ParameterKind::Number, optional: true };
}

impl Vocabulary {
    /// The language alone: the inline kinds, every statement, every sync point and preset, the two
    /// kinds of `never` that the language itself knows, and no driver and no finding code.
    #[must_use]
    pub fn builtin_only() -> Vocabulary {
        let task_words = TaskWord::ALL.iter().map(|w| w.word());
        let driver_words = DriverWord::ALL.iter().map(|w| w.word());
        Vocabulary {
            drivers: InlineKind::ALL.iter().map(|&kind| (kind.word().to_owned(), inline(kind))).collect(),
            finding_codes: BTreeSet::new(),
            sync_points: owned(SYNC_POINTS),
            never_kinds: owned(["deadlock", "stale"]),
            quirks: BTreeSet::new(),
            behaviours: BTreeSet::new(),
            statements: owned(task_words.chain(driver_words).chain(MmOp::ALL.iter().map(|w| w.word()))),
            kernels: KernelPreset::ALL.iter().copied().collect(),
        }
    }
}

/// What every inline driver of `kind` has without declaring it.
fn inline(kind: InlineKind) -> DriverWords {
    let operations = [
        ("map", vec![Parameter::RANGE]),
        ("zap", vec![Parameter::RANGE]),
        ("read", vec![Parameter::ADDRESS]),
        ("write", vec![Parameter::ADDRESS, Parameter::VALUE]),
        ("flush", vec![]),
    ];
    DriverWords {
        range: match kind {
            InlineKind::Interval => RangeRule::Required,
            InlineKind::List => RangeRule::Absent,
        },
        operations: operations.into_iter().map(|(name, parameters)| (name.to_owned(), parameters)).collect(),
        callbacks: owned(kind.callbacks().iter().map(|c: &Callback| c.word())),
        ..DriverWords::default()
    }
}

fn owned<'a>(words: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}
