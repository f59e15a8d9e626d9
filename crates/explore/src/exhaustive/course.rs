//! A run told by its tasks' steps, the same for every run of its trace.

use super::Exhaustive;
use super::trace::Trace;
use sched::{ChoiceKind, DIVERGED, Divergence, SchedView, Scheduler};

/// One order of the steps of a trace: from the first step on, the task that went last goes on while it can, else the one
/// with the lowest number. Runs of one trace have one course, whatever order they were run in; the least of several is the
/// one with the fewest switches, then with the fewest steps.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Course {
    /// Switches away from a task that has more steps.
    switches: u32,
    len: usize,
    /// Of each step: the task, and the options taken in it.
    steps: Vec<(u32, Vec<u32>)>,
}

impl Course {
    /// How many steps it has.
    #[must_use]
    pub fn steps(&self) -> usize {
        self.len
    }
}

impl Exhaustive {
    /// The course of the last run; `None` if that was of a trace that had been explored before.
    #[must_use]
    pub fn course(&self) -> Option<Course> {
        if self.partial {
            return None;
        }
        let trace = &self.trace;
        let mut of_task: Vec<Vec<usize>> = Vec::new();
        for (at, event) in trace.events.iter().enumerate() {
            let task = event.task as usize;
            if of_task.len() <= task {
                of_task.resize(task + 1, Vec::new());
            }
            of_task[task].push(at);
        }
        // The step that ends the run is nobody's predecessor, and comes last.
        let end = trace.events.len().checked_sub(1).filter(|last| self.nodes[*last].ends);
        let mut done = vec![0; of_task.len()];
        let mut course = Course { switches: 0, len: trace.events.len(), steps: Vec::new() };
        let mut current = 0;
        while course.steps.len() < course.len {
            let next = |task: usize| {
                let event = *of_task.get(task)?.get(done[task])?;
                let held_back = Some(event) == end && course.steps.len() + 1 < course.len;
                (!held_back && is_next(trace, event, &done)).then_some(event)
            };
            let lowest = || (0..of_task.len()).find_map(next);
            let event = next(current).or_else(lowest)?;
            let task = trace.events[event].task as usize;
            let leaves = task != current && of_task.get(current).is_some_and(|steps| done[current] < steps.len());
            course.switches += u32::from(leaves);
            course.steps.push((task as u32, self.nodes[event].taken.clone()));
            done[task] += 1;
            current = task;
        }
        Some(course)
    }
}

/// Whether everything that happens before `event` is done.
fn is_next(trace: &Trace, event: usize, done: &[usize]) -> bool {
    let task = trace.events[event].task as usize;
    (0..done.len()).all(|other| other == task || trace.steps_before(event, other as u32) as usize <= done[other])
}

/// Follows a [`Course`], and diverges where it cannot.
pub struct CourseScheduler {
    course: Course,
    /// The step in which a choice was made last, and how many were made in it.
    choosing: (usize, usize),
    divergence: Option<Divergence>,
}

impl CourseScheduler {
    /// Follows `course` from the beginning.
    #[must_use]
    pub fn new(course: Course) -> CourseScheduler {
        CourseScheduler { course, choosing: (usize::MAX, 0), divergence: None }
    }

    fn diverge(&mut self, at: usize, why: String) {
        self.divergence.get_or_insert(Divergence { at, why });
    }
}

impl Scheduler for CourseScheduler {
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        let at = now.log().steps().len();
        let Some((task, _)) = self.course.steps.get(at) else { return now.current_index().unwrap_or(0) };
        let index = now.runnable.iter().position(|t| t.0 == *task);
        index.unwrap_or_else(|| {
            self.diverge(
                at,
                format!("step {at} was to be one of t{}, which cannot be chosen", self.course.steps[at].0),
            );
            DIVERGED
        })
    }

    fn choose(&mut self, _kind: ChoiceKind, _options: u32) -> u32 {
        unreachable!("a scheduler that wants the log is told the step")
    }

    fn choose_in_step(&mut self, step: usize, _kind: ChoiceKind, options: u32) -> u32 {
        if self.choosing.0 != step {
            self.choosing = (step, 0);
        }
        let nth = self.choosing.1;
        self.choosing.1 += 1;
        let option = self.course.steps.get(step).and_then(|(_, taken)| taken.get(nth)).copied().unwrap_or(0);
        if option >= options {
            self.diverge(step, format!("option {option} of step {step} was to be taken, but there are {options}"));
        }
        option
    }

    fn divergence(&self) -> Option<Divergence> {
        self.divergence.clone()
    }

    fn wants_log(&self) -> bool {
        true
    }
}
