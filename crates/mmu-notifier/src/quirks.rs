//! Bugs switched on: what the framework can be made to do wrong, so that an oracle is seen to fail.

use bitflags::bitflags;

bitflags! {
    /// Bugs of the framework. None is on unless asked for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Quirks: u8 {
        /// A subscriber that is removed stays where brackets find it.
        const CALLBACK_AFTER_UNREGISTER = 1;
    }
}

impl Quirks {
    /// Each by the name a scenario writes, with one line of what it does wrong.
    pub const ALL: [(&'static str, Quirks, &'static str); 1] = [(
        "callback-after-unregister",
        Quirks::CALLBACK_AFTER_UNREGISTER,
        "a subscriber is called back after its removal returned",
    )];

    /// The quirk with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Quirks> {
        Quirks::ALL.iter().find(|(name, ..)| *name == word).map(|(_, quirk, _)| *quirk)
    }
}
