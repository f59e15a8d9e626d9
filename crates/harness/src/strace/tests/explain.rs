//! What is said of differences.

use crate::strace::{Change, Maps, compare, explain};
use mm_types::{PageRange, Vpn};

/// Lines of maps from `start-end perms name`, in pages.
fn maps(lines: &[&str]) -> Maps {
    let text: Vec<String> = lines
        .iter()
        .map(|line| {
            let mut words = line.split(' ');
            let (range, perms) = (words.next().expect("a range"), words.next().expect("permissions"));
            let (start, end) = range.split_once('-').expect("two ends");
            format!("{start}000-{end}000 {perms} 00000000 00:00 0 {}", words.next().unwrap_or_default())
        })
        .collect();
    let text = if text.is_empty() { "1000-2000 ---p 00000000 00:00 0 ".to_owned() } else { text.join("\n") };
    Maps::parse(&text).expect("maps")
}

fn change(line: usize, start: u64, end: u64) -> Change {
    Change { line, pages: PageRange::new(Vpn(start), Vpn(end)).expect("not empty"), advice: false }
}

#[track_caller]
fn check(expected: &[&str], got: &[&str], changes: &[Change], expect: &[&str]) {
    let said: Vec<String> = compare(&maps(expected), &maps(got))
        .iter()
        .flat_map(|difference| explain(difference, changes))
        .map(|e| format!("{e}; line {}; {}", e.last.map_or("none".to_owned(), |l| l.to_string()), e.missing()))
        .collect();
    assert_eq!(said, expect);
}

#[test]
fn a_mapping_left_over_names_the_call_that_made_it() {
    check(
        &["10-20 r--p"],
        &["10-20 r--p", "30-40 rw-p"],
        &[change(3, 0x30, 0x40), change(4, 0x50, 0x60)],
        &["00030000-00040000 should not be mapped; line 3; the call that unmapped them is missing, or is altered"],
    );
}

#[test]
fn other_permissions_name_the_call_that_set_them_and_only_their_pages() {
    check(
        &["10-20 rw-p", "20-28 r--p", "28-30 rw-p"],
        &["10-30 rw-p"],
        &[change(3, 0x10, 0x30), change(5, 0x20, 0x28), change(6, 0x10, 0x12)],
        &["00020000-00028000 should be r--p, not rw-p; line 5; that call is altered, or one after it is missing"],
    );
}

#[test]
fn a_mapping_that_is_missing_has_nobody_to_name() {
    check(
        &["10-20 rw-p"],
        &["40-50 rw-p"],
        &[],
        &[
            "00010000-00020000 should be mapped rw-p; line none; the call that mapped them is missing, or is altered",
            "00040000-00050000 should not be mapped; line none; the call that unmapped them is missing, or is altered",
        ],
    );
}

#[test]
fn another_boundary_names_the_call_that_has_it() {
    let advice = Change { advice: true, ..change(9, 0x18, 0x20) };
    check(
        &["10-18 rw-p", "18-20 rw-p"],
        &["10-20 rw-p"],
        &[change(3, 0x10, 0x20), advice],
        &[
            "00018000-00019000 should begin or end a VMA otherwise; line 9; whether neighbours merge depends on which pages the program had touched, too: no log tells",
        ],
    );
}

#[test]
fn pages_of_a_file_are_told_apart_by_name_and_offset() {
    check(
        &["10-20 r--p /lib/a"],
        &["10-20 r--p /lib/b"],
        &[change(3, 0x10, 0x20)],
        &[
            "00010000-00020000 should be of /lib/a at offset 0x0; line 3; that call is altered, or one after it is missing",
        ],
    );
}

#[test]
fn how_far_a_stack_has_grown_is_no_difference() {
    check(&["10-20 rw-p [stack]"], &["18-20 rw-p [stack]"], &[], &[]);
}
