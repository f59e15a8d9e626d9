//! The state of an address space as recordings tell it, and the layers in which two are compared.

use std::fmt;

/// What is compared, each apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Layer {
    /// Result or error of the call.
    Result,
    /// Boundaries, access, offset and name of VMAs.
    Vmas,
    /// Their flags, as a set.
    Flags,
    /// Which pages have an entry, those of files aside.
    Presence,
    /// The exact state of every page.
    Pages,
    /// Contents of pages.
    Contents,
    /// How many faults there were.
    Faults,
}

impl Layer {
    /// All, in the order in which they are looked at.
    pub const ALL: [Layer; 7] =
        [Layer::Result, Layer::Vmas, Layer::Flags, Layer::Presence, Layer::Pages, Layer::Contents, Layer::Faults];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Layer::Result => "results",
            Layer::Vmas => "VMAs",
            Layer::Flags => "VMA flags",
            Layer::Presence => "presence",
            Layer::Pages => "page states",
            Layer::Contents => "contents",
            Layer::Faults => "faults",
        }
    }
}

/// One VMA. Pages are counted from the start of the arena.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VmaLine {
    /// First page.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// As in /proc/PID/maps.
    pub perms: String,
    /// The file's page behind the first.
    pub offset: u64,
    /// Empty for private anonymous memory.
    pub name: String,
    /// Two letters each, sorted.
    pub flags: Vec<String>,
}

impl fmt::Display for VmaLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let VmaLine { start, end, perms, offset, name, .. } = self;
        write!(f, "[{start}, {end}) {perms} {offset} {name:?} {}", self.flags.join(" "))
    }
}

/// `count` pages from `first` on, all alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Run<T> {
    /// First page.
    pub first: u64,
    /// How many.
    pub count: u64,
    /// What each is.
    pub value: T,
}

/// Adds a page to runs that are in order.
pub(super) fn push_run<T: PartialEq>(runs: &mut Vec<Run<T>>, page: u64, value: T) {
    match runs.last_mut() {
        Some(last) if last.first + last.count == page && last.value == value => last.count += 1,
        _ => runs.push(Run { first: page, count: 1, value }),
    }
}

/// A state.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// The VMAs, lowest first.
    pub vmas: Vec<VmaLine>,
    /// The states of pages, a letter each.
    pub pages: Vec<Run<char>>,
    /// What pages hold.
    pub contents: Vec<Run<u64>>,
}

/// What a recording tells of a state: what it leaves out is as before.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recorded {
    /// The VMAs.
    pub vmas: Option<Vec<VmaLine>>,
    /// The states of pages.
    pub pages: Option<Vec<Run<char>>>,
    /// What pages hold.
    pub contents: Option<Vec<Run<u64>>>,
}

impl Snapshot {
    /// The state after a change.
    pub fn apply(&mut self, change: &Recorded) {
        let Recorded { vmas, pages, contents } = change.clone();
        if let Some(vmas) = vmas {
            self.vmas = vmas;
        }
        if let Some(pages) = pages {
            self.pages = pages;
        }
        if let Some(contents) = contents {
            self.contents = contents;
        }
    }

    /// The first layer in which it is not the expected one, with what it has and should have.
    #[must_use]
    pub fn differs(&self, expected: &Snapshot) -> Option<(Layer, String, String)> {
        let shape =
            |vmas: &[VmaLine]| vmas.iter().map(|v| VmaLine { flags: Vec::new(), ..v.clone() }).collect::<Vec<_>>();
        if shape(&self.vmas) != shape(&expected.vmas) {
            return Some((Layer::Vmas, vmas_text(&expected.vmas), vmas_text(&self.vmas)));
        }
        if let Some((got, wanted)) = self.vmas.iter().zip(&expected.vmas).find(|(got, wanted)| got != wanted) {
            return Some((Layer::Flags, wanted.to_string(), got.to_string()));
        }
        let private = |runs: &[Run<char>]| {
            let mut all: Vec<(u64, u64)> = Vec::new();
            for run in runs.iter().filter(|run| !matches!(run.value, 'f' | 'F')) {
                let end = run.first.saturating_add(run.count);
                match all.last_mut() {
                    Some((_, last)) if *last == run.first => *last = end,
                    _ => all.push((run.first, end)),
                }
            }
            all
        };
        let layer = if private(&self.pages) == private(&expected.pages) { Layer::Pages } else { Layer::Presence };
        if let Some((wanted, got)) = first_difference(&expected.pages, &self.pages) {
            return Some((layer, wanted, got));
        }
        let (wanted, got) = first_difference(&expected.contents, &self.contents)?;
        Some((Layer::Contents, wanted, got))
    }
}

fn vmas_text(vmas: &[VmaLine]) -> String {
    let lines: Vec<String> = vmas.iter().map(ToString::to_string).collect();
    if lines.is_empty() { "none".to_owned() } else { lines.join("\n") }
}

/// Where two lists of runs part: what each has there.
fn first_difference<T: PartialEq + Copy + fmt::Debug>(wanted: &[Run<T>], got: &[Run<T>]) -> Option<(String, String)> {
    let same = wanted.iter().zip(got).take_while(|(a, b)| a == b).count();
    let text = |runs: &[Run<T>]| match runs.get(same) {
        Some(Run { first, count: 1, value }) => format!("page {first}: {value:?}"),
        Some(Run { first, count, value }) => format!("{count} pages from {first}: {value:?}"),
        None => "nothing more".to_owned(),
    };
    (wanted.len() > same || got.len() > same).then(|| (text(wanted), text(got)))
}
