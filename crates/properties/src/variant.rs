//! Which kinds of event an oracle reads.

use std::fmt;
use trace::EventKind;

macro_rules! variants {
    ($($name:ident,)*) => {
        /// The kinds of event, without their payload.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[expect(missing_docs, reason = "each is documented at the variant of EventKind with its name")]
        pub enum Variant { $($name,)* }

        impl Variant {
            /// Every kind.
            pub const ALL: &'static [Variant] = &[$(Variant::$name,)*];

            /// The kind of an event.
            #[must_use]
            pub const fn of(kind: &EventKind) -> Variant {
                match kind { $(EventKind::$name { .. } => Variant::$name,)* }
            }

            /// The name of the variant.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Variant::$name => stringify!($name),)* }
            }
        }
    };
}

variants! {
    TaskSpawned, TaskExited, SyncPoint,
    LockContended, LockAcquired, LockReleased, Wait, WaitDone, MightSleep, NonBlockStart, NonBlockEnd,
    Alloc, ReclaimStart, ReclaimEnd,
    MmCreated, MmExit, CallEnter, CallExit, PteSet, TlbFlush, CpuAccess,
    FrameAlloc, FrameFree, PagePin, PageUnpin, SwapOut, SwapIn,
    Subscribed, UnsubscribeStart, Unsubscribed,
    RangeStart, RangeStarted, RangeEnd, BracketLeaked, CallbackEnter, CallbackExit,
    ReadBegin, ReadRetry, SetSeq,
    DeviceCreated, SpteSet, SpteClear, DeviceAccess,
    ListReleased, SubscribeDeferred, LazyFreed, PudSet,
    AtomicEnter, AtomicExit,
    ShrinkSlabStart, ShrinkSlabEnd, OutOfMemory,
    FolioClean, YoungCheck, TlbFlushDeferred,
}

/// A set of kinds.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Variants(u64);

impl Variants {
    /// These kinds.
    #[must_use]
    pub const fn of(list: &[Variant]) -> Variants {
        let mut bits = 0;
        let mut i = 0;
        while i < list.len() {
            bits |= 1 << list[i] as u32;
            i += 1;
        }
        Variants(bits)
    }

    /// The kinds in either.
    #[must_use]
    pub const fn and(self, other: Variants) -> Variants {
        Variants(self.0 | other.0)
    }

    /// Whether it has `variant`.
    #[must_use]
    pub const fn contains(self, variant: Variant) -> bool {
        self.0 & (1 << variant as u32) != 0
    }

    /// The kinds in order of [`Variant::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Variant> {
        Variant::ALL.iter().copied().filter(move |v| self.contains(*v))
    }
}

impl fmt::Debug for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_fits_the_set() {
        assert!(Variant::ALL.len() <= 64);
        let all = Variants::of(Variant::ALL);
        assert_eq!(all.iter().count(), Variant::ALL.len());
        let two = Variants::of(&[Variant::PteSet]).and(Variants::of(&[Variant::Wait]));
        assert_eq!(format!("{two:?}"), "{Wait, PteSet}");
        assert_eq!(Variant::of(&EventKind::NonBlockEnd).name(), "NonBlockEnd");
    }
}
