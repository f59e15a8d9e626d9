//! `xe_userptr`: user memory bound into a GPU's address space, and rebound by the next command after it was invalidated.
//!
//! ```text
//! bind                                   invalidate
//! again:                                 refuse if it must not sleep
//! seq = read_begin                       lock &vm->userptr.notifier_lock for writing
//! hmm_range_fault                          set_seq
//! lock notifier_lock for reading           wait for every fence of the vm
//!   read_retry: again if true              zap, invalidate the GPU's TLB
//!   write the entries                    unlock
//! unlock
//! ```
//!
//! A command is submitted under the vm's reservation and the notifier lock for reading, if what it needs is still bound; else
//! it binds again first. Nothing is allocated and no folio is locked under the notifier lock: the callback takes it inside
//! reclaim, and inside migration, which holds folio locks.
//!
//! The callback zaps at once, as a vm in fault mode does; other vms leave the entries and make the next command rebind.
//!
//! With the option `power=runtime` the GPU sleeps while nobody uses it ([`RuntimePm`]): a call holds it awake, and a command until its
//! fence. An invalidation does not wake it. It notes the sequence and zaps the entries all the same, which are in memory; only
//! the flush is left out, as the TLB went with the power.
//!
//! Source: vma_userptr_invalidate(), drivers/gpu/drm/xe/xe_vm.c; xe_hmm_userptr_populate_range(), xe_hmm.c;
//! xe_pt_userptr_pre_commit(), xe_pt.c; 6.12.

use super::RETRIES_OPTION;
use super::clamp;
use super::parts::{Base, Watched, mutants};
use crate::device::{Device, Features};
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, OptionInfo, Roles};
use crate::pm::RuntimePm;
use crate::resv::Resv;
use crate::ring::{Completion, Ring, Touch};
use crate::via::Via;
use ksync::{Kernel, RwSem, StrayUnlock, current};
use mm::{Mm, device};
use mm_types::{Errno, Gfp, MmId, Name, PageRange};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::sync::Arc;
use trace::{AccessModel, NotifyRange};

mutants! {
    WriteEntriesUnlocked = "write-entries-unlocked": "lets the notifier lock go between read_retry and the writing of entries",
    NoTlbInvalidation = "no-tlb-invalidation": "zaps entries and leaves the GPU's TLB as it is",
    MapsUnlocked = "maps-unlocked": "maps pages for DMA, and so lets the GPU read them, before it takes the notifier lock and looks again",
    ForgetsWhileSuspended = "forgets-while-suspended": "takes an invalidation for done while the GPU sleeps: neither sequence nor entries are touched",
    ResumesInCallback = "resumes-in-callback": "wakes the GPU in the callback to flush its TLB",
    UnlockOnError = "unlock-on-error": "lets the notifier lock go on a path of error that never took it",
    AllocUnderNotifierLock = "alloc-under-notifier-lock": "allocates page tables with GFP_KERNEL under the notifier lock",
    DirtyUnderNotifierLock = "dirty-under-notifier-lock": "marks pages dirty, under their folio lock, under the notifier lock",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "xe_userptr",
    doc: "userptr bound into a GPU's address space, rebound after an invalidation",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION, POWER_OPTION],
    ops: OPS,
    roles: Roles {
        map: Some("bind"),
        map_write: Some("bind"),
        read: Some("again"),
        write: Some("exec"),
        ..Roles::NONE
    },
    whole_mm: false,
    make,
};

const POWER_OPTION: OptionInfo = OptionInfo {
    name: "power",
    doc: "whether the GPU is always awake, or sleeps while nobody uses it",
    default: "always",
    words: &["always", "runtime"],
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "bind", args: "[RANGE]", doc: "binds the pages" },
    OpInfo { name: "exec", args: "[RANGE] [VALUE]", doc: "binds the pages, and submits a command that writes to each" },
    OpInfo { name: "again", args: "[RANGE] [VALUE]", doc: "the same, and binds only what is not bound any more" },
    OpInfo { name: "wait_suspended", args: "", doc: "waits until the GPU sleeps, if it ever does" },
];

const NOTIFIER_LOCK: &str = "&vm->userptr.notifier_lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let mutant = Mutant::of(config);
    let of_power = [Mutant::ForgetsWhileSuspended, Mutant::ResumesInCallback];
    let sleeps = config.says("power", "runtime") || mutant.is_some_and(|mutant| of_power.contains(&mutant));
    let features = Features { tlb: true, power: sleeps, ..Features::default() };
    let base = Base::with_features(k, mm, pages, config, features);
    let pm = sleeps.then(|| {
        let lock = k.mutex("&xe->d3cold.lock", ());
        let resume = move || {
            let _guard = lock.lock();
            current(|k| k.kmalloc(Gfp::KERNEL, 1))
        };
        RuntimePm::new(k, Arc::clone(&base.device), "xe_rpm_d3cold_map", Box::new(resume))
    });
    let vm = Arc::new(Vm {
        device: Arc::clone(&base.device),
        mm: mm.id(),
        mutant,
        pm,
        notifier_lock: k.rwsem(NOTIFIER_LOCK, ()),
        resv: Resv::new(k),
    });
    vm.resv.prime(mm);
    let ring = Ring::start(k, Arc::clone(&base.device), Completion::Task, Box::new(|| ()));
    Arc::new(Userptr { base, vm, ring, bound: parking_lot::Mutex::default(), sub: Watched::default() })
}

/// What callbacks need of `struct xe_vm`.
struct Vm {
    device: Arc<Device>,
    mm: MmId,
    mutant: Option<Mutant>,
    /// With `power=runtime`.
    pm: Option<Arc<RuntimePm>>,
    notifier_lock: RwSem<()>,
    resv: Resv,
}

impl Vm {
    fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn zap(&self, pages: PageRange) {
        self.device.zap(self.mm, pages);
        if !self.has(Mutant::NoTlbInvalidation) {
            self.if_awake(|| self.device.flush_tlb(self.mm, pages));
        }
    }

    /// Runs `f` unless the GPU sleeps, which it does not begin to do meanwhile.
    fn if_awake(&self, f: impl FnOnce()) {
        let Some(pm) = &self.pm else { return f() };
        let awake = if self.has(Mutant::ResumesInCallback) { pm.get_sync().is_ok() } else { pm.get_if_active() };
        if awake {
            f();
            pm.put();
        }
    }

    /// Whether the GPU sleeps at this moment.
    fn sleeps(&self) -> bool {
        let mut awake = false;
        self.if_awake(|| awake = true);
        !awake
    }

    /// Runs `f` with the GPU awake.
    fn awake<R>(&self, f: impl FnOnce() -> Result<R, Errno>) -> Result<R, Errno> {
        match &self.pm {
            Some(pm) => pm.with(f),
            None => f(),
        }
    }
}

impl IntervalNotifier for Vm {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::Mirror
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        if !range.blockable {
            return false;
        }
        if self.has(Mutant::ForgetsWhileSuspended) && self.sleeps() {
            return true;
        }
        let _guard = self.notifier_lock.write();
        sub.set_seq(cur_seq);
        self.resv.wait_all();
        self.zap(clamp(range.pages, sub.pages()));
        true
    }
}

/// The driver: one userptr vma of one vm.
struct Userptr {
    base: Base,
    vm: Arc<Vm>,
    ring: Arc<Ring>,
    /// What the last `again` bound, and under which sequence. A storage lock.
    bound: parking_lot::Mutex<Option<(PageRange, u64)>>,
    sub: Watched,
}

impl Userptr {
    /// One attempt to bind: the sequence under which the pages are bound.
    fn try_bind(&self, sub: &IntervalSub, pages: PageRange) -> Result<Option<u64>, Errno> {
        let seq = self.base.mm.subscriptions().read_begin(sub);
        let found = self.base.hmm(sub, seq, pages, true);
        if found.is_err() && self.vm.has(Mutant::UnlockOnError) {
            self.vm.notifier_lock.stray_unlock();
        }
        let Some(found) = found? else { return Ok(None) };
        if self.vm.has(Mutant::MapsUnlocked) {
            self.base.set_all(Via::interval(self.base.mm.subscriptions(), sub), &found);
            for page in &found {
                let _may_fault = self.vm.device.read(self.vm.mm, page.vpn);
            }
        }
        if !self.vm.has(Mutant::AllocUnderNotifierLock) {
            current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        }
        let mut guard = Some(self.vm.notifier_lock.read());
        self.sub.still(sub)?;
        if self.vm.has(Mutant::AllocUnderNotifierLock) {
            current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        }
        if sub.read_retry(seq) {
            return Ok(None);
        }
        if self.vm.has(Mutant::DirtyUnderNotifierLock) {
            found.iter().for_each(|page| device::set_page_dirty_lock(self.base.mm.machine(), page.pfn));
        }
        if self.vm.has(Mutant::WriteEntriesUnlocked) {
            guard = None;
        }
        self.base.set_all(Via::interval(self.base.mm.subscriptions(), sub), &found);
        drop(guard);
        Ok(Some(seq))
    }

    /// `xe_exec_ioctl()`: pushes the command if the binding still holds.
    fn try_exec(&self, sub: &IntervalSub, pages: PageRange, value: u64) -> Result<Option<()>, Errno> {
        let Some(seq) = self.try_bind(sub, pages)? else { return Ok(None) };
        self.push(sub, seq, pages, value)
    }

    /// The same, of what was bound before if that covers it (`xe_vm_userptr_check_repin()`).
    fn try_again(&self, sub: &IntervalSub, pages: PageRange, value: u64) -> Result<Option<()>, Errno> {
        let bound = *self.bound.lock();
        let still = bound.filter(|(of, seq)| of.covers(pages) && !sub.check_retry(*seq));
        let seq = match still {
            Some((_, seq)) => seq,
            None => {
                let Some(seq) = self.try_bind(sub, pages)? else { return Ok(None) };
                *self.bound.lock() = Some((pages, seq));
                seq
            }
        };
        self.push(sub, seq, pages, value)
    }

    fn push(&self, sub: &IntervalSub, seq: u64, pages: PageRange, value: u64) -> Result<Option<()>, Errno> {
        let reserved = self.vm.resv.lock();
        let _guard = self.vm.notifier_lock.read();
        self.sub.still(sub)?;
        if sub.read_retry(seq) {
            return Ok(None);
        }
        let fence = self.ring.next_fence();
        reserved.add_fence(&fence);
        let touches = pages.iter().map(|vpn| Touch { mm: self.vm.mm, vpn, store: Some(value) });
        if let Some(pm) = &self.vm.pm {
            // The command's own reference.
            pm.get_noresume();
            let pm = Arc::clone(pm);
            fence.add_callback(Box::new(move || pm.put()));
        }
        self.ring.push(touches.collect(), fence);
        Ok(Some(()))
    }
}

impl Driver for Userptr {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        self.sub.insert(&self.base.mm, self.base.pages, self.vm.clone())
    }

    fn detach(&self) {
        let Some(sub) = self.sub.take() else { return };
        {
            let _guard = self.vm.notifier_lock.write();
            self.vm.resv.wait_all();
            self.vm.zap(self.base.pages);
        }
        Subscriptions::interval_remove(&*self.base.mm, &sub);
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        let sub = self.sub.sub()?;
        self.base.own(pages)?;
        let _users = self.base.users()?;
        match op.as_str() {
            "bind" => self.vm.awake(|| self.base.retry(|| self.try_bind(&sub, pages)).map(drop)),
            "exec" => self.vm.awake(|| self.base.retry(|| self.try_exec(&sub, pages, args.value))),
            "again" => self.vm.awake(|| self.base.retry(|| self.try_again(&sub, pages, args.value))),
            "wait_suspended" => {
                self.vm.pm.iter().for_each(|pm| pm.wait_suspended());
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[
            DriverLock { name: "notifier_lock", class: NOTIFIER_LOCK },
            DriverLock { name: "resv", class: "reservation_ww_class_mutex" },
        ]
    }
}
