//! `mremap`. Linux: `mremap()`, `move_vma()`, `move_page_tables()`, mm/mremap.c, 6.12.
//!
//! # Protocol
//! | step of a move | held | bracket |
//! |---|---|---|
//! | what `MREMAP_FIXED` replaces, and the tail of a mapping that becomes shorter, are unmapped | `mmap_lock` W | UNMAP each, if a VMA is in it |
//! | a VMA for the new place; both are in the reverse map now | and `&anon_vma->rwsem` W | |
//! | entries move, one leaf table at a time; each table flushed before its locks go | and both page-table locks, the new one under its subclass | UNMAP of the old range |
//! | the old range is unmapped, where nothing is left; not with `MREMAP_DONTUNMAP` | `mmap_lock` W | UNMAP of the old range again |
//!
//! The new range is announced to nobody: nothing could be known of it. Walkers of the reverse map that come to the old
//! place first see a page at one of the two; where they would come to the new one first they are locked out.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::page_table::{Leaf, PMD_PAGES, Pmd, PteGuard};
use crate::quirks::Quirks;
use crate::rmap::AnonVma;
use crate::vma::{Mremap, MremapFlags, MremapPlan, Vma, VmaKind};
use ksync::{Kernel, LockNested, current};
use mm_types::{Errno, PAGE_SIZE, PageRange, Pte, VirtAddr, VmFlags, Vpn};
use std::sync::Arc;
use trace::{NotifyEvent, NotifyRange};

impl Mm {
    /// `mremap(old, old_len, new_len, flags, new_addr)`: shrinks, grows or moves a mapping with its pages. Gives where it
    /// starts now. `new_addr` is read with `MREMAP_FIXED` (the place) and `MREMAP_DONTUNMAP` (a hint). `recorded` is where
    /// a recorded kernel put it, which is followed; without, it goes where this address space places mappings.
    ///
    /// # Errors
    /// As [`Mremap::new`] and [`Mremap::plan`]: nothing has happened. As [`Mremap::target`]: what was at the new place is
    /// unmapped. `ENOMEM` when page tables cannot be had: the mapping is where it was, what was at the new place is
    /// unmapped.
    pub fn mremap(
        &self,
        old: VirtAddr,
        old_len_bytes: u64,
        new_len_bytes: u64,
        flags: MremapFlags,
        new_addr: Option<VirtAddr>,
        recorded: Option<VirtAddr>,
    ) -> Result<VirtAddr, Errno> {
        let asked = Mremap::new(old, old_len_bytes, new_len_bytes, flags, new_addr.unwrap_or(VirtAddr(0)));
        let pages = PageRange::with_len(old.vpn(), old_len_bytes.div_ceil(PAGE_SIZE));
        current(|k| self.call(k, NAMES.mremap, pages, || self.do_mremap(k, &asked?, recorded)))
    }

    fn do_mremap(&self, k: &Kernel, call: &Mremap, recorded: Option<VirtAddr>) -> Result<VirtAddr, Errno> {
        let write = self.mmap_lock.write();
        call.check_map_count(&self.inner.lock().tree)?;
        if call.moves_only() {
            return self.remap_move(k, call);
        }
        let plan = call.plan(&self.inner.lock().tree, recorded)?;
        let (at, locked) = match plan {
            MremapPlan::Stay => return Ok(call.start().addr()),
            MremapPlan::Shrink(tail) => {
                return self.do_munmap_downgraded(k, write, tail).map(|()| call.start().addr());
            }
            MremapPlan::Grow(behind) => {
                let grown = self.inner.lock().tree.expand_upwards(behind)?;
                self.vma_adjusted(k, &grown.changes);
                (behind, grown.vma.flags().contains(VmFlags::LOCKED).then_some(behind))
            }
            MremapPlan::Move { destination } => {
                let (to, moved) = self.mremap_to(k, call, destination, recorded)?;
                let new_pages = PageRange::with_len(Vpn(to.end().0 - call.growth()), call.growth());
                (to, new_pages.filter(|_| moved.flags().contains(VmFlags::LOCKED)))
            }
        };
        drop(write);
        if let Some(new_pages) = locked {
            self.populate(k, new_pages);
        }
        Ok(if matches!(plan, MremapPlan::Grow(_)) { call.start().addr() } else { at.start().addr() })
    }

    /// `remap_move()`: a move to a fixed place that keeps the length may be of several VMAs, whose gaps are kept. Those
    /// before one that cannot be moved have moved then. Since 6.17.
    fn remap_move(&self, k: &Kernel, call: &Mremap) -> Result<VirtAddr, Errno> {
        let Some(old) = call.old_range() else { return Err(Errno::EFAULT) };
        let mut next = old.start();
        let mut last: Option<(Vpn, Vpn)> = None;
        let mut first = Err(Errno::EFAULT);
        loop {
            let found = self.inner.lock().tree.find_at_or_above(next).copied();
            // The VMA may have grown over what it moved to.
            let Some(vma) = found.filter(|vma| next < old.end() && vma.start() < old.end()) else { return first };
            let to = match last {
                None if vma.start() > old.start() => return Err(Errno::EFAULT),
                None => call.new_addr().vpn(),
                Some((target, end)) => target + (vma.start() - end),
            };
            let part = PageRange::new(vma.start().max(old.start()), vma.end().min(old.end()));
            // Of userfaultfd only one alone: it is told with `mmap_lock` let go (`vma_multi_allowed()`).
            if is_armed(&vma) && (last.is_some() || vma.end() < old.end()) {
                return Err(Errno::EFAULT);
            }
            let part = call.part(part.map_err(|_| Errno::EFAULT)?, to);
            let plan = part.plan(&self.inner.lock().tree, None)?;
            let MremapPlan::Move { destination } = plan else { return Err(Errno::EINVAL) };
            let (at, _) = self.mremap_to(k, &part, destination, None)?;
            first = first.or(Ok(at.start().addr()));
            last = Some((at.end(), vma.end()));
            next = vma.end();
        }
    }

    /// `mremap_to()`, and the part of `mremap_at()` that moves: what is in the way is unmapped, then the VMA moves. Gives
    /// where to, and the VMA that has the pages.
    fn mremap_to(
        &self,
        k: &Kernel,
        call: &Mremap,
        destination: Option<PageRange>,
        recorded: Option<VirtAddr>,
    ) -> Result<(PageRange, Vma), Errno> {
        if let Some(destination) = destination {
            self.do_munmap(k, destination)?;
            // Of an old range that wraps around, that may have been its start.
            call.source(&self.inner.lock().tree)?;
        }
        if let Some(tail) = call.tail()? {
            self.do_munmap(k, tail)?;
        }
        let to = {
            let inner = self.inner.lock();
            call.target(&inner.tree, &inner.placement, recorded)?
        };
        Ok((to, self.move_vma(k, call, to)?))
    }

    /// `do_munmap()`: unmaps `range` with `mmap_lock` held for writing throughout.
    pub(crate) fn do_munmap(&self, k: &Kernel, range: PageRange) -> Result<(), Errno> {
        let gathered = self.detach(k, range)?;
        if !gathered.vmas.is_empty() {
            let bounds = self.table_bounds(range);
            self.unmap_region(k, range, &gathered.vmas, bounds);
        }
        Ok(())
    }

    /// `move_vma()`: gives the VMA that has the pages at `to` now.
    fn move_vma(&self, k: &Kernel, call: &Mremap, to: PageRange) -> Result<Vma, Errno> {
        let keep = call.flags().contains(MremapFlags::DONTUNMAP);
        let source = call.source(&self.inner.lock().tree)?;
        let mut copied = self.inner.lock().tree.copy_vma(&source, call.start(), to);
        self.vma_adjusted(k, &copied.changes);
        if is_armed(&copied.vma) {
            // `mremap_userfaultfd_prep()`, of a userfaultfd that is not told of moves
            let flags = copied.vma.flags().difference(UFFD);
            self.inner.lock().tree.set_flags(copied.vma.start(), flags);
            copied.vma = self.find_vma(copied.vma.start()).unwrap_or(copied.vma);
        }
        let Some(old) = call.old_range() else { return Ok(copied.vma) };
        // The source may have grown into the new VMA.
        let source = self.find_vma(old.start()).unwrap_or(source);
        let rmap = copied.need_rmap_locks;
        let moved = self.move_page_tables(k, &source, old, &copied.vma, to.start(), rmap);
        if let Err(Stopped { done }) = moved {
            self.move_back(k, &source, &copied.vma, PageRange::with_len(old.start(), done), to.start());
            self.do_munmap(k, to)?;
            return Err(Errno::ENOMEM);
        }
        if keep {
            self.forget_moved(k, &source, old);
        } else {
            // Too many VMAs, the only error, was excluded before.
            let _: Result<(), Errno> = self.do_munmap(k, old);
        }
        Ok(copied.vma)
    }

    /// The entries that moved before memory ran out move back; their tables are still there.
    fn move_back(&self, k: &Kernel, source: &Vma, copy: &Vma, moved: Option<PageRange>, from: Vpn) {
        let there = moved.and_then(|moved| Some((moved, PageRange::with_len(from, moved.nr_pages())?)));
        if let Some((moved, there)) = there {
            let _: Result<(), Stopped> = self.move_page_tables(k, copy, there, source, moved.start(), true);
        }
    }

    /// `MREMAP_DONTUNMAP`: the old VMA stays without pages. It is locked no more, as a whole even if only a part moved; if all
    /// of it moved, it has no anonymous pages and leaves the reverse map (`dontunmap_complete()`, 6.17).
    fn forget_moved(&self, k: &Kernel, source: &Vma, old: PageRange) {
        self.inner.lock().tree.forget_lock(old.start());
        if source.range() == old {
            self.unlink_anon_vmas(k, &[*source]);
            self.inner.lock().tree.forget_pages(source.id(), old.start());
        }
    }

    /// `move_page_tables()`: the entries of `old`, a part of `source`, move to `to` and following pages, parts of `copy`.
    fn move_page_tables(
        &self,
        k: &Kernel,
        source: &Vma,
        old: PageRange,
        copy: &Vma,
        to: Vpn,
        need_rmap_locks: bool,
    ) -> Result<(), Stopped> {
        if source.flags().contains(VmFlags::HUGETLB) {
            self.move_hugetlb_page_tables(k, source, old, to);
            return Ok(());
        }
        let shift = self.realigned(source, old, copy, to);
        let (old, to) = (PageRange::new(Vpn(old.start().0 - shift), old.end()).unwrap_or(old), Vpn(to.0 - shift));
        let bracket = self.subs.invalidate_range_start(NotifyRange {
            mm: self.id,
            pages: old,
            event: NotifyEvent::Unmap,
            blockable: true,
            owner: None,
        });
        let mover = Mover { mm: self, k, source, need_rmap_locks };
        let moved = mover.move_all(old, to);
        bracket.end();
        moved.map_err(|Stopped { done }| Stopped { done: done.saturating_sub(shift) })
    }

    /// How many pages further down a move may begin, so that it moves whole tables: both places begin equally far into a
    /// table, begin their VMAs, and have nothing below them in it.
    ///
    /// Source: `try_realign_addr()`, `can_align_down()`, mm/mremap.c, 6.12.
    fn realigned(&self, source: &Vma, old: PageRange, copy: &Vma, to: Vpn) -> u64 {
        let into = old.start().0 % PMD_PAGES;
        if old.nr_pages() < PMD_PAGES - into || into != to.0 % PMD_PAGES || into == 0 {
            return 0;
        }
        let inner = self.inner.lock();
        let free_below = |vma: &Vma, at: Vpn| {
            let below = PageRange::new(Vpn(at.0 - into), at);
            vma.start() == at && below.is_ok_and(|below| inner.tree.find_first_intersection(below).is_none())
        };
        if free_below(source, old.start()) && free_below(copy, to) { into } else { 0 }
    }
}

/// Memory for page tables ran out when so many pages had moved.
struct Stopped {
    done: u64,
}

/// Moves entries of one address space.
struct Mover<'a> {
    mm: &'a Mm,
    k: &'a Kernel,
    source: &'a Vma,
    need_rmap_locks: bool,
}

/// Registered with userfaultfd.
const UFFD: VmFlags = VmFlags::UFFD_MISSING.union(VmFlags::UFFD_WP);

fn is_armed(vma: &Vma) -> bool {
    vma.flags().intersects(UFFD)
}

impl Mover<'_> {
    /// An entry at its new place: whoever asks for soft-dirty notices that it moved (`move_soft_dirty_pte()`), and userfaultfd's
    /// mark goes with the registration.
    fn moved(&self, pte: Pte) -> Pte {
        let pte = if is_armed(self.source) { pte.with_uffd_wp(false) } else { pte };
        pte.with_soft_dirty(true)
    }

    /// Table by table: a part never crosses a table's end, at neither place.
    fn move_all(&self, old: PageRange, to: Vpn) -> Result<(), Stopped> {
        if self.source.flags().contains(VmFlags::DAX) {
            self.mm.move_pud_range(self.k, old, to);
            return Ok(());
        }
        let mut rest = Some(old);
        while let Some((pmd, part)) = rest.and_then(|range| self.mm.tables.next_pmd(range)) {
            let done = part.start() - old.start();
            let target = to + done;
            let room = PMD_PAGES - target.0 % PMD_PAGES;
            let part = PageRange::with_len(part.start(), part.nr_pages().min(room)).unwrap_or(part);
            let free = matches!(self.mm.tables.pmd(target), Pmd::None);
            let whole = part.nr_pages() == PMD_PAGES && free;
            match pmd {
                Pmd::Huge(_) if whole => self.move_huge_pmd(part, target),
                Pmd::Huge(_) => {
                    self.mm.split_huge_pmd(self.k, part.start());
                    continue;
                }
                // With userfaultfd entry by entry: its mark does not move.
                Pmd::Table(from) if whole && !is_armed(self.source) => {
                    self.move_normal_pmd(from, part, target).map_err(|_| Stopped { done })?
                }
                Pmd::Table(from) => {
                    let leaf = self.mm.pte_alloc(self.k, target).map_err(|_| Stopped { done })?;
                    self.move_ptes(&from, part, &leaf, target);
                }
                Pmd::None => {}
            }
            rest = PageRange::new(part.end(), old.end()).ok();
        }
        Ok(())
    }

    /// `move_huge_pmd()`: the entry of a huge page to where nothing is, flushed before the locks go.
    fn move_huge_pmd(&self, part: PageRange, target: Vpn) {
        let mm = self.mm;
        self.with_rmap_locks(self.need_rmap_locks, || {
            let one_lock = Arc::ptr_eq(&mm.pmd_lock(part.start()), &mm.pmd_lock(target));
            mm.with_pmd(part.start(), |old| {
                if old.huge().is_none() {
                    return;
                }
                let pmd = self.moved(old.clear(self.k));
                if one_lock {
                    mm.pmd_unlocked(target).set(self.k, pmd);
                } else {
                    mm.with_pmd_nested(target, |new| new.set(self.k, pmd));
                }
                mm.flush_tlb_range(self.k, part);
            });
        });
    }

    /// `move_ptes()`: a part of one leaf table to a part of one, flushed before the locks go if a CPU could know an entry.
    fn move_ptes(&self, from: &Arc<Leaf>, part: PageRange, to: &Arc<Leaf>, target: Vpn) {
        self.with_rmap_locks(self.need_rmap_locks, || {
            let old = from.lock();
            let apart = !Arc::ptr_eq(from, to);
            let _map = (!apart).then(|| to.map());
            let second = apart.then(|| to.lock_nested(self.mm.machine.classes.ptl_nested));
            let new = second.as_ref().unwrap_or(&old);
            self.mm.flush_tlb_batched_pending(self.k, &old);
            let present = self.move_entries(&old, part, new, target, |pte| self.moved(pte));
            let late = self.mm.machine.config.quirks.contains(Quirks::FLUSH_BEFORE_UNLOCK_IN_MREMAP);
            if present && !late {
                self.mm.flush_tlb_range(self.k, part);
            }
            drop(second);
            drop(old);
            if present && late {
                self.k.sync_point(NAMES.mm_moved);
                self.mm.flush_tlb_range(self.k, part);
            }
        });
    }

    /// `move_normal_pmd()`: a whole table where there is none yet. The kernel moves the pointer to it; here its entries
    /// move to another table and the empty one goes, all under both locks and those of the reverse map, so that nobody
    /// sees the difference.
    fn move_normal_pmd(&self, from: Arc<Leaf>, part: PageRange, target: Vpn) -> Result<(), Errno> {
        let to = self.mm.pte_alloc(self.k, target)?;
        self.with_rmap_locks(true, || {
            let (old_pmd, new_pmd) = (self.mm.pmd_lock(part.start()), self.mm.pmd_lock(target));
            let _old = old_pmd.lock();
            let apart = !Arc::ptr_eq(&old_pmd, &new_pmd);
            let _new = apart.then(|| new_pmd.lock_nested(self.mm.machine.classes.pmd_ptl_nested));
            {
                let old = from.lock();
                let new = to.lock_nested(self.mm.machine.classes.ptl_nested);
                // The table moves as it is, and what was noticed of its pages.
                self.move_entries(&old, part, &new, target, |pte| pte);
            }
            drop(from);
            self.mm.free_moved_table(part.start());
            self.mm.flush_tlb_range(self.k, part);
        });
        Ok(())
    }

    /// Whether an entry was there that a CPU may have a translation of.
    fn move_entries(
        &self,
        old: &PteGuard<'_>,
        part: PageRange,
        new: &PteGuard<'_>,
        target: Vpn,
        moved: impl Fn(Pte) -> Pte,
    ) -> bool {
        let mut present = false;
        for vpn in part.iter() {
            if old.get(vpn).is_none() {
                continue;
            }
            let pte = old.clear(self.k, vpn);
            present |= pte.mapped_pfn().is_some();
            new.set(self.k, target + (vpn - part.start()), moved(pte));
        }
        present
    }

    /// `take_rmap_locks()`: walkers of the reverse map wait until `body` is done, if `needed`.
    fn with_rmap_locks(&self, needed: bool, body: impl FnOnce()) {
        let machine = &self.mm.machine;
        let file = match self.source.kind() {
            VmaKind::File(file) if needed => Some(machine.i_mmap(file).1),
            _ => None,
        };
        let anon: Option<AnonVma> =
            self.source.anon().filter(|_| needed).and_then(|link| machine.anon_vma(link.anon_vma));
        let _file = file.as_ref().map(|lock| lock.write());
        let _anon = anon.as_ref().map(|anon_vma| anon_vma.rwsem.write());
        body();
    }
}
