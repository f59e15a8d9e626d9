//! The random walk.

use crate::{ChoiceKind, SchedView, Scheduler};
use rand_chacha::ChaCha8Core;
use rand_chacha::rand_core::SeedableRng;
use rand_chacha::rand_core::block::Generator;

const WORDS: usize = 64;

/// Takes every option with equal probability, from a portable random stream that is a function of (seed, run) alone.
///
/// The stream is the ChaCha8 keystream of the key `seed || run || "shootdown.sched\0"` (little endian), one 32-bit
/// word a choice. A word is mapped to an option by multiply and shift: no option is more than `options / 2^32` likelier than it
/// should be, far below what a run count could show.
pub struct RandomScheduler {
    core: ChaCha8Core,
    words: [u32; WORDS],
    used: usize,
}

impl RandomScheduler {
    /// The stream of `(seed, run)`.
    #[must_use]
    pub fn new(seed: u64, run: u64) -> RandomScheduler {
        RandomScheduler { core: core_of(seed, run), words: [0; WORDS], used: WORDS }
    }

    /// Starts the stream of `(seed, run)`, as [`RandomScheduler::new`] does, in place.
    pub fn begin(&mut self, seed: u64, run: u64) {
        self.core = core_of(seed, run);
        self.used = WORDS;
    }

    /// A number in `0..options`, each equally likely; at most 2^32 options.
    #[inline]
    pub fn below(&mut self, options: u64) -> u64 {
        if self.used == WORDS {
            self.refill();
        }
        let word = self.words[self.used];
        self.used += 1;
        (u64::from(word) * options) >> 32
    }

    #[inline(never)]
    fn refill(&mut self) {
        self.core.generate(&mut self.words);
        self.used = 0;
    }
}

fn core_of(seed: u64, run: u64) -> ChaCha8Core {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&run.to_le_bytes());
    key[16..].copy_from_slice(b"shootdown.sched\0");
    ChaCha8Core::from_seed(key)
}

impl Scheduler for RandomScheduler {
    #[inline]
    fn next_task(&mut self, now: &SchedView<'_>) -> usize {
        self.below(now.runnable.len() as u64) as usize
    }

    #[inline]
    fn choose(&mut self, _kind: ChoiceKind, options: u32) -> u32 {
        self.below(u64::from(options)) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_words(scheduler: &mut RandomScheduler) -> Vec<u32> {
        (0..200).map(|_| scheduler.choose(ChoiceKind::Victim, 1000)).collect()
    }

    #[test]
    fn a_stream_is_a_function_of_seed_and_run() {
        let mut scheduler = RandomScheduler::new(7, 3);
        let expect = first_words(&mut scheduler);
        scheduler.begin(7, 4);
        assert_ne!(first_words(&mut scheduler), expect);
        scheduler.begin(8, 3);
        assert_ne!(first_words(&mut scheduler), expect);
        scheduler.begin(7, 3);
        assert_eq!(first_words(&mut scheduler), expect);
    }

    #[test]
    fn every_option_is_taken_about_equally_often() {
        let mut scheduler = RandomScheduler::new(1, 1);
        let mut taken = [0u32; 3];
        for _ in 0..30_000 {
            taken[scheduler.choose(ChoiceKind::Victim, 3) as usize] += 1;
        }
        // Six standard deviations of a binomial (30,000, 1/3) are 490.
        assert!(taken.iter().all(|&n| n.abs_diff(10_000) < 490), "{taken:?}");
    }
}
