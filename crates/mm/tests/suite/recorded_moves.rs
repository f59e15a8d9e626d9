//! As `recorded.rs`, for operations that move, share or advise. Data: tests/data/notifier/mm_moves_and_forks.json.

use crate::common::{Context, addr, bytes, pages};
use crate::recorded::{RW, Scenario, Script, compare};
use mm::Advice;
use mm::vma::{MapFlags, MremapFlags};
use mm_types::{Errno, Name, Prot};

const DATA: &str = include_str!("../../../../tests/data/notifier/mm_moves_and_forks.json");

impl Scenario {
    /// `mremap(old, ...)` to page `to`, in arena pages.
    #[track_caller]
    fn mremap_to(&self, old: u64, old_len: u64, new_len: u64, to: u64, flags: MremapFlags) {
        let flags = flags | MremapFlags::MAYMOVE | MremapFlags::FIXED;
        let moved = self.mm.mremap(addr(old), bytes(old_len), bytes(new_len), flags, Some(addr(to)), None);
        assert_eq!(moved, Ok(addr(to)));
    }

    fn moves(&self, old: u64, old_len: u64, new_len: u64, to: u64) {
        self.op("mremap");
        self.mremap_to(old, old_len, new_len, to, MremapFlags::empty());
    }

    fn madvise(&self, start: u64, len: u64, advice: Advice) -> Result<(), Errno> {
        self.op("madvise");
        self.mm.madvise(addr(start), bytes(len), advice)
    }

    fn advised(&self, start: u64, len: u64, advice: Advice) {
        assert_eq!(self.madvise(start, len, advice), Ok(()), "{}", advice.word());
    }

    /// A child that exits at once.
    fn fork_and_wait(&self) {
        self.op("fork");
        ksync::current(|k| self.mm.fork(k, Name::new("child"))).expect("forked").exit();
    }
}

const SCRIPTS: &[(&str, Script)] = &[
    ("mremap_grow", |s| {
        s.anon(0, 4);
        s.register();
        s.op("mremap");
        assert_eq!(s.mm.mremap(addr(0), bytes(4), bytes(8), MremapFlags::empty(), None, None), Ok(addr(0)));
    }),
    ("mremap_move", |s| {
        s.anon(0, 4);
        s.register();
        s.moves(0, 4, 4, 64);
        s.moves(64, 4, 8, 128);
        s.moves(128, 8, 3, 192);
    }),
    ("mremap_move_unpop", |s| {
        s.map_private(0, 8, RW);
        s.register();
        s.moves(0, 8, 8, 64);
    }),
    ("mremap_over", |s| {
        s.anon(0, 4);
        s.anon(64, 8);
        s.register();
        s.moves(0, 4, 4, 66);
    }),
    ("mremap_dontunmap", |s| {
        s.anon(0, 4);
        s.register();
        s.op("mremap");
        s.mremap_to(0, 4, 4, 64, MremapFlags::DONTUNMAP);
    }),
    ("mremap_pmd", |s| {
        s.anon(0, 1536);
        s.register();
        s.moves(0, 1536, 1536, 4096);
    }),
    ("mremap_mid", |s| {
        s.anon(0, 12);
        s.register();
        s.moves(4, 4, 4, 64);
    }),
    ("mremap_shared_file", |s| {
        let file = s.mm.machine().open_file("/ext2/mr", "01:00 13");
        s.map(0, 4, RW, MapFlags::SHARED | MapFlags::FIXED, Some(file));
        s.write(0, 4);
        s.register();
        s.moves(0, 4, 4, 64);
    }),
    ("madv_dontneed", |s| {
        s.anon(0, 8);
        s.register();
        s.advised(0, 8, Advice::DontNeed);
        s.advised(0, 8, Advice::DontNeed);
        s.write(2, 2);
        s.advised(1, 4, Advice::DontNeed);
    }),
    ("madv_dontneed_multi", |s| {
        s.anon(0, 4);
        s.map_private(4, 4, Prot::READ);
        s.mm.touch(pages(4, 4), false).expect("read");
        s.anon(12, 4);
        s.register();
        assert_eq!(s.madvise(0, 16, Advice::DontNeed), Err(Errno::ENOMEM));
    }),
    ("madv_free", |s| {
        s.anon(0, 8);
        s.register();
        s.advised(2, 4, Advice::Free);
        s.advised(2, 4, Advice::Free);
        s.op("write");
        s.write(2, 1);
        s.advised(0, 8, Advice::PageOut);
    }),
    ("madv_misc", |s| {
        s.anon(0, 8);
        s.register();
        s.advised(0, 8, Advice::WillNeed);
        s.advised(0, 8, Advice::Sequential);
        s.advised(0, 8, Advice::DontFork);
        for name in ["mlock", "munlock", "mlock"] {
            s.op(name);
        }
        s.advised(0, 8, Advice::DontNeedLocked);
        s.advised(0, 8, Advice::PopulateWrite);
        s.advised(0, 8, Advice::WipeOnFork);
        // MADV_GUARD_INSTALL was no advice in 6.12.
        assert_eq!(s.madvise(0, 4, Advice::Unknown), Err(Errno::EINVAL));
        s.op("msync");
    }),
    ("fork_plain", |s| {
        s.anon(0, 8);
        s.map_private(16, 4, Prot::READ);
        s.mm.touch(pages(16, 4), false).expect("read");
        s.map(24, 4, RW, MapFlags::SHARED | MapFlags::FIXED, None);
        s.write(24, 4);
        s.map_private(32, 8, RW);
        s.register();
        s.fork_and_wait();
        s.op("write");
        s.write(0, 2);
        s.fork_and_wait();
    }),
];

fn check(context: Context) {
    assert_eq!(compare(context, DATA, SCRIPTS), 118, "every recorded callback was compared");
}

#[test]
fn callbacks_of_moves_forks_and_advice_in_setup_are_those_of_the_recorded_kernel() {
    check(Context::Setup);
}

#[test]
fn callbacks_of_moves_forks_and_advice_in_a_task_are_those_of_the_recorded_kernel() {
    check(Context::Task);
}
