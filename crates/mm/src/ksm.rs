//! KSM: equal pages of anonymous memory that was advised so are merged into one, which nobody may write.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | a page is write-protected, so that it stays what it was compared as | `ksm_thread_mutex`, `mmap_lock` R, folio lock | CLEAR of the page; flushed inside, under the page-table lock |
//! | its entry maps the merged page, or the zero page, instead | the same | CLEAR of the page; flushed inside |
//! | the merged page is copied again: a write; `MADV_UNMERGEABLE`; `echo 2 > run` | as a fault; `mmap_lock` W; `ksm_thread_mutex` and `mmap_lock` R | CLEAR of the page, as every copy on write |
//!
//! The first of two equal pages to be seen again becomes the merged one. A merged page keeps no list of where it is mapped:
//! it is neither reclaimed nor moved here. A round compares what there is; that the kernel looks twice before it trusts a page
//! to stay equal is not modelled.
//!
//! Sources: `cmp_and_merge_page()`, `write_protect_page()`, `replace_page()`, `break_ksm()`, mm/ksm.c, 6.12.

use crate::content::Content;
use crate::frames::{FrameFlags, ZERO_PAGE};
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::quirks::Quirks;
use crate::vma::Vma;
use ksync::{Kernel, current};
use mm_types::{Errno, MmId, PageRange, Pfn, Pte, VmFlags, Vpn};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A page that was compared.
#[derive(Clone)]
struct Candidate {
    mm: Arc<Mm>,
    vpn: Vpn,
    pfn: Pfn,
}

impl Machine {
    /// One round of ksmd over all memory that was advised so: the calling task stands for the daemon. With `zero`, pages of
    /// zeros map the zero page (`use_zero_pages`). Gives how many entries were changed to a merged page.
    pub fn ksm_scan(&self, zero: bool) -> u64 {
        current(|k| {
            let locks = self.locks();
            let _one = locks.files.ksm.lock();
            let mut unstable = BTreeMap::<Content, Candidate>::new();
            let mut merged = 0;
            for candidate in self.ksm_candidates() {
                merged += self.cmp_and_merge_page(k, &candidate, &mut unstable, zero);
            }
            merged
        })
    }

    /// Pages of anonymous memory that may be merged, by address space and address.
    fn ksm_candidates(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        for mm in (0..).map_while(|id| self.mm_slot(MmId(id))).flatten() {
            for vma in mm.vmas().into_iter().filter(is_mergeable) {
                let page = |vpn: Vpn| Some(Candidate { mm: Arc::clone(&mm), vpn, pfn: mm.mergeable_page(vpn)? });
                found.extend(vma.range().iter().filter_map(page));
            }
        }
        found
    }

    fn cmp_and_merge_page(
        &self,
        k: &Kernel,
        page: &Candidate,
        unstable: &mut BTreeMap<Content, Candidate>,
        zero: bool,
    ) -> u64 {
        let content = self.content(page.pfn);
        if zero && content == Content::ZERO {
            return u64::from(page.mm.try_to_merge_one_page(k, page.vpn, page.pfn, Some(ZERO_PAGE)));
        }
        if let Some(merged) = self.stable_page(k, &content) {
            let done = page.mm.try_to_merge_one_page(k, page.vpn, page.pfn, Some(merged));
            self.put_page(k, merged);
            return u64::from(done);
        }
        let Some(other) = unstable.get(&content).cloned() else {
            unstable.insert(content, page.clone());
            return 0;
        };
        // `try_to_merge_two_pages()`: this page becomes the merged one.
        if !page.mm.try_to_merge_one_page(k, page.vpn, page.pfn, None) || !self.try_get_page(k, page.pfn) {
            return 0;
        }
        // Nobody can write it any more, but it may have gone, and its frame be another page's, before the reference was there.
        let here = page.mm.mergeable_page(page.vpn) == Some(page.pfn);
        let done = here && other.mm.try_to_merge_one_page(k, other.vpn, other.pfn, Some(page.pfn));
        if done {
            self.with_frame(page.pfn, |f| {
                f.flags |= FrameFlags::KSM;
                f.flags -= FrameFlags::LRU;
            });
            self.ksm_stable.lock().push(page.pfn);
            unstable.remove(&content);
        }
        self.put_page(k, page.pfn);
        u64::from(done)
    }

    /// The merged page that holds this, with a reference (`stable_tree_search()`).
    fn stable_page(&self, k: &Kernel, content: &Content) -> Option<Pfn> {
        let is_merged = |pfn: &Pfn| self.frame(*pfn).flags.contains(FrameFlags::KSM);
        let found = {
            let mut stable = self.ksm_stable.lock();
            stable.retain(is_merged);
            stable.iter().copied().find(|pfn| self.content(*pfn) == *content)
        };
        found.filter(|pfn| self.try_get_page(k, *pfn))
    }

    /// `echo 2 > /sys/kernel/mm/ksm/run`: every merged page is copied again, wherever it is mapped.
    ///
    /// # Errors
    /// `ENOMEM`; those before are copied.
    pub fn ksm_unmerge(&self) -> Result<(), Errno> {
        current(|k| {
            self.sysfs_write(|| {
                let locks = self.locks();
                let _one = locks.files.ksm.lock();
                for mm in (0..).map_while(|id| self.mm_slot(MmId(id))).flatten() {
                    if mm.has_no_users() {
                        continue;
                    }
                    let late = mm.is_wrong(Quirks::TEST_EXIT_UNDER_MMAP_LOCK);
                    if late {
                        k.sync_point(NAMES.mm_window);
                    }
                    let _read = mm.mmap_lock.read();
                    // The exit may have been meanwhile (`ksm_test_exit()`).
                    if !late && mm.has_no_users() {
                        continue;
                    }
                    for vma in mm.walk_vmas(k).into_iter().filter(is_mergeable) {
                        mm.unmerge_ksm_pages(k, &vma, vma.range())?;
                    }
                }
                Ok(())
            })
        })
    }
}

fn is_mergeable(vma: &Vma) -> bool {
    vma.flags().contains(VmFlags::MERGEABLE) && vma.anon().is_some()
}

impl Mm {
    /// A page that could be merged: anonymous, single, not merged yet.
    fn mergeable_page(&self, vpn: Vpn) -> Option<Pfn> {
        let pte = self.pte(vpn);
        let pfn = pte.pfn().filter(|_| !pte.is_special())?;
        let flags = self.machine.frame(pfn).flags;
        let single = !self.machine.is_huge(pfn);
        (single && flags.contains(FrameFlags::ANON) && !flags.contains(FrameFlags::KSM)).then_some(pfn)
    }

    /// `try_to_merge_one_page()`: write-protects the page, and lets its entry map `merged`, if told and if that is equal.
    fn try_to_merge_one_page(&self, k: &Kernel, vpn: Vpn, pfn: Pfn, merged: Option<Pfn>) -> bool {
        let machine = &self.machine;
        let _read = self.mmap_lock.read();
        if !self.find_vma(vpn).is_some_and(|vma| is_mergeable(&vma)) || !machine.try_get_page(k, pfn) {
            return false;
        }
        let done = {
            let lock = machine.folio_lock(pfn);
            let folio = lock.try_lock();
            let protected = folio.as_ref().and_then(|_| self.write_protect_page(k, vpn, pfn));
            match (protected, merged) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(seen), Some(merged)) => {
                    let equal = machine.content(merged) == machine.content(pfn);
                    equal && self.replace_with_merged(k, vpn, (seen, pfn), merged)
                }
            }
        };
        machine.put_page(k, pfn);
        done
    }

    /// `write_protect_page()`: the entry, if nobody but its mappings and this caller holds the page.
    fn write_protect_page(&self, k: &Kernel, vpn: Vpn, pfn: Pfn) -> Option<Pte> {
        let leaf = self.tables.walk(vpn)?;
        let machine = &self.machine;
        let bracket = self.subs.invalidate_range_start(self.clear_of(PageRange::page(vpn)));
        let protected = {
            let ptes = leaf.lock();
            let seen = ptes.get(vpn);
            let frame = machine.frame(pfn);
            let ours = seen.pfn() == Some(pfn) && !seen.is_special();
            let exclusive = frame.flags.contains(FrameFlags::EXCLUSIVE);
            if ours && (seen.is_writable() || seen.is_dirty() || exclusive) {
                let old = ptes.clear(k, vpn);
                self.flush_tlb_range(k, PageRange::page(vpn));
                let frame = machine.frame(pfn);
                // What a device holds may be written behind the entry.
                if frame.refcount != frame.mapcount + 1 + machine.cache_refs(pfn) || frame.pins > 0 {
                    ptes.set(k, vpn, old);
                    None
                } else {
                    machine.with_frame(pfn, |f| f.flags -= FrameFlags::EXCLUSIVE);
                    let protected = old.with_write(false).with_dirty(false);
                    self.set_pte_at_notify(k, &ptes, vpn, protected);
                    Some(protected)
                }
            } else {
                ours.then_some(seen)
            }
        };
        bracket.end();
        protected
    }

    /// `replace_page()`: the entry maps `merged` instead, if it is still `seen`.
    fn replace_with_merged(&self, k: &Kernel, vpn: Vpn, (seen, pfn): (Pte, Pfn), merged: Pfn) -> bool {
        let Some(leaf) = self.tables.walk(vpn) else { return false };
        let machine = &self.machine;
        let bracket = self.subs.invalidate_range_start(self.clear_of(PageRange::page(vpn)));
        let replaced = {
            let ptes = leaf.lock();
            let same = ptes.get(vpn) == seen;
            if same {
                let new = if merged == ZERO_PAGE {
                    // Dirty tells it from a zero page that nobody merged.
                    Pte::present(ZERO_PAGE).with_special(true).with_dirty(true)
                } else {
                    machine.get_page(k, merged);
                    machine.add_rmap(merged, self.id);
                    Pte::present(merged)
                };
                ptes.clear(k, vpn);
                self.flush_tlb_range(k, PageRange::page(vpn));
                self.set_pte_at_notify(k, &ptes, vpn, new);
                machine.remove_rmap(pfn, self.id);
                machine.free_page_and_swap_cache(k, pfn);
            }
            same
        };
        bracket.end();
        replaced
    }

    /// `unmerge_ksm_pages()`: entries of merged pages get copies of their own, which stay read-only until they are written.
    /// `mmap_lock` held.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub(crate) fn unmerge_ksm_pages(&self, k: &Kernel, vma: &Vma, pages: PageRange) -> Result<(), Errno> {
        for vpn in pages.iter() {
            let pte = self.pte(vpn);
            let merged_zero = pte.is_present() && pte.is_special() && pte.is_dirty();
            let page = pte.pfn().filter(|_| !pte.is_special());
            let merged = page.is_some_and(|pfn| self.machine.frame(pfn).flags.contains(FrameFlags::KSM));
            if merged || merged_zero {
                self.unshare_page(k, vma, vpn, pte).map_err(|fault| fault.errno())?;
            }
        }
        Ok(())
    }
}
