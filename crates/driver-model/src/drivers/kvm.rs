//! `kvm`: a guest whose second-level page table mirrors the host's, without holding pages.
//!
//! A list subscriber that counts open brackets, since what it may map between start and end is nobody's business but its own:
//!
//! ```text
//! vCPU fault                             range_start
//! seq = mmu_invalidate_seq               lock mn_invalidate_lock; active += 1; unlock
//! get_user_pages                         drop the pfn cache, under &gpc->lock
//! lock &(kvm)->mmu_lock                  lock &(kvm)->mmu_lock, if a slot overlaps
//!   brackets open: start over              in_progress += 1
//!   seq has changed: start over            zap, flush the guest's TLB
//!   map                                  unlock
//! unlock                                 range_end
//! put_page                               lock mmu_lock; seq += 1; in_progress -= 1; unlock
//!                                        lock mn_invalidate_lock; active -= 1; unlock
//! ```
//!
//! The count refuses what would be looked up before the entries are cleared and mapped after the start; the sequence, what a
//! bracket that came and went took away. Slots must not change while `active`, or start and end would disagree on whether
//! they count. A pfn cache is a kernel mapping of one page, kept honest in the same way by `active` and the sequence, since
//! it is invalidated before `mmu_lock` is taken.
//!
//! A vCPU that finds a bracket open re-enters the guest and faults again; here it waits for the count to drop.
//!
//! Source: kvm_mmu_notifier_invalidate_range_start() and _end(), kvm_swap_active_memslots(), kvm_destroy_vm(), virt/kvm/kvm_main.c;
//! hva_to_pfn_retry(), virt/kvm/pfncache.c; 6.12.

use super::parts::{Base, Listed, mutants};
use super::{RETRIES_OPTION, put_all};
use crate::device::{Device, block_base, block_of};
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::via::Via;
use ksync::{Kernel, Mutex, SpinLock, Srcu, TrackedU64, WaitQueue, current};
use mm::{Mm, device};
use mm_types::{Errno, Gfp, MmId, Name, ObjId, PageRange, Pfn, Vpn};
use mmu_notifier::{Hooks, Notifier, WouldBlock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use trace::{AccessModel, DevId, NotifyEvent, NotifyRange};

mutants! {
    IgnoreInProgress = "ignore-in-progress": "maps although a bracket is open; asks only whether the sequence has changed",
    IgnoreSeq = "ignore-seq": "maps although a bracket came and went; asks only whether one is open",
    ZapInEnd = "zap-in-end": "takes translations away in range_end only",
    ZapsSmallOnly = "zaps-small-only": "takes away entries for 4 KiB, and leaves one for 2 MiB that the pages are a part of",
    NoTlbFlush = "no-tlb-flush": "clears its page table and leaves the guest's TLB as it is",
    SlotsChangeInBracket = "slots-change-in-bracket": "changes slots while brackets are open, so that an end is not counted as its start was",
    AllocUnderMmuLock = "alloc-under-mmu-lock": "allocates page-table pages with GFP_KERNEL under mmu_lock",
    ReschedNonblock = "resched-nonblock": "yields while it zaps although it must not sleep",
    SkipsInvalidSlots = "skips-invalid-slots": "ignores invalidations of slots that are being deleted and not zapped yet",
    SkipsAfterYield = "skips-after-yield": "lets mmu_lock go in the middle of a zap, and goes on one entry too far",
    KeepsPageOnRetry = "keeps-page-on-retry": "does not give the page back that it looked up when it must start over",
    GpcMapsInLoop = "gpc-maps-in-loop": "makes a mapping inside of the retry loop of its pfn cache, which invalidates what the loop looks up",
    GpcIgnoresActive = "gpc-ignores-active": "keeps what its pfn cache looked up although a bracket is open",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "kvm",
    doc: "a guest: counts open brackets under mmu_lock; has a cache of one kernel mapping",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "ADDR", doc: "a vCPU reads; a violation is handled by mapping the page" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "a vCPU writes; a violation is handled by mapping the page" },
    OpInfo { name: "add_slot", args: "[RANGE]", doc: "gives the guest these pages" },
    OpInfo { name: "delete_slot", args: "[RANGE]", doc: "takes from the guest every slot that overlaps" },
    OpInfo {
        name: "gpc_write",
        args: "ADDR [VALUE]",
        doc: "the kernel writes through its cached mapping, made anew if invalid",
    },
];

const LOCKS: &[DriverLock] = &[
    DriverLock { name: "mmu_lock", class: "&(kvm)->mmu_lock" },
    DriverLock { name: "mn_invalidate_lock", class: "&kvm->mn_invalidate_lock" },
    DriverLock { name: "slots_lock", class: "&kvm->slots_lock" },
    DriverLock { name: "gpc", class: "&gpc->lock" },
    DriverLock { name: "gpc_refresh", class: "&gpc->refresh_lock" },
];

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::with_huge(k, mm, pages, config);
    let kvm = Arc::new(Kvm::new(k, &base, config));
    Arc::new(Vm { base, kvm, slots_lock: k.mutex("&kvm->slots_lock", ()), sub: Listed::default() })
}

/// `struct kvm`, as far as callbacks need it.
struct Kvm {
    guest: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    mmu_lock: SpinLock<()>,
    /// `mmu_invalidate_in_progress`, under `mmu_lock`; who waits for 0 waits on `idle`.
    in_progress: AtomicU64,
    idle: WaitQueue,
    /// `mmu_invalidate_seq`: written under `mmu_lock`.
    seq: TrackedU64,
    mn_invalidate_lock: SpinLock<()>,
    /// `mn_active_invalidate_count`, under `mn_invalidate_lock`; who waits for 0 waits on `inactive`.
    active: AtomicU64,
    inactive: WaitQueue,
    srcu: Srcu,
    /// Guest pages: read in an SRCU section, replaced under `slots_lock` and `mn_invalidate_lock`.
    slots: parking_lot::Mutex<Vec<Slot>>,
    slots_obj: ObjId,
    gpc: Gpc,
}

/// `struct kvm_memory_slot`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Slot {
    pages: PageRange,
    /// `KVM_MEMSLOT_INVALID`: being deleted. Nobody maps pages of it any more; those that are mapped are still to be taken away.
    invalid: bool,
}

/// `struct gfn_to_pfn_cache`: a kernel mapping of one page.
struct Gpc {
    kernel: Arc<Device>,
    refresh_lock: Mutex<()>,
    /// The page mapped, while valid.
    lock: SpinLock<Option<Vpn>>,
}

impl Notifier for Kvm {
    fn name(&self) -> Name {
        self.guest.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn hooks(&self) -> Hooks {
        Hooks::RELEASE | Hooks::RANGE_START | Hooks::RANGE_END
    }

    fn release(&self, _mm: MmId) {
        self.zap(PageRange::ALL);
        self.gpc_invalidate(PageRange::ALL);
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        {
            let _guard = self.mn_invalidate_lock.lock();
            self.active.fetch_add(1, Ordering::AcqRel);
            self.inactive.owe();
        }
        self.gpc_invalidate(range.pages);
        if !self.in_a_slot(range.pages) {
            return Ok(());
        }
        if self.mutant == Some(Mutant::ReschedNonblock) {
            current(|k| k.might_sleep_at(Name::new("cond_resched")));
        }
        let guard = self.mmu_lock.lock();
        self.in_progress.fetch_add(1, Ordering::AcqRel);
        self.idle.owe();
        match self.mutant {
            Some(Mutant::ZapInEnd) => {}
            Some(Mutant::SkipsAfterYield) if range.blockable => {
                self.zap_locked(PageRange::page(range.pages.start()));
                drop(guard);
                let _again = self.mmu_lock.lock();
                if let Ok(rest) = PageRange::new(Vpn(range.pages.start().0 + 2), range.pages.end()) {
                    self.zap_locked(rest);
                }
            }
            _ => self.zap_locked(range.pages),
        }
        Ok(())
    }

    fn invalidate_range_end(&self, range: &NotifyRange) {
        if self.in_a_slot(range.pages) {
            let _guard = self.mmu_lock.lock();
            if self.mutant == Some(Mutant::ZapInEnd) {
                self.zap_locked(range.pages);
            }
            self.seq.store(self.seq.peek() + 1);
            drop_one(&self.in_progress, self.idle);
        }
        let _guard = self.mn_invalidate_lock.lock();
        drop_one(&self.active, self.inactive);
    }
}

/// Takes one off a count that others wait for to be 0.
fn drop_one(count: &AtomicU64, zero: WaitQueue) {
    zero.wake_all_after(|| {
        let _never_below = count.try_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
    });
    zero.settle();
}

/// Nobody takes off any more what is left of a count: who waits for 0 goes on.
fn forget(count: &AtomicU64, zero: WaitQueue) {
    zero.wake_all_after(|| count.store(0, Ordering::Release));
}

impl Kvm {
    fn new(k: &Kernel, base: &Base, config: &Config) -> Kvm {
        let machine = Arc::clone(base.mm.machine());
        // A mapping of its own: the page may be in the guest's table too.
        let gpc = Device::new(k, DevId(config.dev.0 | 0x8000), Name::new(&format!("{}-gpc", config.name)), machine);
        Kvm {
            guest: Arc::clone(&base.device),
            mm: base.mm.id(),
            mutant: Mutant::of(config),
            mmu_lock: k.spinlock("&(kvm)->mmu_lock", ()),
            in_progress: AtomicU64::new(0),
            idle: WaitQueue::new(k, Name::new("mmu_invalidate_in_progress == 0")),
            seq: TrackedU64::new(k.new_obj(), 0),
            mn_invalidate_lock: k.spinlock("&kvm->mn_invalidate_lock", ()),
            active: AtomicU64::new(0),
            inactive: WaitQueue::new(k, Name::new("mn_active_invalidate_count == 0")),
            srcu: Srcu::new(k, "&kvm->srcu", true),
            slots: parking_lot::Mutex::new(vec![Slot { pages: base.pages, invalid: false }]),
            slots_obj: k.new_obj(),
            gpc: Gpc {
                kernel: gpc,
                refresh_lock: k.mutex("&gpc->refresh_lock", ()),
                lock: k.spinlock("&gpc->lock", None),
            },
        }
    }

    fn zap(&self, pages: PageRange) {
        let _guard = self.mmu_lock.lock();
        self.zap_locked(pages);
    }

    fn zap_locked(&self, pages: PageRange) {
        if self.mutant == Some(Mutant::ZapsSmallOnly) {
            self.guest.zap_pages(self.mm, pages);
        } else {
            self.guest.zap(self.mm, pages);
        }
        if self.mutant != Some(Mutant::NoTlbFlush) {
            self.guest.flush_tlb(self.mm, pages);
        }
    }

    /// Whether an invalidation is any of its business.
    fn in_a_slot(&self, pages: PageRange) -> bool {
        self.has_slot(|slot| {
            slot.pages.overlaps(pages) && !(slot.invalid && self.mutant == Some(Mutant::SkipsInvalidSlots))
        })
    }

    /// Whether the guest may map the page.
    fn in_a_valid_slot(&self, vpn: Vpn) -> bool {
        self.has_slot(|slot| slot.pages.contains(vpn) && !slot.invalid)
    }

    fn has_slot(&self, wanted: impl Fn(&Slot) -> bool) -> bool {
        let _read = self.srcu.read_lock();
        current(|k| k.visible_read(self.slots_obj));
        self.slots.lock().iter().any(wanted)
    }

    /// `mmu_invalidate_retry()`, under `mmu_lock`.
    fn must_retry(&self, seq: u64) -> bool {
        let in_progress = self.in_progress.load(Ordering::Acquire) > 0;
        let changed = self.seq.load() != seq;
        match self.mutant {
            Some(Mutant::IgnoreInProgress) => changed,
            Some(Mutant::IgnoreSeq) => in_progress,
            _ => in_progress || changed,
        }
    }

    /// `mmu_notifier_retry_cache()`, under `&gpc->lock`.
    fn gpc_must_retry(&self, seq: u64) -> bool {
        current(|k| k.visible_read(self.inactive.obj()));
        let active = self.active.load(Ordering::Acquire) > 0 && self.mutant != Some(Mutant::GpcIgnoresActive);
        active || self.seq.load() != seq
    }

    fn gpc_invalidate(&self, pages: PageRange) {
        let mut valid = self.gpc.lock.lock();
        if let Some(vpn) = valid.take_if(|vpn| pages.contains(*vpn)) {
            self.gpc.kernel.clear(self.mm, vpn);
        }
    }
}

/// The driver: the file descriptor of a guest.
struct Vm {
    base: Base,
    kvm: Arc<Kvm>,
    slots_lock: Mutex<()>,
    sub: Listed,
}

impl Vm {
    /// `kvm_mmu_page_fault()`: maps one page.
    fn fault(&self, vpn: Vpn, write: bool) -> Result<(), Errno> {
        let kvm = &self.kvm;
        let _users = self.base.users()?;
        self.base.retry(|| {
            let _read = kvm.srcu.read_lock();
            if !kvm.in_a_valid_slot(vpn) {
                return Err(Errno::EFAULT);
            }
            kvm.idle.wait_event(|| {
                kvm.in_progress.load(Ordering::Acquire) == 0 || kvm.mutant == Some(Mutant::IgnoreInProgress)
            });
            if kvm.mutant != Some(Mutant::AllocUnderMmuLock) {
                current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
            }
            let seq = kvm.seq.load();
            let pfns = device::get_user_pages(&self.base.mm, PageRange::page(vpn), write)?;
            let mapped = self.map(vpn, write, seq, &pfns);
            if kvm.mutant == Some(Mutant::KeepsPageOnRetry) && mapped == Ok(None) {
                return mapped;
            }
            put_all(&self.base.mm, &pfns, device::put_user_page);
            mapped
        })
    }

    fn map(&self, vpn: Vpn, write: bool, seq: u64, pfns: &[Pfn]) -> Result<Option<()>, Errno> {
        let kvm = &self.kvm;
        let via = self.sub.via()?;
        let _guard = kvm.mmu_lock.lock();
        if kvm.must_retry(seq) {
            return Ok(None);
        }
        if kvm.mutant == Some(Mutant::AllocUnderMmuLock) {
            current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        }
        pfns.iter().for_each(|pfn| self.set(via, vpn, *pfn, write));
        Ok(Some(()))
    }

    /// `kvm_tdp_mmu_map()`: as much at once as the process has, if the guest has all of it (`kvm_mmu_hugepage_adjust()`).
    fn set(&self, via: Via, vpn: Vpn, pfn: Pfn, write: bool) {
        let (guest, base) = (&self.kvm.guest, block_base(vpn));
        let huge = self.may_map_block(vpn).then(|| device::huge_mapping(&self.base.mm, vpn)).flatten();
        match huge {
            Some((first, writable)) if first.0 + (vpn - base) == pfn.0 && (writable || !write) => {
                guest.set_huge(via, base, first, write);
            }
            _ => guest.set(via, vpn, pfn, write),
        }
    }

    fn may_map_block(&self, vpn: Vpn) -> bool {
        let kvm = &self.kvm;
        kvm.guest.has_huge_entries() && kvm.has_slot(|slot| slot.pages.covers(block_of(vpn)) && !slot.invalid)
    }

    /// `kvm_swap_active_memslots()`: waits until no bracket is open, which stays so while the lock is held.
    fn swap_slots(&self, slots: Vec<Slot>) {
        let kvm = &self.kvm;
        let inactive = || kvm.active.load(Ordering::Acquire) == 0 || kvm.mutant == Some(Mutant::SlotsChangeInBracket);
        loop {
            kvm.inactive.wait_event(inactive);
            let _guard = kvm.mn_invalidate_lock.lock();
            if inactive() {
                current(|k| k.visible_write(kvm.slots_obj));
                *kvm.slots.lock() = slots;
                break;
            }
        }
        kvm.srcu.synchronize();
    }

    fn add_slot(&self, pages: PageRange) {
        let _slots = self.slots_lock.lock();
        let mut slots = self.kvm.slots.lock().clone();
        slots.push(Slot { pages, invalid: false });
        self.swap_slots(slots);
    }

    /// Nobody maps pages of the slots any more once they are invalid and the readers have left; then they are zapped, and only
    /// then invalidations may pass them over.
    fn delete_slot(&self, pages: PageRange) {
        let _slots = self.slots_lock.lock();
        let mut slots = self.kvm.slots.lock().clone();
        slots.iter_mut().for_each(|slot| slot.invalid |= slot.pages.overlaps(pages));
        self.swap_slots(slots.clone());
        slots.iter().filter(|slot| slot.invalid).for_each(|slot| self.kvm.zap(slot.pages));
        slots.retain(|slot| !slot.invalid);
        self.swap_slots(slots);
    }

    /// The kernel's own access to guest memory: under `&gpc->lock`, with the cache made valid first.
    fn gpc_write(&self, vpn: Vpn, value: u64) -> Result<(), Errno> {
        let kvm = &self.kvm;
        self.base.retry(|| {
            {
                let valid = kvm.gpc.lock.lock();
                if *valid == Some(vpn) {
                    return kvm.gpc.kernel.write(kvm.mm, vpn, value).map(Some).map_err(|_| Errno::EFAULT);
                }
            }
            self.gpc_refresh(vpn).map(|()| None)
        })
    }

    /// `hva_to_pfn_retry()`: the mapping is made outside of the lock, and kept if no bracket was or is open.
    fn gpc_refresh(&self, vpn: Vpn) -> Result<(), Errno> {
        let kvm = &self.kvm;
        let _users = self.base.users()?;
        let _refresh = kvm.gpc.refresh_lock.lock();
        kvm.gpc_invalidate(PageRange::ALL);
        self.base.retry(|| {
            kvm.inactive
                .wait_event(|| kvm.active.load(Ordering::Acquire) == 0 || kvm.mutant == Some(Mutant::GpcIgnoresActive));
            let seq = kvm.seq.load();
            let pfns = device::get_user_pages(&self.base.mm, PageRange::page(vpn), true)?;
            if kvm.mutant == Some(Mutant::GpcMapsInLoop) {
                // What the new mapping brings about.
                let range = NotifyRange {
                    mm: kvm.mm,
                    pages: PageRange::page(vpn),
                    event: NotifyEvent::Clear,
                    blockable: true,
                    owner: None,
                };
                self.base.mm.subscriptions().invalidate_range_start(range).end();
            }
            let kept = self.gpc_keep(vpn, seq, &pfns);
            put_all(&self.base.mm, &pfns, device::put_user_page);
            kept
        })
    }

    fn gpc_keep(&self, vpn: Vpn, seq: u64, pfns: &[Pfn]) -> Result<Option<()>, Errno> {
        let kvm = &self.kvm;
        let via = self.sub.via()?;
        let mut valid = kvm.gpc.lock.lock();
        if kvm.gpc_must_retry(seq) {
            return Ok(None);
        }
        pfns.iter().for_each(|pfn| kvm.gpc.kernel.set(via, vpn, *pfn, true));
        *valid = Some(vpn);
        Ok(Some(()))
    }
}

impl Driver for Vm {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.register(&self.base.mm, self.kvm.clone())
    }

    /// `kvm_destroy_vm()`: brackets that were open are not told to have closed any more.
    fn detach(&self) {
        self.sub.unregister(&self.base.mm);
        // Without one, a count that is left over is an end that was not counted as its start was.
        if self.kvm.active.load(Ordering::Acquire) > 0 {
            forget(&self.kvm.in_progress, self.kvm.idle);
            forget(&self.kvm.active, self.kvm.inactive);
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "read" => self.base.access(args, false, |vpn, write| self.fault(vpn, write)),
            "write" => self.base.access(args, true, |vpn, write| self.fault(vpn, write)),
            "add_slot" => {
                self.add_slot(pages);
                Ok(())
            }
            "delete_slot" => {
                self.delete_slot(pages);
                Ok(())
            }
            "gpc_write" => args.need_pages()?.iter().try_for_each(|vpn| self.gpc_write(vpn, args.value)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        LOCKS
    }
}
