//! Locks and words that belong to no device, and the statements about them.

use crate::compile::{Step, TaskStep};
use crate::devices::DeviceLock;
use ksync::{Kernel, MemoryModel, TrackedU64};
use mm_types::Name;
use scenario::ast::{self, GlobalStatement, LockKind, LockMode, Relation};
use scenario::{Scenario, Spanned};
use std::cell::Cell;

/// The globals of a scenario.
#[derive(Default, Debug)]
pub(crate) struct GlobalSpec {
    locks: Vec<(Name, LockKind)>,
    /// Name and first value.
    words: Vec<(Name, u64)>,
}

/// A statement about globals, its names resolved to indices.
#[derive(Debug)]
pub(crate) enum GlobalStep {
    With { lock: usize, mode: Option<LockMode>, body: Vec<Step<TaskStep>> },
    Load { register: usize, word: usize, acquire: bool },
    Store { word: usize, value: Value, release: bool },
    Barrier(ksync::Barrier),
    Add { word: usize, value: Value },
    If { condition: Condition, then: Vec<Step<TaskStep>>, otherwise: Vec<Step<TaskStep>> },
    Check { condition: Condition, text: String },
    Return,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Number(u64),
    Register(usize),
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Condition {
    register: usize,
    relation: Relation,
    value: Value,
}

impl GlobalSpec {
    pub(crate) fn of(scenario: &Scenario) -> GlobalSpec {
        let mut spec = GlobalSpec::default();
        for global in &scenario.globals {
            match &global.node {
                ast::Global::Lock { name, kind } => spec.locks.push((Name::new(&name.node), kind.node)),
                ast::Global::Word { name, value } => spec.words.push((Name::new(&name.node), *value)),
            }
        }
        spec
    }

    pub(crate) fn has_spinlocks(&self) -> bool {
        self.locks.iter().any(|(_, kind)| *kind == LockKind::Spinlock)
    }

    fn lock(&self, name: &str) -> Result<usize, String> {
        let found = self.locks.iter().position(|(lock, _)| lock.as_str() == name);
        found.ok_or_else(|| format!("there is no lock `{name}`"))
    }

    fn word(&self, name: &str) -> Result<usize, String> {
        let found = self.words.iter().position(|(word, _)| word.as_str() == name);
        found.ok_or_else(|| format!("there is no word `{name}`"))
    }

    /// Resolves a statement; `body` resolves what is nested in it.
    pub(crate) fn step(
        &self,
        statement: &GlobalStatement<Vec<Spanned<ast::Statement>>>,
        registers: &Registers,
        body: impl Fn(&[Spanned<ast::Statement>]) -> Result<Vec<Step<TaskStep>>, String>,
    ) -> Result<GlobalStep, String> {
        Ok(match statement {
            GlobalStatement::With { lock, mode, body: under } => {
                GlobalStep::With { lock: self.lock(&lock.node)?, mode: mode.map(|m| m.node), body: body(under)? }
            }
            GlobalStatement::Load { register, word, acquire } => GlobalStep::Load {
                register: registers.index(&register.node),
                word: self.word(&word.node)?,
                acquire: *acquire,
            },
            GlobalStatement::Store { word, value, release } => GlobalStep::Store {
                word: self.word(&word.node)?,
                value: registers.value(&value.node),
                release: *release,
            },
            GlobalStatement::Barrier(barrier) => GlobalStep::Barrier(match barrier {
                ast::Barrier::Full => ksync::Barrier::Full,
                ast::Barrier::Write => ksync::Barrier::Write,
                ast::Barrier::Read => ksync::Barrier::Read,
            }),
            GlobalStatement::Add { word, value } => {
                GlobalStep::Add { word: self.word(&word.node)?, value: registers.value(&value.node) }
            }
            GlobalStatement::If { condition, then, otherwise } => GlobalStep::If {
                condition: registers.condition(&condition.node),
                then: body(then)?,
                otherwise: body(otherwise)?,
            },
            GlobalStatement::Check { condition } => {
                GlobalStep::Check { condition: registers.condition(&condition.node), text: condition.node.to_string() }
            }
            GlobalStatement::Return => GlobalStep::Return,
        })
    }
}

/// The names of a task's registers, in the order in which they are met.
#[derive(Default)]
pub(crate) struct Registers(std::cell::RefCell<Vec<String>>);

impl Registers {
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    fn index(&self, name: &str) -> usize {
        let mut names = self.0.borrow_mut();
        names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        })
    }

    fn value(&self, value: &ast::Value) -> Value {
        match value {
            ast::Value::Number(n) => Value::Number(*n),
            ast::Value::Register(name) => Value::Register(self.index(name)),
        }
    }

    fn condition(&self, condition: &ast::Condition) -> Condition {
        let ast::Condition { register, relation, value } = condition;
        Condition { register: self.index(&register.node), relation: *relation, value: self.value(&value.node) }
    }
}

/// The memory model that a scenario asks for.
pub(crate) fn memory_model(scenario: &Scenario) -> MemoryModel {
    match scenario.machine.memory_model.map(|model| model.node) {
        None | Some(ast::MemoryModel::Sc) => MemoryModel::Sc,
        Some(ast::MemoryModel::Tso) => MemoryModel::Tso,
        Some(ast::MemoryModel::Relaxed) => MemoryModel::Relaxed,
    }
}

/// What the registers of one task hold.
pub(crate) type Held = [Cell<u64>];

impl Value {
    fn of(self, held: &Held) -> u64 {
        match self {
            Value::Number(n) => n,
            Value::Register(register) => held[register].get(),
        }
    }
}

impl Condition {
    pub(crate) fn holds(self, held: &Held) -> bool {
        let (left, right) = (held[self.register].get(), self.value.of(held));
        match self.relation {
            Relation::Is => left == right,
            Relation::Not => left != right,
            Relation::Has => left & right != 0,
        }
    }
}

/// The globals of one run.
pub(crate) struct Globals {
    pub(crate) locks: Vec<DeviceLock>,
    words: Vec<TrackedU64>,
}

impl Globals {
    /// Context: setup.
    pub(crate) fn build(k: &Kernel, spec: &GlobalSpec) -> Globals {
        Globals {
            locks: spec.locks.iter().map(|(name, kind)| DeviceLock::new(k, *name, *kind)).collect(),
            words: spec.words.iter().map(|(_, value)| TrackedU64::new(k.new_obj(), *value)).collect(),
        }
    }

    pub(crate) fn load(&self, held: &Held, register: usize, word: usize, acquire: bool) {
        let word = &self.words[word];
        held[register].set(if acquire { word.load_acquire() } else { word.load() });
    }

    pub(crate) fn store(&self, held: &Held, word: usize, value: Value, release: bool) {
        let (word, value) = (&self.words[word], value.of(held));
        if release { word.store_release(value) } else { word.store(value) }
    }

    pub(crate) fn add(&self, held: &Held, word: usize, value: Value) {
        self.words[word].add_return(value.of(held));
    }
}
