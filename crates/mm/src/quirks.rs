//! Bugs switched on: what the memory manager can be made to do wrong, so that an oracle is seen to fail.

use bitflags::bitflags;

bitflags! {
    /// Bugs of the memory manager. None is on unless asked for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Quirks: u32 {
        /// `munmap` clears the entries first and announces the range afterwards.
        const MUNMAP_CLEARS_BEFORE_START = 1;
        /// `munmap` never closes the bracket it opened.
        const MUNMAP_UNPAIRED_END = 1 << 1;
        /// `munmap` clears the entries and frees the pages, and announces the range afterwards.
        const MUNMAP_FREES_BEFORE_START = 1 << 2;
    }
}

impl Quirks {
    /// Each by the name a scenario writes, with one line of what it does wrong.
    pub const ALL: [(&'static str, Quirks, &'static str); 3] = [
        (
            "munmap-clears-before-start",
            Quirks::MUNMAP_CLEARS_BEFORE_START,
            "munmap clears page-table entries before it announces the range",
        ),
        ("munmap-unpaired-end", Quirks::MUNMAP_UNPAIRED_END, "munmap never closes the bracket it opened"),
        (
            "munmap-frees-before-start",
            Quirks::MUNMAP_FREES_BEFORE_START,
            "munmap frees the pages before it announces the range",
        ),
    ];

    /// The quirk with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Quirks> {
        Quirks::ALL.iter().find(|(name, ..)| *name == word).map(|(_, quirk, _)| *quirk)
    }
}
