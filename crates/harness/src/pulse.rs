//! [`Pulse`]: whether a run still does something, and what it did last. Read from another thread than the run's.

use mm_types::{Name, TaskId};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use trace::{Event, Observer, TextLog};

/// How many of the last events are kept.
const LAST: usize = 12;

/// A run's sign of life. Somebody with a clock asks whether [`Pulse::beats`] grows; this crate has none.
#[derive(Debug, Default)]
pub struct Pulse {
    beats: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    events: VecDeque<Event>,
    tasks: Vec<Name>,
    /// The statement that each task is in.
    statements: BTreeMap<TaskId, Name>,
    command: String,
}

/// What a run did last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Last {
    /// The name of the task.
    pub task: String,
    /// The line of the scenario that it is in.
    pub statement: Option<String>,
    /// The last events of all tasks, a line each.
    pub events: Vec<String>,
    /// The command that does the run again.
    pub command: String,
}

impl Pulse {
    /// Events and runs so far.
    #[must_use]
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    pub(crate) fn beat(&self, event: &Event) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        if recent.events.len() == LAST {
            recent.events.pop_front();
        }
        recent.events.push_back(*event);
    }

    /// A task begins a statement.
    pub(crate) fn at(&self, task: TaskId, statement: Name) {
        self.recent.lock().statements.insert(task, statement);
    }

    /// A run of these tasks begins, which `command` does again.
    pub(crate) fn begin(&self, command: &str, tasks: impl Iterator<Item = Name>) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        let mut recent = self.recent.lock();
        recent.events.clear();
        recent.statements.clear();
        recent.tasks = tasks.collect();
        command.clone_into(&mut recent.command);
    }

    /// What the run did last.
    #[must_use]
    pub fn last(&self) -> Last {
        let recent = self.recent.lock();
        let mut log = TextLog::default();
        for event in &recent.events {
            log.event(event);
        }
        let task = recent.events.back().map_or(TaskId(0), |event| event.task);
        let name = (task.0 as usize).checked_sub(1).and_then(|index| recent.tasks.get(index));
        Last {
            task: name.map_or_else(|| "the setup".to_owned(), Name::to_string),
            statement: recent.statements.get(&task).map(Name::to_string),
            events: log.lines().to_vec(),
            command: recent.command.clone(),
        }
    }
}
