//! The codes of findings.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal: $meaning:literal,)*) => {
        /// Which rule a finding says was broken. The text form is stable: scenarios and reports use it.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The stable text, such as `ORD-CLEAR`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// What the code says went wrong, in one line.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Code::$name => $meaning,)* }
            }
        }
    };
}

codes! {
    /// A cycle of lock classes. Made by whoever runs the lock validator, not by this crate.
    LdCircular = "LD-CIRCULAR": "locks are taken in orders that can deadlock",
    /// A class taken again while held. Made by whoever runs the lock validator.
    LdRecursive = "LD-RECURSIVE": "a lock is taken while a lock of its class is already held",
    /// A lock released that is not held. Made by whoever runs the lock validator.
    LdUnlock = "LD-UNLOCK": "a lock is released that is not held",
    /// A lock order that an interrupt turns into a deadlock. Made by whoever runs the lock validator.
    LdIrq = "LD-IRQ": "a lock is used in an interrupt handler and where that handler can come in",
    /// A lock that waits deeper than the context allows. Made by whoever runs the lock validator.
    LdWait = "LD-WAIT": "a lock that may sleep is taken where sleeping is forbidden",
    /// A lock that outlives what it is in or who holds it. Made by whoever runs the lock validator.
    LdHeld = "LD-HELD": "a lock is still held when its memory is freed or its task ends",
    /// RCU. Made by whoever runs the lock validator.
    LdRcu = "LD-RCU": "data under RCU is used outside of its protection",
    /// Any other rule of a lock. Made by whoever runs the lock validator.
    LdMisuse = "LD-MISUSE": "a lock is used against a rule of its own: a pin, an assertion, its nest_lock",
    /// A page-table entry revoked without notice.
    OrdClear = "ORD-CLEAR": "a page-table entry changed before every subscriber was told",
    /// A start without its end, or the reverse.
    OrdPair = "ORD-PAIR": "a successful range_start has no matching range_end",
    /// A callback out of place.
    OrdCallback = "ORD-CALLBACK": "a callback came outside its range, its bracket or its subscription",
    /// A translation used after it was revoked.
    Stale = "STALE": "a device used a translation after it was revoked",
    /// A free or reused frame touched.
    StaleHarm = "STALE-HARM": "a device or CPU touched a frame that was freed, or freed and reused",
    /// The collision-retry protocol not followed.
    Seq = "SEQ": "a translation was published without a passed read_retry",
    /// Contents that are not those last written.
    Coh = "COH": "a CPU or device read something else than was last written to the page of its process",
    /// Sleeping where it is forbidden.
    Ctx = "CTX": "a task may sleep in a context that forbids it",
    /// Kept beyond the end. Made by whoever runs the drivers: that a driver was told to let go is in no event.
    Life = "LIFE": "what was to be given back is kept: a subscription, a translation or a page",
    /// No task can run.
    ProgDeadlock = "PROG-DEADLOCK": "tasks wait for each other, or for something that never comes",
    /// The run did not end within its bound.
    ProgLivelock = "PROG-LIVELOCK": "the run did not end within its bound",
    /// Nothing of what a statement asks of reclaim or compaction could be done. Made by whoever runs scenarios.
    ProgRequest = "PROG-REQUEST": "nothing of what was asked of reclaim or compaction could be done",
    /// A `check` of the scenario. Made by whoever runs scenarios.
    Check = "CHECK": "a check of the scenario does not hold",
    /// A task panicked.
    Panic = "PANIC": "a task panicked",
}

impl Code {
    /// The code with this text, in upper case as [`Code::text`] gives it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|c| c.text() == text)
    }

    /// The lock validator's: made by whoever runs it.
    #[must_use]
    pub const fn is_of_locks(self) -> bool {
        matches!(
            self,
            Code::LdCircular
                | Code::LdRecursive
                | Code::LdUnlock
                | Code::LdIrq
                | Code::LdWait
                | Code::LdHeld
                | Code::LdRcu
                | Code::LdMisuse
        )
    }

    /// The words that a `never` clause may use.
    pub const NEVER_WORDS: [&'static str; 11] = [
        "deadlock",
        "livelock",
        "stale",
        "incoherent",
        "sleep",
        "unpaired",
        "unordered",
        "unsequenced",
        "inversion",
        "leak",
        "panic",
    ];

    /// The codes that a word of [`Code::NEVER_WORDS`] stands for.
    #[must_use]
    pub fn never(word: &str) -> Option<&'static [Code]> {
        Some(match word {
            "deadlock" => &[Code::ProgDeadlock],
            "livelock" => &[Code::ProgLivelock],
            "stale" => &[Code::Stale, Code::StaleHarm],
            "incoherent" => &[Code::Coh],
            "sleep" => &[Code::Ctx],
            "unpaired" => &[Code::OrdPair],
            "unordered" => &[Code::OrdClear, Code::OrdCallback],
            "unsequenced" => &[Code::Seq],
            "inversion" => &[Code::LdCircular, Code::LdRecursive],
            "leak" => &[Code::Life],
            "panic" => &[Code::Panic],
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_parses_back_and_is_unlike_the_others() {
        for &code in Code::ALL {
            assert_eq!(Code::parse(code.text()), Some(code));
            assert_eq!(code.to_string(), code.text());
        }
        assert_eq!(Code::parse("stale"), None);
        assert_eq!(Code::parse(""), None);
    }

    #[test]
    fn every_never_word_stands_for_something() {
        for word in Code::NEVER_WORDS {
            assert!(Code::never(word).is_some_and(|codes| !codes.is_empty()), "{word}");
        }
        assert_eq!(Code::never("stale"), Some(&[Code::Stale, Code::StaleHarm][..]));
        assert_eq!(Code::never("STALE"), None);
    }
}
