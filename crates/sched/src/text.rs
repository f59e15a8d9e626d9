//! The text form of a schedule.

use crate::{Choice, ChoiceKind, Schedule};
use std::fmt;
use std::str::FromStr;

/// A word of the text that is no choice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduleParseError {
    /// Which word, from 0.
    pub at: usize,
    /// The word.
    pub word: String,
}

impl fmt::Display for ScheduleParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "choice {} of the schedule, `{}`, is not of the form T1/2", self.at, self.word)
    }
}

impl std::error::Error for ScheduleParseError {}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ChoiceKind::Task => write!(f, "T")?,
            ChoiceKind::AllocFails => write!(f, "A")?,
            ChoiceKind::EntersReclaim => write!(f, "R")?,
            ChoiceKind::Victim => write!(f, "V")?,
            ChoiceKind::Trylock => write!(f, "L")?,
            ChoiceKind::Interrupt => write!(f, "I")?,
            ChoiceKind::Timer => write!(f, "M")?,
            ChoiceKind::Load => write!(f, "O")?,
            ChoiceKind::Store => write!(f, "S")?,
            ChoiceKind::User(n) => write!(f, "U{n}:")?,
        }
        write!(f, "{}/{}", self.taken, self.options)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, choice) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{choice}")?;
        }
        Ok(())
    }
}

impl FromStr for Schedule {
    type Err = ScheduleParseError;

    fn from_str(text: &str) -> Result<Schedule, ScheduleParseError> {
        let choice = |(at, word): (usize, &str)| {
            parse_choice(word).ok_or_else(|| ScheduleParseError { at, word: word.to_owned() })
        };
        text.split_whitespace().enumerate().map(choice).collect::<Result<_, _>>().map(Schedule)
    }
}

fn parse_choice(word: &str) -> Option<Choice> {
    let letter = word.chars().next()?;
    let rest = &word[letter.len_utf8()..];
    let (kind, numbers) = match letter {
        'T' => (ChoiceKind::Task, rest),
        'A' => (ChoiceKind::AllocFails, rest),
        'R' => (ChoiceKind::EntersReclaim, rest),
        'V' => (ChoiceKind::Victim, rest),
        'L' => (ChoiceKind::Trylock, rest),
        'I' => (ChoiceKind::Interrupt, rest),
        'M' => (ChoiceKind::Timer, rest),
        'O' => (ChoiceKind::Load, rest),
        'S' => (ChoiceKind::Store, rest),
        'U' => {
            let (n, numbers) = rest.split_once(':')?;
            (ChoiceKind::User(n.parse().ok()?), numbers)
        }
        _ => return None,
    };
    let (taken, options) = numbers.split_once('/')?;
    let (taken, options) = (taken.parse().ok()?, options.parse().ok()?);
    (options >= 2 && taken < options).then_some(Choice { kind, options, taken })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::tests::any_schedule;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parsing_gives_back_what_was_printed(schedule in any_schedule()) {
            prop_assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    }

    #[test]
    fn a_word_that_is_no_choice_is_named() {
        let check = |text: &str, at, word: &str| {
            assert_eq!(text.parse::<Schedule>(), Err(ScheduleParseError { at, word: word.to_owned() }));
        };
        check("T0/2 x", 1, "x");
        check("T2/2", 0, "T2/2");
        check("T0/1", 0, "T0/1");
        check("U:0/2", 0, "U:0/2");
        check("A0/2 \u{e9}1/2", 1, "\u{e9}1/2");
        assert_eq!("  T1/2\nU7:3/9 ".parse::<Schedule>().map(|s| s.to_string()), Ok("T1/2 U7:3/9".to_owned()));
    }
}
