//! `steer` clauses: "the second time this task may enter reclaim, it does".
//!
//! A choice that is steered is none: the scheduler is not asked, and it is not in the schedule.

use crate::kernel::Kernel;
use mm_types::{Name, TaskId, Vpn};
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
    /// What it takes. An option that the choice does not have is not taken: then the scheduler is asked.
    pub takes: Takes,
}

/// What a steered choice takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// The option of this number, from 0.
    Option(u32),
    /// Of pages ([`Kernel::choose_page`]): the one that is mapped there.
    Page(Place),
    /// Of CPUs: that of the task of this name.
    Cpu(Name),
}

/// Where a page is mapped: the name of an mm, and the page's number there.
pub type Place = (Name, Vpn);

/// What the options of a choice are, where they are pages: a number says little, and means another page when there is one
/// more. Neither question is a scheduling point.
pub trait PageOptions {
    /// The option that is mapped there; none if no option is.
    fn option_at(&self, place: Place) -> Option<u32>;

    /// A place where the option is mapped, the first by mm and address; none if it is mapped nowhere.
    fn place_of(&self, option: u32) -> Option<Place>;
}

/// A choice among pages that was made by number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PagePick {
    /// Whose choice.
    pub task: TaskId,
    /// Of which kind.
    pub kind: ChoiceKind,
    /// Which of the task's choices of that kind, from 1.
    pub nth: u32,
    /// Where the page was mapped.
    pub place: Place,
}

#[derive(Default)]
pub(crate) struct Steers {
    active: Cell<bool>,
    list: RefCell<Vec<Steer>>,
    /// Choices made so far, by whom and of which kind.
    made: RefCell<BTreeMap<(TaskId, ChoiceKind), u32>>,
    /// Choices among pages, if points are traced.
    picks: RefCell<Vec<PagePick>>,
}

impl Steers {
    pub(crate) fn clear(&self) {
        self.active.set(false);
        self.list.borrow_mut().clear();
        self.made.borrow_mut().clear();
        self.picks.borrow_mut().clear();
    }
}

impl Kernel {
    /// Steers a choice of the next run. Holds until [`Kernel::reset`].
    pub fn add_steer(&self, steer: Steer) {
        self.steers.list.borrow_mut().push(steer);
        self.steers.active.set(true);
    }

    /// As [`Kernel::choose`], among pages: one that is steered may be named by where it is mapped.
    pub fn choose_page(&self, kind: ChoiceKind, options: u32, pages: &impl PageOptions) -> u32 {
        if self.quiet() {
            return 0;
        }
        let nth = self.count_choice(kind, options);
        let steered = nth.and_then(|nth| match self.steer_of(kind, nth)? {
            Takes::Option(option) => Some(option),
            Takes::Page(place) => pages.option_at(place),
            Takes::Cpu(_) => None,
        });
        let taken = steered.filter(|option| *option < options).unwrap_or_else(|| self.sched.choose(kind, options));
        if let (Some(nth), true) = (nth, self.traces_points())
            && let Some(place) = pages.place_of(taken)
        {
            let task = self.current_task();
            self.steers.picks.borrow_mut().push(PagePick { task, kind, nth, place });
        }
        taken
    }

    /// The choices among pages since [`Kernel::trace_points`], in order.
    pub fn traced_page_picks(&self) -> Vec<PagePick> {
        self.steers.picks.borrow().clone()
    }

    /// The option that this choice of the current task has to take, if it is steered. Counts the choice, if it is one.
    pub(crate) fn steered(&self, kind: ChoiceKind, options: u32) -> Option<u32> {
        let nth = self.count_choice(kind, options)?;
        match self.steer_of(kind, nth)? {
            Takes::Option(option) if option < options => Some(option),
            Takes::Cpu(task) => (1..=self.sched.cpus()).find(|cpu| self.task_name(TaskId(*cpu)) == task),
            Takes::Option(_) | Takes::Page(_) => None,
        }
    }

    /// Which of the current task's choices of this kind this one is; none if it is not one, or if nobody wants to know.
    fn count_choice(&self, kind: ChoiceKind, options: u32) -> Option<u32> {
        if options < 2 || !(self.steers.active.get() || self.traces_points()) {
            return None;
        }
        let mut made = self.steers.made.borrow_mut();
        let nth = made.entry((self.current_task(), kind)).or_default();
        *nth += 1;
        Some(*nth)
    }

    fn steer_of(&self, kind: ChoiceKind, nth: u32) -> Option<Takes> {
        let name = self.task_name(self.current_task());
        let list = self.steers.list.borrow();
        list.iter().find(|s| s.task == name && s.kind == kind && s.nth == nth).map(|s| s.takes)
    }
}
