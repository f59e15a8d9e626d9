//! The list of choices of a run, and its compact form.
//!
//! Encoding: a varint count, then each choice. The common one, a [`ChoiceKind::Task`] of 2 to 8 options, is one byte
//! (`0x00..=0x22`: the pairs (options, taken) in lexical order); any other is `0x40 + kind`, for `User` a varint of
//! its number, then varints of `options` and `taken`.

use crate::{Choice, ChoiceKind};
use std::fmt;

/// The choices of a run in the order in which they were made. Replaying them replays the run.
///
/// `Display` and `FromStr` give the text form: `T1/2` is option 1 of 2 tasks, `A` an allocation's failure, `R` entering
/// reclaim, `V` a victim, `L` a trylock, `I` an interrupt, `M` a timer, `U7:` a caller's own; separated by spaces.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub struct Schedule(pub Vec<Choice>);

/// Why bytes are not a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ScheduleDecodeError {
    /// The bytes end inside the schedule.
    Truncated,
    /// There are bytes after the schedule; the position of the first one.
    Trailing(usize),
    /// The byte at this position starts no choice.
    UnknownKind {
        /// Position of the byte.
        at: usize,
        /// Its value.
        byte: u8,
    },
    /// A number before this position does not fit its type.
    Overflow(usize),
    /// The choice that ends at this position takes an option that it does not have, or has fewer than two.
    OutOfRange(usize),
}

impl fmt::Display for ScheduleDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScheduleDecodeError::Truncated => write!(f, "the schedule is cut off"),
            ScheduleDecodeError::Trailing(at) => write!(f, "bytes after the end of the schedule, from byte {at}"),
            ScheduleDecodeError::UnknownKind { at, byte } => {
                write!(f, "byte {at} of the schedule, {byte:#04x}, starts no choice")
            }
            ScheduleDecodeError::Overflow(at) => write!(f, "a number before byte {at} of the schedule is too large"),
            ScheduleDecodeError::OutOfRange(at) => {
                write!(f, "the choice before byte {at} of the schedule takes an option that it does not have")
            }
        }
    }
}

impl std::error::Error for ScheduleDecodeError {}

const SHORT_OPTIONS: u32 = 8;
const LONG: u8 = 0x40;

impl Schedule {
    /// The compact form: about a byte a choice.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.0.len() + 4);
        put_varint(&mut out, self.0.len() as u64);
        for &choice in &self.0 {
            put_choice(&mut out, choice);
        }
        out
    }

    /// The schedule that [`Schedule::encode`] made `bytes` of.
    ///
    /// # Errors
    /// If the bytes are not exactly one schedule.
    pub fn decode(bytes: &[u8]) -> Result<Schedule, ScheduleDecodeError> {
        let mut reader = Reader { bytes, at: 0 };
        let count = reader.varint()?;
        // A count from outside must not reserve memory that the bytes cannot fill.
        let mut choices = Vec::with_capacity(count.min(bytes.len() as u64) as usize);
        for _ in 0..count {
            choices.push(reader.choice()?);
        }
        if reader.at < bytes.len() {
            return Err(ScheduleDecodeError::Trailing(reader.at));
        }
        Ok(Schedule(choices))
    }

    /// A 64-bit hash of the choices, the same on every machine and in every version that keeps the encoding.
    /// Not collision-proof against malice.
    #[must_use]
    pub fn stable_hash(&self) -> u64 {
        let fnv = self
            .encode()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3));
        // FNV alone leaves the last bytes in the low bits: spread them (splitmix64's finalizer).
        let mut z = fnv;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

fn put_choice(out: &mut Vec<u8>, choice: Choice) {
    let Choice { kind, options, taken } = choice;
    if kind == ChoiceKind::Task && (2..=SHORT_OPTIONS).contains(&options) && taken < options {
        out.push((first_short(options) + taken) as u8);
        return;
    }
    let (code, user) = match kind {
        ChoiceKind::Task => (0, None),
        ChoiceKind::AllocFails => (1, None),
        ChoiceKind::EntersReclaim => (2, None),
        ChoiceKind::Victim => (3, None),
        ChoiceKind::Trylock => (4, None),
        ChoiceKind::Interrupt => (5, None),
        ChoiceKind::Timer => (6, None),
        ChoiceKind::User(n) => (7, Some(n)),
        ChoiceKind::Load => (8, None),
        ChoiceKind::Store => (9, None),
    };
    out.push(LONG + code);
    if let Some(n) = user {
        put_varint(out, u64::from(n));
    }
    put_varint(out, u64::from(options));
    put_varint(out, u64::from(taken));
}

/// The short code of (options, 0): the number of pairs with fewer options.
fn first_short(options: u32) -> u32 {
    (2..options).sum()
}

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, ScheduleDecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(ScheduleDecodeError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn varint(&mut self) -> Result<u64, ScheduleDecodeError> {
        let mut n = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(ScheduleDecodeError::Overflow(self.at));
            }
            n |= bits << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(ScheduleDecodeError::Overflow(self.at))
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Result<T, ScheduleDecodeError> {
        T::try_from(self.varint()?).map_err(|_| ScheduleDecodeError::Overflow(self.at))
    }

    fn choice(&mut self) -> Result<Choice, ScheduleDecodeError> {
        let at = self.at;
        let byte = self.byte()?;
        if byte < LONG {
            return short_choice(byte).ok_or(ScheduleDecodeError::UnknownKind { at, byte });
        }
        let kind = match byte - LONG {
            0 => ChoiceKind::Task,
            1 => ChoiceKind::AllocFails,
            2 => ChoiceKind::EntersReclaim,
            3 => ChoiceKind::Victim,
            4 => ChoiceKind::Trylock,
            5 => ChoiceKind::Interrupt,
            6 => ChoiceKind::Timer,
            7 => ChoiceKind::User(self.small()?),
            8 => ChoiceKind::Load,
            9 => ChoiceKind::Store,
            _ => return Err(ScheduleDecodeError::UnknownKind { at, byte }),
        };
        let (options, taken) = (self.small()?, self.small()?);
        if options < 2 || taken >= options {
            return Err(ScheduleDecodeError::OutOfRange(self.at));
        }
        Ok(Choice { kind, options, taken })
    }
}

fn short_choice(byte: u8) -> Option<Choice> {
    let code = u32::from(byte);
    let options = (2..=SHORT_OPTIONS).find(|&options| code < first_short(options) + options)?;
    Some(Choice { kind: ChoiceKind::Task, options, taken: code - first_short(options) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn any_choice() -> impl Strategy<Value = Choice> {
        let kind = prop_oneof![
            8 => Just(ChoiceKind::Task),
            1 => Just(ChoiceKind::AllocFails),
            1 => Just(ChoiceKind::EntersReclaim),
            1 => Just(ChoiceKind::Victim),
            1 => Just(ChoiceKind::Trylock),
            1 => Just(ChoiceKind::Interrupt),
            1 => Just(ChoiceKind::Timer),
            1 => Just(ChoiceKind::Load),
            1 => Just(ChoiceKind::Store),
            1 => any::<u16>().prop_map(ChoiceKind::User),
        ];
        let options = prop_oneof![4 => 2..12u32, 1 => 2..=u32::MAX];
        (kind, options, any::<prop::sample::Index>()).prop_map(|(kind, options, taken)| Choice {
            kind,
            options,
            taken: taken.index(options as usize) as u32,
        })
    }

    pub(crate) fn any_schedule() -> impl Strategy<Value = Schedule> {
        prop::collection::vec(any_choice(), 0..60).prop_map(Schedule)
    }

    proptest! {
        #[test]
        fn decoding_gives_back_what_was_encoded(schedule in any_schedule()) {
            prop_assert_eq!(Schedule::decode(&schedule.encode()), Ok(schedule));
        }

        #[test]
        fn a_prefix_is_refused(schedule in any_schedule(), cut in any::<prop::sample::Index>()) {
            let bytes = schedule.encode();
            prop_assert!(Schedule::decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(schedule) = Schedule::decode(&bytes) {
                prop_assert!(schedule.0.iter().all(|c| c.options >= 2 && c.taken < c.options));
            }
        }
    }

    #[test]
    fn every_small_task_choice_is_its_own_byte() {
        let mut seen = std::collections::BTreeSet::new();
        for options in 2..=8 {
            for taken in 0..options {
                let bytes = Schedule(vec![Choice { kind: ChoiceKind::Task, options, taken }]).encode();
                assert_eq!(bytes.len(), 2);
                assert!(seen.insert(bytes[1]));
            }
        }
        assert_eq!(seen.last(), Some(&0x22));
    }

    #[test]
    fn bad_bytes_are_refused_with_the_reason() {
        use ScheduleDecodeError::{OutOfRange, Overflow, Trailing, Truncated, UnknownKind};
        let check = |bytes: &[u8], expect| assert_eq!(Schedule::decode(bytes), Err(expect));
        check(&[], Truncated);
        check(&[2, 0], Truncated);
        check(&[1, 0, 0], Trailing(2));
        check(&[1, 0x23], UnknownKind { at: 1, byte: 0x23 });
        check(&[1, 0x7f], UnknownKind { at: 1, byte: 0x7f });
        check(&[1, 0x49, 2, 2], OutOfRange(4));
        check(&[1, 0x41, 2, 2], OutOfRange(4));
        check(&[1, 0x41, 1, 0], OutOfRange(4));
        check(&[1, 0x47, 0xff, 0xff, 0x04, 2, 0], Overflow(5));
        check(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Overflow(10));
    }

    #[test]
    fn the_hash_is_fixed() {
        let schedule = Schedule(vec![Choice { kind: ChoiceKind::Task, options: 2, taken: 1 }]);
        assert_eq!(schedule.stable_hash(), 0xb031_1355_9970_6da3);
    }
}
