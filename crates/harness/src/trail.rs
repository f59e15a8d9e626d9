//! What a run chose, in the two forms that are kept of it: the [`Script`] that replays it exactly, and the [`Course`] that
//! can be changed piece by piece and still means the same elsewhere.

use crate::script::{Script, ScriptWriter};
use mm_types::TaskId;
use sched::{ChoiceKind, Divergence, EndView, RunLog, SchedView, Scheduler};
use std::collections::BTreeMap;

/// Choices by where each task is rather than by how many came before: "when task 2 has done 7 steps, task 1 is next". What it
/// does not name takes the plain course. Leaving one out does not move the others.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Course {
    /// By the task that ran last and how many steps it had done: who is next.
    pub(crate) turns: BTreeMap<(TaskId, u32), TaskId>,
    /// By task, kind, and which of the task's choices of that kind, from 1: the option.
    pub(crate) picks: BTreeMap<(TaskId, ChoiceKind, u32), u32>,
}

impl Course {
    pub(crate) fn len(&self) -> usize {
        self.turns.len() + self.picks.len()
    }
}

/// What a run chose.
#[derive(Clone, Default, Debug)]
pub(crate) struct Trail {
    pub(crate) script: Script,
    pub(crate) course: Course,
    /// Switches away from a task that could have gone on.
    pub(crate) preemptions: u32,
}

/// Counts, from the log of a run, how many steps each task has done.
#[derive(Default)]
pub(crate) struct StepCounts {
    seen: usize,
    done: Vec<u32>,
    last: TaskId,
}

impl StepCounts {
    /// The task that ran last and how many steps it has done.
    pub(crate) fn place(&mut self, log: &RunLog) -> (TaskId, u32) {
        for step in &log.steps()[self.seen..] {
            let task = step.task.0 as usize;
            if self.done.len() <= task {
                self.done.resize(task + 1, 0);
            }
            self.done[task] += 1;
            self.last = step.task;
        }
        self.seen = log.steps().len();
        (self.last, self.done.get(self.last.0 as usize).copied().unwrap_or(0))
    }
}

/// Counts the choices of each task and kind.
#[derive(Default)]
pub(crate) struct PickCounts(BTreeMap<(TaskId, ChoiceKind), u32>);

impl PickCounts {
    /// Which of the current task's choices of this kind this one is, from 1.
    pub(crate) fn next(&mut self, kind: ChoiceKind) -> (TaskId, ChoiceKind, u32) {
        let task = ksync::with_current(|k| k.map_or(TaskId(0), ksync::Kernel::current_task));
        let nth = self.0.entry((task, kind)).or_default();
        *nth += 1;
        (task, kind, *nth)
    }
}

/// A scheduler that lets another decide and writes down what it decided.
pub(crate) struct Recorder<'a> {
    inner: &'a mut dyn Scheduler,
    writer: ScriptWriter,
    course: Course,
    steps: StepCounts,
    picks: PickCounts,
    preemptions: u32,
}

impl<'a> Recorder<'a> {
    pub(crate) fn new(inner: &'a mut dyn Scheduler) -> Recorder<'a> {
        Recorder {
            inner,
            writer: ScriptWriter::default(),
            course: Course::default(),
            steps: StepCounts::default(),
            picks: PickCounts::default(),
            preemptions: 0,
        }
    }

    pub(crate) fn finish(self) -> Trail {
        Trail { script: self.writer.finish(), course: self.course, preemptions: self.preemptions }
    }
}

impl Scheduler for Recorder<'_> {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let taken = self.inner.next_task(now);
        let Some(&task) = now.runnable.get(taken) else { return taken };
        let plain = plain_turn(now);
        self.writer.choice(plain as u32, taken as u32);
        if taken != plain {
            self.course.turns.insert(self.steps.place(now.log()), task);
        }
        self.preemptions += u32::from(now.current.is_some_and(|current| current != task));
        taken
    }

    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        unreachable!("a scheduler that wants the log is told the step")
    }

    fn choose_in_step(&mut self, step: usize, kind: ChoiceKind, options: u32) -> u32 {
        let place = self.picks.next(kind);
        let taken = self.inner.choose_in_step(step, kind, options);
        if taken < options {
            self.writer.choice(0, taken);
        }
        if taken != 0 {
            self.course.picks.insert(place, taken);
        }
        taken
    }

    fn wants_log(&self) -> bool {
        true
    }

    fn ended(&mut self, end: &EndView<'_>) {
        if self.inner.wants_log() {
            self.inner.ended(end);
        }
    }

    fn divergence(&self) -> Option<Divergence> {
        self.inner.divergence()
    }
}

/// What the plain course does here.
pub(crate) fn plain_turn(now: &SchedView<'_>) -> usize {
    now.current_index().unwrap_or(0)
}

/// Follows a [`Course`] as far as it goes.
pub(crate) struct CourseScheduler<'a> {
    course: &'a Course,
    steps: StepCounts,
    picks: PickCounts,
}

impl<'a> CourseScheduler<'a> {
    pub(crate) fn new(course: &'a Course) -> CourseScheduler<'a> {
        CourseScheduler { course, steps: StepCounts::default(), picks: PickCounts::default() }
    }
}

impl Scheduler for CourseScheduler<'_> {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let wanted = self.course.turns.get(&self.steps.place(now.log()));
        wanted.and_then(|task| now.runnable.binary_search(task).ok()).unwrap_or_else(|| plain_turn(now))
    }

    fn choose(&mut self, kind: ChoiceKind, options: u32) -> u32 {
        let wanted = self.course.picks.get(&self.picks.next(kind)).copied();
        wanted.filter(|option| *option < options).unwrap_or(0)
    }

    fn wants_log(&self) -> bool {
        true
    }
}
