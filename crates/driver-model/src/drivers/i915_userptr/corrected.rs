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
//! Source for the behaviour: i915_gem_object_userptr_submit_init(), i915_gem_userptr_get_pages(),
//! drivers/gpu/drm/i915/gem/i915_gem_userptr.c, 6.12; the notifier lock as in 6.1.

use crate::device::Device;
use crate::driver::DriverLock;
use crate::drivers::{clamp, whole};
use crate::via::Via;
use ksync::{ClassIdx, Kernel, LockClass, Mutex, RawMutex, SpinLock, current};
use mm::{Mm, device};
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
    mm: Arc<Mm>,
    gpu: Arc<Gpu>,
    object_class: ClassIdx,
    retries: u64,
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
    pub(super) fn new(k: &Kernel, mm: Arc<Mm>, device: Arc<Device>, retries: u64) -> Corrected {
        let gpu = Gpu { device, notifier_lock: k.spinlock(NOTIFIER_CLASS, ()) };
        Corrected {
            mm,
            gpu: Arc::new(gpu),
            object_class: k.class(LockClass::new(OBJECT_CLASS, LockKind::Mutex)),
            retries,
            objects: parking_lot::Mutex::new(None),
        }
    }

    pub(super) fn attach(&self, pages: PageRange) -> Result<(), Errno> {
        *self.objects.lock() = Some(BTreeMap::new());
        let made = self.object(pages).map(|_| ());
        if made.is_err() {
            *self.objects.lock() = None;
        }
        made
    }

    pub(super) fn detach(&self) {
        let objects = self.objects.lock().take();
        for object in objects.unwrap_or_default().into_values() {
            let pvec = {
                let mut pinned = object.lock.lock();
                let pvec = self.unbind(&object, &mut pinned);
                pinned.gone = true;
                pvec
            };
            self.unpin(&pvec);
            Subscriptions::interval_remove(&*self.mm, &object.sub);
        }
    }

    /// The object of exactly these pages, made if there is none.
    fn object(&self, pages: PageRange) -> Result<Arc<Object>, Errno> {
        if let Some(object) = self.find(pages)? {
            return Ok(object);
        }
        let sub = Subscriptions::interval_insert(&*self.mm, pages, self.gpu.clone())?;
        let raw = RawMutex::new(self.object_class, current(Kernel::new_obj));
        let made = Arc::new(Object { pages, sub, lock: Mutex::from_raw(raw, Pinned::default()) });
        // Subscribing may have slept, so another task may have made it or the driver gone.
        let kept = match &mut *self.objects.lock() {
            Some(objects) => Some(Arc::clone(objects.entry(pages).or_insert_with(|| Arc::clone(&made)))),
            None => None,
        };
        match kept {
            Some(kept) if Arc::ptr_eq(&kept, &made) => Ok(kept),
            other => {
                Subscriptions::interval_remove(&*self.mm, &made.sub);
                other.ok_or(Errno::ENODEV)
            }
        }
    }

    fn find(&self, pages: PageRange) -> Result<Option<Arc<Object>>, Errno> {
        self.objects.lock().as_ref().ok_or(Errno::ENODEV).map(|objects| objects.get(&pages).cloned())
    }

    pub(super) fn get_pages(&self, pages: PageRange) -> Result<(), Errno> {
        // First: whoever subscribes must know that the address space has users.
        let _users = device::mmget_not_zero(&self.mm).ok_or(Errno::EFAULT)?;
        let object = self.object(pages)?;
        for _ in 0..self.retries {
            if self.try_get_pages(&object)? {
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }

    /// One attempt; false if an invalidation came between.
    fn try_get_pages(&self, object: &Object) -> Result<bool, Errno> {
        let seq = self.mm.subscriptions().read_begin(&object.sub);
        if !self.drop_stale(object, seq) {
            return Ok(true);
        }
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        let pvec = whole(&self.mm, object.pages, device::pin_user_pages, device::unpin_user_page)?;
        let published = self.publish(object, seq, &pvec);
        if published != Ok(true) {
            self.unpin(&pvec);
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
            self.unbind(object, &mut pinned)
        };
        self.unpin(&stale);
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
        let _guard = self.gpu.notifier_lock.lock();
        if object.sub.read_retry(seq) {
            return Ok(false);
        }
        let via = Via::interval(self.mm.subscriptions(), &object.sub);
        for (vpn, pfn) in object.pages.iter().zip(pvec) {
            self.gpu.device.set(via, vpn, *pfn, true);
        }
        *pinned = Pinned { pvec: pvec.to_vec(), seq, gone: false };
        Ok(true)
    }

    pub(super) fn put_pages(&self, pages: PageRange) -> Result<(), Errno> {
        if let Some(object) = self.find(pages)? {
            self.put_object(&object);
        }
        Ok(())
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
