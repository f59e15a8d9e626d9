//! What a list subscriber is called with, and the proofs that its calls end in.
//!
//! Each call is a value that can be used up once, so that a bracket is counted once.

use mm_types::PageRange;
use std::marker::PhantomData;
use trace::{NotifyEvent, NotifyRange};

/// A bracket opens: some pages are about to lose their translations. The arguments of `invalidate_range_start`.
#[derive(Debug)]
#[must_use = "`Table::begin` takes it"]
pub struct Start<'a> {
    range: &'a NotifyRange,
}

impl<'a> Start<'a> {
    pub(super) const fn new(range: &'a NotifyRange) -> Start<'a> {
        Start { range }
    }

    /// The pages that go: all of them, a list subscriber is told of the whole address space.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        self.range.pages
    }

    /// Why.
    #[must_use]
    pub fn event(&self) -> NotifyEvent {
        self.range.event
    }
}

/// A bracket closes: the arguments of `invalidate_range_end`.
#[derive(Debug)]
#[must_use = "`Table::end` takes it"]
pub struct End<'a> {
    range: &'a NotifyRange,
}

impl<'a> End<'a> {
    pub(super) const fn new(range: &'a NotifyRange) -> End<'a> {
        End { range }
    }

    /// The pages that were announced.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        self.range.pages
    }
}

/// The address space ends, or the subscription does.
#[derive(Debug)]
#[must_use = "`Table::close` takes it"]
pub struct Release<'a> {
    of: PhantomData<&'a ()>,
}

impl Release<'_> {
    pub(super) const fn new() -> Self {
        Release { of: PhantomData }
    }
}

/// Proof that the bracket was counted as open, under the lock. Made by [`Table::begin`](super::Table::begin).
#[derive(Debug)]
#[must_use = "`invalidate_range_start` returns it"]
pub struct Started<'a> {
    of: PhantomData<Start<'a>>,
}

/// Proof that the bracket was counted as closed and the sequence went on, under the lock. Made by
/// [`Table::end`](super::Table::end).
#[derive(Debug)]
#[must_use = "`invalidate_range_end` returns it"]
pub struct Ended<'a> {
    of: PhantomData<End<'a>>,
}

/// Proof that every translation was taken away and none is published any more. Made by [`Table::close`](super::Table::close).
#[derive(Debug)]
#[must_use = "`release` returns it"]
pub struct Released<'a> {
    of: PhantomData<Release<'a>>,
}

impl Started<'_> {
    pub(super) const fn proven() -> Self {
        Started { of: PhantomData }
    }
}

impl Ended<'_> {
    pub(super) const fn proven() -> Self {
        Ended { of: PhantomData }
    }
}

impl Released<'_> {
    pub(super) const fn proven() -> Self {
        Released { of: PhantomData }
    }
}
