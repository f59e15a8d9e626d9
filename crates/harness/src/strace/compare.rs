//! In which lines two snapshots differ.

use super::Maps;
use mm::vma::MapsLine;
use mm_types::{PageRange, Vpn};
use std::fmt;

/// Lines over the same addresses that are not the same in both snapshots. One side may be empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// The lines of the recorded snapshot.
    pub expected: Vec<MapsLine>,
    /// The lines of the other.
    pub got: Vec<MapsLine>,
}

impl fmt::Display for Difference {
    /// Each line, after `expected:` or `got:`; a side without lines says so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        side(f, "expected:", &self.expected)?;
        writeln!(f)?;
        side(f, "got:     ", &self.got)
    }
}

fn side(f: &mut fmt::Formatter<'_>, label: &str, lines: &[MapsLine]) -> fmt::Result {
    if lines.is_empty() {
        return write!(f, "{label} nothing mapped there");
    }
    for (i, line) in lines.iter().enumerate() {
        if i > 0 {
            writeln!(f)?;
        }
        write!(f, "{label} {}", line.to_string().trim_end())?;
    }
    Ok(())
}

/// Compares boundaries, access, offsets and names, exactly but for what a replay cannot know: the start of `[stack]`,
/// which page faults move; ` (deleted)` behind a name; device and inode. Differences are in order of addresses; lines
/// that overlap are in one.
#[must_use]
pub fn compare(expected: &Maps, got: &Maps) -> Vec<Difference> {
    let mut differences = Vec::new();
    let (mut e, mut g) = (expected.lines.as_slice(), got.lines.as_slice());
    loop {
        match (e.split_first(), g.split_first()) {
            (None, None) => return differences,
            (Some((a, e_rest)), Some((b, g_rest))) if same(a, b) => (e, g) = (e_rest, g_rest),
            _ => differences.push(cluster(&mut e, &mut g)),
        }
    }
}

/// Takes the lowest line of either side and all that overlap it, directly or through others.
fn cluster(e: &mut &[MapsLine], g: &mut &[MapsLine]) -> Difference {
    let start = |lines: &[MapsLine]| lines.first().map_or(Vpn::MAX, |l| l.range.start());
    let mut end = start(e).min(start(g)) + 1;
    let mut difference = Difference { expected: Vec::new(), got: Vec::new() };
    loop {
        let before = end;
        end = take_below(e, end, &mut difference.expected);
        end = take_below(g, end, &mut difference.got);
        if end == before {
            return difference;
        }
    }
}

/// Takes the lines that start below `end`; gives the end of what was taken.
fn take_below(lines: &mut &[MapsLine], mut end: Vpn, taken: &mut Vec<MapsLine>) -> Vpn {
    while let Some((line, rest)) = lines.split_first().filter(|(line, _)| line.range.start() < end) {
        end = end.max(line.range.end());
        taken.push(line.clone());
        *lines = rest;
    }
    end
}

fn same(a: &MapsLine, b: &MapsLine) -> bool {
    seen(a) == seen(b)
        && a.prot == b.prot
        && a.shared == b.shared
        && a.offset_bytes == b.offset_bytes
        && shown_name(a) == shown_name(b)
}

/// The range as far as it is compared.
fn seen(line: &MapsLine) -> PageRange {
    if line.name == "[stack]" { PageRange::page(line.range.last()) } else { line.range }
}

/// The name as it is compared.
pub(super) fn shown_name(line: &MapsLine) -> &str {
    line.name.strip_suffix(" (deleted)").unwrap_or(&line.name)
}
