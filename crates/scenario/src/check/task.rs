//! Tasks: the address spaces and devices they name, and what they ask of devices.

use super::Checker;
use super::names::offer;
use crate::ast::{Argument, Device, GlobalStatement, LockMode, MemoryModel, Name, Operand, Statement, Task};
use crate::diagnostic::Diagnostic;
use crate::lost::Namespace;
use crate::span::{Span, Spanned};
use crate::vocabulary::{Parameter, ParameterKind};
use crate::words::MmOp;

impl<'a> Checker<'a> {
    pub(super) fn tasks(&mut self) {
        let scenario = self.scenario;
        for task in &scenario.tasks {
            self.task_body(&task.body);
            if task.interrupt.is_some() {
                self.handler(task);
            }
        }
        self.strong_memory();
    }

    /// A handler sees what its CPU has stored, whatever others see: no model of memory here knows of CPUs.
    fn strong_memory(&mut self) {
        let handlers = self.scenario.tasks.iter().any(|task| task.interrupt.is_some());
        let weak = self.scenario.machine.memory_model.filter(|model| model.node != MemoryModel::Sc);
        if let Some(model) = weak.filter(|_| handlers) {
            let message = "a scenario with interrupts has no weak memory";
            self.report(Diagnostic::new(model.span, message).help("leave out `memory_model`".to_owned()));
        }
    }

    /// A handler interrupts whatever there is: it has no mm, and makes no system calls. What it does to sleep is for the run
    /// to find.
    fn handler(&mut self, task: &Task) {
        for statement in &task.body {
            self.of_a_handler(statement, &task.name);
        }
    }

    fn of_a_handler(&mut self, statement: &Spanned<Statement>, name: &Name) {
        match &statement.node {
            Statement::With { body, .. }
            | Statement::Repeat { body, .. }
            | Statement::Global(GlobalStatement::With { body, .. }) => {
                body.iter().for_each(|statement| self.of_a_handler(statement, name));
            }
            Statement::Global(GlobalStatement::If { then, otherwise, .. }) => {
                then.iter().chain(otherwise).for_each(|statement| self.of_a_handler(statement, name));
            }
            Statement::Global(_)
            | Statement::Call { .. }
            | Statement::Alloc { .. }
            | Statement::Sync { .. }
            | Statement::Sleep { .. }
            | Statement::Yield => {}
            _ => {
                let message = format!("the handler of an interrupt, `{}`, cannot do this", name.node);
                let help = "it takes locks, uses words, allocates and calls devices".to_owned();
                self.report(Diagnostic::new(statement.span, message).help(help));
            }
        }
    }

    pub(super) fn task_body(&mut self, body: &[Spanned<Statement>]) {
        for statement in body {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Spanned<Statement>) {
        match &statement.node {
            Statement::Mmap { mm, .. }
            | Statement::Munmap { mm, .. }
            | Statement::Mprotect { mm, .. }
            | Statement::Brk { mm, .. }
            | Statement::Read { mm, .. }
            | Statement::Write { mm, .. }
            | Statement::Touch { mm, .. }
            | Statement::Exit { mm }
            | Statement::ReclaimRange { mm, .. }
            | Statement::Compact { mm, .. }
            | Statement::Swapin { mm, .. } => self.mm_exists(mm),
            Statement::With { device, lock, mode, body } => {
                self.device_lock(device, lock, *mode);
                self.task_body(body);
            }
            Statement::Repeat { body, .. } | Statement::FileWrite { body, .. } => self.task_body(body),
            Statement::Op { op, operands } => self.op(*op, operands),
            Statement::Notify { mm, body, .. } => {
                self.mm_exists(mm);
                self.task_body(body);
            }
            Statement::Global(statement) => self.global_statement(statement),
            Statement::Call { device, operation, arguments } => self.call(device, operation, arguments),
            Statement::Register { device } | Statement::Unregister { device } => {
                self.device_named(device);
            }
            Statement::Alloc { .. }
            | Statement::ReclaimPages { .. }
            | Statement::Sync { .. }
            | Statement::Mark { .. }
            | Statement::Sleep { .. }
            | Statement::Yield => {}
        }
    }

    fn op(&mut self, op: Spanned<MmOp>, operands: &[Spanned<Operand>]) {
        for operand in operands {
            if let Operand::Mm(name) = &operand.node {
                self.mm_exists(&Name::new(name.clone(), operand.span));
            }
        }
        if let (MmOp::Fork, Some(Spanned { node: Operand::Mm(child), span })) = (op.node, operands.get(1)) {
            let there = self.names.mms.get(child.as_str()).is_some_and(|mm| !mm.forked);
            if there {
                let message = format!("mm `{child}` is there from the start");
                let help = format!("an mm that is forked is declared `mm {child} {{ forked }}`");
                self.report(Diagnostic::new(*span, message).help(help));
            }
        }
    }

    /// The device called `name`, or a report that there is none.
    pub(super) fn device_named(&mut self, name: &Name) -> Option<&'a Device> {
        let device = self.names.devices.get(name.as_str()).copied();
        if device.is_none() {
            let allowed: Vec<&str> = self.names.devices.keys().copied().collect();
            self.undefined(name, name.span, "there is no device", Namespace::Device, allowed);
        }
        device
    }

    fn device_lock(&mut self, device: &Name, lock: &Name, mode: Option<Spanned<LockMode>>) {
        let known = self.known;
        let Some(offer) = self.device_named(device).and_then(|d| offer(d, known)) else {
            return;
        };
        match offer.locks.get(&lock.node) {
            Some(&kind) => self.lock_mode(lock, kind, mode),
            None => {
                let what = format!("device `{}` has no lock", device.node);
                let allowed = offer.locks.keys().map(String::as_str);
                self.undefined_member(lock, &what, allowed);
            }
        }
    }

    fn call(&mut self, device: &Name, operation: &Name, arguments: &[Spanned<Argument>]) {
        let known = self.known;
        let Some(offer) = self.device_named(device).and_then(|d| offer(d, known)) else {
            return;
        };
        match offer.operations.get(&operation.node) {
            Some(parameters) => self.arguments(operation, parameters, arguments),
            None => {
                let what = format!("device `{}` has no operation", device.node);
                let allowed = offer.operations.keys().map(String::as_str);
                self.undefined_member(operation, &what, allowed);
            }
        }
    }

    fn undefined_member<'w>(&mut self, name: &Name, what: &str, allowed: impl IntoIterator<Item = &'w str>) {
        self.undefined(name, name.span, what, Namespace::Member, allowed);
    }

    fn arguments(&mut self, operation: &Name, parameters: &[Parameter], arguments: &[Spanned<Argument>]) {
        if let Some(extra) = arguments.get(parameters.len()) {
            let span = extra.span.to(arguments[arguments.len() - 1].span);
            let message = format!("`{}` takes no more arguments", operation.node);
            let help = usage(operation, parameters);
            self.report(Diagnostic::new(span, message).help(help));
        }
        for (parameter, argument) in parameters.iter().zip(arguments) {
            let is_range = matches!(argument.node, Argument::Range(_));
            if is_range != (parameter.kind == ParameterKind::Range) {
                let message = format!("`{}` takes {} here", operation.node, article(parameter));
                let help = usage(operation, parameters);
                self.report(Diagnostic::new(argument.span, message).help(help));
            }
        }
        if let Some(missing) = parameters.get(arguments.len()).filter(|p| !p.optional) {
            let end = arguments.last().map_or(operation.span, |a| a.span).end;
            let message = format!("`{}` takes {}", operation.node, article(missing));
            let help = usage(operation, parameters);
            let diagnostic = Diagnostic::new(Span::at(end), message).label("expected here");
            self.report(diagnostic.help(help));
        }
    }
}

fn article(parameter: &Parameter) -> &'static str {
    match parameter.kind {
        ParameterKind::Range => "an address range",
        ParameterKind::Address => "an address",
        ParameterKind::Number => "a number",
    }
}

/// "write `bind RANGE`"
fn usage(operation: &Name, parameters: &[Parameter]) -> String {
    let mut usage = format!("write `{}", operation.node);
    for parameter in parameters {
        let name = parameter.name.to_uppercase();
        if parameter.optional {
            usage.push_str(&format!(" [{name}]"));
        } else {
            usage.push_str(&format!(" {name}"));
        }
    }
    usage.push('`');
    usage
}
