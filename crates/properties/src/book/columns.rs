//! The events that matter for a finding as two columns: what the device and its driver did on the left, what the task
//! that changed the memory did on the right, in order, with the offending line marked.

use super::{Book, Facts, Stamp, Sub, Told};
use std::fmt::Write as _;

/// Who did it. A callback is made by the task that changes the memory, so it is on that side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Device,
    Mm,
}

/// One line of a finding.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) at: Stamp,
    pub(crate) side: Side,
    pub(crate) what: String,
}

impl Line {
    pub(crate) fn device(at: Stamp, what: impl Into<String>) -> Line {
        Line { at, side: Side::Device, what: what.into() }
    }

    pub(crate) fn mm(at: Stamp, what: impl Into<String>) -> Line {
        Line { at, side: Side::Mm, what: what.into() }
    }
}

/// Columns of one cell; with the step before them and the gap between them a row has at most 98.
const CELL: usize = 44;
const HERE: &str = "<-- here";

impl Book {
    /// The lines in their order as `details` and as columns, the line at `here` marked.
    pub(crate) fn lay_out(&self, mut lines: Vec<Line>, here: Stamp) -> (Vec<String>, Vec<String>) {
        lines.sort_by_key(|line| line.at.at);
        let details = lines.iter().map(|line| self.line(line.at, &line.what)).collect();
        let mut rows = vec![row("step", "device and driver", "memory manager")];
        for line in &lines {
            let mut words = format!("{}: {}", self.task_name(line.at.task), line.what);
            if line.at == here {
                // One word, so that it is not broken.
                words.push(' ');
                words.push_str(&HERE.replace(' ', "\u{a0}"));
            }
            let mut step = line.at.step.to_string();
            for cell in wrap(&words) {
                let (left, right) = if line.side == Side::Device { (cell.as_str(), "") } else { ("", cell.as_str()) };
                rows.push(row(&std::mem::take(&mut step), left, right));
            }
        }
        (details, rows)
    }
}

/// The lines that findings share.
impl Book {
    pub(crate) fn columns(&self, lines: Vec<Line>, here: Stamp) -> Vec<String> {
        self.lay_out(lines, here).1
    }

    pub(crate) fn subscribes(&self, sub: &Sub) -> Line {
        let (name, pages) = (sub.name, sub.pages);
        Line::device(sub.subscribed, format!("subscription {name} to {pages} of {}", self.mm_name(sub.mm)))
    }

    pub(crate) fn range_start(&self, b: &Facts) -> Line {
        let during = self.call(&b.calls, b.opened.task);
        Line::mm(b.opened, format!("range_start {} {}, during {during}", b.range.event, b.range.pages))
    }

    pub(crate) fn answer(&self, told: &Told) -> Line {
        let how = if told.ok { "returned" } else { "refused" };
        let sub = self.subs.row(told.sub).name;
        Line::mm(told.exit.unwrap_or(told.enter), format!("{} of {sub} {how}", told.hook))
    }
}

fn row(step: &str, left: &str, right: &str) -> String {
    format!("{step:>6}  {left:<CELL$}  {right}").trim_end().to_owned()
}

/// Breaks at spaces; a word longer than a cell is cut. Lines after the first are indented.
fn wrap(text: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    for word in text.split(' ') {
        let mut word = word;
        while !word.is_empty() {
            let gap = usize::from(!cell.trim_start().is_empty());
            let room = CELL - cell.chars().count().min(CELL);
            if word.chars().count() + gap <= room {
                let _ = write!(cell, "{:gap$}{word}", "");
                break;
            }
            if cell.trim_start().is_empty() {
                let cut = word.char_indices().nth(room).map_or(word.len(), |(at, _)| at);
                cell.push_str(&word[..cut]);
                word = &word[cut..];
            }
            cells.push(std::mem::replace(&mut cell, "  ".to_owned()));
        }
    }
    if !cell.trim_start().is_empty() {
        cells.push(cell);
    }
    cells.iter().map(|c| c.replace('\u{a0}', " ")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mm_types::TaskId;

    fn stamp(step: u64) -> Stamp {
        Stamp { step, task: TaskId(0), at: step }
    }

    #[test]
    fn columns_are_in_order_narrow_and_marked_once() {
        let book = Book::default();
        let lines = vec![
            Line::device(stamp(9), "device gpu0 reads page 0x10000 of A, frame 257"),
            Line::mm(stamp(4), "range_start UNMAP [0x10000, 0x12000), during munmap [0x10000, 0x12000) by task unmap"),
            Line::device(stamp(2), "x".repeat(120)),
        ];
        let (details, columns) = book.lay_out(lines, stamp(9));
        assert_eq!(details.len(), 3);
        assert!(columns.iter().all(|row| row.chars().count() <= 100), "{columns:#?}");
        let marked: Vec<&String> = columns.iter().filter(|row| row.contains(HERE)).collect();
        assert_eq!(marked.len(), 1);
        assert_eq!(columns.last(), marked.first().copied());
        let steps: Vec<&str> = columns.iter().map(|row| row[..6].trim()).filter(|step| !step.is_empty()).collect();
        assert_eq!(steps, ["step", "2", "4", "9"]);
        let right = columns.iter().find(|row| row.contains("range_start")).expect("the start");
        assert_eq!(right.find("setup: range_start"), Some(8 + CELL + 2));
        assert!(columns.iter().any(|row| row.contains(&"x".repeat(CELL - 2))), "{columns:#?}");
    }

    #[test]
    fn every_word_is_kept() {
        let text = "a bb ccc dddd ".repeat(20);
        let joined = wrap(&text).join(" ").split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(joined, text.trim());
    }
}
