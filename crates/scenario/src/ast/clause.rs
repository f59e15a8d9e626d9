//! What is asked of the schedule (`order`, `steer`) and of the run (`assert`).

use super::Name;
use crate::span::Spanned;
use crate::words::words;
use mm_types::VirtAddr;

/// `TASK@POINT < TASK@POINT`: the left happens before the right. A chain `a < b < c` is two pins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pin {
    /// What happens first.
    pub before: Spanned<PinPoint>,
    /// What waits for it.
    pub after: Spanned<PinPoint>,
}

/// The first time a task reaches a sync point.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct PinPoint {
    /// The task.
    pub task: String,
    /// The sync point: `notifier.range_start`, `DEVICE.LOCK`, `DEVICE.OPERATION`, `user.NAME`.
    pub point: String,
}

/// One choice of a task that is not left to the schedule: `ioctl reclaim 2 takes 1`, `ioctl victim 1 takes A 0x12000`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Steer {
    /// Whose choice.
    pub task: Name,
    /// What is chosen.
    pub choice: Spanned<SteeredChoice>,
    /// Which of the task's choices of this kind, from 1.
    pub nth: Spanned<u32>,
    /// What it takes.
    pub takes: Spanned<Taken>,
}

/// What a steered choice takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Taken {
    /// The option of this number, from 0.
    Option(u32),
    /// Of pages: the one that is mapped there. For [`SteeredChoice::Victim`] only.
    Page {
        /// In which address space.
        mm: Name,
        /// Where: any byte of the page.
        addr: VirtAddr,
    },
    /// Of CPUs: that of this task. For [`SteeredChoice::Interrupt`] and [`SteeredChoice::Timer`] only.
    Cpu(Name),
}

/// What must be true of a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Assertion {
    /// `WHAT == N`
    Count {
        /// What is counted.
        counted: Counted,
        /// How.
        comparison: Spanned<Comparison>,
        /// Against what.
        value: Spanned<u64>,
    },
    /// `[no] edge "A" -> "B"`: the validator learnt that B was taken under A, or did not.
    Edge {
        /// Whether the edge must be there (else it must not).
        present: bool,
        /// The lock class held.
        from: Name,
        /// The lock class taken under it.
        to: Name,
    },
}

/// What an assertion counts over a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Counted {
    /// `callbacks DEVICE.CALLBACK`: calls delivered.
    Callbacks {
        /// The device.
        device: Name,
        /// The callback.
        callback: Name,
    },
    /// `acquired CLASS`: acquisitions of locks or maps of this class.
    Acquired {
        /// The lock class.
        class: Name,
    },
    /// `allocations under CLASS`: allocations made while a lock of this class was held.
    AllocationsUnder {
        /// The lock class.
        class: Name,
    },
    /// `reclaim_invalidations`: callbacks delivered on behalf of reclaim.
    ReclaimInvalidations,
    /// `blocked_tasks`: tasks that could not go on at the end.
    BlockedTasks,
}

words! {
    /// What `steer` can choose.
    pub enum SteeredChoice {
        /// Whether an allocation that may reclaim does: 0 or 1.
        Reclaim = "reclaim",
        /// Whether an allocation fails: 0 or 1.
        Fail = "fail",
        /// Which of the pages that reclaim may take it takes, in the order of their frames.
        Victim = "victim",
        /// Which of the values that a load may see it sees, the newest first.
        Load = "load",
        /// Which place among the stores to a word a store takes, the last first.
        Store = "store",
        /// Whose CPU an interrupt arrives at.
        Interrupt = "interrupt",
        /// When a timer expires, and whose CPU it interrupts.
        Timer = "timer",
    }

    /// How a count is compared.
    pub enum Comparison {
        /// Equal.
        Equal = "==",
        /// At least.
        AtLeast = ">=",
        /// At most.
        AtMost = "<=",
    }
}
