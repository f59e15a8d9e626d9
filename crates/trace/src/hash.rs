//! The run hash: what "the same run" means.

use crate::{Event, Observer, RunEnd};
use std::hash::{Hash, Hasher};

/// Folds every event and the way the run ended into 64 bits, the same on every machine and in every build.
///
/// Names enter by their text, ids by their numbers, source locations not at all.
#[derive(Clone, Debug, Default)]
pub struct RunHash {
    state: Fold,
}

impl RunHash {
    /// The hash of what has been seen so far.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.state.finish()
    }

    /// Starts over.
    pub fn reset(&mut self) {
        *self = RunHash::default();
    }
}

impl Observer for RunHash {
    fn event(&mut self, event: &Event) {
        event.hash(&mut self.state);
    }

    fn end(&mut self, end: &RunEnd) {
        end.word().hash(&mut self.state);
        if let RunEnd::Deadlock { blocked, cycle } = end {
            cycle.hash(&mut self.state);
            for b in blocked {
                (b.task, b.waits_for.obj).hash(&mut self.state);
            }
        }
    }
}

/// A multiply-fold hash over 64-bit words. Not std's: that one may change between releases.
#[derive(Clone, Debug, Default)]
struct Fold(u64);

impl Fold {
    fn word(&mut self, w: u64) {
        let x = (self.0 ^ w).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let m = u128::from(x) * 0xd6e8_feb8_6659_fd93_u128;
        self.0 = (m as u64) ^ ((m >> 64) as u64) ^ self.0.rotate_left(23);
    }
}

impl Hasher for Fold {
    fn finish(&self) -> u64 {
        let mut x = self.0;
        x ^= x >> 32;
        x = x.wrapping_mul(0xe703_7ed1_a0b4_28db);
        x ^ (x >> 29)
    }
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut w = [0u8; 8];
            w[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(w) ^ ((chunk.len() as u64) << 56));
        }
    }
    fn write_u8(&mut self, v: u8) {
        self.word(u64::from(v));
    }
    fn write_u16(&mut self, v: u16) {
        self.word(u64::from(v));
    }
    fn write_u32(&mut self, v: u32) {
        self.word(u64::from(v));
    }
    fn write_u64(&mut self, v: u64) {
        self.word(v);
    }
    fn write_usize(&mut self, v: usize) {
        self.word(v as u64);
    }
    // `derive(Hash)` writes an enum's discriminant as an isize.
    fn write_isize(&mut self, v: isize) {
        self.word(v as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventKind;
    use mm_types::{Name, TaskId};

    fn hash_of(events: &[Event]) -> u64 {
        let mut h = RunHash::default();
        events.iter().for_each(|e| h.event(e));
        h.end(&RunEnd::Finished);
        h.value()
    }

    fn point(step: u64, task: u32, name: &str) -> Event {
        Event { step, task: TaskId(task), kind: EventKind::SyncPoint { name: Name::new(name) } }
    }

    #[test]
    fn order_task_and_name_all_count() {
        let a = hash_of(&[point(0, 1, "a"), point(1, 2, "b")]);
        assert_eq!(a, hash_of(&[point(0, 1, "a"), point(1, 2, "b")]));
        assert_ne!(a, hash_of(&[point(1, 2, "b"), point(0, 1, "a")]));
        assert_ne!(a, hash_of(&[point(0, 1, "a"), point(1, 1, "b")]));
        assert_ne!(a, hash_of(&[point(0, 1, "a"), point(1, 2, "c")]));
        assert_ne!(a, hash_of(&[point(0, 1, "a")]));
    }

    #[test]
    fn the_value_is_the_same_on_every_machine() {
        // Pinned: a change here makes every stored token and recorded hash foreign.
        assert_eq!(hash_of(&[point(3, 1, "notifier.range_start"), point(4, 2, "alloc")]), 6_445_217_794_279_565_104);
    }
}
