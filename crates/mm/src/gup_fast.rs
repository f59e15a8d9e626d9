//! `get_user_pages_fast()`: the look-up without locks. Linux: `gup_fast()`, `gup_fast_pte_range()`, `gup_fast_pmd_leaf()`,
//! mm/gup.c, 6.12.
//!
//! | walker, interrupts disabled | fork, `mmap_lock` W |
//! |---|---|
//! | read `write_protect_seq`: odd is somebody else's | it becomes odd |
//! | read the entry | look whether its page is pinned |
//! | take a reference, and a pin | write-protect the entry |
//! | read the entry again: another one is given up | |
//! | read `write_protect_seq` again: another one is given up | it becomes even |
//!
//! What is given up is tried again with `mmap_lock`. Without `mmap_lock` nothing keeps a table but this: who takes a table away
//! that others may walk, or leaves one that its other users will fill, waits until walkers have left ([`Machine::wait_for_walkers`],
//! `tlb_remove_table_sync_one()`: an interrupt to all CPUs, which those with interrupts disabled take late).
//!
//! In a world in which nobody looks up without locks, fork and unsharing do nothing here that another task could observe.

use crate::frames::{FrameFlags, ZERO_PAGE};
use crate::gup::Hold;
use crate::huge::{pmd_base, subpage};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{MmObj, mm_obj, pmd_obj};
use crate::page_table::{PMD_PAGES, Pmd};
use crate::quirks::Quirks;
use ksync::{Kernel, WaitQueue};
use mm_types::{Name, PageRange, Pfn, Pte, Vpn};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::EventKind;

/// Walkers without locks, and who waits for them.
#[derive(Debug)]
pub(crate) struct Walkers {
    inside: AtomicU32,
    left: WaitQueue,
}

impl Machine {
    /// Some driver looks pages up without locks: from here on walkers, forks and unsharing heed each other.
    pub(crate) fn expect_walkers(&self, k: &Kernel) {
        self.walkers.lock().get_or_insert_with(|| {
            let left = WaitQueue::new(k, Name::new("tlb_remove_table_sync_one"));
            Arc::new(Walkers { inside: AtomicU32::new(0), left })
        });
    }

    pub(crate) fn walkers(&self) -> Option<Arc<Walkers>> {
        self.walkers.lock().clone()
    }

    /// `tlb_remove_table_sync_one()`: returns when everybody has left who may walk what was taken away before. May wait.
    pub(crate) fn wait_for_walkers(&self) {
        if let Some(walkers) = self.walkers() {
            walkers.left.wait_event(|| walkers.inside.load(Ordering::Relaxed) == 0);
        }
    }
}

impl Mm {
    /// `gup_fast()`: the first of `pages` that can be had without `mmap_lock`, held; none where nobody expects walkers.
    ///
    /// Context: any in which interrupts may be disabled for a while; does not sleep.
    pub(crate) fn gup_fast(&self, k: &Kernel, pages: PageRange, write: bool, hold: Hold) -> Vec<Pfn> {
        let Some(walkers) = self.machine.walkers() else { return Vec::new() };
        let pins = hold != Hold::Get && !self.is_wrong(Quirks::WRITE_PROTECT_SEQ);
        let begin = if pins { self.read_write_protect_seq(k) } else { 0 };
        if begin & 1 != 0 {
            return Vec::new();
        }
        let irqs = k.local_irq_save();
        walkers.enter(k);
        let held: Vec<Pfn> = pages.iter().map_while(|vpn| self.gup_fast_page(k, vpn, write, hold)).collect();
        walkers.leave();
        k.local_irq_restore(irqs);
        if pins && self.read_write_protect_seq(k) != begin {
            held.iter().for_each(|pfn| self.machine.unpin(k, *pfn, hold));
            return Vec::new();
        }
        held
    }

    fn read_write_protect_seq(&self, k: &Kernel) -> u64 {
        k.visible_read(mm_obj(self.id, MmObj::WriteProtectSeq));
        self.write_protect_seq.load(Ordering::Relaxed)
    }

    /// `raw_write_seqcount_begin(&mm->write_protect_seq)`, and its end: `mmap_lock` held for writing.
    pub(crate) fn bump_write_protect_seq(&self, k: &Kernel) {
        if self.machine.walkers().is_some() {
            k.visible_write(mm_obj(self.id, MmObj::WriteProtectSeq));
            self.write_protect_seq.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn gup_fast_page(&self, k: &Kernel, vpn: Vpn, write: bool, hold: Hold) -> Option<Pfn> {
        if let Some(table) = self.tables.shared_table(vpn) {
            k.visible_read(pmd_obj(self.id, pmd_base(vpn)));
            if self.is_wrong(Quirks::UNSHARE_WAITS_FOR_GUP_FAST) {
                k.sync_point(NAMES.mm_window);
            }
            let read = || subpage(table.entry(vpn), vpn.0 % PMD_PAGES);
            return self.try_grab(k, read, write, hold);
        }
        match self.tables.pmd(vpn) {
            Pmd::Table(leaf) => self.try_grab(k, || leaf.peek(k, vpn), write, hold),
            Pmd::Huge(_) => {
                let read = || self.peek_huge(k, vpn).map_or(Pte::NONE, |pmd| subpage(pmd, vpn.0 % PMD_PAGES));
                self.try_grab(k, read, write, hold)
            }
            Pmd::None => None,
        }
    }

    /// The page of the entry that `read` gives, held, if the entry is the same afterwards. One that is not exclusive is not pinned
    /// for reading here (`gup_must_unshare()`).
    fn try_grab(&self, k: &Kernel, read: impl Fn() -> Pte, write: bool, hold: Hold) -> Option<Pfn> {
        let machine = &self.machine;
        let seen = read();
        let pfn = seen.pfn().filter(|pfn| *pfn != ZERO_PAGE && !seen.is_special() && (!write || seen.is_writable()))?;
        let own = machine.frame(pfn).flags.contains(FrameFlags::ANON | FrameFlags::EXCLUSIVE);
        let shared = !own && !self.is_wrong(Quirks::UNSHARE_BEFORE_PIN);
        if !write && hold != Hold::Get && shared || !machine.try_get_page(k, pfn) {
            return None;
        }
        // Before the second look, so that fork sees it. What was freed and is another's by now is given up unheard of.
        machine.count_pin(pfn, hold, true);
        let again = read();
        if again.pfn() != Some(pfn) || write && !again.is_writable() {
            machine.count_pin(pfn, hold, false);
            machine.put_page(k, pfn);
            return None;
        }
        k.emit(EventKind::PagePin { pfn });
        machine.mark_page_accessed(pfn);
        Some(pfn)
    }
}

impl Walkers {
    /// Who is in here owes the wake-up to who waits for walkers.
    fn enter(&self, k: &Kernel) {
        k.visible_write(self.left.obj());
        self.inside.fetch_add(1, Ordering::Relaxed);
        self.left.owe();
    }

    fn leave(&self) {
        self.left.wake_all_after(|| {
            self.inside.fetch_sub(1, Ordering::Relaxed);
        });
        self.left.settle();
    }
}
