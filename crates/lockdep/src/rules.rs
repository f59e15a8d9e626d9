//! What one chain says: the same-class rule and the dependencies. Pure functions of the sequence of locks.

use crate::acquire::{Acquire, Read};
use crate::graph::EdgeKind;

/// A class number and how it was taken.
pub(crate) type Taken = (u32, Acquire);

/// The outermost held lock that `next` collides with: same class, unless `next` is recursive and that one is shared.
///
/// Held locks collide whether they are checked or not, tried or not; only `next` must be validated at all.
/// Linux: `check_deadlock()`.
pub(crate) fn collision(held: &[Taken], next: Taken) -> Option<usize> {
    held.iter().position(|prev| prev.0 == next.0 && !(next.1.read == Read::Recursive && prev.1.read != Read::Exclusive))
}

/// The dependencies that taking `next` creates: (index of the held lock, kind), innermost first.
///
/// Walks outwards. Unchecked locks are passed over; a checked one gives a dependency, and the first that was waited for
/// ends the walk, since everything further out is connected through it. Linux: `check_prevs_add()`.
pub(crate) fn dependencies(held: &[Taken], next: Taken) -> impl Iterator<Item = (usize, EdgeKind)> {
    let mut connected = false;
    held.iter()
        .enumerate()
        .rev()
        .filter(|(_, prev)| prev.1.check)
        .take_while(move |(_, prev)| !core::mem::replace(&mut connected, !prev.1.trylock))
        .map(move |(at, prev)| (at, EdgeKind::between(prev.1.read, next.1.read)))
}
