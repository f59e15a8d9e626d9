//! Usage states of a class: in which contexts it was ever taken, and with what enabled.
//!
//! | bit | state | set when the lock is |
//! |---|---|---|
//! | 0, 1 | `IN-HARDIRQ-W`, `-R` | waited for in a hardirq handler |
//! | 2, 3 | `HARDIRQ-ON-W`, `-R` | taken, or held, with hardirqs enabled |
//! | 4, 5 | `IN-SOFTIRQ-W`, `-R` | waited for in a softirq handler |
//! | 6, 7 | `SOFTIRQ-ON-W`, `-R` | taken, or held, with hardirqs and softirqs enabled |
//! | 8, 9 | `INITIAL USE`, `INITIAL READ USE` | taken at all |
//!
//! A class that is waited for in a handler and held where the handler can come in deadlocks with itself; two classes do
//! if a path of dependencies leads from the first kind to the second. Linux: `enum lock_usage_bit`.

use core::fmt;

use serde::{Serialize, Serializer};

/// One usage state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UsageBit(pub(crate) u8);

impl UsageBit {
    pub(crate) const IN_HARDIRQ: Self = Self(0);
    pub(crate) const HARDIRQ_ON: Self = Self(2);
    pub(crate) const IN_SOFTIRQ: Self = Self(4);
    pub(crate) const SOFTIRQ_ON: Self = Self(6);
    pub(crate) const USED: Self = Self(8);
    pub(crate) const USED_READ: Self = Self(9);

    pub(crate) const fn mask(self) -> u16 {
        1 << self.0
    }

    /// The same state of a reader, or itself.
    pub(crate) const fn of_reader(self, read: bool) -> Self {
        Self(self.0 | read as u8)
    }

    pub(crate) const fn is_read(self) -> bool {
        self.0 & 1 == 1
    }

    /// "Enabled" rather than "in irq".
    pub(crate) const fn is_enabled(self) -> bool {
        self.0 & 2 == 2
    }

    /// The writer's state that conflicts with it (`exclusive_bit()`).
    pub(crate) const fn exclusive(self) -> Self {
        Self((self.0 & !1) ^ 2)
    }

    /// As the kernel prints it (`usage_str`).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0 => "IN-HARDIRQ-W",
            1 => "IN-HARDIRQ-R",
            2 => "HARDIRQ-ON-W",
            3 => "HARDIRQ-ON-R",
            4 => "IN-SOFTIRQ-W",
            5 => "IN-SOFTIRQ-R",
            6 => "SOFTIRQ-ON-W",
            7 => "SOFTIRQ-ON-R",
            8 => "INITIAL USE",
            9 => "INITIAL READ USE",
            _ => "IN-NMI",
        }
    }

    /// The class of interrupts as reports name it (`state_name()`).
    #[must_use]
    pub const fn irq_class(self) -> IrqClass {
        match (self.0 >> 2, self.is_read()) {
            (0, false) => IrqClass::Hardirq,
            (0, true) => IrqClass::HardirqRead,
            (_, false) => IrqClass::Softirq,
            (_, true) => IrqClass::SoftirqRead,
        }
    }
}

impl fmt::Display for UsageBit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for UsageBit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What kind of interrupt a report is about; "read" where a reader is the safe side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING-KEBAB-CASE")]
pub enum IrqClass {
    /// Hardirq.
    Hardirq,
    /// Hardirq, readers.
    HardirqRead,
    /// Softirq.
    Softirq,
    /// Softirq, readers.
    SoftirqRead,
}

impl IrqClass {
    /// As printed in front of `-safe` and `-unsafe`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hardirq => "HARDIRQ",
            Self::HardirqRead => "HARDIRQ-READ",
            Self::Softirq => "SOFTIRQ",
            Self::SoftirqRead => "SOFTIRQ-READ",
        }
    }
}

/// A set of usage states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Usage(pub(crate) u16);

impl Usage {
    /// All states of irq contexts.
    pub(crate) const IRQ_ALL: u16 = 0xff;
    /// Those of writers.
    const IRQ: u16 = 0x55;
    pub(crate) const USED_IN: u16 = 0x33;
    pub(crate) const ENABLED: u16 = 0xcc;

    pub(crate) const fn contains(self, bit: UsageBit) -> bool {
        self.0 & bit.mask() != 0
    }

    /// The states, lowest first.
    pub fn bits(self) -> impl Iterator<Item = UsageBit> {
        (0..10).map(UsageBit).filter(move |bit| self.contains(*bit))
    }

    /// What counts of it behind a path that only blocks writers (`LOCKF_IRQ`).
    pub(crate) const fn behind(self, only_xr: bool) -> u16 {
        if only_xr { self.0 & Self::IRQ } else { self.0 & Self::IRQ_ALL }
    }

    /// The states of the other direction that conflict with any of `mask`, of writers and readers alike
    /// (`exclusive_mask()`, `original_mask()`).
    pub(crate) const fn opposed(mask: u16) -> u16 {
        let flipped = (mask & Self::ENABLED) >> 2 | (mask & Self::USED_IN) << 2;
        flipped | (flipped & !Self::IRQ) >> 1 | (flipped & Self::IRQ) << 1
    }

    /// The first state of the safe side `self` that conflicts with one of the unsafe side, and that one
    /// (`find_exclusive_match()`).
    pub(crate) fn first_conflict(self, other: Self) -> Option<(UsageBit, UsageBit)> {
        (0..8).map(UsageBit).filter(|bit| self.contains(*bit)).find_map(|bit| {
            let write = bit.exclusive();
            [write, write.of_reader(true)].into_iter().find(|excl| other.contains(*excl)).map(|excl| (bit, excl))
        })
    }
}

impl fmt::Display for Usage {
    /// Four characters, hardirq and softirq, each as writer and as reader: `.` neither, `-` in irq, `+` with irqs
    /// enabled, `?` both (`get_usage_chars()`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        [UsageBit::IN_HARDIRQ, UsageBit::IN_SOFTIRQ]
            .into_iter()
            .flat_map(|bit| [bit, bit.of_reader(true)])
            .try_for_each(|bit| {
                let on = UsageBit(bit.0 | 2);
                f.write_str(match (self.contains(bit), self.contains(on)) {
                    (false, false) => ".",
                    (true, false) => "-",
                    (false, true) => "+",
                    (true, true) => "?",
                })
            })
    }
}
