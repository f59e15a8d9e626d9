//! What the current task holds, as the validator sees it: for whoever records what is held at a callback.

use crate::kernel::Kernel;
use lockdep::Read;
use mm_types::{Name, ObjId};

/// One lock, map or read section that a task is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldLock {
    /// Its class, with the subclass it was taken under.
    pub class: Name,
    /// Which lock of the class.
    pub obj: ObjId,
    /// Exclusive, shared, or shared and recursive. A write hold that was downgraded is shared.
    pub read: Read,
    /// It was taken without waiting.
    pub trylock: bool,
    /// The kernel's own lockdep does not see the class.
    pub ours: bool,
}

impl Kernel {
    /// What the current task holds, outermost first; empty without a validator. No scheduling point.
    pub fn held_locks(&self) -> Vec<HeldLock> {
        let rows = self.classes.borrow();
        let tasks = self.tasks.borrow();
        let held = &tasks[self.sched.current().0 as usize].held;
        held.locks()
            .iter()
            .filter_map(|lock| {
                let row = rows.iter().find(|row| row.id == lock.class())?;
                Some(HeldLock {
                    class: row.printed,
                    obj: ObjId(lock.instance()),
                    read: lock.read(),
                    trylock: lock.trylock(),
                    ours: row.class.ours,
                })
            })
            .collect()
    }
}
