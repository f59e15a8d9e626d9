//! Bugs switched on: what the framework can be made to do wrong, so that an oracle is seen to fail.

use bitflags::bitflags;

bitflags! {
    /// Bugs of the framework. None is on unless asked for.
    #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
    pub struct Quirks: u16 {
        /// A subscriber that is removed stays where brackets find it.
        const CALLBACK_AFTER_UNREGISTER = 1;
        /// Nobody hears the end of a start that another list subscriber refused. Fixed by c2655835fd8c, 2021.
        const PAIR_RANGE_END_WITH_START = 1 << 1;
        /// The list is walked under plain RCU, in which nobody may sleep. Fixed by 21a92735f660, 2012.
        const USE_GLOBAL_SRCU = 1 << 2;
        /// A removal that waits for the sequence returns before what it deferred is done. Fixed by 319561669a59, 2022.
        const FIX_INTERVAL_REMOVE_RACE = 1 << 3;
        /// A subscriber that the exit released is released again when it unregisters. Fixed by 751efd8610d3, 2013.
        const NO_MULTIPLE_RELEASE = 1 << 4;
        /// The exit does not wait for a release that an unregistration has begun. Fixed by 3ad3d901bbcf, 2012.
        const WAIT_FOR_RELEASE = 1 << 5;
    }
}

impl Quirks {
    /// Each by the name a scenario writes, with one line of what it does wrong.
    pub const ALL: [(&'static str, Quirks, &'static str); 6] = [
        (
            "callback-after-unregister",
            Quirks::CALLBACK_AFTER_UNREGISTER,
            "a subscriber is called back after its removal returned",
        ),
        (
            "pair-range-end-with-start",
            Quirks::PAIR_RANGE_END_WITH_START,
            "who agreed to a start that another refused never hears its end (fixed by c2655835fd8c, 2021)",
        ),
        (
            "use-global-srcu",
            Quirks::USE_GLOBAL_SRCU,
            "callbacks run in an RCU read section, where they must not sleep (fixed by 21a92735f660, 2012)",
        ),
        (
            "fix-interval-remove-race",
            Quirks::FIX_INTERVAL_REMOVE_RACE,
            "the removal of an interval returns while it can still be called (fixed by 319561669a59, 2022)",
        ),
        (
            "no-multiple-release",
            Quirks::NO_MULTIPLE_RELEASE,
            "unregistering after the exit calls release again (fixed by 751efd8610d3, 2013)",
        ),
        (
            "wait-for-release",
            Quirks::WAIT_FOR_RELEASE,
            "exit frees pages while a release is still under way (fixed by 3ad3d901bbcf, 2012)",
        ),
    ];

    /// The quirk with this name.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Quirks> {
        Quirks::ALL.iter().find(|(name, ..)| *name == word).map(|(_, quirk, _)| *quirk)
    }
}
