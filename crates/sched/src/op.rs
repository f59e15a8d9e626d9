//! What a visible operation touches, as far as scheduling and exploration need to know it.

use crate::Availability;
use mm_types::ObjId;

/// How an operation uses its object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Access {
    /// Leaves the object as it is: two reads commute.
    Read,
    /// May change the object, or what another operation on it would see.
    Write,
    /// Concerns no other task: commutes with everything.
    Local,
    /// Takes the object together with others that share it; can be chosen only while it [can be](Availability::allows).
    TakeShared,
    /// Takes the object alone; can be chosen only while it [can be](Availability::allows).
    TakeExclusive,
    /// Gives back a share of the object.
    DropShared,
    /// Gives back the object.
    DropExclusive,
}

impl Access {
    /// Whether it waits until the object can be taken.
    #[must_use]
    #[inline]
    pub const fn takes(self) -> bool {
        matches!(self, Access::TakeShared | Access::TakeExclusive)
    }

    /// Whether it is that of a sharer: the order of two of them does not matter.
    const fn shares(self) -> bool {
        matches!(self, Access::TakeShared | Access::DropShared)
    }
}

/// The next visible operation of a task.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Op {
    /// What is accessed; [`ObjId::NONE`] for a local operation.
    pub object: ObjId,
    /// How.
    pub access: Access,
}

impl Op {
    /// An operation that commutes with every other.
    pub const LOCAL: Op = Op { object: ObjId::NONE, access: Access::Local };

    /// An operation that reads `object`.
    #[must_use]
    pub const fn read(object: ObjId) -> Op {
        Op { object, access: Access::Read }
    }

    /// An operation that may change `object`.
    #[must_use]
    pub const fn write(object: ObjId) -> Op {
        Op { object, access: Access::Write }
    }

    /// An operation that takes `object` alone.
    #[must_use]
    pub const fn take_exclusive(object: ObjId) -> Op {
        Op { object, access: Access::TakeExclusive }
    }

    /// An operation that takes a share of `object`.
    #[must_use]
    pub const fn take_shared(object: ObjId) -> Op {
        Op { object, access: Access::TakeShared }
    }

    /// An operation that gives `object` back.
    #[must_use]
    pub const fn drop_exclusive(object: ObjId) -> Op {
        Op { object, access: Access::DropExclusive }
    }

    /// An operation that gives a share of `object` back.
    #[must_use]
    pub const fn drop_shared(object: ObjId) -> Op {
        Op { object, access: Access::DropShared }
    }

    /// Whether the order of the two can matter: same object, and not two reads of it nor two shares.
    #[must_use]
    #[inline]
    pub fn conflicts_with(self, other: Op) -> bool {
        use Access::{Local, Read};
        let (a, b) = (self.access, other.access);
        let commute = a == Local || b == Local || (a == Read && b == Read) || (a.shares() && b.shares());
        self.object == other.object && !commute
    }

    /// Whether it can be performed while its object is as `now` says.
    #[must_use]
    #[inline]
    pub fn enabled(self, now: Availability) -> bool {
        now.allows(self.access)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_commute_shares_commute_and_nothing_else_on_one_object_does() {
        let (a, b) = (ObjId(1), ObjId(2));
        assert!(Op::write(a).conflicts_with(Op::write(a)));
        assert!(Op::read(a).conflicts_with(Op::write(a)));
        assert!(!Op::read(a).conflicts_with(Op::read(a)));
        assert!(!Op::write(a).conflicts_with(Op::write(b)));
        assert!(!Op::LOCAL.conflicts_with(Op::write(ObjId::NONE)));
        assert!(!Op::take_shared(a).conflicts_with(Op::drop_shared(a)));
        assert!(Op::take_shared(a).conflicts_with(Op::take_exclusive(a)));
        assert!(Op::take_exclusive(a).conflicts_with(Op::drop_exclusive(a)));
        assert!(Op::take_shared(a).conflicts_with(Op::read(a)));
    }
}
