//! What differs between kernel versions, and what a version could do better.

use bitflags::bitflags;

bitflags! {
    /// Differences from 6.12. None of them is a bug of 6.12 switched on: those are [`Quirks`](crate::Quirks).
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Behaviour: u8 {
        /// The hook for secondary TLBs is called at the end of a bracket, for all of it, before each subscriber's end; flushes
        /// call it only where the entry is cleared and flushed in one step. Up to 6.5 (`invalidate_range`).
        const SECONDARY_AT_RANGE_END = 1;
        /// A start that a list subscriber refused is uncounted again: not in any release. See docs/flaws/refused-start.md.
        const UNDOES_REFUSED_START = 1 << 1;
    }
}

impl Behaviour {
    /// Those that a scenario can ask for by name, with one line of what they do.
    pub const ALL: [(&'static str, Behaviour, &'static str); 1] = [(
        "undo-refused-start",
        Behaviour::UNDOES_REFUSED_START,
        "a start that a list subscriber refused does not stay counted: a fix that no release has",
    )];

    /// Linux 6.1.
    pub const V6_1: Behaviour = Behaviour::SECONDARY_AT_RANGE_END;

    /// The behaviour with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Behaviour> {
        Behaviour::ALL.iter().find(|(name, ..)| *name == word).map(|(_, behaviour, _)| *behaviour)
    }
}
