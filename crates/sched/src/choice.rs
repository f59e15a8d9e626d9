//! One nondeterministic decision.

/// What is being decided.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ChoiceKind {
    /// Which runnable task goes on; the options are the runnable tasks in ascending order of id.
    Task,
    /// Whether an allocation fails.
    AllocFails,
    /// Whether an allocation enters direct reclaim.
    EntersReclaim,
    /// Which page reclaim takes.
    Victim,
    /// Whether a trylock on a free lock succeeds.
    Trylock,
    /// Whether (or which) interrupt arrives.
    Interrupt,
    /// Which timer fires.
    Timer,
    /// Which of the values that a load may see it does see; option 0 is the newest.
    Load,
    /// Which place in the order of a word's stores a store takes; option 0 is the last.
    Store,
    /// A decision of the caller's own, numbered by the caller.
    User(u16),
}

/// A decision that was made. Decisions with a single option are never recorded.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Choice {
    /// What was decided.
    pub kind: ChoiceKind,
    /// How many options there were; at least 2.
    pub options: u32,
    /// The option taken, counted from 0. Option 0 is the one that changes nothing (the allocation succeeds).
    pub taken: u32,
}
