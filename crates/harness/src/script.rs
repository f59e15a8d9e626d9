//! A schedule as the exceptions it makes to the *plain course*: the current task goes on, else the one with the lowest id;
//! every other choice takes option 0.
//!
//! What an exploration, a proof or a shrinking finds differs from the plain course in a few places, so it is short; a
//! random run of 50 steps is about as long as its entropy.
//!
//! # Bits
//!
//! The number of exceptions, the order `k` (3 bits), and for each exception how many choices took the plain option since the
//! one before, and which of the other options is taken, counted from 0. Numbers are exponential Golomb codes, of order 0; the
//! last of order `k`, whichever gives the fewest bits. Zeros fill the last byte.

use std::fmt;

/// One exception: after `after` plain choices, the other option number `other` (from 0, the plain one not counted).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Exception {
    after: u32,
    other: u32,
}

/// The exceptions of a run, in order.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Script(Vec<Exception>);

/// Why bytes are no script: they end too early, go on too long, or hold a number that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadScript;

impl Script {
    /// How many choices are not the plain ones.
    #[must_use]
    pub fn exceptions(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        (0..8).map(|order| self.encoded(order)).min_by_key(|bits| bits.len).map(Bits::into_bytes).unwrap_or_default()
    }

    fn encoded(&self, order: u32) -> Bits {
        let mut bits = Bits::default();
        bits.golomb(0, self.0.len() as u64);
        bits.push(u64::from(order), 3);
        for exception in &self.0 {
            bits.golomb(0, u64::from(exception.after));
            bits.golomb(order, u64::from(exception.other));
        }
        bits
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Script, BadScript> {
        let mut bits = Reader { bytes, at: 0 };
        let count = bits.golomb(0)?;
        let order = bits.take(3)? as u32;
        // An exception has at least two bits: a count from outside must not reserve more than the bytes can hold.
        if count > bytes.len() as u64 * 4 {
            return Err(BadScript);
        }
        let small = |n: u64| u32::try_from(n).map_err(|_| BadScript);
        let exceptions = (0..count)
            .map(|_| Ok(Exception { after: small(bits.golomb(0)?)?, other: small(bits.golomb(order)?)? }))
            .collect::<Result<_, BadScript>>()?;
        bits.end()?;
        Ok(Script(exceptions))
    }
}

impl fmt::Display for Script {
    /// `4:1 0:2`: after four plain choices the other option 1 (from 1), at the next one the other option 2.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, exception) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{}:{}", exception.after, exception.other + 1)?;
        }
        Ok(())
    }
}

/// Writes a script down while a run makes its choices.
#[derive(Default)]
pub(crate) struct ScriptWriter {
    script: Script,
    plain: u32,
}

impl ScriptWriter {
    /// A choice took `taken`, where the plain course would have taken `plain`.
    pub(crate) fn choice(&mut self, plain: u32, taken: u32) {
        if taken == plain {
            self.plain += 1;
            return;
        }
        let other = if taken < plain { taken } else { taken - 1 };
        self.script.0.push(Exception { after: std::mem::take(&mut self.plain), other });
    }

    pub(crate) fn finish(self) -> Script {
        self.script
    }
}

/// Reads a script out, choice by choice.
pub(crate) struct ScriptReader {
    script: Script,
    next: usize,
    plain: u32,
    pub(crate) choices: usize,
}

impl ScriptReader {
    pub(crate) fn new(script: Script) -> ScriptReader {
        ScriptReader { script, next: 0, plain: 0, choices: 0 }
    }

    /// The option of the next choice, of which the plain course would take `plain`; none if the script wants one that is
    /// not there.
    pub(crate) fn choice(&mut self, plain: u32, options: u32) -> Option<u32> {
        self.choices += 1;
        match self.script.0.get(self.next) {
            Some(exception) if exception.after == self.plain => {
                self.next += 1;
                self.plain = 0;
                let taken = if exception.other < plain { exception.other } else { exception.other.checked_add(1)? };
                (taken < options).then_some(taken)
            }
            _ => {
                self.plain += 1;
                Some(plain)
            }
        }
    }
}

#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    /// The low `count` bits of `value`, highest first.
    fn push(&mut self, value: u64, count: u32) {
        for bit in (0..count).rev() {
            if self.len.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let at = 7 - (self.len % 8);
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << at;
            self.len += 1;
        }
    }

    fn golomb(&mut self, order: u32, value: u64) {
        let head = (value >> order) + 1;
        let width = 64 - head.leading_zeros();
        self.push(0, width - 1);
        self.push(head, width);
        self.push(value, order);
    }

    fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bit(&mut self) -> Result<u64, BadScript> {
        let byte = self.bytes.get(self.at / 8).ok_or(BadScript)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Ok(u64::from(bit))
    }

    fn take(&mut self, count: u32) -> Result<u64, BadScript> {
        (0..count).try_fold(0, |value, _| Ok(value << 1 | self.bit()?))
    }

    fn golomb(&mut self, order: u32) -> Result<u64, BadScript> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            // No number of a script has more than 32 bits, and its head one more.
            if zeros > 32 {
                return Err(BadScript);
            }
        }
        let head = 1 << zeros | self.take(zeros)?;
        Ok((head - 1) << order | self.take(order)?)
    }

    /// Only zeros up to the end of the byte that was begun, and no byte after it.
    fn end(&mut self) -> Result<(), BadScript> {
        let whole = self.at.div_ceil(8);
        while self.at < whole * 8 {
            if self.bit()? != 0 {
                return Err(BadScript);
            }
        }
        if whole == self.bytes.len() { Ok(()) } else { Err(BadScript) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `(options, plain, taken)` of each choice of a run.
    pub(crate) fn any_choices(most: usize, options: u32) -> impl Strategy<Value = Vec<(u32, u32, u32)>> {
        let choice = (2..=options).prop_flat_map(|options| (Just(options), 0..options, 0..options));
        prop::collection::vec(choice, 0..=most)
    }

    pub(crate) fn written(choices: &[(u32, u32, u32)]) -> Script {
        let mut writer = ScriptWriter::default();
        choices.iter().for_each(|&(_, plain, taken)| writer.choice(plain, taken));
        writer.finish()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(choices in any_choices(60, 70)) {
            let script = Script::from_bytes(&written(&choices).to_bytes()).expect("our own bytes");
            let mut reader = ScriptReader::new(script);
            for (options, plain, taken) in choices {
                prop_assert_eq!(reader.choice(plain, options), Some(taken));
            }
        }

        #[test]
        fn any_bytes_are_one_script_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(script) = Script::from_bytes(&bytes) {
                // The same exceptions may be coded with another order, never longer.
                let again = script.to_bytes();
                prop_assert!(again.len() <= bytes.len());
                prop_assert_eq!(Script::from_bytes(&again), Ok(script));
            }
        }
    }

    #[test]
    fn an_option_that_is_not_there_is_refused() {
        let script = written(&[(4, 1, 3)]);
        assert_eq!(ScriptReader::new(script.clone()).choice(1, 3), None);
        assert_eq!(ScriptReader::new(script.clone()).choice(3, 3), Some(2));
        assert_eq!(ScriptReader::new(script).choice(1, 4), Some(3));
    }

    #[test]
    fn a_run_with_one_exception_is_a_few_bytes() {
        let mut writer = ScriptWriter::default();
        (0..1_000).for_each(|_| writer.choice(0, 0));
        writer.choice(0, 2);
        let script = writer.finish();
        assert_eq!(script.to_string(), "1000:2");
        assert!(script.to_bytes().len() <= 4, "{:?}", script.to_bytes());
    }
}
