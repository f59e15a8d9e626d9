//! Schedules as values: what a run decides, as exceptions that can be left out one by one.

use crate::trail::Course;
use mm_types::TaskId;
use sched::ChoiceKind;
use std::fmt;

/// A schedule, as the exceptions it makes to the plain course: the task that runs goes on while it can, then the first that
/// can, and every other choice takes what changes nothing. An exception whose moment does not come is none.
///
/// Exceptions name moments by what a task has done, not by what all have: leaving one out, or a step of another task, does
/// not move the others. So a schedule shrinks beside the program it belongs to.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Schedule {
    /// Who goes on when.
    pub turns: Vec<Turn>,
    /// Choices of the memory manager's.
    pub picks: Vec<Pick>,
}

/// When `task` has done `steps` visible operations, `next` goes on, if it can. Tasks count from 0, in the order of the
/// program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// Who ran last.
    pub task: u8,
    /// How many visible operations it has done.
    pub steps: u8,
    /// Who goes on.
    pub next: u8,
}

/// A choice that does not take its plain option.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pick {
    /// Whose choice.
    pub task: u8,
    /// What is chosen.
    pub choice: Choice,
    /// Which of the task's choices of this kind, from 0.
    pub nth: u8,
}

/// What a [`Pick`] decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// The allocation enters direct reclaim.
    EntersReclaim,
    /// Reclaim takes the page with this number, from 0, of those it may take.
    Victim(u8),
}

impl Schedule {
    /// Whether it makes no exception.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.turns.is_empty() && self.picks.is_empty()
    }

    /// As a scheduler follows it. Of two exceptions for one moment the later one counts.
    pub(super) fn course(&self) -> Course {
        // Task 0 of a run is its setup.
        let id = |task: u8| TaskId(u32::from(task) + 1);
        let turns = self.turns.iter().map(|turn| ((id(turn.task), u32::from(turn.steps)), id(turn.next)));
        let picks = self.picks.iter().map(|pick| {
            let (kind, option) = match pick.choice {
                Choice::EntersReclaim => (ChoiceKind::EntersReclaim, 1),
                Choice::Victim(page) => (ChoiceKind::Victim, u32::from(page)),
            };
            ((id(pick.task), kind, u32::from(pick.nth) + 1), option)
        });
        Course { turns: turns.collect(), picks: picks.collect() }
    }
}

impl fmt::Display for Schedule {
    /// An exception a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Turn { task, steps, next } in &self.turns {
            writeln!(f, "when t{task} has done {steps} operations, t{next} goes on")?;
        }
        for Pick { task, choice, nth } in &self.picks {
            match choice {
                Choice::EntersReclaim => writeln!(f, "allocation {nth} of t{task}, from 0, enters reclaim")?,
                Choice::Victim(page) => writeln!(f, "reclaim {nth} by t{task}, from 0, takes its page {page}, from 0")?,
            }
        }
        Ok(())
    }
}
