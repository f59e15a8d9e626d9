//! Tables of what a scenario declares.

use crate::ast::{
    Device, DeviceBody, DriverStatement, GlobalStatement, InlineDriver, InlineKind, LockKind, Mm, Name, Scenario,
    Statement, Task,
};
use crate::span::Spanned;
use crate::vocabulary::{DriverWords, Parameter, Vocabulary};
use crate::words::Word;
use std::collections::{BTreeMap, BTreeSet};

/// What the scenario declares, by name; of two equal names the first.
pub(super) struct Names<'a> {
    pub(super) mms: BTreeMap<&'a str, &'a Mm>,
    pub(super) devices: BTreeMap<&'a str, &'a Device>,
    pub(super) tasks: BTreeSet<&'a str>,
    /// Names of `sync` statements, of tasks and of drivers.
    pub(super) syncs: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    pub(super) fn of(scenario: &'a Scenario) -> Names<'a> {
        let mut names = Names {
            mms: BTreeMap::new(),
            devices: BTreeMap::new(),
            tasks: scenario.tasks.iter().map(|t| t.name.as_str()).collect(),
            syncs: BTreeSet::new(),
        };
        for mm in &scenario.mms {
            names.mms.entry(&mm.name).or_insert(mm);
        }
        for device in &scenario.devices {
            names.devices.entry(&device.name).or_insert(device);
            if let DeviceBody::Inline(driver) = &device.body {
                names.driver_syncs(driver);
            }
        }
        for task in &scenario.tasks {
            names.task_syncs(task);
        }
        names
    }

    fn task_syncs(&mut self, task: &'a Task) {
        walk(&task.body, &mut |statement| {
            if let Statement::Sync { name } = statement {
                self.syncs.insert(name);
            }
        });
    }

    fn driver_syncs(&mut self, driver: &'a InlineDriver) {
        let handlers = driver.handlers.iter().map(|h| &h.body);
        let operations = driver.operations.iter().map(|o| &o.body);
        for body in handlers.chain(operations) {
            walk_driver(body, &mut |statement| {
                if let DriverStatement::Sync { name } = statement {
                    self.syncs.insert(name);
                }
            });
        }
    }
}

/// Visits every statement of `body`, nested ones after the one they are nested in.
fn walk<'a>(body: &'a [Spanned<Statement>], visit: &mut impl FnMut(&'a Statement)) {
    for statement in body {
        visit(statement);
        match &statement.node {
            Statement::With { body, .. }
            | Statement::Repeat { body, .. }
            | Statement::Notify { body, .. }
            | Statement::FileWrite { body, .. }
            | Statement::Global(GlobalStatement::With { body, .. }) => walk(body, visit),
            Statement::Global(GlobalStatement::If { then, otherwise, .. }) => {
                walk(then, visit);
                walk(otherwise, visit);
            }
            _ => {}
        }
    }
}

/// Visits every statement of `body`, nested ones after the one they are nested in.
pub(super) fn walk_driver<'a>(body: &'a [Spanned<DriverStatement>], visit: &mut impl FnMut(&'a DriverStatement)) {
    for statement in body {
        visit(statement);
        match &statement.node {
            DriverStatement::With { body, .. } | DriverStatement::Retry { body } => {
                walk_driver(body, visit);
            }
            DriverStatement::IfBlockable { then, otherwise } => {
                walk_driver(then, visit);
                walk_driver(otherwise, visit);
            }
            _ => {}
        }
    }
}

/// What a device offers to tasks, whichever way its driver is written.
pub(super) struct Offer {
    pub(super) locks: BTreeMap<String, LockKind>,
    pub(super) operations: BTreeMap<String, Vec<Parameter>>,
    pub(super) callbacks: BTreeSet<String>,
}

/// What `device` offers; `None` if its driver is not known.
pub(super) fn offer(device: &Device, known: &Vocabulary) -> Option<Offer> {
    let kind = InlineKind::from_word(&device.driver);
    let words = known.drivers.get(&device.driver.node);
    let fallback = DriverWords::default();
    let words = match (words, kind) {
        (Some(words), _) => words,
        (None, Some(_)) => &fallback,
        (None, None) => return None,
    };
    let mut offer =
        Offer { locks: words.locks.clone(), operations: words.operations.clone(), callbacks: words.callbacks.clone() };
    if let (DeviceBody::Inline(driver), Some(kind)) = (&device.body, kind) {
        offer.add_inline(driver, kind);
    }
    Some(offer)
}

impl Offer {
    fn add_inline(&mut self, driver: &InlineDriver, kind: InlineKind) {
        for lock in &driver.locks {
            self.locks.insert(lock.name.node.clone(), lock.kind.node);
        }
        for op in &driver.operations {
            let parameters = if op.takes_range { vec![Parameter::RANGE] } else { vec![] };
            self.operations.insert(op.name.node.clone(), parameters);
        }
        let callbacks = kind.callbacks().iter().map(|c| c.word().to_owned());
        self.callbacks.extend(callbacks);
    }

    /// The names that sync points of this device end in.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        let operations = self.operations.keys().map(String::as_str);
        self.locks.keys().map(String::as_str).chain(operations)
    }
}

/// The names a driver declares for its locks and operations: one namespace, because sync points
/// name both as `DEVICE.NAME`.
pub(super) fn declared_members(driver: &InlineDriver) -> impl Iterator<Item = &Name> {
    let operations = driver.operations.iter().map(|o| &o.name);
    driver.locks.iter().map(|l| &l.name).chain(operations)
}
