//! The TLBs of the CPUs: what each still translates by after an entry has changed.
//!
//! A CPU caches a translation when a task accesses a page. While it says what the page's entry says, nobody can tell it from
//! the entry, and a CPU may fetch it again at any moment: so only *which* CPUs have it is kept, beside the entry
//! ([`Cached`]). When the entry changes so that it forbids what a CPU has, that CPU's translation becomes *stale*. It is
//! used until a flush drops it ([`Mm::flush_tlb_range`]), and no entry is looked at meanwhile.
//!
//! ```text
//!   cpu 0                         cpu 1
//!                                 write P          caches P -> frame 7
//!   clear the entry of P                           stale: P -> frame 7
//!                                 write P          goes to frame 7
//!   flush P                                        dropped
//!   free frame 7
//!                                 write P          faults
//! ```
//!
//! What a CPU does by itself: it writes through a translation only if that was dirty when it was cached, and looks at the
//! entry otherwise; what it has does not hinder it where that allows too little; and it may drop any. Here it drops what
//! has its accessed bit cleared, so that the next access sets that again, as it does in the end on a real one.
//!
//! Tasks stay on their CPU: task *n* runs on CPU *n* - 1, modulo how many there are. Setup is over before they run, and
//! leaves no translation behind. At most [`TLBS`] CPUs have a TLB of their own; those beyond share.
//!
//! The CPUs on which a process has accessed memory are its `mm_cpumask()`: reclaim asks whether there are others than its own.
//! The first access on each names what that reads ([`cpumask_obj`](crate::obj::cpumask_obj)).
//!
//! Order of two accesses, and of an access and a flush: an access reads the page's entry, or finds no table, when it walks and
//! again when it accesses; a flush writes the entries of the stale translations that it drops. So an exploration sees that they
//! do not commute.
//!
//! Sources: Intel SDM volume 3, 4.10 (caching of translations, dirty bits); Documentation/arch/x86/tlb.rst.

use crate::huge::{pmd_base, subpage};
use crate::huge_pud::pud_base;
use crate::machine::Machine;
use crate::mm::Mm;
use crate::obj::{pmd_obj, pte_obj, pud_obj, tlb_obj};
use crate::page_table::{PMD_PAGES, PUD_PAGES};
use crate::quirks::Quirks;
use ksync::{Kernel, Op};
use mm_types::{MmId, ObjId, PageRange, Pte, Vpn};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::iter;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

/// CPUs that have a TLB of their own.
const TLBS: u32 = 8;
/// The CPUs that may write without a look at the entry are in the upper half.
const WRITERS: u32 = TLBS;

/// A CPU with its TLB.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Cpu(u32);

impl Machine {
    /// The CPU of the current task; setup has none.
    pub(crate) fn cpu(&self, k: &Kernel) -> Option<Cpu> {
        let task = k.current_task().0.checked_sub(1)?;
        Some(Cpu(task % self.config.cpus.clamp(1, TLBS)))
    }
}

/// Which CPUs have the translation of one entry, as the entry is.
#[derive(Debug, Default)]
pub(crate) struct Cached(AtomicU16);

impl Cached {
    pub(crate) const fn by_nobody() -> Cached {
        Cached(AtomicU16::new(0))
    }

    /// A CPU has accessed the page through `pte`.
    pub(crate) fn add(&self, cpu: Cpu, pte: Pte) {
        let old = self.0.load(Ordering::Relaxed);
        let new = with_cpu(old, cpu, pte);
        if new != old {
            self.0.store(new, Ordering::Relaxed);
        }
    }

    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    /// The entry changes. Gives the CPUs whose translation is stale from now on.
    pub(crate) fn change(&self, old: Pte, new: Pte) -> u16 {
        let had = self.0.load(Ordering::Relaxed);
        if had == 0 {
            return 0;
        }
        let (kept, stale) = after_change(had, old, new);
        self.0.store(kept, Ordering::Relaxed);
        stale
    }
}

fn with_cpu(cpus: u16, cpu: Cpu, pte: Pte) -> u16 {
    let writes = pte.is_writable() && pte.is_dirty();
    cpus | 1 << cpu.0 | u16::from(writes) << (WRITERS + cpu.0)
}

/// Of the CPUs that have `old`: those that have `new`, and those that have what it forbids.
fn after_change(had: u16, old: Pte, new: Pte) -> (u16, u16) {
    let writes = |pte: Pte| pte.is_writable() && pte.is_dirty();
    if old.pfn().is_none() || old.pfn() != new.pfn() {
        return (0, had);
    }
    if writes(old) && !writes(new) {
        let writers = had >> WRITERS;
        let both = writers | writers << WRITERS;
        return (had & !both, had & both);
    }
    if old.is_young() && !new.is_young() {
        return (0, 0);
    }
    (had, 0)
}

/// Of which level a translation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Level {
    /// Of an entry of a leaf table: a page.
    Pte,
    /// Of a PMD table: 512.
    Pmd,
    /// Of a PUD table: a GiB.
    Pud,
}

/// A translation that its entry forbids.
#[derive(Clone, Copy, Debug)]
struct Stale {
    /// The first page.
    vpn: Vpn,
    /// Writable only if the CPU may write without a look at the entry.
    pte: Pte,
    level: Level,
    cpu: Cpu,
}

impl Stale {
    const fn nr_pages(&self) -> u64 {
        match self.level {
            Level::Pte => 1,
            Level::Pmd => PMD_PAGES,
            Level::Pud => PUD_PAGES,
        }
    }

    fn translates(&self, vpn: Vpn) -> bool {
        self.vpn <= vpn && vpn - self.vpn < self.nr_pages()
    }

    fn overlaps(&self, pages: PageRange) -> bool {
        self.vpn < pages.end() && pages.start() < self.vpn + self.nr_pages()
    }

    /// What the CPU has for one of its pages.
    fn at(&self, vpn: Vpn) -> Pte {
        match self.level {
            Level::Pte => self.pte,
            Level::Pmd => subpage(self.pte, vpn - self.vpn),
            Level::Pud => self.pte.subpage(vpn - self.vpn),
        }
    }

    /// What reading or changing its entry accesses.
    fn obj(&self, mm: MmId) -> ObjId {
        match self.level {
            Level::Pte => pte_obj(mm, self.vpn),
            Level::Pmd => pmd_obj(mm, self.vpn),
            Level::Pud => pud_obj(mm, self.vpn),
        }
    }
}

/// The translations of one address space in all TLBs.
#[derive(Debug, Default)]
pub(crate) struct Tlb {
    /// Whether there is a stale one: what nearly every access asks.
    any_stale: AtomicBool,
    /// Whether there ever was.
    ever_stale: AtomicBool,
    /// Whether the translation of a huge page was ever cached, of either size.
    ever_huge: AtomicBool,
    /// The CPUs that the process ran on.
    cpus: AtomicU16,
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    stale: Vec<Stale>,
    /// The first pages of the tables of which an entry was ever stale.
    tables: BTreeSet<Vpn>,
    /// Of huge pages.
    huge: Upper,
    /// Of entries that map a GiB.
    giant: Upper,
}

/// Which CPUs have the translations of entries above leaf tables, by first page; listed for good.
type Upper = BTreeMap<Vpn, Cached>;

impl Entries {
    fn add_stale(&mut self, level: Level, vpn: Vpn, cpus: u16, old: Pte) {
        // The entries of a table change in a row.
        if self.stale.last().is_none_or(|last| pmd_base(last.vpn) != pmd_base(vpn)) {
            self.tables.insert(pmd_base(vpn));
        }
        let mut left = cpus & ((1 << WRITERS) - 1);
        while left != 0 {
            let cpu = left.trailing_zeros();
            left &= left - 1;
            let pte = if cpus & 1 << (WRITERS + cpu) != 0 { old } else { old.with_write(false) };
            self.stale.push(Stale { vpn, pte, level, cpu: Cpu(cpu) });
        }
    }
}

impl Tlb {
    /// What was cached of an entry, which was `old`, is stale for `cpus`.
    pub(crate) fn add_stale(&self, vpn: Vpn, cpus: u16, old: Pte) {
        self.entries.lock().add_stale(Level::Pte, vpn, cpus, old);
        self.any_stale.store(true, Ordering::Relaxed);
        self.ever_stale.store(true, Ordering::Relaxed);
    }

    /// Whether a translation of an entry in the table of `vpn` was ever stale.
    pub(crate) fn knows_table(&self, vpn: Vpn) -> bool {
        self.ever_stale.load(Ordering::Relaxed) && self.entries.lock().tables.contains(&pmd_base(vpn))
    }

    /// Whether the translation of a huge page with `vpn` was ever cached.
    pub(crate) fn knows_huge(&self, vpn: Vpn) -> bool {
        self.ever_huge.load(Ordering::Relaxed) && self.entries.lock().huge.contains_key(&pmd_base(vpn))
    }

    /// The same of an entry that maps the GiB of `vpn`.
    pub(crate) fn knows_giant(&self, vpn: Vpn) -> bool {
        self.ever_huge.load(Ordering::Relaxed) && self.entries.lock().giant.contains_key(&pud_base(vpn))
    }

    /// What the CPU translates `vpn` by without a look at its entry, if that is not what the entry says.
    pub(crate) fn stale(&self, cpu: Option<Cpu>, vpn: Vpn, write: bool) -> Option<Pte> {
        if !self.any_stale.load(Ordering::Relaxed) {
            return None;
        }
        let cpu = cpu?;
        let entries = self.entries.lock();
        let found = entries.stale.iter().find(|s| s.cpu == cpu && s.translates(vpn))?;
        Some(found.at(vpn)).filter(|pte| !write || pte.is_writable())
    }

    /// Whether the process ran on a CPU ([`Tlb::run_on`]). Setup has none, and leaves no translation.
    pub(crate) fn has_run_on(&self, cpu: Option<Cpu>) -> bool {
        cpu.is_none_or(|cpu| self.cpus.load(Ordering::Relaxed) & 1 << cpu.0 != 0)
    }

    /// The process runs on a CPU, which may cache translations from now on (`mm_cpumask()`). No CPU forgets a process here.
    pub(crate) fn run_on(&self, cpu: Option<Cpu>) {
        if let Some(cpu) = cpu.filter(|cpu| !self.has_run_on(Some(*cpu))) {
            self.cpus.fetch_or(1 << cpu.0, Ordering::Relaxed);
        }
    }

    /// Whether the process ran on another CPU than this one.
    pub(crate) fn has_run_elsewhere(&self, cpu: Option<Cpu>) -> bool {
        let here = cpu.map_or(0, |cpu| 1 << cpu.0);
        self.cpus.load(Ordering::Relaxed) & !here != 0
    }

    /// The CPU looks at the entry: what it had is gone.
    pub(crate) fn evict(&self, cpu: Option<Cpu>, vpn: Vpn) {
        if self.any_stale.load(Ordering::Relaxed) {
            self.drop_stale(|s| Some(s.cpu) == cpu && s.translates(vpn));
        }
    }

    fn drop_stale(&self, goes: impl Fn(&Stale) -> bool) {
        let mut entries = self.entries.lock();
        entries.stale.retain(|s| !goes(s));
        self.any_stale.store(!entries.stale.is_empty(), Ordering::Relaxed);
    }

    /// What the entries of the stale translations of `pages` are, lowest first.
    fn stale_objs(&self, mm: MmId, pages: PageRange) -> Vec<ObjId> {
        if !self.any_stale.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let entries = self.entries.lock();
        let mut objs: Vec<ObjId> = entries.stale.iter().filter(|s| s.overlaps(pages)).map(|s| s.obj(mm)).collect();
        objs.sort_unstable();
        objs.dedup();
        objs
    }

    /// A CPU has accessed a page through the entry of a huge page.
    pub(crate) fn cache_huge(&self, cpu: Option<Cpu>, base: Vpn, pmd: Pte) {
        self.cache_upper(|entries| &mut entries.huge, cpu, base, pmd);
    }

    /// A CPU has accessed a page through the entry that maps the GiB at `base`.
    pub(crate) fn cache_giant(&self, cpu: Option<Cpu>, base: Vpn, pud: Pte) {
        self.cache_upper(|entries| &mut entries.giant, cpu, base, pud);
    }

    fn cache_upper(&self, of: impl Fn(&mut Entries) -> &mut Upper, cpu: Option<Cpu>, base: Vpn, entry: Pte) {
        let Some(cpu) = cpu else { return };
        of(&mut self.entries.lock()).entry(base).or_default().add(cpu, entry);
        self.ever_huge.store(true, Ordering::Relaxed);
    }

    /// The entry of a huge page changes.
    pub(crate) fn huge_changed(&self, base: Vpn, old: Pte, new: Pte) {
        if self.upper_changed(Level::Pmd, base, old, new) {
            self.ever_stale.store(true, Ordering::Relaxed);
        }
    }

    /// The entry that maps a GiB changes.
    pub(crate) fn giant_changed(&self, base: Vpn, old: Pte, new: Pte) {
        self.upper_changed(Level::Pud, base, old, new);
    }

    /// Whether what CPUs have of the entry is stale now.
    fn upper_changed(&self, level: Level, base: Vpn, old: Pte, new: Pte) -> bool {
        if !self.ever_huge.load(Ordering::Relaxed) {
            return false;
        }
        let mut entries = self.entries.lock();
        let (of, cached) = match level {
            Level::Pud => (&entries.giant, old),
            Level::Pte | Level::Pmd => (&entries.huge, old.with_huge(true)),
        };
        let stale = of.get(&base).map_or(0, |cached| cached.change(old, new));
        if stale != 0 {
            entries.add_stale(level, base, stale, cached);
            self.any_stale.store(true, Ordering::Relaxed);
        }
        stale != 0
    }

    /// The entry of a huge page was made invalid before the last flush, where the kernel does that and this does not: nobody
    /// has its translation.
    pub(crate) fn forget_huge(&self, base: Vpn) {
        if self.knows_huge(base) {
            self.entries.lock().huge.entry(base).or_default().clear();
            self.drop_stale(|s| s.level == Level::Pmd && s.vpn == base);
        }
    }
}

impl Mm {
    /// A scheduling point, after which the translations of `pages` that their entries forbid are gone from every CPU. What
    /// becomes stale while others run first takes another one.
    pub(crate) fn drop_translations(&self, k: &Kernel, pages: PageRange) {
        let mut told = self.stale_objs(k, pages);
        loop {
            if told.is_empty() {
                k.visible_write(tlb_obj(self.id));
            } else {
                let ops: Vec<Op> = iter::once(tlb_obj(self.id)).chain(told.iter().copied()).map(Op::write).collect();
                k.visible_all(&ops);
            }
            let now = self.stale_objs(k, pages);
            if now.iter().all(|obj| told.contains(obj)) {
                break;
            }
            told = now;
        }
        let lost = self.machine.config.quirks.contains(Quirks::FLUSH_OTHER_CPUS);
        let here = self.machine.cpu(k);
        if self.tlb.any_stale.load(Ordering::Relaxed) {
            self.tlb.drop_stale(|s| s.overlaps(pages) && (!lost || Some(s.cpu) == here));
        }
    }

    /// What the entries of the stale translations of `pages` are; nothing where nobody would hear of it.
    fn stale_objs(&self, k: &Kernel, pages: PageRange) -> Vec<ObjId> {
        if k.is_alone() { Vec::new() } else { self.tlb.stale_objs(self.id, pages) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mm_types::Pfn;

    fn range(start: u64, len: u64) -> PageRange {
        PageRange::with_len(Vpn(start), len).expect("not empty")
    }

    /// What CPU 0 translates page 5 by once the entry has changed.
    fn after(cached: Pte, old: Pte, new: Pte, write: bool) -> Option<Pte> {
        let (tlb, who) = (Tlb::default(), Cached::default());
        who.add(Cpu(0), cached);
        let stale = who.change(old, new);
        if stale != 0 {
            tlb.add_stale(Vpn(5), stale, old);
        }
        assert_eq!(tlb.stale(Some(Cpu(1)), Vpn(5), false), None, "another CPU has nothing");
        tlb.stale(Some(Cpu(0)), Vpn(5), write)
    }

    #[test]
    fn what_an_entry_forbids_stays_with_the_cpu_that_cached_it() {
        let read = Pte::present(Pfn(7));
        let clean = read.with_write(true);
        let dirty = clean.with_dirty(true);
        assert_eq!(after(dirty, dirty, Pte::NONE, true).and_then(Pte::pfn), Some(Pfn(7)));
        // Cached clean: a write looks at the entry, whatever another CPU has made of that meanwhile.
        assert_eq!(after(clean, dirty, Pte::NONE, true), None);
        assert_eq!(after(clean, dirty, Pte::NONE, false).and_then(Pte::pfn), Some(Pfn(7)));
        assert!(after(dirty, dirty, dirty.with_write(false), true).is_some(), "write-protected");
        assert!(after(dirty, dirty, clean, true).is_some(), "cleaned");
        assert_eq!(after(read, read, dirty, true), None, "more is allowed than was");
        assert_eq!(after(dirty, dirty, dirty.with_young(false), true), None, "old: dropped");
        assert!(after(read, read, Pte::present(Pfn(8)), false).is_some(), "another frame");
        assert!(after(read, read, read.with_protnone(true), false).is_some(), "not accessible");
    }

    #[test]
    fn a_flush_of_one_page_drops_the_translation_of_the_huge_page_around_it() {
        let huge = Pte::present(Pfn(1 << 20)).with_write(true).with_dirty(true).with_huge(true);
        for (flushed, left) in [(range(512, 1), 0), (range(1023, 1), 0), (range(511, 1), 1), (range(1024, 9), 1)] {
            let tlb = Tlb::default();
            tlb.cache_huge(Some(Cpu(2)), Vpn(512), huge);
            tlb.huge_changed(Vpn(512), huge, Pte::NONE);
            assert!(tlb.knows_huge(Vpn(600)) && !tlb.knows_huge(Vpn(1024)));
            assert_eq!(tlb.stale(Some(Cpu(2)), Vpn(600), true).and_then(Pte::pfn), Some(Pfn((1 << 20) + 88)));
            assert_eq!(tlb.stale_objs(MmId(0), flushed).len(), 1 - left, "{flushed}");
        }
    }

    #[test]
    fn a_flush_of_one_page_drops_the_translation_of_the_gib_around_it() {
        let giant = Pte::present(Pfn(3 << 38)).with_write(true).with_dirty(true).with_huge(true);
        let gib = PUD_PAGES;
        for (flushed, left) in
            [(range(gib, 1), 0), (range(2 * gib - 1, 1), 0), (range(gib - 1, 1), 1), (range(2 * gib, 9), 1)]
        {
            let tlb = Tlb::default();
            tlb.cache_giant(Some(Cpu(2)), Vpn(gib), giant);
            tlb.giant_changed(Vpn(gib), giant, giant.with_protnone(true));
            assert!(tlb.knows_giant(Vpn(gib + 600)) && !tlb.knows_giant(Vpn(2 * gib)));
            let pfn = tlb.stale(Some(Cpu(2)), Vpn(gib + 600), true).and_then(Pte::pfn);
            assert_eq!(pfn, Some(Pfn((3 << 38) + 600)));
            assert_eq!(tlb.stale(Some(Cpu(1)), Vpn(gib + 600), true), None, "another CPU has nothing");
            assert_eq!(tlb.stale_objs(MmId(0), flushed).len(), 1 - left, "{flushed}");
        }
    }

    #[test]
    fn a_look_at_the_entry_drops_what_the_cpu_had() {
        let dirty = Pte::present(Pfn(7)).with_write(true).with_dirty(true);
        let tlb = Tlb::default();
        tlb.add_stale(Vpn(5), 0b11, dirty);
        assert_eq!(tlb.stale(Some(Cpu(0)), Vpn(5), true), None);
        tlb.evict(Some(Cpu(0)), Vpn(5));
        assert_eq!(tlb.stale(Some(Cpu(0)), Vpn(5), false), None);
        assert!(tlb.stale(Some(Cpu(1)), Vpn(5), false).is_some());
    }
}
