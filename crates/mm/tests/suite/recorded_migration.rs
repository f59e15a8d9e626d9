//! As `recorded.rs`, for reclaim of file pages and for migration. Data: tests/data/notifier/mm_files_and_migration.json
//! (`hwpoison`: its soft-offline steps only, which migrate).
//!
//! The recordings move pages by system calls about nodes, of which there are none here: [`mm::Mm::compact`] moves the same pages.
//! Where the kernel faults around, the pages are read one by one.

use crate::common::{Context, pages};
use crate::recorded::{RW, Scenario, Script, compare};
use mm::vma::MapFlags;
use mm::{Advice, Compacted};

const DATA: &str = include_str!("../../../../tests/data/notifier/mm_files_and_migration.json");

impl Scenario {
    #[track_caller]
    fn compacted(&self, start: u64, len: u64) {
        self.op("compact");
        assert_eq!(self.mm.compact(pages(start, len)), Compacted { moved: len, ..Compacted::default() });
    }

    fn paged_out(&self, start: u64, len: u64) {
        self.op("madvise");
        self.mm.madvise(crate::common::addr(start), crate::common::bytes(len), Advice::PageOut).expect("advised");
    }
}

const SCRIPTS: &[(&str, Script)] = &[
    ("madv_pageout_file", |s| {
        let file = s.mm.machine().open_file("/ext2/po", "01:00 13");
        s.map(0, 8, RW, MapFlags::SHARED | MapFlags::FIXED, Some(file));
        s.mm.touch(pages(0, 8), false).expect("read");
        s.register();
        s.paged_out(0, 8);
        s.write(0, 8);
        s.paged_out(0, 8);
    }),
    ("move_pages_", |s| {
        s.anon(0, 8);
        s.register();
        s.compacted(0, 4);
        s.compacted(0, 4);
        s.compacted(0, 8);
        s.compacted(4, 4);
    }),
    ("hwpoison", |s| {
        s.anon(0, 8);
        s.map(16, 4, RW, MapFlags::SHARED | MapFlags::FIXED, None);
        s.write(16, 4);
        s.register();
        s.compacted(1, 1);
        s.compacted(16, 1);
    }),
];

fn check(context: Context) {
    assert_eq!(compare(context, DATA, SCRIPTS), 117, "every recorded callback was compared");
}

#[test]
fn callbacks_in_setup_are_those_of_the_recorded_kernel() {
    check(Context::Setup);
}

#[test]
fn callbacks_in_a_task_are_those_of_the_recorded_kernel() {
    check(Context::Task);
}
