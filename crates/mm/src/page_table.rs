//! Page tables: four levels, and the one accessor of leaf entries.
//!
//! Key types: `PageTables`, the levels of one address space; `Leaf`, one table of 512 entries with its split lock;
//! `PteGuard`, that lock held, through which every entry is read and changed; [`Pmd`], what an entry one level up holds: a
//! table, or a huge page, which is read and changed through `PmdGuard` (`huge.rs`). The accessor makes the visible operation
//! and emits `PteSet`, so that no path can forget.
//!
//! # Protocol
//!
//! | what | lock |
//! |---|---|
//! | change an entry | the leaf's `ptlock_ptr(ptdesc)` ([`Leaf::lock`]) |
//! | look at an entry without deciding by it (a fault's first look) | none ([`Leaf::peek`]); look again under the lock |
//! | change an entry that maps a huge page | the PMD table's `ptlock_ptr(ptdesc)` ([`Mm::pmd_lock`]) |
//! | change an entry of a PUD table that maps a GiB (`huge_pud.rs`) | `&mm->page_table_lock` |
//! | add a table | `&mm->page_table_lock`, and `mmap_lock` or an rmap lock so that it stays |
//! | take a table away | nothing maps its region any more: no VMA, no reverse map |
//!
//! The storage lock around the upper levels protects memory only. A walker that holds an `Arc<Leaf>` of a table that was
//! taken away finds it empty, as the kernel's walker would by RCU.

use crate::cpu_tlb::{Cached, Cpu, Tlb};
use crate::huge;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::obj::{MachineObj, cpumask_obj, machine_obj, pmd_lock_obj, pte_obj, ptl_obj};
use ksync::{ClassIdx, Kernel, LockNested, NestedGuard, Op, RawSpinLock, RcuSection, SpinLock, SpinLockGuard, current};
use mm_types::{Errno, Gfp, MmId, ObjId, PageRange, Pte, Vpn};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use trace::EventKind;

/// Pages that one table of leaf entries, or one huge page, maps.
pub(crate) const PMD_PAGES: u64 = 512;
/// Pages that one PMD table, or one entry of a PUD table, maps.
pub(crate) const PUD_PAGES: u64 = PMD_PAGES * PMD_PAGES;
const ENTRIES: usize = PMD_PAGES as usize;
/// log2 of the pages one entry covers, by level: leaf table, PMD table, PUD table.
const PMD: u32 = 9;
const PUD: u32 = 18;
const PGD: u32 = 27;

/// What a leaf table holds.
pub(crate) struct LeafEntries {
    ptes: [AtomicU64; ENTRIES],
    /// Which CPUs have translated by each of them, as it is. Nobody by one that maps nothing.
    cached: [Cached; ENTRIES],
}

impl LeafEntries {
    const fn empty() -> LeafEntries {
        LeafEntries { ptes: [const { AtomicU64::new(0) }; ENTRIES], cached: [const { Cached::by_nobody() }; ENTRIES] }
    }

    fn is_empty(&self) -> bool {
        self.ptes.iter().all(|p| p.load(Ordering::Relaxed) == 0)
    }
}

/// One table of leaf entries.
pub(crate) struct Leaf {
    mm: MmId,
    /// The page of entry 0.
    base: Vpn,
    entries: Box<LeafEntries>,
    ptl: SpinLock<()>,
    tlb: Arc<Tlb>,
    /// Reclaim has cleared entries and put the flush off (`unmap_batch.rs`). Under the lock.
    flush_put_off: AtomicBool,
}

impl Leaf {
    pub(crate) fn new(mm: &Mm, base: Vpn) -> Leaf {
        let pooled = mm.machine.leaf_pool.lock().pop();
        let entries = pooled.unwrap_or_else(|| Box::new(LeafEntries::empty()));
        let ptl = SpinLock::from_raw(RawSpinLock::new(mm.machine.classes.ptl, ptl_obj(mm.id, base)), ());
        Leaf { mm: mm.id, base, entries, ptl, tlb: Arc::clone(&mm.tlb), flush_put_off: AtomicBool::new(false) }
    }

    fn slot(&self, vpn: Vpn) -> &AtomicU64 {
        debug_assert_eq!(vpn.0 >> PMD, self.base.0 >> PMD);
        &self.entries.ptes[vpn.0 as usize % ENTRIES]
    }

    fn cached(&self, vpn: Vpn) -> &Cached {
        &self.entries.cached[vpn.0 as usize % ENTRIES]
    }

    fn load(&self, vpn: Vpn) -> Pte {
        Pte(self.slot(vpn).load(Ordering::Relaxed))
    }

    /// Reads an entry without its lock (`ptep_get_lockless()`): it may be another one at once. A visible operation.
    pub(crate) fn peek(&self, k: &Kernel, vpn: Vpn) -> Pte {
        k.visible_read(pte_obj(self.mm, vpn));
        self.load(vpn)
    }

    /// Gives a table that nobody knows yet its entry for `vpn`.
    pub(crate) fn fill(&self, vpn: Vpn, pte: Pte) {
        self.slot(vpn).store(pte.0, Ordering::Relaxed);
    }

    /// Empties a table that was [retired](Leaf::retire): a late walker finds nothing.
    pub(crate) fn wipe(&self) {
        self.entries.ptes.iter().for_each(|p| p.store(0, Ordering::Relaxed));
    }

    /// The table was taken away with what it holds: what CPUs have of it is stale.
    pub(crate) fn retire(&self) {
        for vpn in (0..PMD_PAGES).map(|i| self.base + i) {
            self.outdate(vpn, self.load(vpn), Pte::NONE);
        }
    }

    /// A CPU has translated by the entry, which is `pte`.
    pub(crate) fn cache(&self, cpu: Option<Cpu>, vpn: Vpn, pte: Pte) {
        if let Some(cpu) = cpu {
            self.cached(vpn).add(cpu, pte);
        }
    }

    /// An entry changes: what CPUs have of it may be stale.
    fn outdate(&self, vpn: Vpn, old: Pte, new: Pte) {
        let stale = self.cached(vpn).change(old, new);
        if stale != 0 {
            self.tlb.add_stale(vpn, stale, old);
        }
    }

    /// Whether no entry is used. Its lock held.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Reads an entry at a scheduling point that the caller made for it.
    pub(crate) fn peek_now(&self, vpn: Vpn) -> Pte {
        self.load(vpn)
    }

    /// `pte_offset_map_lock()`.
    #[track_caller]
    pub(crate) fn lock(&self) -> PteGuard<'_> {
        let rcu = self.map();
        PteGuard { leaf: self, _ptl: Ptl::Only(self.ptl.lock()), _rcu: Some(rcu) }
    }

    /// The lock of a table that is [mapped](Leaf::map) already.
    #[track_caller]
    pub(crate) fn lock_unmapped(&self) -> PteGuard<'_> {
        PteGuard { leaf: self, _ptl: Ptl::Only(self.ptl.lock()), _rcu: None }
    }

    /// The same as the second page-table lock of its holder.
    #[track_caller]
    pub(crate) fn lock_unmapped_nested(&self, nested: ClassIdx) -> PteGuard<'_> {
        PteGuard { leaf: self, _ptl: Ptl::Second(self.ptl.lock_nested(nested)), _rcu: None }
    }

    /// `pte_offset_map()`: the table stays while this lives.
    #[track_caller]
    pub(crate) fn map(&self) -> RcuSection {
        current(Kernel::rcu_section)
    }

    /// `pte_offset_map_lock()` by trylock: `None` if somebody has the lock.
    #[track_caller]
    pub(crate) fn try_lock(&self) -> Option<PteGuard<'_>> {
        let rcu = self.map();
        Some(PteGuard { leaf: self, _ptl: Ptl::Only(self.ptl.try_lock()?), _rcu: Some(rcu) })
    }

    /// The same as the second page-table lock of its holder, under the subclass `nested` (`SINGLE_DEPTH_NESTING`).
    #[track_caller]
    pub(crate) fn lock_nested(&self, nested: ClassIdx) -> PteGuard<'_> {
        let rcu = self.map();
        PteGuard { leaf: self, _ptl: Ptl::Second(self.ptl.lock_nested(nested)), _rcu: Some(rcu) }
    }

    /// Replaces an entry. Private: the guard and the hardware's own bits are the ways in.
    fn store(&self, k: &Kernel, vpn: Vpn, new: Pte) -> Pte {
        k.visible_write(pte_obj(self.mm, vpn));
        self.store_now(k, vpn, new)
    }

    /// Replaces an entry at a scheduling point that was made for it.
    fn store_now(&self, k: &Kernel, vpn: Vpn, new: Pte) -> Pte {
        let old = Pte(self.slot(vpn).swap(new.0, Ordering::Relaxed));
        if old != new {
            self.outdate(vpn, old, new);
            tell_entry(k, self.mm, vpn, old, new);
        }
        old
    }

    /// The CPU sets accessed and dirty bits by itself, without any lock, if the entry is still `seen`. The scheduling
    /// point is the access that causes it. Gives the entry as it is then.
    pub(crate) fn hardware_mark(&self, k: &Kernel, vpn: Vpn, seen: Pte, write: bool) -> Pte {
        let marked = seen.accessed(write);
        if marked != seen
            && self.slot(vpn).compare_exchange(seen.0, marked.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            tell_entry(k, self.mm, vpn, seen, marked);
        }
        marked
    }
}

/// Tells of a change of an entry. Not of soft-dirty, which is between the entry and who asks for it: no hardware sees it.
pub(crate) fn tell_entry(k: &Kernel, mm: MmId, vpn: Vpn, old: Pte, new: Pte) {
    let (old, new) = (old.with_soft_dirty(false), new.with_soft_dirty(false));
    if old != new {
        k.emit(EventKind::PteSet { mm, vpn, old, new });
    }
}

/// The entries of one leaf table, its lock held.
pub(crate) struct PteGuard<'a> {
    leaf: &'a Leaf,
    // Dropped first: the table must stay while its lock is let go.
    _ptl: Ptl<'a>,
    _rcu: Option<RcuSection>,
}

#[expect(dead_code, reason = "the guards are held, not read")]
enum Ptl<'a> {
    Only(SpinLockGuard<'a, ()>),
    Second(NestedGuard<'a>),
}

impl PteGuard<'_> {
    /// The entry of `vpn`. No scheduling point: the lock keeps it still, and taking that was one.
    pub(crate) fn get(&self, vpn: Vpn) -> Pte {
        self.leaf.load(vpn)
    }

    /// `set_pte_at()`.
    pub(crate) fn set(&self, k: &Kernel, vpn: Vpn, new: Pte) {
        self.leaf.store(k, vpn, new);
    }

    /// Replaces an entry of a page that stops being mapped by it, in a step that says so to reclaim: it looks at all pages to
    /// find those that are mapped. Gives the entry before.
    pub(crate) fn unmap(&self, k: &Kernel, vpn: Vpn, new: Pte) -> Pte {
        let entry = pte_obj(self.leaf.mm, vpn);
        if k.is_alone() {
            k.visible_write(entry);
        } else {
            k.visible_all(&[Op::write(entry), Op::read(machine_obj(MachineObj::Lru))]);
        }
        self.leaf.store_now(k, vpn, new)
    }

    /// Fills an entry if `still` holds when it does, which reads `object`: one step, so nothing comes between. Whether it did.
    pub(crate) fn set_if(&self, k: &Kernel, vpn: Vpn, new: Pte, object: ObjId, still: impl FnOnce() -> bool) -> bool {
        k.visible_all(&[Op::write(pte_obj(self.leaf.mm, vpn)), Op::read(object)]);
        let set = still();
        if set {
            self.leaf.store_now(k, vpn, new);
        }
        set
    }

    /// Replaces an entry by what `change` makes of it, accessed and dirty bits included that a CPU has set since it was
    /// looked at (`ptep_set_wrprotect()`, `ptep_modify_prot_start()`). Gives the entry before.
    pub(crate) fn update(&self, k: &Kernel, vpn: Vpn, change: impl FnOnce(Pte) -> Pte) -> Pte {
        k.visible_write(pte_obj(self.leaf.mm, vpn));
        self.leaf.store_now(k, vpn, change(self.leaf.load(vpn)))
    }

    /// `ptep_get_and_clear()` by reclaim, which asks in the same step on which CPUs the process ran.
    pub(crate) fn clear_seeing_cpus(&self, k: &Kernel, vpn: Vpn) -> Pte {
        let entry = pte_obj(self.leaf.mm, vpn);
        if k.is_alone() {
            k.visible_write(entry);
        } else {
            k.visible_all(&[Op::write(entry), Op::read(cpumask_obj(self.leaf.mm))]);
        }
        self.leaf.store_now(k, vpn, Pte::NONE)
    }

    /// An entry was cleared whose flush comes later.
    pub(crate) fn put_off_flush(&self) {
        self.leaf.flush_put_off.store(true, Ordering::Relaxed);
    }

    /// Whether that was so of an entry, since everything was flushed under this lock.
    pub(crate) fn has_flush_put_off(&self) -> bool {
        self.leaf.flush_put_off.load(Ordering::Relaxed)
    }

    /// Everything was flushed under this lock.
    pub(crate) fn flush_was_done(&self) {
        self.leaf.flush_put_off.store(false, Ordering::Relaxed);
    }

    /// `ptep_get_and_clear()`: gives what it was at that moment.
    pub(crate) fn clear(&self, k: &Kernel, vpn: Vpn) -> Pte {
        self.leaf.store(k, vpn, Pte::NONE)
    }
}

type Dir = Box<[u32; ENTRIES]>;

/// An entry of a PMD table with this bit maps a huge page: the rest is where its value is.
const HUGE: u32 = 1 << 31;

/// What an entry of a PMD table holds.
#[derive(Clone)]
pub(crate) enum Pmd {
    None,
    /// A table of leaf entries.
    Table(Arc<Leaf>),
    /// A huge page: 512 pages mapped by this entry.
    Huge(Pte),
}

/// A PMD table of huge pages that several address spaces have (`hugetlb_share.rs`).
pub(crate) struct SharedPmds {
    entries: Mutex<Box<[Pte; ENTRIES]>>,
    lock: Arc<SpinLock<()>>,
    /// Which, with the first page of the GiB there.
    users: Mutex<SmallVec<[(MmId, Vpn); 2]>>,
}

impl SharedPmds {
    /// The entry of a page in it, whoever has the table by now.
    pub(crate) fn entry(&self, vpn: Vpn) -> Pte {
        self.entries.lock()[index(vpn, PMD)]
    }
}

/// The upper levels. An entry is 0 for none, else the index of a directory (never 0, that is the PGD), or of a leaf + 1,
/// or, with [`HUGE`], of a huge page's entry.
#[derive(Default)]
struct Upper {
    dirs: Vec<Dir>,
    free_dirs: Vec<u32>,
    leaves: Vec<Option<Arc<Leaf>>>,
    free_leaves: Vec<u32>,
    huge: Vec<Pte>,
    free_huge: Vec<u32>,
    /// The locks of PMD tables, made when first needed; by the first page that a table covers.
    pmd_locks: BTreeMap<Vpn, Arc<SpinLock<()>>>,
    /// Entries of PUD tables that map a GiB, by the first page of that: nothing is below one.
    puds: BTreeMap<Vpn, Pte>,
    /// PMD tables that others have too, or had, by the first page that they cover.
    shared: BTreeMap<Vpn, Arc<SharedPmds>>,
}

const fn pud_base(vpn: Vpn) -> Vpn {
    Vpn(vpn.0 >> PUD << PUD)
}

const fn index(vpn: Vpn, shift: u32) -> usize {
    (vpn.0 >> shift) as usize % ENTRIES
}

/// First page of the next region of `1 << shift` pages.
const fn next_region(vpn: Vpn, shift: u32) -> Vpn {
    Vpn(((vpn.0 >> shift) + 1) << shift)
}

impl Upper {
    fn entry(&self, dir: u32, vpn: Vpn, shift: u32) -> u32 {
        self.dirs.get(dir as usize).map_or(0, |d| d[index(vpn, shift)])
    }

    /// The entry that names the leaf table of `vpn`, or the shift of the level at which there is none.
    fn find(&self, vpn: Vpn) -> Result<u32, u32> {
        if let Some(pte) = self.shared_entry(vpn) {
            return if pte.is_none() { Err(PMD) } else { Ok(HUGE) };
        }
        let mut dir = 0;
        for shift in [PGD, PUD, PMD] {
            match self.entry(dir, vpn, shift) {
                0 => return Err(shift),
                next => dir = next,
            }
        }
        Ok(dir)
    }

    /// What a shared table holds for `vpn`; `None` where there is none.
    fn shared_entry(&self, vpn: Vpn) -> Option<Pte> {
        let shared = self.shared.get(&pud_base(vpn))?;
        Some(shared.entries.lock()[index(vpn, PMD)])
    }

    fn leaf(&self, entry: u32) -> Option<&Arc<Leaf>> {
        if entry & HUGE != 0 {
            return None;
        }
        self.leaves.get((entry as usize).checked_sub(1)?)?.as_ref()
    }

    fn walk(&self, vpn: Vpn) -> Option<&Arc<Leaf>> {
        self.leaf(self.find(vpn).ok()?)
    }

    /// The PMD table of the GiB at `base` in a form that others can have too.
    fn make_shared(&mut self, lock: Arc<SpinLock<()>>, (mm, base): (MmId, Vpn)) -> Option<Arc<SharedPmds>> {
        if let Some(shared) = self.shared.get(&base) {
            return Some(Arc::clone(shared));
        }
        if matches!(self.find(base), Err(PUD | PGD)) {
            return None;
        }
        let mut entries = Box::new([Pte::NONE; ENTRIES]);
        for (at, entry) in entries.iter_mut().enumerate() {
            *entry = self.set_huge(base + at as u64 * PMD_PAGES, None).unwrap_or(Pte::NONE);
        }
        self.remove_dir(base, PUD);
        let users = Mutex::new(SmallVec::from_slice(&[(mm, base)]));
        let shared = Arc::new(SharedPmds { entries: Mutex::new(entries), lock, users });
        self.shared.insert(base, Arc::clone(&shared));
        Some(shared)
    }

    fn new_dir(&mut self) -> u32 {
        if let Some(free) = self.free_dirs.pop() {
            return free;
        }
        self.dirs.push(Box::new([0; ENTRIES]));
        (self.dirs.len() - 1) as u32
    }

    fn pmd(&self, vpn: Vpn) -> Pmd {
        if let Some(pte) = self.shared_entry(vpn) {
            return if pte.is_none() { Pmd::None } else { Pmd::Huge(pte) };
        }
        match self.find(vpn) {
            Err(_) => Pmd::None,
            Ok(entry) if entry & HUGE != 0 => Pmd::Huge(self.huge[(entry & !HUGE) as usize]),
            Ok(entry) => self.leaf(entry).map_or(Pmd::None, |leaf| Pmd::Table(Arc::clone(leaf))),
        }
    }

    /// The PMD table of `vpn`, with the tables above it, made if they are missing.
    fn pmd_table(&mut self, vpn: Vpn) -> u32 {
        let dir = self.pud_table(vpn);
        self.table_below(dir, vpn, PUD)
    }

    /// The PUD table of `vpn`, made if it is missing.
    fn pud_table(&mut self, vpn: Vpn) -> u32 {
        if self.dirs.is_empty() {
            self.new_dir();
        }
        self.table_below(0, vpn, PGD)
    }

    fn table_below(&mut self, dir: u32, vpn: Vpn, shift: u32) -> u32 {
        let mut next = self.entry(dir, vpn, shift);
        if next == 0 {
            next = self.new_dir();
            self.dirs[dir as usize][index(vpn, shift)] = next;
        }
        next
    }

    fn install(&mut self, leaf: Arc<Leaf>) {
        let vpn = leaf.base;
        let dir = self.pmd_table(vpn);
        let slot = self.free_leaves.pop().unwrap_or_else(|| {
            self.leaves.push(None);
            (self.leaves.len() - 1) as u32
        });
        self.leaves[slot as usize] = Some(leaf);
        self.dirs[dir as usize][index(vpn, PMD)] = slot + 1;
    }

    /// Replaces what the entry holds if that is nothing or a huge page. Gives the huge page's entry before.
    fn set_huge(&mut self, base: Vpn, new: Option<Pte>) -> Option<Pte> {
        if let Some(shared) = self.shared.get(&pud_base(base)) {
            let entry = &mut shared.entries.lock()[index(base, PMD)];
            let old = std::mem::replace(entry, new.unwrap_or(Pte::NONE));
            return (!old.is_none()).then_some(old);
        }
        let dir = self.pmd_table(base);
        let at = index(base, PMD);
        let entry = self.dirs[dir as usize][at];
        let old = (entry & HUGE != 0).then(|| self.huge[(entry & !HUGE) as usize]);
        match (entry, new) {
            (0, Some(pte)) => {
                let slot = self.free_huge.pop().unwrap_or_else(|| {
                    self.huge.push(Pte::NONE);
                    (self.huge.len() - 1) as u32
                });
                self.huge[slot as usize] = pte;
                self.dirs[dir as usize][at] = slot | HUGE;
            }
            (entry, Some(pte)) if entry & HUGE != 0 => self.huge[(entry & !HUGE) as usize] = pte,
            (entry, None) if entry & HUGE != 0 => {
                self.dirs[dir as usize][at] = 0;
                self.free_huge.push(entry & !HUGE);
            }
            _ => {}
        }
        old
    }

    /// Takes the leaf table of the region at `base` away.
    fn remove_leaf(&mut self, base: Vpn) -> Option<Arc<Leaf>> {
        let entry = self.find(base).ok().filter(|entry| entry & HUGE == 0)?;
        let dir = self.entry(self.entry(0, base, PGD), base, PUD);
        self.dirs[dir as usize][index(base, PMD)] = 0;
        self.free_leaves.push(entry - 1);
        self.leaves[entry as usize - 1].take()
    }

    /// Takes a directory away: the PMD table (`shift` PUD) or PUD table (`shift` PGD) of the region at `base`.
    fn remove_dir(&mut self, base: Vpn, shift: u32) -> bool {
        if shift == PUD && self.shared.get(&base).is_some_and(|s| s.entries.lock().iter().all(|pte| pte.is_none())) {
            self.shared.remove(&base);
            return true;
        }
        let parent = if shift == PGD { 0 } else { self.entry(0, base, PGD) };
        if shift != PGD && parent == 0 {
            return false;
        }
        let dir = self.entry(parent, base, shift);
        if dir == 0 || self.dirs[dir as usize].iter().any(|e| *e != 0) {
            return false;
        }
        self.dirs[parent as usize][index(base, shift)] = 0;
        self.free_dirs.push(dir);
        true
    }
}

/// The page tables of one address space.
#[derive(Default)]
pub(crate) struct PageTables {
    upper: Mutex<Upper>,
}

impl PageTables {
    /// The leaf table of `vpn`, if there is one.
    pub(crate) fn walk(&self, vpn: Vpn) -> Option<Arc<Leaf>> {
        self.upper.lock().walk(vpn).cloned()
    }

    /// The entry of a PUD table that maps the GiB of `vpn`.
    pub(crate) fn pud(&self, vpn: Vpn) -> Option<Pte> {
        let upper = self.upper.lock();
        if upper.puds.is_empty() { None } else { upper.puds.get(&pud_base(vpn)).copied() }
    }

    /// Replaces it; gives what it was. `&mm->page_table_lock` held.
    pub(crate) fn set_pud(&self, base: Vpn, new: Pte) -> Pte {
        let mut upper = self.upper.lock();
        let old = if new.is_none() { upper.puds.remove(&base) } else { upper.puds.insert(base, new) };
        if !new.is_none() {
            upper.pud_table(base);
        }
        old.unwrap_or(Pte::NONE)
    }

    /// Whether there is a PUD table for `vpn`.
    pub(crate) fn has_pud_table(&self, vpn: Vpn) -> bool {
        !matches!(self.upper.lock().find(vpn), Err(PGD))
    }

    /// How many of the three tables below the PGD that lead to `vpn` are missing.
    fn missing(&self, vpn: Vpn) -> u32 {
        match self.upper.lock().find(vpn) {
            Ok(_) => 0,
            Err(shift) => shift / 9,
        }
    }

    /// What the PMD entry of `vpn` holds, without a scheduling point.
    pub(crate) fn pmd(&self, vpn: Vpn) -> Pmd {
        self.upper.lock().pmd(vpn)
    }

    /// The first entry of a PMD table that holds something for a page in `range`, and the pages of `range` it covers.
    /// Empty regions are skipped whole.
    pub(crate) fn next_pmd(&self, range: PageRange) -> Option<(Pmd, PageRange)> {
        let upper = self.upper.lock();
        let mut vpn = range.start();
        while vpn < range.end() {
            match upper.find(vpn) {
                Ok(_) => {
                    let part = PageRange::new(vpn, next_region(vpn, PMD).min(range.end())).ok()?;
                    return Some((upper.pmd(vpn), part));
                }
                Err(shift) => vpn = next_region(vpn, shift),
            }
        }
        None
    }

    /// Whether there is a PMD table for `vpn` (`mm_find_pmd()`).
    pub(crate) fn has_pmd_table(&self, vpn: Vpn) -> bool {
        !matches!(self.upper.lock().find(vpn), Err(PUD | PGD))
    }

    /// Replaces the entry of a huge page, or puts one where nothing is. Gives the one before. The PMD table's lock held.
    pub(crate) fn set_huge(&self, base: Vpn, new: Option<Pte>) -> Option<Pte> {
        self.upper.lock().set_huge(base, new)
    }

    /// Puts a table where nothing is. The PMD table's lock held.
    pub(crate) fn install(&self, leaf: Leaf) -> Arc<Leaf> {
        let leaf = Arc::new(leaf);
        self.upper.lock().install(Arc::clone(&leaf));
        leaf
    }

    /// Takes a leaf table away with what it holds. The PMD table's lock held.
    pub(crate) fn detach(&self, base: Vpn) -> Option<Arc<Leaf>> {
        self.upper.lock().remove_leaf(base)
    }

    /// Puts such a table back. The PMD table's lock held.
    pub(crate) fn attach(&self, leaf: Arc<Leaf>) {
        self.upper.lock().install(leaf);
    }

    /// The lock of the PMD table that has the entry of `vpn`.
    pub(crate) fn pmd_lock(&self, machine: &Machine, mm: MmId, vpn: Vpn) -> Arc<SpinLock<()>> {
        let base = pud_base(vpn);
        let mut upper = self.upper.lock();
        if let Some(shared) = upper.shared.get(&base) {
            return Arc::clone(&shared.lock);
        }
        let lock = upper.pmd_locks.entry(base).or_insert_with(|| {
            Arc::new(SpinLock::from_raw(RawSpinLock::new(machine.classes.pmd_ptl, pmd_lock_obj(mm, base)), ()))
        });
        Arc::clone(lock)
    }

    /// The PMD table of the GiB at `base` is that of another address space's at `there` from now on. Whether that has one.
    pub(crate) fn share_pmds(
        &self,
        machine: &Machine,
        (mm, base): (MmId, Vpn),
        other: &PageTables,
        there: (MmId, Vpn),
    ) -> bool {
        let lock = other.pmd_lock(machine, there.0, there.1);
        let Some(shared) = other.upper.lock().make_shared(lock, there) else { return false };
        shared.users.lock().push((mm, base));
        self.upper.lock().shared.insert(base, shared);
        true
    }

    /// Whether others have the PMD table of the GiB at `base` too.
    pub(crate) fn is_shared(&self, base: Vpn) -> bool {
        self.upper.lock().shared.get(&base).is_some_and(|shared| shared.users.lock().len() > 1)
    }

    /// Who has the PMD table of `vpn`, with the page there that `vpn` is here.
    pub(crate) fn sharers(&self, mm: MmId, vpn: Vpn) -> SmallVec<[(MmId, Vpn); 2]> {
        match self.upper.lock().shared.get(&pud_base(vpn)) {
            None => SmallVec::from_slice(&[(mm, vpn)]),
            Some(shared) => {
                let there = |(mm, base): &(MmId, Vpn)| (*mm, *base + (vpn - pud_base(vpn)));
                shared.users.lock().iter().map(there).collect()
            }
        }
    }

    /// The PMD table of `vpn`, if others have it too, or had.
    pub(crate) fn shared_table(&self, vpn: Vpn) -> Option<Arc<SharedPmds>> {
        self.upper.lock().shared.get(&pud_base(vpn)).cloned()
    }

    /// What the shared table at `base` holds, each with its place in it.
    pub(crate) fn shared_entries(&self, base: Vpn) -> Vec<(u64, Pte)> {
        let shared = self.upper.lock().shared.get(&base).cloned();
        let Some(shared) = shared else { return Vec::new() };
        let entries = shared.entries.lock();
        (0..).zip(entries.iter().copied()).filter(|(_, pte)| !pte.is_none()).collect()
    }

    /// This address space has no PMD table for the GiB at `base` from now on; the others keep theirs.
    pub(crate) fn unshare(&self, mm: MmId, base: Vpn) {
        if let Some(shared) = self.upper.lock().shared.remove(&base) {
            shared.users.lock().retain(|user| *user != (mm, base));
        }
    }

    /// The first part of `range` below one PUD entry that leads somewhere: at most a GiB, of one that has a PMD table or maps
    /// it all.
    pub(crate) fn next_populated_pud(&self, range: PageRange) -> Option<PageRange> {
        let upper = self.upper.lock();
        let mut vpn = range.start();
        while vpn < range.end() {
            match upper.find(vpn) {
                Err(PUD) if upper.puds.contains_key(&pud_base(vpn)) => {
                    return PageRange::new(vpn, next_region(vpn, PUD).min(range.end())).ok();
                }
                Err(shift @ (PUD | PGD)) => vpn = next_region(vpn, shift),
                _ => return PageRange::new(vpn, next_region(vpn, PUD).min(range.end())).ok(),
            }
        }
        None
    }

    /// Takes away the tables of `range` whose whole region lies in `[floor, ceiling)`. Gives the leaf tables, and
    /// whether any table of any level went.
    ///
    /// Source: `free_pgd_range()`, mm/memory.c, 6.12.
    fn remove(&self, range: PageRange, floor: Vpn, ceiling: Vpn) -> (SmallVec<[Arc<Leaf>; 2]>, bool) {
        let mut upper = self.upper.lock();
        let inside = |vpn: Vpn, shift| {
            let base = Vpn(vpn.0 >> shift << shift);
            (base >= floor && next_region(vpn, shift) <= ceiling).then_some(base)
        };
        let mut leaves = SmallVec::new();
        let mut any = false;
        for shift in [PMD, PUD, PGD] {
            let mut vpn = range.start();
            while vpn < range.end() {
                let (here, step) = match upper.find(vpn) {
                    Err(missing) if missing > shift || (missing == shift && shift == PMD) => (false, missing),
                    _ => (true, shift),
                };
                if let Some(base) = inside(vpn, shift).filter(|_| here) {
                    if shift == PMD {
                        let leaf = upper.remove_leaf(base);
                        any |= leaf.is_some();
                        leaves.extend(leaf);
                    } else {
                        any |= upper.remove_dir(base, shift);
                    }
                }
                vpn = next_region(vpn, step);
            }
        }
        (leaves, any)
    }
}

impl Mm {
    /// `pte_alloc()`: the leaf table of `vpn`, made if it is missing. May sleep and reclaim.
    ///
    /// # Errors
    /// `ENOMEM`; `EAGAIN` when a huge page is there.
    pub(crate) fn pte_alloc(&self, k: &Kernel, vpn: Vpn) -> Result<Arc<Leaf>, Errno> {
        match self.tables.pmd(vpn) {
            Pmd::Table(leaf) => return Ok(leaf),
            Pmd::Huge(_) => return Err(Errno::EAGAIN),
            Pmd::None => {}
        }
        k.kmalloc(Gfp::KERNEL, self.tables.missing(vpn).max(1))?;
        let _lock = self.page_table_lock.lock();
        match self.tables.pmd(vpn) {
            // Another task was faster while this one allocated.
            Pmd::Table(leaf) => Ok(leaf),
            Pmd::Huge(_) => Err(Errno::EAGAIN),
            Pmd::None => Ok(self.tables.install(Leaf::new(self, Vpn(vpn.0 >> PMD << PMD)))),
        }
    }

    /// Takes away a leaf table if it is empty (`try_get_and_clear_pmd()`, mm/pt_reclaim.c, 6.14), and if nobody but the
    /// caller is about to use it: here a walker would not notice.
    pub(crate) fn free_empty_table(&self, leaf: &Arc<Leaf>) {
        if Arc::strong_count(leaf) == 2 && leaf.is_empty() {
            self.tables.upper.lock().remove_leaf(leaf.base);
        }
    }

    /// Takes away the leaf table of the region at `base`, whose entries have moved.
    pub(crate) fn free_moved_table(&self, base: Vpn) {
        let leaf = self.tables.upper.lock().remove_leaf(base);
        if let Some(Ok(leaf)) = leaf.map(Arc::try_unwrap) {
            self.machine.leaf_pool.lock().push(leaf.entries);
        }
    }

    /// Takes away the page tables that nothing between `floor` and `ceiling` needs any more. Says whether any went.
    pub(crate) fn free_pgd_range(&self, range: PageRange, floor: Vpn, ceiling: Vpn) -> bool {
        let (leaves, any) = self.tables.remove(range, floor, ceiling);
        for leaf in leaves {
            // A late walker may still look at it; then its memory is not for the pool.
            if let Ok(leaf) = Arc::try_unwrap(leaf) {
                debug_assert!(leaf.entries.is_empty(), "a table is freed in use");
                self.machine.leaf_pool.lock().push(leaf.entries);
            }
        }
        any
    }

    /// The entry of a page, without lock or scheduling point: for tests and snapshots.
    #[must_use]
    pub fn pte(&self, vpn: Vpn) -> Pte {
        match self.tables.pmd(vpn) {
            Pmd::None => self.pud_subpage_now(vpn).unwrap_or(Pte::NONE),
            Pmd::Table(leaf) => leaf.peek_now(vpn),
            Pmd::Huge(pmd) => huge::subpage(pmd, vpn.0 % PMD_PAGES),
        }
    }
}
