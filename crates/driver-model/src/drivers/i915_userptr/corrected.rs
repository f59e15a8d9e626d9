//! As i915 is since 5.12: one interval subscription for each object, pages pinned by who uses them.
//!
//! ```text
//! get_pages                                        invalidate
//! read_begin
//! page array (GFP_KERNEL, no lock), pin_user_pages
//! lock &obj->mm.lock; table (GFP_KERNEL)
//!   lock &i915->mm.notifier_lock                   lock &i915->mm.notifier_lock
//!     read_retry: start over if true                 set_seq
//!     publish                                        stop the device's use of the pages
//!   unlock                                         unlock
//! unlock
//! ```
//!
//! `&obj->mm.lock` is held around allocations and never taken by the callback; `&i915->mm.notifier_lock` is the other way
//! round. "Stop the use" stands for the kernel's wait for the batches in flight; the pages stay pinned until the next
//! operation of the object, which is harmless.
//!
//! With the option `shrinker on` reclaim may take an object's pages: the device stops, and they are unpinned. The object's mutex
//! is taken by trylock, since it is held around allocations; the mutant `shrinker-waits-for-object` waits for it.
//!
//! Source for the behaviour: i915_gem_object_userptr_submit_init(), i915_gem_userptr_get_pages(),
//! drivers/gpu/drm/i915/gem/i915_gem_userptr.c, 6.12; the notifier lock as in 6.1; i915_gem_shrinker_scan(), i915_gem_shrinker.c.

use crate::device::Device;
use crate::driver::DriverLock;
use crate::drivers::parts::OwnShrinker;
use crate::drivers::{clamp, whole};
use crate::via::Via;
use ksync::{ClassIdx, Kernel, LockClass, Mutex, MutexGuard, RawMutex, SpinLock, current};
use mm::{Mm, Scan, ShrinkControl, Shrinker, device};
use mm_types::{Errno, Gfp, Name, PageRange, Pfn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::collections::BTreeMap;
use std::sync::Arc;
use trace::{AccessModel, LockKind, NotifyRange};

const OBJECT_CLASS: &str = "&obj->mm.lock";
const NOTIFIER_CLASS: &str = "&i915->mm.notifier_lock";

pub(super) const LOCKS: &[DriverLock] =
    &[DriverLock { name: "obj", class: OBJECT_CLASS }, DriverLock { name: "notifier_lock", class: NOTIFIER_CLASS }];

/// The driver.
pub(super) struct Corrected {
    gem: Arc<Gem>,
    object_class: ClassIdx,
    settings: Settings,
    shrinker: OwnShrinker,
}

/// What it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    pub(super) retries: u64,
    /// Whether it has a shrinker.
    pub(super) shrinks: bool,
    pub(super) mutant: Option<Mutant>,
}

/// How it is wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Mutant {
    /// Its shrinker waits for the mutex of an object.
    ShrinkerWaitsForObject,
}

/// The objects: what the shrinker needs.
struct Gem {
    mm: Arc<Mm>,
    gpu: Arc<Gpu>,
    mutant: Option<Mutant>,
    /// A storage lock; `None` when not attached.
    objects: parking_lot::Mutex<Option<BTreeMap<PageRange, Arc<Object>>>>,
}

/// What callbacks need.
struct Gpu {
    device: Arc<Device>,
    notifier_lock: SpinLock<()>,
}

struct Object {
    pages: PageRange,
    sub: Arc<IntervalSub>,
    /// `&obj->mm.lock`.
    lock: Mutex<Pinned>,
}

/// The pages of an object.
#[derive(Default)]
struct Pinned {
    pvec: Vec<Pfn>,
    /// The sequence they were looked up under.
    seq: u64,
    /// The driver lets go: whoever is looking pages up right now must not publish them.
    gone: bool,
}

impl IntervalNotifier for Gpu {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::PinUntilInvalidate
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        // A spinlock: the same whether or not the callback may sleep.
        let _guard = self.notifier_lock.lock();
        sub.set_seq(cur_seq);
        self.device.zap(sub.mm_id(), clamp(range.pages, sub.pages()));
        true
    }
}

impl Corrected {
    pub(super) fn new(k: &Kernel, mm: Arc<Mm>, device: Arc<Device>, settings: Settings) -> Corrected {
        let gpu = Arc::new(Gpu { device, notifier_lock: k.spinlock(NOTIFIER_CLASS, ()) });
        let gem = Gem { mm, gpu, mutant: settings.mutant, objects: parking_lot::Mutex::new(None) };
        Corrected {
            gem: Arc::new(gem),
            object_class: k.class(LockClass::new(OBJECT_CLASS, LockKind::Mutex)),
            settings,
            shrinker: OwnShrinker::default(),
        }
    }

    pub(super) fn attach(&self, pages: PageRange) -> Result<(), Errno> {
        *self.gem.objects.lock() = Some(BTreeMap::new());
        let made = self.object(pages).map(|_| ());
        if made.is_err() {
            *self.gem.objects.lock() = None;
            return made;
        }
        let registered = match self.settings.shrinks {
            true => self.shrinker.register(self.gem.mm.machine(), self.gem.clone()),
            false => Ok(()),
        };
        registered.inspect_err(|_| self.detach())
    }

    pub(super) fn detach(&self) {
        self.shrinker.free(self.gem.mm.machine());
        let objects = self.gem.objects.lock().take();
        for object in objects.unwrap_or_default().into_values() {
            let pvec = {
                let mut pinned = object.lock.lock();
                let pvec = self.gem.unbind(&object, &mut pinned);
                pinned.gone = true;
                pvec
            };
            self.gem.unpin(&pvec);
            Subscriptions::interval_remove(&*self.gem.mm, &object.sub);
        }
    }

    /// The object of exactly these pages, made if there is none.
    fn object(&self, pages: PageRange) -> Result<Arc<Object>, Errno> {
        if let Some(object) = self.gem.find(pages)? {
            return Ok(object);
        }
        let sub = Subscriptions::interval_insert(&*self.gem.mm, pages, self.gem.gpu.clone())?;
        let raw = RawMutex::new(self.object_class, current(Kernel::new_obj));
        let made = Arc::new(Object { pages, sub, lock: Mutex::from_raw(raw, Pinned::default()) });
        // Subscribing may have slept, so another task may have made it or the driver gone.
        let kept = match &mut *self.gem.objects.lock() {
            Some(objects) => Some(Arc::clone(objects.entry(pages).or_insert_with(|| Arc::clone(&made)))),
            None => None,
        };
        match kept {
            Some(kept) if Arc::ptr_eq(&kept, &made) => Ok(kept),
            other => {
                Subscriptions::interval_remove(&*self.gem.mm, &made.sub);
                other.ok_or(Errno::ENODEV)
            }
        }
    }

    pub(super) fn get_pages(&self, pages: PageRange) -> Result<(), Errno> {
        // First: whoever subscribes must know that the address space has users.
        let _users = device::mmget_not_zero(&self.gem.mm).ok_or(Errno::EFAULT)?;
        let object = self.object(pages)?;
        for _ in 0..self.settings.retries {
            if self.try_get_pages(&object)? {
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }

    /// One attempt; false if an invalidation came between.
    fn try_get_pages(&self, object: &Object) -> Result<bool, Errno> {
        let seq = self.gem.mm.subscriptions().read_begin(&object.sub);
        if !self.drop_stale(object, seq) {
            return Ok(true);
        }
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        let pvec = whole(&self.gem.mm, object.pages, device::pin_user_pages, device::unpin_user_page)?;
        let published = self.publish(object, seq, &pvec);
        if published != Ok(true) {
            self.gem.unpin(&pvec);
        }
        published
    }

    /// Gives back pages that an invalidation was about; false if those there are good.
    fn drop_stale(&self, object: &Object, seq: u64) -> bool {
        let stale = {
            let mut pinned = object.lock.lock();
            if pinned.seq == seq && !pinned.pvec.is_empty() {
                return false;
            }
            self.gem.unbind(object, &mut pinned)
        };
        self.gem.unpin(&stale);
        true
    }

    fn publish(&self, object: &Object, seq: u64, pvec: &[Pfn]) -> Result<bool, Errno> {
        let mut pinned = object.lock.lock();
        if pinned.gone {
            return Err(Errno::ENODEV);
        }
        if !pinned.pvec.is_empty() {
            // Another task was faster; whether its pages are still good is for the next attempt to say.
            return Ok(false);
        }
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        let _guard = self.gem.gpu.notifier_lock.lock();
        if object.sub.read_retry(seq) {
            return Ok(false);
        }
        let via = Via::interval(self.gem.mm.subscriptions(), &object.sub);
        for (vpn, pfn) in object.pages.iter().zip(pvec) {
            self.gem.gpu.device.set(via, vpn, *pfn, true);
        }
        *pinned = Pinned { pvec: pvec.to_vec(), seq, gone: false };
        Ok(true)
    }

    pub(super) fn put_pages(&self, pages: PageRange) -> Result<(), Errno> {
        if let Some(object) = self.gem.find(pages)? {
            self.gem.put_object(&object);
        }
        Ok(())
    }
}

impl Gem {
    fn find(&self, pages: PageRange) -> Result<Option<Arc<Object>>, Errno> {
        self.objects.lock().as_ref().ok_or(Errno::ENODEV).map(|objects| objects.get(&pages).cloned())
    }

    fn put_object(&self, object: &Object) {
        let pvec = {
            let mut pinned = object.lock.lock();
            self.unbind(object, &mut pinned)
        };
        self.unpin(&pvec);
    }

    fn unpin(&self, pvec: &[Pfn]) {
        pvec.iter().for_each(|pfn| device::unpin_user_page(self.mm.machine(), *pfn));
    }

    /// Takes the translations away; the pages the caller now owes back.
    fn unbind(&self, object: &Object, pinned: &mut Pinned) -> Vec<Pfn> {
        let _guard = self.gpu.notifier_lock.lock();
        self.gpu.device.zap(self.mm.id(), object.pages);
        std::mem::take(&mut pinned.pvec)
    }
}

impl Shrinker for Gem {
    fn name(&self) -> Name {
        self.gpu.device.name()
    }

    /// The pages of all objects, whether they are pinned now or not: which ones are is found out under their mutexes.
    fn count_objects(&self, _: &ShrinkControl) -> u64 {
        self.objects.lock().iter().flat_map(BTreeMap::keys).map(|pages| pages.nr_pages()).sum()
    }

    /// One object after the other until enough pages are free. What was not scanned is for a later call.
    fn scan_objects(&self, control: &mut ShrinkControl) -> Scan {
        let objects: Vec<Arc<Object>> =
            self.objects.lock().iter().flat_map(|objects| objects.values().cloned()).collect();
        let (mut scanned, mut freed) = (0, 0);
        for object in objects {
            if scanned >= control.nr_to_scan {
                break;
            }
            let Some(mut pinned) = self.reserve(&object) else { continue };
            let pvec = self.unbind(&object, &mut pinned);
            drop(pinned);
            self.unpin(&pvec);
            scanned += object.pages.nr_pages();
            freed += pvec.len() as u64;
        }
        control.nr_scanned = scanned;
        if scanned > 0 { Scan::Freed(freed) } else { Scan::Stop }
    }
}

impl Gem {
    fn reserve<'a>(&self, object: &'a Object) -> Option<MutexGuard<'a, Pinned>> {
        let waits = self.mutant == Some(Mutant::ShrinkerWaitsForObject);
        if waits { Some(object.lock.lock()) } else { object.lock.try_lock() }
    }
}
