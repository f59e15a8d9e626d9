//! The word that would have been right.

use std::cmp::Reverse;

/// What to tell someone who wrote `word` where one of `allowed` was expected: the nearest word when
/// one is near enough to be a slip, else all of them. `None` when nothing is allowed at all.
pub(crate) fn help<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let allowed: Vec<&str> = allowed.into_iter().collect();
    if let Some(near) = nearest(word, allowed.iter().copied()) {
        return Some(format!("did you mean `{near}`?"));
    }
    one_of(allowed)
}

/// "one of `a`, `b`", or `None` for nothing.
pub(crate) fn one_of<'a>(allowed: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let quoted: Vec<String> = allowed.into_iter().map(|w| format!("`{w}`")).collect();
    match quoted.as_slice() {
        [] => None,
        [only] => Some(format!("only {only} is possible here")),
        _ => Some(format!("one of {}", quoted.join(", "))),
    }
}

/// The one of `allowed` that `word` is most likely a slip of; of equally near ones one of the same letters (`wr` is
/// `rw`), else the one that begins alike for longest (`mumap` is `munmap`), else the first. `None` when even
/// the nearest needs more than one edit per three characters.
pub fn nearest<'a>(word: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    // A word as long as a paragraph is no slip, and the table below would be as wide as it is long.
    if word.len() > 64 {
        return None;
    }
    allowed
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|&(edits, candidate)| edits <= limit && edits < candidate.chars().count())
        .min_by_key(|&(edits, candidate)| {
            let swapped = letters(word) == letters(candidate);
            (edits, !swapped, Reverse(common_prefix(word, candidate)))
        })
        .map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

fn common_prefix(a: &str, b: &str) -> usize {
    a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count()
}

/// Edits (insert, delete, replace, swap neighbours) between `a` and `b`, ASCII case for free.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().map(|c| c.to_ascii_lowercase()).collect();
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                let edits: &Vec<usize> = &before_last;
                row[j] = row[j].min(edits[j - 2] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_neighbour_swaps_once() {
        for (a, b, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("munmap", "munmap", 0),
            ("mumap", "munmap", 1),
            ("taks", "task", 1),
            ("kitten", "sitting", 3),
            ("GFP_kernel", "GFP_KERNEL", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }

    #[test]
    fn a_far_word_lists_all_and_a_near_one_is_named() {
        let allowed = ["munmap", "mmap", "touch"];
        assert_eq!(help("mumap", allowed).as_deref(), Some("did you mean `munmap`?"));
        assert_eq!(help("compact", allowed).as_deref(), Some("one of `munmap`, `mmap`, `touch`"));
        assert_eq!(help("x", []), None);
    }
}
