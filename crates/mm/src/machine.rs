//! [`Machine`]: the memory of one world, and everything its address spaces share.

use crate::alloc::{MachineAlloc, Watermarks};
use crate::alloc_huge::Deferred;
use crate::behaviour::Behaviour;
use crate::file::{FileTable, Inode};
use crate::file_locks::FileLocks;
use crate::frames::Frames;
use crate::gup_fast::Walkers;
use crate::kswapd::Kswapd;
use crate::lru::Hands;
use crate::mm::Mm;
use crate::obj::{MachineObj, folio_lock_obj, machine_obj};
use crate::oom_kill::OomSlot;
use crate::page_table::LeafEntries;
use crate::per_task::PerTask;
use crate::quirks::Quirks;
use crate::rmap::AnonVma;
use crate::shrinker::Shrinkers;
use crate::swap::SwapDevice;
use ksync::{ClassIdx, Kernel, LockClass, RawMutex, RawRwSem, RawSpinLock, RwSem, SpinLock};
use mm_types::{MmId, PAGE_SIZE, Pfn, Pgoff};
use mmu_notifier::Framework;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use trace::LockKind;

/// How large a machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MachineConfig {
    /// Memory for user pages, bytes.
    pub memory_bytes: u64,
    /// Swap space, bytes; 0 is none.
    pub swap_bytes: u64,
    /// CPUs.
    pub cpus: u32,
    /// Whether an allocation that may reclaim does so when the schedule chooses, without need. Off, reclaim happens
    /// below the watermarks only.
    pub reclaim_by_choice: bool,
    /// Bugs switched on.
    pub quirks: Quirks,
    /// Which release it is.
    pub behaviour: Behaviour,
}

impl Default for MachineConfig {
    fn default() -> MachineConfig {
        MachineConfig {
            memory_bytes: 256 << 20,
            swap_bytes: 256 << 20,
            cpus: 2,
            reclaim_by_choice: true,
            quirks: Quirks::empty(),
            behaviour: Behaviour::V6_12,
        }
    }
}

/// `hugetlb_fault_mutex_table`, made as they are needed: one for each huge page of each file.
pub(crate) type FaultMutexes = BTreeMap<(Inode, Pgoff), Arc<ksync::Mutex<()>>>;

/// Lock classes, looked up once. Names are the kernel's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Classes {
    pub(crate) mmap_lock: ClassIdx,
    /// A child's, under its parent's.
    pub(crate) mmap_lock_nested: ClassIdx,
    pub(crate) page_table_lock: ClassIdx,
    pub(crate) ptl: ClassIdx,
    /// The second of two that one task holds.
    pub(crate) ptl_nested: ClassIdx,
    /// Of a PMD table. The kernel numbers classes of one name in the order of their first use; this one is the second.
    pub(crate) pmd_ptl: ClassIdx,
    pub(crate) pmd_ptl_nested: ClassIdx,
    pub(crate) vma_lock: ClassIdx,
    pub(crate) uffd: ClassIdx,
    pub(crate) anon_vma: ClassIdx,
    pub(crate) i_mmap: ClassIdx,
    /// Of files of hugetlbfs.
    pub(crate) hugetlb_i_mmap: ClassIdx,
    pub(crate) hugetlb_fault: ClassIdx,
    /// Of shared mappings.
    pub(crate) hugetlb_vma: ClassIdx,
    /// Of private mappings.
    pub(crate) hugetlb_resv: ClassIdx,
    folio: ClassIdx,
}

impl Classes {
    fn new(k: &Kernel) -> Classes {
        let class = |name, kind| k.class(LockClass::new(name, kind));
        Classes {
            mmap_lock: class("&mm->mmap_lock", LockKind::RwSem),
            mmap_lock_nested: k.class(LockClass::new("&mm->mmap_lock", LockKind::RwSem).subclass(1)),
            page_table_lock: class("&mm->page_table_lock", LockKind::Spin),
            ptl: class("ptlock_ptr(ptdesc)", LockKind::Spin),
            ptl_nested: k.class(LockClass::new("ptlock_ptr(ptdesc)", LockKind::Spin).subclass(1)),
            pmd_ptl: class("ptlock_ptr(ptdesc)#2", LockKind::Spin),
            pmd_ptl_nested: k.class(LockClass::new("ptlock_ptr(ptdesc)#2", LockKind::Spin).subclass(1)),
            vma_lock: class("&vma->vm_lock->lock", LockKind::RwSem),
            uffd: class("&ctx->map_changing_lock", LockKind::RwSem),
            anon_vma: class("&anon_vma->rwsem", LockKind::RwSem),
            i_mmap: class("&mapping->i_mmap_rwsem", LockKind::RwSem),
            hugetlb_i_mmap: class("&hugetlbfs_i_mmap_rwsem_key", LockKind::RwSem),
            hugetlb_fault: class("&hugetlb_fault_mutex_table[i]", LockKind::Mutex),
            hugetlb_vma: class("&vma_lock->rw_sema", LockKind::RwSem),
            hugetlb_resv: class("&resv_map->rw_sema", LockKind::RwSem),
            // A bit in the page's flags: the kernel's lockdep does not see it.
            folio: k.class(LockClass::new("folio_lock", LockKind::Mutex).ours()),
        }
    }
}

/// The memory of one world: frames with watermarks, swap, files, address spaces.
///
/// Built in the setup context of a [`Kernel`] and used inside of it only. What is under `parking_lot` locks is storage:
/// those locks are never held across a visible operation.
pub struct Machine {
    pub(crate) config: MachineConfig,
    pub(crate) watermarks: Watermarks,
    pub(crate) classes: Classes,
    framework: Mutex<Arc<Framework>>,
    pub(crate) frames: Mutex<Frames>,
    /// Free frames. May be looked at without the zone's lock: as in the kernel it is exact only near the watermarks.
    pub(crate) nr_free: AtomicI64,
    /// Replaced at a reset: a task that was unwound may have left one of them taken.
    locks: Mutex<Arc<MachineLocks>>,
    /// Where reclaim under pressure goes on, the kernel's list rotation.
    pub(crate) lru_hands: Mutex<Hands>,
    pub(crate) compaction_deferred: Mutex<Deferred>,
    pub(crate) swap: Mutex<SwapDevice>,
    /// Locks of the table under which pages of hugetlb files are made.
    pub(crate) hugetlb_mutexes: Mutex<FaultMutexes>,
    /// Merged pages, as KSM knows them; some may have gone since.
    pub(crate) ksm_stable: Mutex<Vec<Pfn>>,
    pub(crate) folio_locks: Mutex<BTreeMap<Pfn, FolioLock>>,
    pub(crate) anon_vmas: Mutex<PerTask<Option<AnonVma>>>,
    pub(crate) files: Mutex<FileTable>,
    pub(crate) kswapd: Mutex<Option<Arc<Kswapd>>>,
    pub(crate) shrinkers: Mutex<Shrinkers>,
    pub(crate) oom: OomSlot,
    pub(crate) leaf_pool: Mutex<Vec<Box<LeafEntries>>>,
    /// Of the provider of device memory.
    pub(crate) pagemap_ops: Mutex<Option<Weak<dyn DevPagemapOps>>>,
    /// Look-ups without locks, where a driver makes some.
    pub(crate) walkers: Mutex<Option<Arc<Walkers>>>,
    mms: Mutex<Vec<Weak<Mm>>>,
}

/// `struct dev_pagemap_ops` of the one provider of device memory.
pub trait DevPagemapOps: Send + Sync {
    /// `migrate_to_ram()`: a CPU touches a page of the device; the caller holds `mmap_lock` for reading. `migrate` does the work
    /// of `migrate_vma_*()`; what the driver takes around it is its business.
    fn migrate_to_ram(&self, migrate: &mut dyn FnMut());
}

/// The locks of a machine that are in no address space.
pub(crate) struct MachineLocks {
    /// `&zone->lock`; taken only near the watermarks.
    pub(crate) zone: SpinLock<()>,
    /// One registration at a time takes all locks of an address space.
    pub(crate) mm_all_locks_mutex: ksync::Mutex<()>,
    /// Fork keeps uprobes from being put in meanwhile.
    pub(crate) dup_mmap_sem: RwSem<()>,
    pub(crate) files: FileLocks,
}

impl MachineLocks {
    fn new(k: &Kernel) -> Arc<MachineLocks> {
        let zone = k.class(LockClass::new("&zone->lock", LockKind::Spin));
        let all = k.class(LockClass::new("mm_all_locks_mutex", LockKind::Mutex));
        let dup = k.class(LockClass::new("dup_mmap_sem", LockKind::RwSem));
        Arc::new(MachineLocks {
            zone: SpinLock::from_raw(RawSpinLock::new(zone, machine_obj(MachineObj::ZoneLock)), ()),
            mm_all_locks_mutex: ksync::Mutex::from_raw(RawMutex::new(all, machine_obj(MachineObj::AllLocksMutex)), ()),
            dup_mmap_sem: RwSem::from_raw(RawRwSem::new(dup, machine_obj(MachineObj::DupMmapSem)), ()),
            files: FileLocks::new(k),
        })
    }
}

/// The lock bit of one folio with its waiters.
pub(crate) type FolioLock = Arc<ksync::Mutex<()>>;

impl Machine {
    /// A machine with all its memory free, serving the allocations of `k` from now on.
    ///
    /// Context: setup ([`Kernel::enter`]).
    #[must_use]
    pub fn new(k: &Kernel, config: MachineConfig, framework: Arc<Framework>) -> Arc<Machine> {
        let nr_frames = config.memory_bytes / PAGE_SIZE;
        let machine = Arc::new(Machine {
            config,
            watermarks: Watermarks::of(nr_frames),
            classes: Classes::new(k),
            framework: Mutex::new(framework),
            frames: Mutex::new(Frames::new()),
            nr_free: AtomicI64::new(nr_frames.cast_signed()),
            locks: Mutex::new(MachineLocks::new(k)),
            lru_hands: Mutex::new([Pfn(0); 4]),
            compaction_deferred: Mutex::default(),
            swap: Mutex::new(SwapDevice::new(config.swap_bytes / PAGE_SIZE)),
            hugetlb_mutexes: Mutex::default(),
            ksm_stable: Mutex::default(),
            folio_locks: Mutex::default(),
            anon_vmas: Mutex::new(PerTask::new()),
            files: Mutex::default(),
            kswapd: Mutex::default(),
            shrinkers: Mutex::default(),
            oom: OomSlot::default(),
            leaf_pool: Mutex::default(),
            pagemap_ops: Mutex::default(),
            walkers: Mutex::default(),
            mms: Mutex::default(),
        });
        machine.serve(k);
        machine
    }

    /// Pages of device memory are brought back by `ops` from here on, rather than by the memory manager itself.
    pub fn set_dev_pagemap_ops(&self, ops: Weak<dyn DevPagemapOps>) {
        *self.pagemap_ops.lock() = Some(ops);
    }

    /// Makes the machine as new for another run of the same kernel, keeping room: call it after [`Kernel::reset`], when
    /// every [`Mm`] of the run before is dropped.
    ///
    /// Context: setup.
    pub fn reset(self: &Arc<Machine>, k: &Kernel, framework: Arc<Framework>) {
        *self.framework.lock() = framework;
        *self.locks.lock() = MachineLocks::new(k);
        self.frames.lock().clear();
        self.nr_free.store((self.config.memory_bytes / PAGE_SIZE).cast_signed(), Ordering::Relaxed);
        *self.lru_hands.lock() = [Pfn(0); 4];
        *self.compaction_deferred.lock() = Deferred::default();
        self.swap.lock().clear();
        self.hugetlb_mutexes.lock().clear();
        self.ksm_stable.lock().clear();
        self.folio_locks.lock().clear();
        self.anon_vmas.lock().clear();
        self.files.lock().clear();
        *self.kswapd.lock() = None;
        *self.walkers.lock() = None;
        *self.shrinkers.lock() = Shrinkers::default();
        self.oom.clear();
        self.mms.lock().clear();
        self.serve(k);
    }

    /// Forgets every subscriber of every address space, so that what subscribers own no longer keeps an address space
    /// alive: for a run that is thrown away, before [`Kernel::reset`]. Nobody is told.
    ///
    /// Context: setup, with nobody listening.
    pub fn sever(&self) {
        let mms: Vec<Arc<Mm>> = self.mms.lock().iter().filter_map(Weak::upgrade).collect();
        for mm in mms {
            mm.subscriptions().sever();
        }
    }

    fn serve(self: &Arc<Machine>, k: &Kernel) {
        k.set_alloc_hook(Some(Rc::new(MachineAlloc(Arc::clone(self)))));
    }

    pub(crate) fn locks(&self) -> Arc<MachineLocks> {
        Arc::clone(&self.locks.lock())
    }

    /// The size.
    #[must_use]
    pub const fn config(&self) -> MachineConfig {
        self.config
    }

    /// The notifier framework of this world.
    #[must_use]
    pub fn framework(&self) -> Arc<Framework> {
        Arc::clone(&self.framework.lock())
    }

    /// The address space with this id, while somebody keeps it.
    #[must_use]
    pub fn mm(&self, id: MmId) -> Option<Arc<Mm>> {
        self.mms.lock().get(id.0 as usize)?.upgrade()
    }

    /// The address spaces that have users, in the order in which they were made.
    pub(crate) fn living_mms(&self) -> Vec<Arc<Mm>> {
        self.mms.lock().iter().filter_map(Weak::upgrade).filter(|mm| mm.users() > 0).collect()
    }

    /// The address space that was made `id`-th, if somebody keeps it; `None` beyond the last.
    pub(crate) fn mm_slot(&self, id: MmId) -> Option<Option<Arc<Mm>>> {
        self.mms.lock().get(id.0 as usize).map(Weak::upgrade)
    }

    pub(crate) fn add_mm(&self, make: impl FnOnce(MmId) -> Arc<Mm>) -> Arc<Mm> {
        let mut mms = self.mms.lock();
        let mm = make(MmId(u32::try_from(mms.len()).unwrap_or(u32::MAX)));
        mms.push(Arc::downgrade(&mm));
        mm
    }

    /// The lock of a folio. The kernel keeps one bit and hashed wait queues; here a lock is made when first needed.
    /// Whether somebody has the lock of a folio.
    pub(crate) fn is_folio_locked(&self, head: Pfn) -> bool {
        self.folio_locks.lock().get(&head).is_some_and(|lock| lock.is_locked())
    }

    pub(crate) fn folio_lock(&self, pfn: Pfn) -> FolioLock {
        let pfn = self.head(pfn);
        let mut locks = self.folio_locks.lock();
        let lock = locks.entry(pfn).or_insert_with(|| {
            Arc::new(ksync::Mutex::from_raw(RawMutex::new(self.classes.folio, folio_lock_obj(pfn)), ()))
        });
        Arc::clone(lock)
    }
}
