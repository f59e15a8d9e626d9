//! Who waits for whom when nothing can run any more.

use crate::kernel::Kernel;
use crate::names::NAMES;
use crate::task::{TaskCx, Waits};
use mm_types::{Name, ObjId, TaskId};
use sched::{Context, Gate};
use trace::{BlockedTask, HeldRef, RunEnd, WaitFor};

impl Kernel {
    /// Every blocked task with what it waits for, who holds that, and what it holds itself; and a cycle among them.
    pub(crate) fn explain_deadlock(&self, blocked: &[(TaskId, ObjId)]) -> RunEnd {
        let mut blocked: Vec<BlockedTask> = blocked.iter().map(|(task, obj)| self.blocked_task(*task, *obj)).collect();
        blocked.sort_by_key(|b| b.task);
        let cycle = find_cycle(&blocked);
        RunEnd::Deadlock { blocked, cycle }
    }

    fn what(&self, waits: Waits) -> Name {
        match waits {
            Waits::Lock(class, _) => self.class_row(class).map_or(NAMES.lock, |row| row.printed),
            Waits::Event(what) => what,
        }
    }

    /// What one that waits for a gate waits for: that what interrupted it returns, or that it can arrive.
    fn what_of_gate(&self, task: TaskId, gate: Option<Gate>) -> Name {
        let Some(Gate { cpu, of, taken_by: Some(by) }) = gate else { return Name::new("interrupt") };
        let (by, masked) = (self.task_name(by), self.sched.context(by) < of);
        let kind = if of == Context::Hardirq { "interrupts" } else { "bottom halves" };
        Name::new(&match (self.sched.arrives_at(task), masked) {
            (None, _) => format!("return from interrupt {by}"),
            (Some(_), true) => format!("{kind} to be enabled by {by}"),
            (Some(_), false) => format!("the CPU of {}, where {by} is", self.task_name(cpu)),
        })
    }

    fn blocked_task(&self, task: TaskId, obj: ObjId) -> BlockedTask {
        let tasks = self.tasks.borrow();
        let cx = &tasks[task.0 as usize];
        let pin = self.pins.waiting(obj);
        let gate = self.sched.gate(obj);
        let (what, site) = match (&cx.wait, pin) {
            (_, None) if gate.is_some() => (self.what_of_gate(task, gate), String::new()),
            (_, Some(p)) => (Name::new(&format!("order {}@{}", p.before.0, p.before.1)), String::new()),
            (Some(w), None) if w.obj == obj => {
                let site = w.location.to_string();
                (self.what(w.waits), cx.frame.map_or(site.clone(), |frame| format!("{site} in {frame}")))
            }
            _ => (Name::new("wait"), String::new()),
        };
        let mut holders: Vec<TaskId> =
            (0..).map(TaskId).zip(tasks.iter()).filter(|(_, t)| really_holds(t, obj)).map(|(id, _)| id).collect();
        holders.extend(gate.and_then(|gate| gate.taken_by));
        holders.extend(self.debts.borrow().get(&obj).into_iter().flatten());
        if let Some(p) = pin {
            holders.extend((1..tasks.len() as u32).map(TaskId).filter(|t| self.task_name(*t) == p.before.0));
        }
        holders.sort_unstable();
        holders.dedup();
        let mut holds: Vec<HeldRef> = cx
            .held
            .locks()
            .iter()
            .map(|l| {
                let row = self.class_of_id(l.class());
                let at = l.site();
                HeldRef {
                    obj: ObjId(l.instance()),
                    class: row.map_or_else(|| Name::new("?"), |r| r.printed),
                    kind: row.map_or(trace::LockKind::Map, |r| r.class.kind),
                    mode: Kernel::held_mode(l.read()),
                    site: at.frame.map_or_else(|| at.location.to_string(), |f| format!("{} in {f}", at.location)),
                }
            })
            .collect();
        // The lock it waits for is the innermost entry: not held yet.
        let wanted = cx.wait.map_or(obj, |wait| wait.obj);
        if holds.last().is_some_and(|h| h.obj == wanted) {
            holds.pop();
        }
        BlockedTask { task, name: self.task_name(task), waits_for: WaitFor { obj, what, site, holders }, holds }
    }
}

/// Whether the task has `obj`. Lockdep hears of an acquisition before the wait, so a task that waits for a lock has it
/// on its stack once without holding it.
fn really_holds(cx: &TaskCx, obj: ObjId) -> bool {
    let entries = cx.held.locks().iter().filter(|l| l.instance() == obj.0).count();
    let waiting = usize::from(cx.wait.is_some_and(|w| w.obj == obj));
    entries > waiting
}

/// The tasks of one cycle of waits, from its lowest id; empty if there is none.
fn find_cycle(blocked: &[BlockedTask]) -> Vec<TaskId> {
    let next = |t: TaskId| blocked.iter().find(|b| b.task == t).map_or(&[][..], |b| b.waits_for.holders.as_slice());
    for start in blocked {
        let mut path = vec![start.task];
        if walk(&next, start.task, &mut path) {
            return path;
        }
    }
    Vec::new()
}

/// Extends `path` depth first until it comes back to `start`. Blocked tasks are few.
fn walk<'a>(next: &impl Fn(TaskId) -> &'a [TaskId], start: TaskId, path: &mut Vec<TaskId>) -> bool {
    let Some(&last) = path.last() else { return false };
    for &t in next(last) {
        if t == start {
            return true;
        }
        if t > start && !path.contains(&t) {
            path.push(t);
            if walk(next, start, path) {
                return true;
            }
            path.pop();
        }
    }
    false
}
