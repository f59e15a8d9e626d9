//! What is compared where a recording's order, pages and counts are chance: which kinds of episode there are.
//!
//! An episode is a bracket with everything its task was called with from its start to its end, or a callback outside of
//! any bracket. Two are of one kind if they read the same with page numbers replaced by how many pages there are, and page
//! states by which occur. What a flush covers is not told apart: whether the mm is active on another CPU decides it. A flush of
//! everything under a page-table lock, outside of any bracket, is of a bracket outside of the arena, which is not there.
//! Accesses are sampled at unaligned addresses in recordings: such a range counts as the page it begins in.

use super::callback::Callback;
use super::recorder::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// The kinds of episode of each operation of a run, in order. An episode belongs to the operation in which it began: another
/// task may be in the middle of one when the next operation begins.
pub(crate) fn kinds(operations: &[&Operation]) -> Vec<BTreeSet<String>> {
    let mut found = vec![BTreeSet::new(); operations.len()];
    let mut open: BTreeMap<&str, (usize, Episode)> = BTreeMap::new();
    for (at, operation) in operations.iter().enumerate() {
        let over = |began: &usize, episode: &Episode| *began < at && episode.starts == episode.ends;
        for (began, episode) in open.extract_if(.., |_, (began, episode)| over(began, episode)).map(|(_, open)| open) {
            found[began].insert(episode.text);
        }
        for callback in &operation.callbacks {
            let (began, episode) = open.entry(&callback.task).or_default();
            if episode.starts == episode.ends && is_flush_of_another(callback) {
                continue;
            }
            if episode.is_over_before(callback) {
                found[*began].insert(std::mem::take(episode).text);
            }
            if episode.text.is_empty() {
                *began = at;
            }
            episode.add(callback);
        }
        if operation.truncated {
            // Of a recording that was cut, the last episodes are not whole.
            open.retain(|_, (_, episode)| episode.starts == episode.ends);
        }
    }
    for (began, episode) in open.into_values().filter(|(_, episode)| !episode.text.is_empty()) {
        found[began].insert(episode.text);
    }
    found
}

#[derive(Default)]
struct Episode {
    text: String,
    starts: u32,
    ends: u32,
}

impl Episode {
    /// A flush after the last end belongs to the bracket it follows.
    fn is_over_before(&self, next: &Callback) -> bool {
        let trailing = next.hook == "secondary_tlb" && self.starts > 0;
        !self.text.is_empty() && self.starts == self.ends && !trailing
    }

    fn add(&mut self, callback: &Callback) {
        self.starts += u32::from(callback.hook == "start");
        self.ends += u32::from(callback.hook == "end");
        let line = kind(callback);
        // One entry or many: the same kind.
        if self.text.lines().last() != Some(line.as_str()) {
            self.text.push_str(&line);
            self.text.push('\n');
        }
    }
}

fn is_flush_of_another(callback: &Callback) -> bool {
    let everything = callback.range.as_ref().is_some_and(|(start, end)| start == "min" && end == "max");
    callback.hook == "secondary_tlb" && everything && callback.locks.iter().any(|lock| lock.contains("_ptl"))
}

fn kind(callback: &Callback) -> String {
    let is_flush = callback.hook == "secondary_tlb";
    let unaligned = callback.range.as_ref().is_some_and(|(start, end)| start.contains('+') || end.contains('+'));
    let is_young = callback.hook.ends_with("_young");
    let pages = callback.range.as_ref().map(|(start, end)| match (start.parse::<u64>(), end.parse::<u64>()) {
        _ if is_flush => "some",
        _ if is_young && unaligned => "one",
        (Ok(start), Ok(end)) if end == start + 1 => "one",
        (Ok(_), Ok(_)) => "many",
        _ => "all",
    });
    let states: BTreeSet<char> = callback.pages.chars().filter(|c| !c.is_ascii_digit()).collect();
    // Of two pages that an unaligned range touches, the second is not meant.
    let states = if is_flush || callback.hook.contains("_young") && (unaligned || callback.event.is_empty()) {
        String::new()
    } else {
        states.into_iter().collect()
    };
    let range = pages.map(|pages| (pages.to_owned(), "pages".to_owned()));
    Callback { range, pages: states, cur_seq: None, ..callback.compared() }.to_string()
}
