//! Reading snapshots.

use super::recorded;
use crate::strace::Maps;

#[test]
fn a_snapshot_read_and_printed_is_the_same_text() {
    for text in [
        recorded!("cat_maps.29357.cat.start.maps"),
        recorded!("cat_maps.29357.cat.end.maps"),
        recorded!("git_log.29521.git.start.maps"),
        recorded!("git_log.29521.git.end.maps"),
        recorded!("cargo_version.29462.cargo.start.maps"),
        recorded!("cargo_version.29462.cargo.end.maps"),
        recorded!("python_json.29374.python3.start.maps"),
        recorded!("python_json.29374.python3.end.maps"),
        recorded!("python_threads.29387.python3.start.maps"),
        recorded!("python_threads.29387.python3.end.maps"),
        recorded!("rustc_small.29413.rustc.start.maps"),
        recorded!("rustc_small.29413.rustc.end.maps"),
        recorded!("rustc_small.29446.rust-lld.start.maps"),
        recorded!("sh_pipeline.29362.sh.start.maps"),
    ] {
        assert_eq!(Maps::parse(text).expect("a snapshot").to_string(), text);
    }
}

#[track_caller]
fn check_errors(text: &str, expect: &[&str]) {
    let errors = Maps::parse(text).expect_err("the snapshot is wrong");
    let got: Vec<String> = errors.iter().map(|e| format!("{}:{} {}", e.line, e.column, e.message)).collect();
    assert_eq!(got, expect);
}

#[test]
fn every_mistake_is_named_with_its_place() {
    check_errors("", &["1:1 the snapshot is empty"]);
    check_errors(
        concat!(
            "1000-3000 rw-p 00000000 00:00 0 \n",
            "2000-4000 rw-p 00000000 00:00 0 \n",
            "5000-5000 rw-p 00000000 00:00 0 \n",
            "6000-7001 rw-p 00000000 00:00 0 \n",
            "7000-8000 rwzp 00000000 00:00 0 \n",
            "8000-9000 rw-p 00000000 00:00\n",
            "hello\n",
        ),
        &[
            "2:1 starts below the end of the line before, 0x3000",
            "3:1 empty page range 0x5000..0x5000",
            "4:1 0x7001 is not a multiple of the page size 0x1000",
            "5:11 expected permissions such as `r-xp`, found `rwzp 00000000 00:00 0`",
            "6:30 expected ` `, found the end of the line",
            "7:1 expected a hexadecimal number, found `hello`",
        ],
    );
}
