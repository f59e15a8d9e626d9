//! Comparing snapshots.

use crate::strace::{Maps, compare};

fn maps(text: &str) -> Maps {
    Maps::parse(text).expect("a snapshot")
}

/// Compares one-line-a-VMA texts; gives the differences as `expected lines/got lines`.
#[track_caller]
fn check(expected: &str, got: &str, differences: &[(usize, usize)]) {
    let found = compare(&maps(expected), &maps(got));
    let counts: Vec<_> = found.iter().map(|d| (d.expected.len(), d.got.len())).collect();
    assert_eq!(counts, differences, "{found:#?}");
}

const A: &str = "1000-3000 rw-p 00000000 00:00 0 \n";
const B: &str = "3000-5000 r--p 00002000 fe:00 7 /lib/x\n";
const C: &str = "8000-9000 rw-p 00000000 00:00 0 [stack]\n";

#[test]
fn what_a_replay_cannot_know_is_no_difference() {
    let whole = format!("{A}{B}{C}");
    check(&whole, &whole, &[]);
    check(&whole, &format!("{A}{B}6000-9000 rw-p 00000000 00:00 0 [stack]\n"), &[]);
    check(&whole, &format!("{A}3000-5000 r--p 00002000 00:00 0 /lib/x (deleted)\n{C}"), &[]);
    check(
        "1000-2000 rw-s 00000000 00:01 9 /dev/zero (deleted)\n",
        "1000-2000 rw-s 00000000 00:00 0 /dev/zero (deleted)\n",
        &[],
    );
}

#[test]
fn everything_else_is_one() {
    let whole = format!("{A}{B}{C}");
    check(&whole, &format!("{A}{C}"), &[(1, 0)]);
    check(&format!("{A}{C}"), &whole, &[(0, 1)]);
    check(&whole, &format!("{A}3000-5000 r-xp 00002000 fe:00 7 /lib/x\n{C}"), &[(1, 1)]);
    check(&whole, &format!("{A}3000-5000 r--s 00002000 fe:00 7 /lib/x\n{C}"), &[(1, 1)]);
    check(&whole, &format!("{A}3000-5000 r--p 00003000 fe:00 7 /lib/x\n{C}"), &[(1, 1)]);
    check(&whole, &format!("{A}3000-5000 r--p 00002000 fe:00 7 /lib/y\n{C}"), &[(1, 1)]);
    check(&whole, &format!("{A}{B}8000-a000 rw-p 00000000 00:00 0 [stack]\n"), &[(1, 1)]);
    // Split or not: exact boundaries count.
    let split = format!("1000-2000 rw-p 00000000 00:00 0 \n2000-3000 rw-p 00000000 00:00 0 \n{B}{C}");
    check(&whole, &split, &[(1, 2)]);
    check(&split, &whole, &[(2, 1)]);
    // Independent differences stay apart.
    check(&whole, &format!("{B}{C}9000-a000 rw-p 00000000 00:00 0 \n"), &[(1, 0), (0, 1)]);
}

#[test]
fn a_difference_shows_both_sides() {
    let found = compare(&maps(&format!("{A}{B}")), &maps("1000-2000 rw-p 00000000 00:00 0 \n"));
    let text: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        text,
        [
            "expected: 00001000-00003000 rw-p 00000000 00:00 0\ngot:      00001000-00002000 rw-p 00000000 00:00 0",
            "expected: 00003000-00005000 r--p 00002000 fe:00 7                                  /lib/x\ngot:      nothing mapped there",
        ]
    );
}
