//! Replay tokens: one line that says which run of which scenario, and what it hashed to.
//!
//! `sd1-` and base-32 text of: format, the tool's version, how choices were made, seed, run number or nothing, the scenario's
//! hash, the run's hash, the schedule if it is explicit ([`Script`]), and a checksum over all of it, so that a damaged token is
//! refused rather than replayed as another run. A run of 50 steps and up to 8 tasks takes at most 100 characters, whatever
//! its schedule. Longer ones go to a file ([`Token::to_file`]).
//!
//! | refused | by |
//! |---|---|
//! | a character changed, lost or added | the checksum |
//! | another version of the tool | the version in it: runs are the same only within one |
//! | another scenario, or other settings | the scenario's hash, before anything is run |
//! | a run that differs all the same | the run's hash, after it |

use crate::script::Script;
use std::fmt;

/// How the choices of a run are made from a seed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Mode {
    /// `run`: tasks interleave at random by the seed; every other choice takes its benign option (allocations do not
    /// enter reclaim on a whim, nothing fails).
    Benign,
    /// `explore --strategy random`: every choice at random.
    Random,
    /// `explore --strategy pct`: priorities that change at a few conflicting operations.
    Pct,
    /// `explore --strategy pos`: priorities of operations, drawn anew where they race.
    Pos,
    /// `explore --strategy surw`: the orders of the accesses to one object, uniformly.
    Surw,
    /// `explore --strategy portfolio`: each of several in its turn.
    Portfolio,
}

impl Mode {
    /// The word used in JSON and text.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Mode::Benign => "benign",
            Mode::Random => "random",
            Mode::Pct => "pct",
            Mode::Pos => "pos",
            Mode::Surw => "surw",
            Mode::Portfolio => "portfolio",
        }
    }
}

/// Which run of those that are made from a seed: everything that, with the scenario, makes it happen again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Recipe {
    /// How choices are made.
    pub mode: Mode,
    /// The seed; overrides the scenario's.
    pub seed: u64,
    /// Run `k` of an exploration; 0 for a single run.
    pub run: u64,
}

/// Where the choices of a run come from.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Origin {
    /// From a seed.
    Recipe(Recipe),
    /// Written out: what a search found, not what a seed gives.
    Script {
        /// The seed of the search; the run does not depend on it.
        seed: u64,
        /// The choices.
        script: Script,
    },
}

impl Origin {
    /// The word used in JSON and text.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Origin::Recipe(recipe) => recipe.mode.word(),
            Origin::Script { .. } => "scripted",
        }
    }

    /// How choices are made, as far as that says what may happen: a schedule that is written out may take any option.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self {
            Origin::Recipe(recipe) => recipe.mode,
            Origin::Script { .. } => Mode::Random,
        }
    }

    /// The seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        match self {
            Origin::Recipe(recipe) => recipe.seed,
            Origin::Script { seed, .. } => *seed,
        }
    }

    /// The number of the run in its exploration.
    #[must_use]
    pub const fn run(&self) -> u64 {
        match self {
            Origin::Recipe(recipe) => recipe.run,
            Origin::Script { .. } => 0,
        }
    }
}

impl From<Recipe> for Origin {
    fn from(recipe: Recipe) -> Origin {
        Origin::Recipe(recipe)
    }
}

/// An origin bound to a scenario and to the hash the run had.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Which run.
    pub origin: Origin,
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
    /// Made by a version of the tool that writes tokens differently.
    Format(u8),
    /// Made by this version of the tool, of which another runs.
    Tool(Version),
    /// A way of choosing that this version does not know.
    Mode(u8),
    /// The checksum fits and the schedule makes no sense: no tool wrote it.
    Schedule,
}

/// A version of the tool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Version(u16, u16, u16);

impl Version {
    /// This tool's.
    fn this() -> Version {
        let part = |text: &str| text.parse().unwrap_or(u16::MAX);
        Version(
            part(env!("CARGO_PKG_VERSION_MAJOR")),
            part(env!("CARGO_PKG_VERSION_MINOR")),
            part(env!("CARGO_PKG_VERSION_PATCH")),
        )
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
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
            TokenError::Format(v) => write!(f, "replay token of format {v}; this tool reads format {FORMAT}"),
            TokenError::Tool(version) => write!(
                f,
                "replay token of shootdown {version}, and this is {}: runs are the same only within one version; what is to last \
                 longer is a scenario (`shootdown shrink` writes one)",
                Version::this()
            ),
            TokenError::Mode(m) => write!(f, "replay token of a mode ({m}) this tool does not know"),
            TokenError::Schedule => f.write_str("damaged replay token: its schedule makes no sense"),
        }
    }
}

impl std::error::Error for TokenError {}

const PREFIX: &str = "sd1-";
/// Bumped when a token is written differently, or when a seed would give another run within a version of the tool.
const FORMAT: u8 = 2;
/// Lower-case letters and digits without the ones people confuse (i, l, o, u).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHECK_BYTES: usize = 4;
/// The mode of a token that has its schedule with it.
const SCRIPTED: u8 = 0x80;

/// A token that is longer is put into a file.
pub const LONGEST_IN_LINE: usize = 100;

impl Token {
    /// The bytes before the checksum.
    fn body(&self, version: Version) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        let Version(major, minor, patch) = version;
        [major, minor, patch].into_iter().for_each(|part| push_varint(&mut bytes, u64::from(part)));
        match &self.origin {
            Origin::Recipe(Recipe { mode, seed, run }) => {
                bytes.push(*mode as u8);
                push_varint(&mut bytes, *seed);
                push_varint(&mut bytes, *run);
            }
            Origin::Script { seed, .. } => {
                bytes.push(SCRIPTED);
                push_varint(&mut bytes, *seed);
            }
        }
        bytes.extend(self.scenario.to_le_bytes());
        bytes.extend(self.hash.to_le_bytes());
        if let Origin::Script { script, .. } = &self.origin {
            bytes.extend(script.to_bytes());
        }
        bytes
    }

    /// The token in a file of its own: a comment that says what it is, and the token in lines of a hundred characters.
    #[must_use]
    pub fn to_file(&self, comment: &str) -> String {
        let text = self.to_string();
        let mut file = format!("# {comment}\n");
        for line in text.as_bytes().chunks(LONGEST_IN_LINE) {
            file.push_str(&String::from_utf8_lossy(line));
            file.push('\n');
        }
        file
    }

    /// The token in the text of a file that [`Token::to_file`] made.
    ///
    /// # Errors
    /// As for a token in a line.
    pub fn from_file(text: &str) -> Result<Token, TokenError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
        lines.collect::<String>().parse()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&sealed(self.body(Version::this())))
    }
}

/// The text of a token whose bytes these are.
fn sealed(mut bytes: Vec<u8>) -> String {
    let check = checksum(&bytes);
    bytes.extend(check);
    format!("{PREFIX}{}", to_base32(&bytes))
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
            FORMAT => {}
            other => return Err(TokenError::Format(other)),
        }
        let version = take_version(&mut rest)?;
        if version != Version::this() {
            return Err(TokenError::Tool(version));
        }
        let mode = take(&mut rest)?;
        let seed = take_varint(&mut rest)?;
        let recipe = match mode {
            0 => Some(Mode::Benign),
            1 => Some(Mode::Random),
            2 => Some(Mode::Pct),
            3 => Some(Mode::Pos),
            4 => Some(Mode::Surw),
            5 => Some(Mode::Portfolio),
            SCRIPTED => None,
            other => return Err(TokenError::Mode(other)),
        };
        let recipe = recipe.map(|mode| Ok(Recipe { mode, seed, run: take_varint(&mut rest)? })).transpose()?;
        let (scenario, hash) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        let origin = match recipe {
            Some(recipe) if rest.is_empty() => Origin::Recipe(recipe),
            Some(_) => return Err(TokenError::Length),
            None => Origin::Script { seed, script: Script::from_bytes(rest).map_err(|_| TokenError::Schedule)? },
        };
        Ok(Token { origin, scenario, hash })
    }
}

fn take_version(rest: &mut &[u8]) -> Result<Version, TokenError> {
    let mut part = || u16::try_from(take_varint(rest)?).map_err(|_| TokenError::Length);
    Ok(Version(part()?, part()?, part()?))
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
    use crate::script::tests::{any_choices, written};
    use proptest::prelude::*;

    fn token(origin: Origin) -> Token {
        Token { origin, scenario: 0x0123_4567_89ab_cdef, hash: 0xfedc_ba98_7654_3210 }
    }

    fn seeded(seed: u64, run: u64) -> Token {
        token(Recipe { mode: Mode::Random, seed, run }.into())
    }

    fn scripted(choices: &[(u32, u32, u32)]) -> Token {
        token(Origin::Script { seed: 7, script: written(choices) })
    }

    #[test]
    fn a_token_survives_being_printed() {
        for (seed, run) in [(0, 0), (7, 41), (u64::MAX, u64::MAX), (1 << 40, 127), (128, 1 << 20)] {
            let t = seeded(seed, run);
            assert_eq!(t.to_string().parse(), Ok(t));
        }
        assert!(seeded(7, 41).to_string().len() <= 60);
    }

    proptest! {
        #[test]
        fn a_run_of_fifty_steps_fits_a_line_whatever_its_schedule(choices in any_choices(50, 8)) {
            let t = scripted(&choices);
            let text = t.to_string();
            prop_assert!(text.len() <= LONGEST_IN_LINE, "{} characters: {}", text.len(), text);
            prop_assert_eq!(text.parse(), Ok(t));
        }

        #[test]
        fn a_long_token_survives_in_a_file(choices in any_choices(2_000, 20)) {
            let t = scripted(&choices);
            let file = t.to_file("a schedule");
            prop_assert!(file.lines().all(|line| line.len() <= LONGEST_IN_LINE));
            prop_assert_eq!(Token::from_file(&file), Ok(t));
        }
    }

    #[test]
    fn the_longest_schedule_of_fifty_steps_fits_a_line() {
        // Another task each time, and always the last of eight.
        let worst = vec![(8, 0, 7); 50];
        assert!(scripted(&worst).to_string().len() <= LONGEST_IN_LINE);
    }

    #[track_caller]
    fn every_change_is_refused(text: &str) {
        for at in 0..text.len() {
            for c in b"0123456789abcdefghjkmnpqrstvwxyz!-A" {
                let mut bytes = text.to_owned().into_bytes();
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
        assert!(format!("{text}0").parse::<Token>().is_err());
    }

    #[test]
    fn every_changed_character_is_refused() {
        every_change_is_refused(&seeded(7, 41).to_string());
        every_change_is_refused(&scripted(&[(3, 0, 2), (2, 1, 0), (2, 0, 0), (5, 1, 4)]).to_string());
    }

    #[test]
    fn what_another_tool_wrote_is_refused_with_its_name() {
        let body = seeded(7, 41).body(Version(9, 8, 7));
        let error = sealed(body).parse::<Token>().unwrap_err();
        assert_eq!(error, TokenError::Tool(Version(9, 8, 7)));
        assert!(
            error.to_string().contains("9.8.7") && error.to_string().contains(env!("CARGO_PKG_VERSION")),
            "{error}"
        );
        let mut body = seeded(7, 41).body(Version::this());
        body[0] = 1;
        assert_eq!(sealed(body).parse::<Token>().unwrap_err(), TokenError::Format(1));
        let mut body = scripted(&[(2, 0, 1)]).body(Version::this());
        body.push(1);
        assert_eq!(sealed(body).parse::<Token>().unwrap_err(), TokenError::Schedule);
    }
}
