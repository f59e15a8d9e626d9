//! As i915 was in 2019: one list subscriber for the address space, start only, with an interval list of the objects that
//! have pages or a look-up in flight.
//!
//! ```text
//! get_pages                            range_start, for each active object that overlaps
//! lock &obj->mm.lock                   lock &mn->lock; find it; unlock
//!   page array (GFP_KERNEL)  <-- (1)   trylock &dev->struct_mutex, else wait for it
//!   schedule the look-up               lock &obj->mm.lock  <-- (2)
//!   become active                        cancel the look-up, become inactive
//! unlock                                 take translations away, give pages back
//! worker                               unlock
//! get_user_pages
//! lock &obj->mm.lock
//!   unless cancelled:
//!   table (GFP_KERNEL)       <-- (3)
//!   publish
//! unlock
//! ```
//!
//! (1) and (3) enter reclaim under the lock that (2) takes inside reclaim. At (3) the object is active, so if reclaim picks
//! one of its pages, the task waits for itself. The mutex and the trylock are as in
//! drivers/gpu/drm/i915/gem/i915_gem_userptr.c, 5.3; there the mutex of (2) had a lockdep subclass of its own, which hid
//! the inversion, and is left out here.

use crate::device::Device;
use crate::driver::DriverLock;
use crate::drivers::whole;
use crate::via::Via;
use ksync::{ClassIdx, Kernel, LockClass, Mutex, MutexGuard, RawMutex, SpinLock, current};
use mm::{Machine, Mm, device};
use mm_types::{Errno, Gfp, MmId, Name, PageRange, Pfn, TaskId};
use mmu_notifier::{Hooks, ListSub, Notifier, Subscriptions, WouldBlock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use trace::{AccessModel, LockKind, NotifyRange};

const OBJECT_CLASS: &str = "&obj->mm.lock";
const STRUCT_MUTEX_CLASS: &str = "&dev->struct_mutex";
const MN_CLASS: &str = "&mn->lock";

pub(super) const LOCKS: &[DriverLock] = &[
    DriverLock { name: "obj", class: OBJECT_CLASS },
    DriverLock { name: "struct_mutex", class: STRUCT_MUTEX_CLASS },
    DriverLock { name: "mn", class: MN_CLASS },
];

/// The driver.
pub(super) struct Y2019 {
    mm: Arc<Mm>,
    mn: Arc<Mn>,
    object_class: ClassIdx,
    /// Whether `get_pages` runs the worker itself.
    inline: bool,
    /// A storage lock; `None` when not attached.
    attached: parking_lot::Mutex<Option<Attached>>,
}

struct Attached {
    sub: ListSub,
    via: Via,
    objects: BTreeMap<PageRange, Arc<Object>>,
    /// Look-ups scheduled and not begun, oldest first.
    works: Vec<Work>,
}

/// A scheduled look-up.
struct Work {
    object: Arc<Object>,
    /// Which one of the object's; a callback cancels it by forgetting the number.
    number: u64,
}

/// What callbacks need: the kernel's `struct i915_mmu_notifier` and the device.
struct Mn {
    device: Arc<Device>,
    machine: Arc<Machine>,
    mm: MmId,
    struct_mutex: StructMutex,
    /// The interval list. The kernel has a tree; a driver here has a handful of objects.
    active: SpinLock<Vec<Arc<Object>>>,
}

struct Object {
    pages: PageRange,
    /// `&obj->mm.lock`.
    lock: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    pvec: Vec<Pfn>,
    /// The look-up in flight.
    work: Option<u64>,
    works: u64,
}

/// `&dev->struct_mutex` with its owner, for `mutex_trylock_recursive()`.
struct StructMutex {
    lock: Mutex<()>,
    /// Task id plus 1, or 0.
    owner: AtomicU32,
}

struct StructMutexGuard<'a> {
    mutex: &'a StructMutex,
    _guard: MutexGuard<'a, ()>,
}

impl StructMutex {
    fn own<'a>(&'a self, guard: MutexGuard<'a, ()>) -> StructMutexGuard<'a> {
        self.owner.store(current(Kernel::current_task).0 + 1, Ordering::Relaxed);
        StructMutexGuard { mutex: self, _guard: guard }
    }

    fn lock(&self) -> StructMutexGuard<'_> {
        self.own(self.lock.lock())
    }

    /// The mutex, unless the current task has it already: trylock first, so that lockdep learns no order from luck.
    fn lock_recursive(&self) -> Option<StructMutexGuard<'_>> {
        let TaskId(me) = current(Kernel::current_task);
        if self.owner.load(Ordering::Relaxed) == me + 1 {
            return None;
        }
        Some(match self.lock.try_lock() {
            Some(guard) => self.own(guard),
            None => self.lock(),
        })
    }
}

impl Drop for StructMutexGuard<'_> {
    fn drop(&mut self) {
        self.mutex.owner.store(0, Ordering::Relaxed);
    }
}

impl Notifier for Mn {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::PinUntilInvalidate
    }

    fn hooks(&self) -> Hooks {
        Hooks::RANGE_START
    }

    fn invalidate_range_start(&self, range: &NotifyRange) -> Result<(), WouldBlock> {
        let mut struct_mutex = None;
        while let Some(object) = self.first_active(range.pages) {
            if !range.blockable {
                return Err(WouldBlock);
            }
            if struct_mutex.is_none() {
                struct_mutex = Some(self.struct_mutex.lock_recursive());
            }
            self.unbind(&object);
        }
        Ok(())
    }
}

impl Mn {
    fn first_active(&self, pages: PageRange) -> Option<Arc<Object>> {
        self.active.lock().iter().find(|o| o.pages.overlaps(pages)).cloned()
    }

    fn set_active(&self, object: &Arc<Object>, on: bool) {
        let mut active = self.active.lock();
        active.retain(|o| !Arc::ptr_eq(o, object));
        if on {
            active.push(Arc::clone(object));
        }
    }

    fn put(&self, pvec: Vec<Pfn>) {
        pvec.into_iter().for_each(|pfn| device::put_user_page(&self.machine, pfn));
    }

    /// The whole object goes, whatever part of it was invalidated.
    fn unbind(&self, object: &Arc<Object>) {
        let mut inside = object.lock.lock();
        inside.work = None;
        self.set_active(object, false);
        self.device.zap(self.mm, object.pages);
        self.put(std::mem::take(&mut inside.pvec));
    }
}

impl Y2019 {
    pub(super) fn new(k: &Kernel, mm: Arc<Mm>, device: Arc<Device>, inline: bool) -> Y2019 {
        let mn = Mn {
            device,
            machine: Arc::clone(mm.machine()),
            mm: mm.id(),
            struct_mutex: StructMutex { lock: k.mutex(STRUCT_MUTEX_CLASS, ()), owner: AtomicU32::new(0) },
            active: k.spinlock(MN_CLASS, Vec::new()),
        };
        let object_class = k.class(LockClass::new(OBJECT_CLASS, LockKind::Mutex));
        Y2019 { mm, mn: Arc::new(mn), object_class, inline, attached: parking_lot::Mutex::new(None) }
    }

    pub(super) fn attach(&self) -> Result<(), Errno> {
        let sub = Subscriptions::register(&*self.mm, self.mn.clone())?;
        let via = Via::list(self.mm.subscriptions(), &sub);
        *self.attached.lock() = Some(Attached { sub, via, objects: BTreeMap::new(), works: Vec::new() });
        Ok(())
    }

    pub(super) fn detach(&self) {
        let Some(attached) = self.attached.lock().take() else { return };
        for object in attached.objects.values() {
            self.put_object(object);
        }
        Subscriptions::unregister(&*self.mm, attached.sub);
    }

    fn with<R>(&self, f: impl FnOnce(&mut Attached) -> R) -> Result<R, Errno> {
        self.attached.lock().as_mut().map(f).ok_or(Errno::ENODEV)
    }

    /// The object of exactly these pages, made if there is none.
    fn object(&self, pages: PageRange) -> Result<Arc<Object>, Errno> {
        let made = || {
            let raw = RawMutex::new(self.object_class, current(Kernel::new_obj));
            Arc::new(Object { pages, lock: Mutex::from_raw(raw, Inside::default()) })
        };
        self.with(|a| Arc::clone(a.objects.entry(pages).or_insert_with(made)))
    }

    pub(super) fn get_pages(&self, pages: PageRange) -> Result<(), Errno> {
        let object = self.object(pages)?;
        {
            let mut inside = object.lock.lock();
            if !inside.pvec.is_empty() || inside.work.is_some() {
                return Ok(());
            }
            current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
            inside.works += 1;
            let number = inside.works;
            inside.work = Some(number);
            self.mn.set_active(&object, true);
            self.with(|a| a.works.push(Work { object: Arc::clone(&object), number }))?;
        }
        if self.inline { self.worker() } else { Ok(()) }
    }

    /// Runs every look-up that is scheduled; the first error.
    pub(super) fn worker(&self) -> Result<(), Errno> {
        let mut result = Ok(());
        while let Some(work) = self.with(|a| if a.works.is_empty() { None } else { Some(a.works.remove(0)) })? {
            result = result.and(self.look_up(&work));
        }
        result
    }

    fn look_up(&self, work: &Work) -> Result<(), Errno> {
        let looked_up = match device::mmget_not_zero(&self.mm) {
            Some(_users) => whole(&self.mm, work.object.pages, device::get_user_pages, device::put_user_page),
            None => Err(Errno::EFAULT),
        };
        let mut inside = work.object.lock.lock();
        let cancelled = inside.work != Some(work.number);
        let result = match &looked_up {
            Err(errno) => Err(*errno),
            Ok(_) if cancelled => Ok(()),
            Ok(pvec) => self.publish(&work.object, pvec),
        };
        if !cancelled {
            inside.work = None;
        }
        match looked_up {
            Ok(pvec) if !cancelled && result.is_ok() => inside.pvec = pvec,
            Ok(pvec) => {
                self.give_up(work, cancelled);
                drop(inside);
                self.mn.put(pvec);
            }
            Err(_) => self.give_up(work, cancelled),
        }
        result
    }

    /// A look-up that failed makes its object inactive; one that was cancelled is no longer the object's.
    fn give_up(&self, work: &Work, cancelled: bool) {
        if !cancelled {
            self.mn.set_active(&work.object, false);
        }
    }

    /// Called with the object's lock held, which the table is allocated under.
    fn publish(&self, object: &Object, pvec: &[Pfn]) -> Result<(), Errno> {
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
        let via = self.with(|a| a.via)?;
        for (vpn, pfn) in object.pages.iter().zip(pvec) {
            self.mn.device.set(via, vpn, *pfn, true);
        }
        Ok(())
    }

    pub(super) fn put_pages(&self, pages: PageRange) -> Result<(), Errno> {
        if let Some(object) = self.with(|a| a.objects.get(&pages).cloned())? {
            self.put_object(&object);
        }
        Ok(())
    }

    fn put_object(&self, object: &Arc<Object>) {
        let _struct_mutex = self.mn.struct_mutex.lock();
        self.mn.unbind(object);
    }
}
