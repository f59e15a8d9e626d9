//! Replay tokens: one line that says which run of which scenario, and what it hashed to.
//!
//! `sd1-` and base-32 text of: version, mode, seed and run number (variable length), the scenario's hash, the run's hash,
//! and a checksum over all of it, so that a damaged token is refused rather than replayed as another run.

use std::fmt;

/// How the choices of a run are made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// `run`: tasks interleave at random by the seed; every other choice takes its benign option (allocations do not
    /// enter reclaim on a whim, nothing fails).
    Benign,
    /// `explore --strategy random`: every choice at random.
    Random,
}

impl Mode {
    /// The word used in JSON and text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Mode::Benign => "benign",
            Mode::Random => "random",
        }
    }
}

/// Which run: everything that, with the scenario, makes it happen again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Recipe {
    /// How choices are made.
    pub mode: Mode,
    /// The seed; overrides the scenario's.
    pub seed: u64,
    /// Run `k` of an exploration; 0 for a single run.
    pub run: u64,
}

/// A recipe bound to a scenario and to the hash the run had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Token {
    /// Which run.
    pub recipe: Recipe,
    /// [`Experiment::hash`](crate::Experiment::hash) of the scenario it belongs to.
    pub scenario: u64,
    /// The run's hash: a replay that gives another one ran something else.
    pub hash: u64,
}

/// Why a text is no token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TokenError {
    /// Does not begin with `sd1-`.
    Prefix,
    /// A character that no token has, at this position.
    Character(usize),
    /// Too short, or bytes left over.
    Length,
    /// The checksum does not fit: a character was lost or changed.
    Checksum,
    /// Made by a version of the tool that encodes runs differently.
    Version(u8),
    /// A mode this version does not know.
    Mode(u8),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TokenError::Prefix => write!(f, "not a replay token: it does not begin with `{PREFIX}`"),
            TokenError::Character(at) => write!(f, "damaged replay token: no token has the character at position {at}"),
            TokenError::Length => f.write_str("damaged replay token: its length is wrong; copy the whole line"),
            TokenError::Checksum => {
                f.write_str("damaged replay token: the checksum does not fit; copy the line again from the report")
            }
            TokenError::Version(v) => write!(f, "replay token of format {v}; this tool reads format {VERSION}"),
            TokenError::Mode(m) => write!(f, "replay token of a mode ({m}) this tool does not know"),
        }
    }
}

impl std::error::Error for TokenError {}

const PREFIX: &str = "sd1-";
/// Bumped when a seed would give another run: a change of the random generator or of what is a choice.
const VERSION: u8 = 1;
/// Lower-case letters and digits without the ones people confuse (i, l, o, u).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHECK_BYTES: usize = 4;

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![VERSION, self.recipe.mode as u8];
        push_varint(&mut bytes, self.recipe.seed);
        push_varint(&mut bytes, self.recipe.run);
        bytes.extend(self.scenario.to_le_bytes());
        bytes.extend(self.hash.to_le_bytes());
        let check = checksum(&bytes);
        bytes.extend(check);
        f.write_str(PREFIX)?;
        f.write_str(&to_base32(&bytes))
    }
}

impl std::str::FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Token, TokenError> {
        let bytes = from_base32(text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?)?;
        let body_len = bytes.len().checked_sub(CHECK_BYTES).ok_or(TokenError::Length)?;
        let (body, check) = bytes.split_at(body_len);
        if checksum(body) != check {
            return Err(TokenError::Checksum);
        }
        let mut rest = body;
        match take(&mut rest)? {
            VERSION => {}
            other => return Err(TokenError::Version(other)),
        }
        let mode = match take(&mut rest)? {
            0 => Mode::Benign,
            1 => Mode::Random,
            other => return Err(TokenError::Mode(other)),
        };
        let recipe = Recipe { mode, seed: take_varint(&mut rest)?, run: take_varint(&mut rest)? };
        let token = Token { recipe, scenario: take_u64(&mut rest)?, hash: take_u64(&mut rest)? };
        if rest.is_empty() { Ok(token) } else { Err(TokenError::Length) }
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK_BYTES] {
    let hash = blake3::hash(bytes);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&hash.as_bytes()[..CHECK_BYTES]);
    check
}

fn push_varint(bytes: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        bytes.push(v as u8 | 0x80);
        v >>= 7;
    }
    bytes.push(v as u8);
}

fn take(rest: &mut &[u8]) -> Result<u8, TokenError> {
    let (first, tail) = rest.split_first().ok_or(TokenError::Length)?;
    *rest = tail;
    Ok(*first)
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, TokenError> {
    let mut v = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest)?;
        v |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(v);
        }
    }
    Err(TokenError::Length)
}

fn take_u64(rest: &mut &[u8]) -> Result<u64, TokenError> {
    let (word, tail) = rest.split_first_chunk::<8>().ok_or(TokenError::Length)?;
    *rest = tail;
    Ok(u64::from_le_bytes(*word))
}

fn to_base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut buffer, mut bits) = (0u32, 0);
    for byte in bytes {
        buffer = buffer << 8 | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            text.push(char::from(ALPHABET[(buffer >> bits) as usize & 31]));
        }
    }
    if bits > 0 {
        text.push(char::from(ALPHABET[(buffer << (5 - bits)) as usize & 31]));
    }
    text
}

fn from_base32(text: &str) -> Result<Vec<u8>, TokenError> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut buffer, mut bits) = (0u32, 0);
    for (at, c) in text.bytes().enumerate() {
        let value = ALPHABET.iter().position(|a| *a == c).ok_or(TokenError::Character(PREFIX.len() + at))?;
        buffer = buffer << 5 | value as u32;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((buffer >> bits) as u8);
        }
    }
    // The padding bits are zero in every token that was ever printed.
    if buffer & ((1 << bits) - 1) == 0 && bits < 5 { Ok(bytes) } else { Err(TokenError::Length) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(seed: u64, run: u64) -> Token {
        Token { recipe: Recipe { mode: Mode::Random, seed, run }, scenario: 0x0123_4567_89ab_cdef, hash: !seed }
    }

    #[test]
    fn a_token_survives_being_printed() {
        for (seed, run) in [(0, 0), (7, 41), (u64::MAX, u64::MAX), (1 << 40, 127), (128, 1 << 20)] {
            let t = token(seed, run);
            assert_eq!(t.to_string().parse(), Ok(t));
        }
        assert!(token(7, 41).to_string().len() <= 60);
    }

    #[test]
    fn every_changed_character_is_refused() {
        let text = token(7, 41).to_string();
        for at in 0..text.len() {
            for c in b"0123456789abcdefghjkmnpqrstvwxyz!-A" {
                let mut bytes = text.clone().into_bytes();
                if bytes[at] != *c {
                    bytes[at] = *c;
                    let changed = String::from_utf8(bytes).unwrap();
                    assert!(changed.parse::<Token>().is_err(), "{changed} was taken for {text}");
                }
            }
        }
        for len in 0..text.len() {
            assert!(text[..len].parse::<Token>().is_err());
        }
    }
}
