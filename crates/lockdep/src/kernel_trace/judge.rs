//! What the events mean to the validator.

use hashbrown::{HashMap, HashSet};
use rustc_hash::FxBuildHasher;

use super::line::{EventKind, TraceEvent, TraceLine};
use crate::acquire::{Acquire, LockKey, Read, Site};
use crate::class::{ClassId, ClassSpec};
use crate::context::IrqState;
use crate::held::Held;
use crate::recorded::BadLine;
use crate::run::{Run, Verdict};

/// Judges the lines of one trace after the other.
#[derive(Debug)]
pub struct TraceJudge {
    run: Run,
    /// What places are called: `name:line`.
    name: String,
    tasks: HashMap<TaskKey, Task, FxBuildHasher>,
    /// Locks that were seen to change hands, by address: nobody can have held one since before the beginning.
    passed: HashSet<u64, FxBuildHasher>,
    /// Locks a task cannot have held since before the beginning: it was seen taking them.
    taken: HashSet<(TaskKey, u64), FxBuildHasher>,
    summary: TraceSummary,
}

/// What was seen besides findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TraceSummary {
    /// Lock events.
    pub events: u64,
    /// Tasks that had one; the idle task of each CPU is one.
    pub tasks: usize,
    /// Releases of locks that may have been held when recording began.
    pub early_releases: Option<EarlyReleases>,
    /// How often events were lost.
    pub lost: u64,
    /// Lock events without a flags column.
    pub without_context: u64,
    /// The column was seen to tell whether softirqs are enabled.
    pub softirqs_known: bool,
}

/// See [`TraceSummary::early_releases`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EarlyReleases {
    /// How many.
    pub count: u64,
    /// The line of the first, from 1.
    pub first_line: usize,
}

/// The task's number, and for idle tasks (0) the CPU.
type TaskKey = (u32, u32);

#[derive(Debug)]
struct Task {
    held: Held,
    /// As long as `held`: address and line of each lock on it.
    lines: Vec<(u64, usize)>,
    /// As events tell, where there is no flags column.
    hardirqs: u16,
    softirqs: u16,
}

impl TraceJudge {
    /// A judge who adds to what `run` knows. `name` stands before the line number where a place is printed.
    #[must_use]
    pub fn new(run: Run, name: &str) -> Self {
        Self {
            run,
            name: name.to_owned(),
            tasks: HashMap::default(),
            passed: HashSet::default(),
            taken: HashSet::default(),
            summary: TraceSummary::default(),
        }
    }

    /// Judges a line; `number` is its place in the text, from 1.
    ///
    /// Keeps the name of each line that taught something for as long as the process lives.
    ///
    /// # Errors
    /// As [`TraceLine::parse`]: the line is left out, and the next can be judged.
    pub fn line(&mut self, number: usize, line: &str) -> Result<Verdict, BadLine> {
        Ok(match TraceLine::parse(line)? {
            TraceLine::Event(event) => self.event(number, &event),
            TraceLine::Lost => {
                self.lose();
                Verdict::Ok
            }
            TraceLine::TellsOfSoftirqs => {
                self.summary.softirqs_known = true;
                Verdict::Ok
            }
            TraceLine::Other => Verdict::Ok,
        })
    }

    /// What was seen besides findings.
    #[must_use]
    pub fn summary(&self) -> TraceSummary {
        TraceSummary { tasks: self.tasks.len(), ..self.summary }
    }

    /// The run, with its reports and its graph.
    #[must_use]
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// The run, for what looks through its graph.
    pub fn run_mut(&mut self) -> &mut Run {
        &mut self.run
    }

    /// Gives the run back.
    #[must_use]
    pub fn into_run(self) -> Run {
        self.run
    }

    fn lose(&mut self) {
        self.summary.lost += 1;
        self.passed.clear();
        self.taken.clear();
        for task in self.tasks.values_mut() {
            task.held.reset();
            task.lines.clear();
            (task.hardirqs, task.softirqs) = (0, 0);
        }
    }

    fn event(&mut self, number: usize, event: &TraceEvent<'_>) -> Verdict {
        if event.kind == EventKind::Other {
            return Verdict::Ok;
        }
        let key = (event.pid, if event.pid == 0 { event.cpu.unwrap_or(0) } else { 0 });
        let fresh = || Task { held: Held::new(event.comm, event.pid), lines: Vec::new(), hardirqs: 0, softirqs: 0 };
        // Taken out, so that task and run can be had at once.
        let mut task = self.tasks.remove(&key).unwrap_or_else(fresh);
        let verdict = self.event_of(number, event, key, &mut task);
        self.tasks.insert(key, task);
        verdict
    }

    fn event_of(&mut self, number: usize, event: &TraceEvent<'_>, key: TaskKey, task: &mut Task) -> Verdict {
        match event.kind {
            EventKind::HardirqEntry => task.hardirqs = task.hardirqs.saturating_add(1),
            EventKind::HardirqExit => task.hardirqs = task.hardirqs.saturating_sub(1),
            EventKind::SoftirqEntry => task.softirqs = task.softirqs.saturating_add(1),
            EventKind::SoftirqExit => task.softirqs = task.softirqs.saturating_sub(1),
            _ => {}
        }
        let now = self.irq_state(event, task);
        let verdict = self.turn(number, task, now);
        match event.kind {
            EventKind::Acquire { address, trylock, read, name } => {
                self.summary.events += 1;
                let how = Acquire { trylock, ..manner(read, name, now) };
                if how.read != Read::Recursive {
                    self.taken.insert((key, address));
                }
                verdict.and(self.acquire(number, task, address, name, how))
            }
            EventKind::Release { address, name } => {
                self.summary.events += 1;
                verdict.and(self.release(number, task, key, address, name))
            }
            _ => verdict,
        }
    }

    /// The interrupt state an event was in.
    fn irq_state(&mut self, event: &TraceEvent<'_>, task: &Task) -> IrqState {
        let lock = matches!(event.kind, EventKind::Acquire { .. } | EventKind::Release { .. });
        let Some(context) = event.context else {
            self.summary.without_context += u64::from(lock);
            return IrqState {
                hardirqs_enabled: false,
                softirqs_enabled: false,
                hardirq_depth: task.hardirqs,
                softirq_depth: task.softirqs,
                ..IrqState::TASK
            };
        };
        self.summary.softirqs_known |= context.bh_off;
        IrqState {
            hardirqs_enabled: context.hardirqs_off == Some(false),
            softirqs_enabled: self.summary.softirqs_known && !context.bh_off && !context.softirq,
            hardirq_depth: context.hardirq.into(),
            softirq_depth: context.softirq.into(),
            bh_disabled: context.bh_off.into(),
            nmi_depth: context.nmi.into(),
            ..IrqState::TASK
        }
    }

    /// Brings a task's interrupt state up to what an event shows. What is held while it turns on is marked; that a handler
    /// has come in shows that it was on.
    fn turn(&mut self, number: usize, task: &mut Task, to: IrqState) -> Verdict {
        let from = task.held.irq_state();
        if from == to {
            return Verdict::Ok;
        }
        let mut verdict = Verdict::Ok;
        if !task.lines.is_empty() && from.hardirq_depth == 0 && from.nmi_depth == 0 {
            let site = self.place(number);
            if !from.hardirqs_enabled && (to.hardirqs_enabled || to.hardirq_depth > 0) {
                verdict = self.run.hardirqs_on(&mut task.held, site);
            }
            let softirq = to.softirq_depth > 0;
            if !from.softirqs_enabled && from.softirq_depth == 0 && (to.softirqs_enabled || softirq) {
                verdict = verdict.and(self.run.softirqs_on(&mut task.held, site));
            }
        }
        task.held.set_irq_state(to);
        verdict
    }

    fn acquire(&mut self, number: usize, task: &mut Task, address: u64, name: &str, how: Acquire) -> Verdict {
        let class = self.class(name, self.others_of_the_name(task, address, name));
        let key = LockKey::new(class, how, task.held.bits);
        let known = self.run.storage.0.known(task.held.parent(key), key).is_some();
        let site = if known { NO_PLACE } else { self.place_all(number, task) };
        let verdict = self.run.acquire(&mut task.held, class, address, how, site);
        if task.held.locks().len() > task.lines.len() {
            task.lines.push((address, number));
        }
        verdict
    }

    fn release(&mut self, number: usize, task: &mut Task, key: TaskKey, address: u64, name: &str) -> Verdict {
        let Some(at) = task.held.locks().iter().rposition(|lock| lock.instance() == address) else {
            if !self.passed.contains(&address) && !self.taken.contains(&(key, address)) {
                let early = self.summary.early_releases.get_or_insert(EarlyReleases { count: 0, first_line: number });
                early.count += 1;
                return Verdict::Ok;
            }
            let site = self.place_all(number, task);
            let class = self.class(name, 0);
            return self.run.release_of(&mut task.held, class, address, site);
        };
        let lock = task.held.locks()[at];
        if lock.read() == Read::Exclusive {
            self.passed.insert(address);
        }
        let innermost = at + 1 == task.held.locks().len();
        // Taking out another validates what is above it again.
        let site = if innermost { NO_PLACE } else { self.place_all(number, task) };
        let verdict = self.run.release_of(&mut task.held, lock.class(), address, site);
        if task.held.locks().len() < task.lines.len()
            && let Some(at) = task.lines.iter().rposition(|(held, _)| *held == address)
        {
            task.lines.remove(at);
        }
        verdict
    }

    /// How many other locks of the name are held: whatever makes that right in the kernel, subclasses or a `nest_lock`, is
    /// not printed.
    fn others_of_the_name(&self, task: &Task, address: u64, name: &str) -> u8 {
        let tables = self.run.lockdep().tables.read();
        let others = task.held.locks().iter().filter(|lock| lock.instance() != address);
        let count = others.filter(|lock| *tables.class(lock.class().0).name == *name).count();
        u8::try_from(count).unwrap_or(u8::MAX)
    }

    fn class(&self, name: &str, subclass: u8) -> ClassId {
        self.run.lockdep().class(&ClassSpec::new(name).subclass(subclass))
    }

    fn place(&self, number: usize) -> Site {
        Site::of_text(format!("{}:{number}", self.name).leak())
    }

    /// The place of a line that may teach something; and what is held gets the places where it was taken.
    fn place_all(&self, number: usize, task: &mut Task) -> Site {
        for (lock, (_, line)) in task.held.locks.iter_mut().zip(&task.lines) {
            if lock.site == NO_PLACE {
                lock.site = self.place(*line);
            }
        }
        self.place(number)
    }
}

/// Of a lock whose taking taught nothing: never printed.
const NO_PLACE: Site = Site::of_text("?");

/// How an acquisition that is not printed in full is taken to be; see the table in the module.
fn manner(read: bool, name: &str, now: IrqState) -> Acquire {
    match read {
        false => Acquire::exclusive(),
        true if name.starts_with("rcu_") => Acquire::recursive().unchecked(),
        true if name.contains("srcu") || now.in_interrupt() => Acquire::recursive(),
        true => Acquire::shared(),
    }
}
