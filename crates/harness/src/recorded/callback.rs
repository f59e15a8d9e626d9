//! One callback in the words of the recordings (`tests/data/notifier/FORMAT.md`).

use std::fmt;

/// What a subscriber was called with, and what held at that moment.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Callback {
    /// `start`, `end`, `secondary_tlb`, `clear_flush_young`, `clear_young`, `test_young`, `change_pte`, `release` or `interval`.
    pub hook: String,
    /// Which registration, counted from 1 (list subscribers), or which interval, counted from 0.
    pub subscriber: u64,
    /// Pages of the arena, half-open; `min`, `max` and `out` as there. None for `release`.
    pub range: Option<(String, String)>,
    /// Why.
    pub event: String,
    /// Whether it may block; true for hooks that are not told.
    pub blockable: bool,
    /// Whether it is on behalf of a device.
    pub owner: bool,
    /// The sequence passed to an interval subscriber.
    pub cur_seq: Option<u64>,
    /// What it returned, where that is told: -11 for a refused start, 1 or 0 for an interval and for the young hooks.
    pub returned: Option<i64>,
    /// `mmap_lock` of the notified mm as the caller holds it: `none`, `R`, `W`.
    pub mmap_lock: String,
    /// Lock classes held, outermost first, with their mode.
    pub locks: Vec<String>,
    /// The entries of the first 16 pages, run-length coded.
    pub pages: String,
    /// Who called. Not compared: tasks have other names here.
    pub task: String,
}

impl Callback {
    /// The callback without what is not compared.
    #[must_use]
    pub fn compared(&self) -> Callback {
        Callback { task: String::new(), ..self.clone() }
    }

    /// What differs between two callbacks, in words; the first thing.
    #[must_use]
    pub fn first_difference(&self, other: &Callback) -> Option<&'static str> {
        let differs = [
            ("hook", self.hook != other.hook),
            ("subscriber", self.subscriber != other.subscriber),
            ("event", self.event != other.event),
            ("range", self.range != other.range),
            ("blockable", self.blockable != other.blockable),
            ("owner", self.owner != other.owner),
            ("mmap_lock", self.mmap_lock != other.mmap_lock),
            ("locks held", self.locks != other.locks),
            ("page state", self.pages != other.pages),
            ("return value", self.returned != other.returned),
            ("sequence", self.cur_seq != other.cur_seq),
        ];
        differs.iter().find(|(_, differs)| *differs).map(|(what, _)| *what)
    }
}

impl fmt::Display for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hook, self.subscriber)?;
        if let Some((start, end)) = &self.range {
            write!(f, " [{start}, {end})")?;
        }
        if !self.event.is_empty() {
            write!(f, " {}", self.event)?;
        }
        if !self.blockable {
            f.write_str(" nonblocking")?;
        }
        if self.owner {
            f.write_str(" owner")?;
        }
        if let Some(seq) = self.cur_seq {
            write!(f, " seq {seq}")?;
        }
        if let Some(returned) = self.returned {
            write!(f, " -> {returned}")?;
        }
        write!(f, "  mm {}  locks {{{}}}", self.mmap_lock, self.locks.join(", "))?;
        if !self.pages.is_empty() {
            write!(f, "  pages {}", self.pages)?;
        }
        Ok(())
    }
}

/// Run-length code: a letter, and how often if more than once.
pub(crate) fn run_lengths(letters: impl IntoIterator<Item = char>) -> String {
    let mut text = String::new();
    let mut run: Option<(char, u32)> = None;
    let mut flush = |run: Option<(char, u32)>| {
        if let Some((letter, count)) = run {
            text.push(letter);
            if count > 1 {
                text.push_str(&count.to_string());
            }
        }
    };
    for letter in letters {
        match &mut run {
            Some((same, count)) if *same == letter => *count += 1,
            _ => {
                flush(run);
                run = Some((letter, 1));
            }
        }
    }
    flush(run);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_counted_from_two_on() {
        assert_eq!(run_lengths(".ww..".chars()), ".w2.2");
        assert_eq!(run_lengths("".chars()), "");
        assert_eq!(run_lengths("w".chars()), "w");
    }
}
