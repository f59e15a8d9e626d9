//! `steer` clauses: "the second time this task may enter reclaim, it does".
//!
//! A choice that is steered is none: the scheduler is not asked, and it is not in the schedule.

use crate::kernel::Kernel;
use mm_types::{Name, TaskId};
use sched::ChoiceKind;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

/// One steered choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Whose.
    pub task: Name,
    /// Of which kind.
    pub kind: ChoiceKind,
    /// Which of the task's choices of that kind, from 1.
    pub nth: u32,
    /// The option it takes. One that the choice does not have is not taken: then the scheduler is asked.
    pub option: u32,
}

#[derive(Default)]
pub(crate) struct Steers {
    active: Cell<bool>,
    list: RefCell<Vec<Steer>>,
    /// Choices made so far, by whom and of which kind.
    made: RefCell<BTreeMap<(TaskId, ChoiceKind), u32>>,
}

impl Steers {
    pub(crate) fn clear(&self) {
        self.active.set(false);
        self.list.borrow_mut().clear();
        self.made.borrow_mut().clear();
    }
}

impl Kernel {
    /// Steers a choice of the next run. Holds until [`Kernel::reset`].
    pub fn add_steer(&self, steer: Steer) {
        self.steers.list.borrow_mut().push(steer);
        self.steers.active.set(true);
    }

    /// The option that this choice of the current task has to take, if it is steered. Counts the choice, if it is one.
    pub(crate) fn steered(&self, kind: ChoiceKind, options: u32) -> Option<u32> {
        if !self.steers.active.get() || options < 2 {
            return None;
        }
        let task = self.current_task();
        let mut made = self.steers.made.borrow_mut();
        let nth = made.entry((task, kind)).or_default();
        *nth += 1;
        let name = self.task_name(task);
        let list = self.steers.list.borrow();
        let steer = list.iter().find(|s| s.task == name && s.kind == kind && s.nth == *nth)?;
        (steer.option < options).then_some(steer.option)
    }
}
