//! [`Mm`]: one address space (`struct mm_struct`), its locks, its two counts.
//!
//! | count | held by | at zero |
//! |---|---|---|
//! | `mm_users` ([`MmUsers`], [`mmget_not_zero`](Mm::mmget_not_zero)) | whoever uses the address space | `exit_mmap()` |
//! | `mm_count` ([`Mm::mmgrab`]) | whoever keeps the struct only; all users together count once | the struct may go |
//!
//! The VMAs lie under a storage lock of their own inside `mmap_lock`, because two things alter them that hold it for
//! reading only: the first anonymous page of a VMA, and the reverse map's book-keeping.

use crate::behaviour::Behaviour;
use crate::cpu_tlb::Tlb;
use crate::hugetlb::HugetlbLock;
use crate::machine::Machine;
use crate::names::NAMES;
use crate::obj::{MmObj, mm_obj};
use crate::oom_kill::OomState;
use crate::page_cache::{FileLink, IMmap};
use crate::page_table::PageTables;
use crate::quirks::Quirks;
use crate::rmap::{AnonVma, Link};
use crate::vma::{MapsNames, Placement, Vma, VmaId, VmaKind, VmaTree};
use crate::vma_lock::VmaLock;
use ksync::{Kernel, RawRwSem, RawSpinLock, RwSem, SpinLock, TrackedU64, current, with_current};
use mm_types::{Errno, MmId, Name, PageRange, TaskId, VirtAddr, VmFlags, Vpn};
use mmu_notifier::{MmHost, Subscriptions};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use trace::EventKind;

/// One address space. Made by [`Machine::new_mm`].
///
/// Public calls run inside of the machine's [`Kernel`]: in a task, or in setup.
pub struct Mm {
    pub(crate) id: MmId,
    name: Name,
    pub(crate) machine: Arc<Machine>,
    /// `&mm->mmap_lock`.
    pub(crate) mmap_lock: RwSem<()>,
    pub(crate) inner: Mutex<MmInner>,
    /// `&mm->page_table_lock`: adding page tables, and the first `anon_vma` of a VMA.
    pub(crate) page_table_lock: SpinLock<()>,
    pub(crate) tables: PageTables,
    /// What CPUs have of its translations.
    pub(crate) tlb: Arc<Tlb>,
    /// Gathers that are open (`mm->tlb_flush_pending`).
    pub(crate) tlb_flush_pending: AtomicU32,
    /// Odd while fork write-protects pages (`mm->write_protect_seq`); counted where somebody heeds it.
    pub(crate) write_protect_seq: AtomicU64,
    pub(crate) subs: Subscriptions,
    pub(crate) users: TrackedU64,
    pub(crate) count: TrackedU64,
    /// The first access to the struct after it was freed: when, and by whom.
    used_after_free: parking_lot::Mutex<Option<(u64, TaskId)>>,
    /// The first walk of the VMAs after the exit took their tree apart: when, and by whom.
    walked_after_exit: parking_lot::Mutex<Option<(u64, TaskId)>>,
    pub(crate) oom: OomState,
    /// Faults that were served.
    faults: AtomicU64,
}

/// What `mmap_lock` protects.
#[derive(Default)]
pub(crate) struct MmInner {
    pub(crate) tree: VmaTree,
    /// Where each VMA stands in the reverse map.
    pub(crate) links: BTreeMap<VmaId, Link>,
    /// Where each VMA that maps a file stands in the reverse map of that.
    pub(crate) file_links: BTreeMap<VmaId, FileLink>,
    /// Locks of VMAs that were faulted in under theirs.
    pub(crate) vma_locks: BTreeMap<VmaId, VmaLock>,
    /// Locks of VMAs of hugetlb; none for one that was inherited and is private.
    pub(crate) hugetlb_locks: BTreeMap<VmaId, Option<HugetlbLock>>,
    /// `&ctx->map_changing_lock` of its userfaultfd.
    pub(crate) uffd_lock: Option<Arc<RwSem<()>>>,
    /// Heap and stack.
    pub(crate) names: MapsNames,
    pub(crate) placement: Placement,
    /// What every new mapping has beside its own flags (`mm->def_flags`).
    pub(crate) def_flags: VmFlags,
    /// Equal pages of every mapping may be merged (`MMF_VM_MERGE_ANY`).
    pub(crate) merge_any: bool,
    /// The exit has taken the tree apart: there is nothing left to walk.
    pub(crate) torn_down: bool,
}

impl fmt::Debug for Mm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.id, self.name)
    }
}

impl Machine {
    /// An empty address space with one user: its process, which ends by [`Mm::exit`].
    pub fn new_mm(self: &Arc<Machine>, k: &Kernel, name: Name) -> Arc<Mm> {
        let mm = self.add_mm(|id| {
            let classes = &self.classes;
            Arc::new(Mm {
                id,
                name,
                machine: Arc::clone(self),
                mmap_lock: RwSem::from_raw(RawRwSem::new(classes.mmap_lock, mm_obj(id, MmObj::MmapLock)), ()),
                inner: Mutex::default(),
                page_table_lock: SpinLock::from_raw(
                    RawSpinLock::new(classes.page_table_lock, mm_obj(id, MmObj::PageTableLock)),
                    (),
                ),
                tables: PageTables::default(),
                tlb: Arc::default(),
                tlb_flush_pending: AtomicU32::new(0),
                write_protect_seq: AtomicU64::new(0),
                subs: Subscriptions::new(k, self.framework(), id),
                users: TrackedU64::new(mm_obj(id, MmObj::Users), 1),
                count: TrackedU64::new(mm_obj(id, MmObj::Count), 1),
                used_after_free: parking_lot::Mutex::default(),
                walked_after_exit: parking_lot::Mutex::default(),
                oom: OomState::default(),
                faults: AtomicU64::new(0),
            })
        });
        k.emit(EventKind::MmCreated { mm: mm.id, name });
        mm
    }
}

impl Mm {
    /// Which address space it is.
    #[must_use]
    pub const fn id(&self) -> MmId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.name
    }

    /// The machine it lives on.
    #[must_use]
    pub const fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// Its notifier subscriptions.
    #[must_use]
    pub const fn subscriptions(&self) -> &Subscriptions {
        &self.subs
    }

    /// `mm_users`, without a scheduling point.
    #[must_use]
    pub fn users(&self) -> u64 {
        self.users.peek()
    }

    /// `mm_count`, without a scheduling point.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.peek()
    }

    /// An access to the struct by who should have a reference. One after the last `mmdrop()` is remembered.
    pub(crate) fn touch_struct(&self) {
        if self.count.load() == 0 {
            let now = current(|k| (k.steps(), k.current_task()));
            self.used_after_free.lock().get_or_insert(now);
        }
    }

    /// The first access to the struct after it was freed: the step and the task.
    #[must_use]
    pub fn used_after_free(&self) -> Option<(u64, TaskId)> {
        *self.used_after_free.lock()
    }

    /// Whether the last user has left (`ksm_test_exit()`): the exit has begun.
    pub(crate) fn has_no_users(&self) -> bool {
        self.users.load() == 0
    }

    /// `for_each_vma()` by somebody who is no user of the address space; `mmap_lock` held. A walk of a tree that the exit has
    /// taken apart is remembered.
    pub(crate) fn walk_vmas(&self, k: &Kernel) -> Vec<Vma> {
        if self.inner.lock().torn_down {
            self.walked_after_exit.lock().get_or_insert((k.steps(), k.current_task()));
        }
        self.vmas()
    }

    /// The first walk of the VMAs after the exit took their tree apart: the step and the task.
    #[must_use]
    pub fn walked_after_exit(&self) -> Option<(u64, TaskId)> {
        *self.walked_after_exit.lock()
    }

    /// Where new mappings are placed; to be changed before the first one.
    pub fn set_placement(&self, placement: Placement) {
        self.inner.lock().placement = placement;
    }

    /// Where the heap begins, which is empty then (`mm->start_brk`); page aligned as exec makes it.
    pub fn set_start_brk(&self, start: VirtAddr) {
        let brk = &mut self.inner.lock().names.brk;
        brk.start = start;
        brk.end = start;
    }

    /// The VMA that maps `vpn`, as it is now. `mmap_lock` keeps it so.
    #[must_use]
    pub fn find_vma(&self, vpn: Vpn) -> Option<Vma> {
        self.inner.lock().tree.find(vpn).copied()
    }

    /// The VMAs, lowest first, without a scheduling point: for tests and snapshots.
    #[must_use]
    pub fn vmas(&self) -> Vec<Vma> {
        self.inner.lock().tree.iter().copied().collect()
    }

    /// How many faults were served, those of populating and of drivers included (`ru_minflt`).
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    pub(crate) fn count_fault(&self) {
        self.faults.fetch_add(1, Ordering::Relaxed);
    }

    /// Replaces `vm.max_map_count`.
    pub fn set_max_map_count(&self, max_map_count: usize) {
        self.inner.lock().tree.set_max_map_count(max_map_count);
    }

    /// `mmget_not_zero()`: a user's hold, unless the last user has left.
    #[must_use]
    pub fn mmget_not_zero(self: &Arc<Mm>) -> Option<MmUsers> {
        self.users.inc_not_zero().then(|| MmUsers { mm: Arc::clone(self) })
    }

    /// `mmget()`: a user's hold for one who knows that the address space is alive.
    ///
    /// # Panics
    /// When the last user has left.
    #[must_use]
    pub fn mmget(self: &Arc<Mm>) -> MmUsers {
        self.mmget_not_zero().unwrap_or_else(|| panic!("{self:?} has no user any more"))
    }

    /// `mmput()`. The last one takes the address space apart in the caller's context; may sleep.
    pub(crate) fn mmput(&self) {
        if with_current(|k| k.is_none_or(Kernel::quiet)) {
            self.users.poke(self.users.peek().saturating_sub(1));
            return;
        }
        if self.users.sub_return(1) == 0 {
            current(|k| self.exit_mmap(k));
            MmHost::mmdrop(self);
        }
    }

    /// Emits the entry and exit of a system call around `body`.
    pub(crate) fn call<T>(
        &self,
        k: &Kernel,
        call: Name,
        pages: Option<PageRange>,
        body: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        k.emit(EventKind::CallEnter { mm: self.id, call, pages });
        let result = body();
        k.emit(EventKind::CallExit { error: result.as_ref().err().copied() });
        result
    }

    /// The process ends: gives up the hold it has had since [`Machine::new_mm`]. If it was the last one, subscribers are
    /// released and the memory is freed before this returns. Call it once.
    pub fn exit(&self) {
        current(|k| {
            let _: Result<(), Errno> = self.call(k, NAMES.exit, None, || {
                self.mmput();
                Ok(())
            });
        });
    }
}

/// A hold on `mm_users`: while it lives, the address space does.
#[derive(Debug)]
pub struct MmUsers {
    mm: Arc<Mm>,
}

impl MmUsers {
    /// The address space, to be kept beyond this hold.
    #[must_use]
    pub const fn mm(&self) -> &Arc<Mm> {
        &self.mm
    }
}

impl Deref for MmUsers {
    type Target = Arc<Mm>;
    fn deref(&self) -> &Arc<Mm> {
        &self.mm
    }
}

impl Drop for MmUsers {
    fn drop(&mut self) {
        self.mm.mmput();
    }
}

impl MmHost for Mm {
    fn mm_id(&self) -> MmId {
        self.id
    }

    fn with_mmap_write(&self, body: &mut dyn FnMut()) {
        let _write = self.mmap_lock.write();
        body();
    }

    /// `mm_take_all_locks()`: `mm_all_locks_mutex`, then the lock of every VMA (taken and let go: while a
    /// writer has `mmap_lock` no fault begins under one), then the `i_mmap_rwsem` of every file mapped, then every
    /// `anon_vma`. Source: mm/mmap.c, 6.12.
    ///
    /// Deviation: the kernel takes the many locks of one class with a nest annotation under `mmap_lock`, which the
    /// validator here does not know yet. They are taken by trylock instead, so that no recursion is reported that is
    /// none; one that is taken is waited for with all others let go, and then all are tried again.
    fn take_all_locks(&self, body: &mut dyn FnMut()) -> Result<(), Errno> {
        let locks = self.machine.locks();
        let _all = locks.mm_all_locks_mutex.lock();
        let waits = !self.is(Behaviour::NO_VMA_LOCKS);
        if waits && !self.machine.config.quirks.contains(Quirks::LOCK_VMAS_AT_REGISTRATION) {
            // Faults under the lock of their VMA alone may be inside a bracket.
            self.vmas().iter().for_each(|vma| self.vma_start_write(vma.id()));
        }
        let (i_mmaps, anon_vmas) = self.rmap_locks();
        loop {
            let mut files = Vec::with_capacity(i_mmaps.len());
            let mut anon = Vec::with_capacity(anon_vmas.len());
            let busy_file = i_mmaps.iter().find(|lock| match lock.try_write() {
                Some(guard) => {
                    files.push(guard);
                    false
                }
                None => true,
            });
            let busy_anon = anon_vmas.iter().filter(|_| busy_file.is_none()).find(|a| match a.rwsem.try_write() {
                Some(guard) => {
                    anon.push(guard);
                    false
                }
                None => true,
            });
            if busy_file.is_none() && busy_anon.is_none() {
                body();
                return Ok(());
            }
            drop(anon);
            drop(files);
            if let Some(lock) = busy_file {
                drop(lock.write());
            }
            if let Some(anon_vma) = busy_anon {
                drop(anon_vma.rwsem.write());
            }
        }
    }

    fn mmgrab(&self) {
        self.count.add_return(1);
    }

    fn mmdrop(&self) {
        self.count.sub_return(1);
    }

    fn subscriptions(&self) -> &Subscriptions {
        &self.subs
    }
}

impl Mm {
    /// The locks of the reverse maps that VMAs of this address space are in, each once, in a fixed order.
    fn rmap_locks(&self) -> (Vec<IMmap>, Vec<AnonVma>) {
        let inner = self.inner.lock();
        let mut files = BTreeMap::new();
        let mut anon = BTreeMap::new();
        for vma in inner.tree.iter() {
            if let VmaKind::File(id) = vma.kind() {
                let (inode, lock) = self.machine.i_mmap(id);
                files.insert(inode, lock);
            }
            if let Some(anon_vma) = vma.anon().and_then(|link| self.machine.anon_vma(link.anon_vma)) {
                anon.insert(anon_vma.root, anon_vma);
            }
        }
        (files.into_values().collect(), anon.into_values().collect())
    }

    /// Whether a VMA of private memory can have pages of its own (`is_cow_mapping()`), so that a write copies.
    pub(crate) fn is_private(vma: &Vma) -> bool {
        !vma.flags().contains(VmFlags::SHARED)
    }
}
