//! `order`, `steer`, `expect`, `never`, `assert`.

use super::Checker;
use super::globals::global_locks;
use super::names::offer;
use crate::ast::{Assertion, Counted, Name, PinPoint, Taken};
use crate::diagnostic::Diagnostic;
use crate::lost::Namespace;
use crate::span::Spanned;
use crate::suggest;
use std::collections::{BTreeMap, BTreeSet};

impl Checker<'_> {
    pub(super) fn clauses(&mut self) {
        let scenario = self.scenario;
        let known = self.known;
        self.codes("finding code", &scenario.expect, &known.finding_codes);
        self.codes("kind of finding", &scenario.never, &known.never_kinds);
        self.codes("quirk", &scenario.quirks, &known.quirks);
        self.codes("behaviour", &scenario.behaviours, &known.behaviours);
        let mut checked = BTreeSet::new();
        for pin in &scenario.order {
            // The middle of a chain belongs to two pins.
            for point in [&pin.before, &pin.after] {
                if checked.insert(point.span) {
                    self.pin_point(point);
                }
            }
        }
        self.pin_cycles();
        self.steers();
        for assertion in &scenario.asserts {
            if let Assertion::Count { counted, .. } = &assertion.node {
                self.counted(counted);
            }
        }
    }

    fn codes(&mut self, what: &str, used: &[Name], known: &BTreeSet<String>) {
        for code in used {
            if !self.open && !known.contains(&code.node) {
                let help = suggest::help(code, known.iter().map(String::as_str));
                let message = format!("there is no {what} `{}`", code.node);
                self.report(Diagnostic::new(code.span, message).help(help));
            }
        }
    }

    fn pin_point(&mut self, pin: &Spanned<PinPoint>) {
        if !self.names.tasks.contains(pin.task.as_str()) {
            let allowed: Vec<&str> = self.names.tasks.iter().copied().collect();
            self.undefined(&pin.task, pin.span, "there is no task", Namespace::Task, allowed);
        }
        let point = pin.point.as_str();
        if self.known.sync_points.contains(point) || self.may_be_lost(point) {
            return;
        }
        let points = self.sync_points();
        if points.contains(point) {
            return;
        }
        let mut span = pin.span;
        // The point is the last thing in the pin, unless someone put spaces between its parts.
        span.start = span.start.max(span.end.saturating_sub(point.len()));
        let allowed = points.iter().map(String::as_str);
        self.undefined(point, span, "there is no sync point", Namespace::Sync, allowed);
    }

    fn steers(&mut self) {
        let scenario = self.scenario;
        let mut first = BTreeMap::new();
        for steer in &scenario.steer {
            let task = &steer.task;
            if !self.names.tasks.contains(task.as_str()) {
                let allowed: Vec<&str> = self.names.tasks.iter().copied().collect();
                self.undefined(task, task.span, "there is no task", Namespace::Task, allowed);
            }
            if let Taken::Page { mm, .. } = &steer.takes.node {
                self.mm_exists(mm);
            }
            if let Taken::Cpu(task) = &steer.takes.node {
                self.has_a_cpu(task);
            }
            let which = (task.as_str(), steer.choice.node, steer.nth.node);
            if let Some(earlier) = first.insert(which, steer.span) {
                let message = "this choice is steered twice";
                self.report(Diagnostic::new(steer.span, message).secondary(earlier, "first here"));
            }
        }
    }

    /// Handlers come to the CPUs of tasks; they have none.
    fn has_a_cpu(&mut self, task: &Name) {
        let tasks = self.scenario.tasks.iter().filter(|t| t.interrupt.is_none());
        let tasks: Vec<&str> = tasks.map(|t| t.name.as_str()).collect();
        if !tasks.contains(&task.as_str()) {
            self.undefined(task, task.span, "there is no task", Namespace::Task, tasks);
        }
    }

    /// Whether the device, lock, operation or `sync` behind a sync point may have been given up.
    fn may_be_lost(&self, point: &str) -> bool {
        let Some((device, member)) = point.split_once('.') else {
            return self.lost.may_have_declared(point, Namespace::Global);
        };
        if device == "user" {
            return self.lost.may_have_declared(member, Namespace::Sync);
        }
        let Some(declared) = self.names.devices.get(device) else {
            return self.lost.may_have_declared(device, Namespace::Device);
        };
        let unknown = offer(declared, self.known).is_none();
        unknown || self.lost.may_have_declared(member, Namespace::Member)
    }

    /// Every sync point a pin can name.
    fn sync_points(&self) -> BTreeSet<String> {
        let mut points = self.known.sync_points.clone();
        points.extend(self.names.syncs.iter().map(|name| format!("user.{name}")));
        points.extend(global_locks(self.scenario).map(|(name, _)| name.to_owned()));
        for (name, device) in &self.names.devices {
            if let Some(offer) = offer(device, self.known) {
                points.extend(offer.members().map(|member| format!("{name}.{member}")));
            }
        }
        points
    }

    /// Reports the first pin that closes a cycle: no schedule satisfies it and those before it.
    fn pin_cycles(&mut self) {
        let scenario = self.scenario;
        let mut after: BTreeMap<&PinPoint, Vec<&PinPoint>> = BTreeMap::new();
        for pin in &scenario.order {
            let (before, later) = (&pin.before.node, &pin.after.node);
            if reaches(&after, later, before) {
                let message = "this pin contradicts the others";
                let help = format!(
                    "`{}@{}` already has to happen after `{}@{}`",
                    before.task, before.point, later.task, later.point
                );
                let help = if before == later { "nothing happens before itself".to_owned() } else { help };
                self.report(Diagnostic::new(pin.span, message).help(help));
                return;
            }
            after.entry(before).or_default().push(later);
        }
    }

    fn counted(&mut self, counted: &Counted) {
        let Counted::Callbacks { device, callback } = counted else {
            return;
        };
        let known = self.known;
        let Some(offer) = self.device_named(device).and_then(|d| offer(d, known)) else {
            return;
        };
        if !offer.callbacks.contains(&callback.node) {
            let help = suggest::help(callback, offer.callbacks.iter().map(String::as_str));
            let message = format!("device `{}` has no callback `{}`", device.node, callback.node);
            self.report(Diagnostic::new(callback.span, message).help(help));
        }
    }
}

/// Whether `to` follows from `from` in the graph `after`, in any number of steps, none included.
fn reaches<'a>(after: &BTreeMap<&'a PinPoint, Vec<&'a PinPoint>>, from: &'a PinPoint, to: &PinPoint) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut todo = vec![from];
    while let Some(point) = todo.pop() {
        if point == to {
            return true;
        }
        let next = after.get(point).into_iter().flatten();
        todo.extend(next.copied().filter(|&p| seen.insert(p)));
    }
    false
}
