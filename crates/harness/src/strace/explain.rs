//! Why the mappings of a replay may differ from the recorded ones, as far as the log can tell.
//!
//! A log that lacks a call cannot name it. What it can name is the last call it has on the pages that differ, which is the
//! altered one, or the one that a missing call came after; and what the snapshot says must have happened to them since.

use super::compare::{Difference, shown_name};
use mm::vma::MapsLine;
use mm_types::{PAGE_SIZE, PageRange, Vpn};
use std::fmt;

/// A call that changed the mappings of some pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The line it ended in.
    pub line: usize,
    /// The pages.
    pub pages: PageRange,
    /// Advice about them: it can divide VMAs, and changes nothing else that is shown.
    pub advice: bool,
}

/// What the snapshot says of pages that differ.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Should {
    /// Not mapped.
    BeUnmapped,
    /// Mapped, with these permissions; nothing is.
    BeMapped(String),
    /// Other permissions: these, not those.
    Allow(String, String),
    /// Another file, or another part of it.
    BeOf(String),
    /// The same, in VMAs that end elsewhere.
    BeDivided,
}

/// Pages that differ, and the last call on them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation {
    /// The pages.
    pub pages: PageRange,
    /// What the snapshot says of them.
    pub should: Should,
    /// The line of the last call of the log that changed them, if one did.
    pub last: Option<usize>,
}

impl fmt::Display for Explanation {
    /// The pages and what is wrong with them, without the call: `7f00-7f01 should not be mapped`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (self.pages.start().addr().0, self.pages.end().addr().0);
        write!(f, "{start:08x}-{end:08x} should ")?;
        match &self.should {
            Should::BeUnmapped => f.write_str("not be mapped"),
            Should::BeMapped(perms) => write!(f, "be mapped {perms}"),
            Should::Allow(expected, got) => write!(f, "be {expected}, not {got}"),
            Should::BeOf(file) => write!(f, "be of {file}"),
            Should::BeDivided => f.write_str("begin or end a VMA otherwise"),
        }
    }
}

impl Explanation {
    /// What can be said of the call that is not in the log as it was made; `last` is what changed the pages last.
    #[must_use]
    pub const fn missing(&self) -> &'static str {
        match (&self.should, self.last) {
            (Should::BeUnmapped, _) => "the call that unmapped them is missing, or is altered",
            (Should::BeMapped(_), Some(_)) => "that call is altered, or the one that mapped them again is missing",
            (Should::BeMapped(_), None) => "the call that mapped them is missing, or is altered",
            (Should::BeDivided, _) => {
                "whether neighbours merge depends on which pages the program had touched, too: no log tells"
            }
            (_, Some(_)) => "that call is altered, or one after it is missing",
            (_, None) => "the call that changed them is missing, or is altered",
        }
    }
}

/// Explains each run of pages that differ in the same way.
#[must_use]
pub fn explain(difference: &Difference, changes: &[Change]) -> Vec<Explanation> {
    let mut found: Vec<(PageRange, Should)> = Vec::new();
    for pages in pieces(difference) {
        let (expected, got) = (at(&difference.expected, pages.start()), at(&difference.got, pages.start()));
        let Some(should) = should(expected, got, pages.start()) else { continue };
        match found.last_mut() {
            Some((before, same)) if before.end() == pages.start() && *same == should => {
                *before = PageRange::new(before.start(), pages.end()).unwrap_or(pages);
            }
            _ => found.push((pages, should)),
        }
    }
    if found.is_empty() {
        found.extend(uneven(difference).map(|edge| (PageRange::page(edge), Should::BeDivided)));
    }
    let concerns = |change: &Change, pages: PageRange, should: &Should| match should {
        Should::BeDivided => has_edge(change.pages, pages.start()),
        _ => !change.advice && change.pages.overlaps(pages),
    };
    let last = |pages, should: &Should| changes.iter().rfind(|c| concerns(c, pages, should)).map(|c| c.line);
    found.into_iter().map(|(pages, should)| Explanation { last: last(pages, &should), pages, should }).collect()
}

/// The ranges between all the boundaries of either side.
fn pieces(difference: &Difference) -> impl Iterator<Item = PageRange> {
    let mut edges: Vec<Vpn> = difference.expected.iter().chain(&difference.got).flat_map(edges).collect();
    edges.sort_unstable();
    edges.dedup();
    let pairs: Vec<(Vpn, Vpn)> = edges.windows(2).map(|w| (w[0], w[1])).collect();
    pairs.into_iter().filter_map(|(start, end)| PageRange::new(start, end).ok())
}

fn edges(line: &MapsLine) -> [Vpn; 2] {
    [line.range.start(), line.range.end()]
}

/// Boundaries that only one side has.
fn uneven(difference: &Difference) -> impl Iterator<Item = Vpn> {
    let of = |lines: &[MapsLine]| lines.iter().flat_map(edges).collect::<Vec<Vpn>>();
    let (e, g) = (of(&difference.expected), of(&difference.got));
    let mut uneven: Vec<Vpn> =
        e.iter().filter(|v| !g.contains(v)).chain(g.iter().filter(|v| !e.contains(v))).copied().collect();
    uneven.sort_unstable();
    uneven.dedup();
    uneven.into_iter()
}

fn has_edge(pages: PageRange, at: Vpn) -> bool {
    pages.start() == at || pages.end() == at
}

fn at(lines: &[MapsLine], vpn: Vpn) -> Option<&MapsLine> {
    lines.iter().find(|line| line.range.contains(vpn))
}

/// How one page differs; `None` if it does not, or in nothing that is compared.
fn should(expected: Option<&MapsLine>, got: Option<&MapsLine>, vpn: Vpn) -> Option<Should> {
    match (expected, got) {
        // Its start is not compared.
        (Some(stack), None) | (None, Some(stack)) if stack.name == "[stack]" => None,
        (None, Some(_)) => Some(Should::BeUnmapped),
        (Some(line), None) => Some(Should::BeMapped(perms(line))),
        (Some(e), Some(g)) if perms(e) != perms(g) => Some(Should::Allow(perms(e), perms(g))),
        (Some(e), Some(g)) if shown_name(e) != shown_name(g) || offset(e, vpn) != offset(g, vpn) => {
            Some(Should::BeOf(content(e, vpn)))
        }
        _ => None,
    }
}

fn perms(line: &MapsLine) -> String {
    format!("{}{}", line.prot, if line.shared { 's' } else { 'p' })
}

/// The offset of a page of a file; the kernel shows 0 for the whole of any other mapping.
fn offset(line: &MapsLine, vpn: Vpn) -> u64 {
    let of_file = line.name.starts_with('/');
    if of_file { line.offset_bytes + (vpn - line.range.start()) * PAGE_SIZE } else { 0 }
}

fn content(line: &MapsLine, vpn: Vpn) -> String {
    match line.name.as_str() {
        "" => "anonymous memory".to_owned(),
        name if name.starts_with('/') => format!("{name} at offset {:#x}", offset(line, vpn)),
        name => name.to_owned(),
    }
}
