//! What a visible operation touches, as far as exploration needs to know it.

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

    /// Whether the order of the two can matter: same object, and at least one of them writes it.
    #[must_use]
    pub fn conflicts_with(self, other: Op) -> bool {
        let local = matches!(self.access, Access::Local) || matches!(other.access, Access::Local);
        let writes = matches!(self.access, Access::Write) || matches!(other.access, Access::Write);
        !local && writes && self.object == other.object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_write_to_the_same_object_conflicts() {
        let (a, b) = (ObjId(1), ObjId(2));
        assert!(Op::write(a).conflicts_with(Op::write(a)));
        assert!(Op::read(a).conflicts_with(Op::write(a)));
        assert!(!Op::read(a).conflicts_with(Op::read(a)));
        assert!(!Op::write(a).conflicts_with(Op::write(b)));
        assert!(!Op::LOCAL.conflicts_with(Op::write(ObjId::NONE)));
    }
}
