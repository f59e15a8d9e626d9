//! Where in the text a node stands.

use std::fmt;
use std::ops::Deref;

/// Bytes `[start, end)` of the scenario's text, on character boundaries.
///
/// Empty (`start == end`) where something is missing, and for nodes that no text wrote.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// Bytes `[start, end)`.
    #[must_use]
    pub const fn new(start: usize, end: usize) -> Span {
        Span { start, end }
    }

    /// The empty span just before byte `at`.
    #[must_use]
    pub const fn at(at: usize) -> Span {
        Span { start: at, end: at }
    }

    /// From the start of `self` to the end of `last`.
    #[must_use]
    pub fn to(self, last: Span) -> Span {
        Span::new(self.start, last.end.max(self.start))
    }
}

/// A node and where it was written.
///
/// **Equality looks at the node only**: two scenarios are equal when they say the same, wherever
/// they say it, so that printing and parsing again can be compared with the original.
#[derive(Clone, Copy, Default)]
pub struct Spanned<T> {
    /// What was written.
    pub node: T,
    /// Where.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `node`, written at `span`.
    pub const fn new(node: T, span: Span) -> Spanned<T> {
        Spanned { node, span }
    }
}

impl<T> From<T> for Spanned<T> {
    /// A node that no text wrote (built by a program): its span is empty.
    fn from(node: T) -> Spanned<T> {
        Spanned::new(node, Span::default())
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.node == other.node
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.node
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)?;
        write!(f, "@{}..{}", self.span.start, self.span.end)
    }
}

/// The name of the file a scenario came from and where its lines begin: what turns a [`Span`]
/// into `file:line:column` after the text itself is gone.
///
/// Any two sources are equal, for the reason given at [`Spanned`].
#[derive(Clone, Debug, Default)]
pub struct Source {
    name: String,
    // invariant: ascending; the first is 0 unless the scenario was built by a program
    line_starts: Vec<usize>,
}

/// A line and a column, both from 1. The column counts bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Byte in the line, from 1.
    pub column: usize,
}

impl Source {
    pub(crate) fn new(name: &str, text: &str) -> Source {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Source { name: name.to_owned(), line_starts: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// The file name the text was parsed under; empty for a scenario built by a program.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where `span` begins; `None` for a scenario built by a program.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let line = self.line_starts.partition_point(|&start| start <= span.start);
        let line_start = self.line_starts.get(line.checked_sub(1)?)?;
        Some(Position { line, column: span.start - line_start + 1 })
    }
}

impl PartialEq for Source {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Source {}
