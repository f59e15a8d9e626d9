//! The syntax tree: what a scenario says, each part with its place in the text.
//!
//! Everything public, plain and buildable by a program, since a shrunk finding is written back as a
//! scenario. Equality ignores places ([`Spanned`]). What the language leaves open (names of drivers,
//! options, finding codes, lock classes) is a string; what it closes is an enum.

mod clause;
mod device;
mod globals;
mod setup;
mod statement;

pub use clause::{Assertion, Comparison, Counted, Pin, PinPoint, Steer, SteeredChoice, Taken};
pub use device::{
    Callback, Device, DeviceBody, DeviceOption, DriverStatement, Handler, InlineDriver, InlineKind, Lock, LockKind,
    LockMode, NamedDriver, Operation, OptionValue, RangeExpr,
};
pub use globals::{Barrier, Condition, Global, GlobalStatement, Relation, Value};
pub use setup::{
    Annotations, Backing, KernelPreset, Machine, Mapping, MemoryModel, Mm, OtherMaps, Prime, RangeEndMap,
    RangeStartMap, Sharing, SrcuChecking, Switch, TouchPoint, Vma, Wrap,
};
pub use statement::{Argument, Interrupt, InterruptSource, Operand, Statement, Task};

use crate::span::{Source, Spanned};

/// A name of the scenario's own, or one it refers to.
pub type Name = Spanned<String>;

/// One scenario file.
///
/// Sections of one kind keep their order; the order between kinds says nothing and is not kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scenario {
    /// Where it came from, for turning spans into lines.
    pub source: Source,
    /// What it is called in reports.
    pub title: Spanned<String>,
    /// The kernel to behave like; absent: the default of whoever runs it.
    pub kernel: Option<Spanned<KernelPreset>>,
    /// The machine.
    pub machine: Machine,
    /// How the notifier hooks are annotated for the validator.
    pub annotations: Annotations,
    /// Bugs of the memory manager and the notifier framework, switched on.
    pub quirks: Vec<Name>,
    /// What is done otherwise than the kernel preset does it.
    pub behaviours: Vec<Name>,
    /// Address spaces, as they are before the tasks start.
    pub mms: Vec<Spanned<Mm>>,
    /// Locks and words that belong to no device.
    pub globals: Vec<Spanned<Global>>,
    /// Devices, registered in this order before the tasks start.
    pub devices: Vec<Spanned<Device>>,
    /// Tasks, all runnable at the start; behind them the handlers of interrupts.
    pub tasks: Vec<Spanned<Task>>,
    /// Pins: what has to happen before what.
    pub order: Vec<Spanned<Pin>>,
    /// `steer`: choices that are not left to the schedule.
    pub steer: Vec<Spanned<Steer>>,
    /// Finding codes that a passing run must find; none: it finds nothing.
    pub expect: Vec<Name>,
    /// Kinds of finding that must not occur, whatever `expect` says.
    pub never: Vec<Name>,
    /// What must be true of the run.
    pub asserts: Vec<Spanned<Assertion>>,
}
