//! Pages of a file, or of shared memory, become a huge page of the page cache, which every mapping that is aligned to it can map
//! by one entry. Linux: `collapse_file()`, `retract_page_tables()`, `collapse_pte_mapped_thp()`, mm/khugepaged.c;
//! `do_set_pmd()`, mm/memory.c, 6.12.
//!
//! | step | held | bracket |
//! |---|---|---|
//! | each page is unmapped, wherever it is mapped, and replaced in the page cache | folio lock, `i_mmap_rwsem` R by trylock; no `mmap_lock` | CLEAR of the page; flushed inside |
//! | the empty table of each mapping that is aligned goes; not of one with private pages | folio lock, `i_mmap_rwsem` R; no `mmap_lock` | CLEAR of the 512 pages; flushed inside, under both page-table locks |
//! | a huge page that a leaf table maps already: the table goes, and one entry of a PMD table maps it | `mmap_lock` R, folio lock | CLEAR of the 512 pages, as above |
//!
//! Deviation: the kernel holds the locks of all 512 pages until the last is replaced, and puts all back if one cannot be; here
//! each is replaced as soon as it is unmapped. What was replaced when one cannot be is split again.

use crate::alloc_huge::HugeFor;
use crate::behaviour::Behaviour;
use crate::collapse::{Collapser, Failed};
use crate::content::Content;
use crate::file::Inode;
use crate::frames::FrameFlags;
use crate::huge::pmd_range;
use crate::huge_fault::HugeFault;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::names::NAMES;
use crate::obj::{anon_vma_obj, cached_page_obj, frame_obj};
use crate::page_table::{PMD_PAGES, Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::reclaim::Unmap;
use crate::vma::{FileId, Vma};
use ksync::{Assertion, Kernel};
use mm_types::{Errno, PageRange, Pfn, Pgoff, Pte, VmFlags, Vpn};
use mmu_notifier::Bracket;
use std::sync::Arc;

impl Mm {
    /// `hpage_collapse_scan_file()` and what follows, for the 2 MiB of a VMA.
    pub(crate) fn collapse_file_pages(
        &self,
        k: &Kernel,
        file: FileId,
        vma: &Vma,
        pages: PageRange,
        who: Collapser,
    ) -> Result<(), Failed> {
        let start = vma.pgoff_at(pages.start());
        if !start.0.is_multiple_of(PMD_PAGES) {
            return Err(Failed::Here(Errno::EINVAL));
        }
        if self.machine.huge_in_cache(file, start).is_some() {
            if self.is(Behaviour::RETRACTS_UNDER_MMAP_LOCK) {
                let _write = self.mmap_lock.write();
                let i_mmap = self.machine.i_mmap(file).1;
                let _mappings = i_mmap.write();
                return self.collapse_pte_mapped_thp(k, file, pages, who);
            }
            let _read = self.mmap_lock.read();
            return self.collapse_pte_mapped_thp(k, file, pages, who);
        }
        let page = self.machine.alloc_huge_page(k, HugeFor::Other).ok_or(Failed::All(Errno::ENOMEM))?;
        let collapsed = self.machine.collapse_file(k, file, start, page);
        self.machine.put_page(k, page);
        collapsed.map_err(Failed::Here)?;
        if who == Collapser::Khugepaged {
            return Ok(());
        }
        let _read = self.mmap_lock.read();
        self.collapse_pte_mapped_thp(k, file, pages, who)
    }

    /// `collapse_pte_mapped_thp()`: `mmap_lock` held. `MADV_COLLAPSE` maps the page by one entry at once.
    fn collapse_pte_mapped_thp(
        &self,
        k: &Kernel,
        file: FileId,
        pages: PageRange,
        who: Collapser,
    ) -> Result<(), Failed> {
        let vma = self.find_vma(pages.start()).filter(|v| v.range().covers(pages));
        let vma = vma.ok_or(Failed::All(Errno::EINVAL))?;
        let leaf = match self.tables.pmd(pages.start()) {
            Pmd::Huge(_) => return Ok(()),
            Pmd::None => None,
            Pmd::Table(leaf) => Some(leaf),
        };
        let head = self.machine.huge_in_cache(file, vma.pgoff_at(pages.start()));
        let head = head.ok_or(Failed::Here(Errno::EAGAIN))?;
        let lock = self.machine.folio_lock(head);
        let _folio = lock.lock();
        if let Some(leaf) = leaf {
            let right = |ptes: &PteGuard<'_>| {
                pages.iter().zip(0..).all(|(vpn, i)| {
                    let pte = ptes.get(vpn);
                    pte.is_none() || pte.pfn() == Some(Pfn(head.0 + i))
                })
            };
            if !right(&leaf.lock()) {
                return Err(Failed::Here(Errno::EINVAL));
            }
            let told = !self.machine.config.quirks.contains(Quirks::NOTIFY_FILE_COLLAPSE);
            let bracket = told.then(|| self.subs.invalidate_range_start(self.clear_of(pages)));
            let cleared = {
                let ptes = leaf.lock();
                // A private copy may have come meanwhile.
                right(&ptes).then(|| {
                    let mapped = pages.iter().filter(|vpn| !ptes.get(*vpn).is_none());
                    mapped.map(|vpn| self.machine.remove_rmap_of(self, ptes.clear(k, vpn))).count()
                })
            };
            let Some(cleared) = cleared else {
                bracket.into_iter().for_each(Bracket::end);
                return Err(Failed::Here(Errno::EINVAL));
            };
            drop(leaf);
            if !self.take_empty_table(k, pages) {
                self.flush_tlb_range(k, pages);
            }
            bracket.into_iter().for_each(Bracket::end);
            (0..cleared).for_each(|_| self.machine.put_page(k, head));
        }
        if who == Collapser::Advice {
            self.do_set_pmd(k, &vma, file, head, pages, false);
        }
        Ok(())
    }

    /// The table of the region goes, under the PMD table's lock and its own, and is flushed. Not one that another task is about
    /// to use: walkers do not look twice here.
    /// Whether it went.
    fn take_empty_table(&self, k: &Kernel, pages: PageRange) -> bool {
        let Pmd::Table(leaf) = self.tables.pmd(pages.start()) else { return false };
        self.with_pmd(pages.start(), |pmd| {
            let _ptl = leaf.lock_unmapped_nested(self.machine.classes.ptl_nested);
            let goes = Arc::strong_count(&leaf) == 2 && leaf.is_empty();
            goes && pmd.detach_table(k).is_some()
        })
    }

    /// `retract_page_tables()`, one mapping: nothing of a VMA that had private pages, or that userfaultfd write-protects.
    fn retract_page_table(&self, k: &Kernel, base: Vpn) {
        let fit = |vma: &Vma| {
            let covers = base.0.is_multiple_of(PMD_PAGES) && vma.range().covers(pmd_range(base));
            let private = vma.anon().is_some() && !self.is_wrong(Quirks::TEST_ANON_VMA_UNDER_MMAP_LOCK);
            covers && !private && !vma.flags().contains(VmFlags::UFFD_WP)
        };
        if !self.find_vma(base).is_some_and(|vma| fit(&vma)) || !matches!(self.tables.pmd(base), Pmd::Table(_)) {
            return;
        }
        let pages = pmd_range(base);
        let bracket = self.subs.invalidate_range_start(self.clear_of(pages));
        if self.find_vma(base).is_some_and(|vma| fit(&vma)) {
            self.take_empty_table(k, pages);
        }
        bracket.end();
    }

    /// As up to 6.5: a table goes when nobody can walk it, which is under `mmap_lock`, the mapping's lock and, if the VMA has had
    /// private pages, that of its `anon_vma` (`collapse_and_free_pmd()`, 6.1). Retracting takes the first two, and leaves alone
    /// what has had such pages.
    fn retract_under_mmap_lock(&self, k: &Kernel, base: Vpn) {
        let anon_vma = || self.find_vma(base).and_then(|vma| vma.anon());
        let early = self.is_wrong(Quirks::TEST_ANON_VMA_UNDER_MMAP_LOCK);
        if early && anon_vma().is_some() {
            return;
        }
        if early {
            k.sync_point(NAMES.mm_window);
        }
        let Some(_write) = self.mmap_lock.try_write() else { return };
        if let Some(link) = anon_vma() {
            if !early {
                return;
            }
            let root = self.machine.anon_vma(link.anon_vma).map(|anon_vma| anon_vma.root);
            root.into_iter().for_each(|root| k.lockdep_assert(Assertion::HeldWrite(anon_vma_obj(root.get()).0)));
        }
        self.retract_page_table(k, base);
    }

    /// A fault in a mapping of a file whose page cache has a huge page there: one entry maps it, if the VMA has all of it and is
    /// aligned to it. Not for a private write, and not where huge pages are unwanted.
    pub(crate) fn huge_file_fault(&self, k: &Kernel, vma: &Vma, file: FileId, vpn: Vpn, write: bool) -> HugeFault {
        let pages = pmd_range(vpn);
        let unfit = vma.flags().intersects(VmFlags::NOHUGEPAGE | VmFlags::UFFD_WP) || !vma.range().covers(pages);
        if unfit || write && Mm::is_private(vma) {
            return HugeFault::Fallback;
        }
        let start = vma.pgoff_at(pages.start());
        let head = start.0.is_multiple_of(PMD_PAGES).then(|| self.machine.huge_in_cache(file, start)).flatten();
        match head {
            Some(head) if self.do_set_pmd(k, vma, file, head, pages, write) => HugeFault::Done,
            _ => HugeFault::Fallback,
        }
    }

    /// `do_set_pmd()`: whether the entry maps the page now, or something does.
    fn do_set_pmd(&self, k: &Kernel, vma: &Vma, file: FileId, head: Pfn, pages: PageRange, write: bool) -> bool {
        let machine = &self.machine;
        self.with_pmd(pages.start(), |pmd| {
            match pmd.get() {
                Pmd::None => {}
                Pmd::Table(_) => return false,
                Pmd::Huge(_) => return true,
            }
            if !machine.try_get_page(k, head) {
                return false;
            }
            if machine.huge_in_cache(file, vma.pgoff_at(pages.start())) != Some(head) {
                machine.put_page(k, head);
                return false;
            }
            machine.add_rmap_pmd(head, self.id);
            let shared = vma.flags().contains(VmFlags::SHARED | VmFlags::WRITE) && machine.is_shmem(file);
            let entry = Pte::present(head).with_huge(true).with_write(write || shared).with_dirty(write);
            pmd.set(k, entry.with_protnone(!vma.is_accessible()));
            true
        })
    }
}

impl Machine {
    /// The first frame of the huge page that the page cache has for the 512 pages from `start` on, if all are there.
    pub(crate) fn huge_in_cache(&self, file: FileId, start: Pgoff) -> Option<Pfn> {
        let mut files = self.files.lock();
        let inode = files.inode(file);
        let cached = &files.pages(inode).cached;
        let head = *cached.get(&start)?;
        let whole = cached.get(&(start + (PMD_PAGES - 1))) == Some(&Pfn(head.0 + PMD_PAGES - 1));
        let holes = whole && cached.range(start..start + PMD_PAGES).count() as u64 == PMD_PAGES;
        drop(files);
        (holes && self.is_huge(head) && self.head(head) == head).then_some(head)
    }

    /// An entry that mapped a page of a file is gone: what it says of the page is noted.
    fn remove_rmap_of(&self, mm: &Mm, old: Pte) {
        if let Some(pfn) = old.mapped_pfn() {
            self.transfer_dirty(pfn, old);
            self.remove_rmap(pfn, mm.id);
        }
    }

    /// `collapse_file()`: `page` is new, and has one reference of the caller's, which it keeps.
    fn collapse_file(&self, k: &Kernel, file: FileId, start: Pgoff, page: Pfn) -> Result<(), Errno> {
        let lock = self.folio_lock(page);
        let _folio = lock.try_lock();
        let inode = self.inode(file);
        self.with_subpages(page, |i, f| {
            f.mapping = Some(inode);
            f.index = start + i;
            f.flags.set(FrameFlags::LRU, i == 0);
        });
        for i in 0..PMD_PAGES {
            if let Err(error) = self.replace_in_page_cache(k, file, start + i, Pfn(page.0 + i)) {
                // What was replaced is single pages again.
                self.split_block(page);
                self.put_tails(k, page);
                return Err(error);
            }
        }
        let i_mmap = self.files.lock().i_mmap(inode);
        if self.config.behaviour.contains(Behaviour::RETRACTS_UNDER_MMAP_LOCK) {
            let mappings = i_mmap.write();
            for (mm, vpn) in mappings.walk(start) {
                let Some(mm) = self.mm(mm) else { continue };
                mm.retract_under_mmap_lock(k, vpn);
            }
            return Ok(());
        }
        let mappings = i_mmap.read();
        for (mm, vpn) in mappings.walk(start) {
            if let Some(mm) = self.mm(mm) {
                mm.retract_page_table(k, vpn);
            }
        }
        Ok(())
    }

    /// One page of the cache is unmapped, and `new` takes its place with what it holds. A hole of shared memory is filled.
    ///
    /// # Errors
    /// `EAGAIN` for a page that is locked, held by somebody or dirty on its way to a disk; `ENOMEM`.
    fn replace_in_page_cache(&self, k: &Kernel, file: FileId, at: Pgoff, new: Pfn) -> Result<(), Errno> {
        let inode = self.inode(file);
        if !self.is_resident(file, at) {
            if !self.is_shmem(file) {
                let read = self.file_page(k, file, at)?;
                self.put_page(k, read);
            } else {
                k.visible_write(cached_page_obj(inode, at));
                let content = self.files.lock().contents(file, at);
                self.insert_huge_page(inode, at, new, content, FrameFlags::empty());
                return Ok(());
            }
        }
        let old = self.file_page(k, file, at)?;
        let lock = self.folio_lock(old);
        let replaced = match lock.try_lock() {
            Some(_folio) => self.replace_locked(k, file, at, old, new),
            None => false,
        };
        self.put_page(k, old);
        if replaced { Ok(()) } else { Err(Errno::EAGAIN) }
    }

    fn replace_locked(&self, k: &Kernel, file: FileId, at: Pgoff, old: Pfn, new: Pfn) -> bool {
        let frame = self.frame(old);
        if self.is_huge(old) || !self.is_shmem(file) && frame.flags.contains(FrameFlags::DIRTY) {
            return false;
        }
        self.rmap_walk_mapped(&frame, old, |mm, vpn| mm.try_to_unmap_one(k, vpn, old, Unmap::Drop, None));
        let inode = self.inode(file);
        k.visible_write(cached_page_obj(inode, at));
        k.visible_write(frame_obj(old));
        let frame = self.frame(old);
        // This caller's reference and the cache's.
        if frame.refcount != 2 || frame.mapcount > 0 || frame.mapping != Some(inode) {
            return false;
        }
        self.with_frame(old, |f| {
            f.flags -= FrameFlags::FILE | FrameFlags::LRU | FrameFlags::DIRTY;
            f.mapping = None;
        });
        self.insert_huge_page(inode, at, new, self.content(old), frame.flags & FrameFlags::DIRTY);
        self.put_page(k, old);
        true
    }

    fn insert_huge_page(&self, inode: Inode, at: Pgoff, new: Pfn, content: Content, dirty: FrameFlags) {
        self.with_frame(new, |f| {
            f.flags |= FrameFlags::FILE | dirty;
        });
        self.set_content(new, content);
        let head = self.head(new);
        self.with_frame(head, |f| f.refcount += 1);
        self.files.lock().pages(inode).cached.insert(at, new);
    }
}
