//! `gntdev`: pages granted to another domain, pinned until an invalidation takes the grant back.
//!
//! Each `map` is an interval subscription to exactly the pages that were granted; what is left of the VMA does not matter.
//!
//! ```text
//! map                                    invalidate
//! interval_insert                        refuse if it must not sleep
//! again:                                 lock &map->lock
//! seq = read_begin                         set_seq
//! pin                                      ungrant what of the range was granted
//! lock &map->lock                        unlock
//!   read_retry: unpin, and again
//!   grant
//! unlock
//! ```
//!
//! The kernel's maps foreign pages into a VMA of its own, under `mmap_lock` held for writing, where neither reclaim nor
//! migration comes; so it needs no `read_retry` and its callback no lock. Here the pages are the process's own, so it does;
//! `&map->lock` is ours, and `&priv->lock`, which guards the list of maps there, is held over an operation. Pages are unpinned after the callback, by the next operation.
//!
//! Source: gntdev_invalidate(), gntdev_mmap(), drivers/xen/gntdev.c, 6.12.

use super::parts::{Base, mutants};
use super::{RETRIES_OPTION, access, clamp, put_all, whole};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use crate::via::Via;
use ksync::{ClassIdx, Kernel, LockClass, Mutex, RawMutex, current};
use mm::{Mm, device};
use mm_types::{Errno, MmId, Name, PageRange, Pfn, Vpn};
use mmu_notifier::{IntervalNotifier, IntervalSub, Subscriptions};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use trace::{AccessModel, LockKind, NotifyRange};

mutants! {
    ComparesVmaBounds = "compares-vma-bounds": "ignores invalidations outside of what is left of the VMA after it was split",
    WholeMapOnly = "whole-map-only": "takes the grant back only when all of the map is invalidated",
    ForgetsOnError = "forgets-on-error": "forgets a map that could not be granted, with its subscription in place",
    SleepInNonblock = "sleep-in-nonblock": "waits for its lock in a callback that must not sleep",
}

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "gntdev",
    doc: "grants pinned pages until an invalidation takes them back, part by part",
    mutants: Mutant::ALL,
    options: &[RETRIES_OPTION],
    ops: OPS,
    roles: Roles { map_write: Some("map"), ..Roles::BY_NAME },
    whole_mm: false,
    make,
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "[RANGE]", doc: "grants the pages, if there is no map of exactly these" },
    OpInfo { name: "unmap", args: "[RANGE]", doc: "takes the grant of exactly these pages back and unpins them" },
    OpInfo { name: "read", args: "ADDR", doc: "the other domain reads; without a grant EFAULT" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the other domain writes; without a grant EFAULT" },
];

const MAP_LOCK: &str = "&map->lock";
const PRIV_LOCK: &str = "&priv->lock";

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    let base = Base::new(k, mm, pages, config);
    let class = k.class(LockClass::new(MAP_LOCK, LockKind::Mutex));
    let lock = k.mutex(PRIV_LOCK, ());
    Arc::new(Gntdev { base, class, mutant: Mutant::of(config), lock, maps: parking_lot::Mutex::new(None) })
}

/// `struct gntdev_grant_map`.
struct Map {
    device: Arc<Device>,
    mm: MmId,
    /// For `compares-vma-bounds` only: a subscriber must not own the mm.
    vma_of: Weak<Mm>,
    mutant: Option<Mutant>,
    /// What was granted: `pages_vm_start`, `count`.
    pages: PageRange,
    /// The pages pinned, which the map owes back.
    lock: Mutex<Vec<Pfn>>,
}

impl IntervalNotifier for Map {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn model(&self) -> AccessModel {
        AccessModel::PinUntilInvalidate
    }

    fn invalidate(&self, sub: &IntervalSub, range: &NotifyRange, cur_seq: u64) -> bool {
        if !range.blockable && self.mutant != Some(Mutant::SleepInNonblock) {
            return false;
        }
        let _guard = self.lock.lock();
        sub.set_seq(cur_seq);
        if self.concerns(range.pages) {
            self.device.zap(self.mm, clamp(range.pages, self.pages));
        }
        true
    }
}

impl Map {
    /// Whether a grant must go: always, in the correct driver.
    fn concerns(&self, range: PageRange) -> bool {
        match self.mutant {
            Some(Mutant::WholeMapOnly) => range.covers(self.pages),
            Some(Mutant::ComparesVmaBounds) => {
                // A split leaves the VMA that the driver knows the part below.
                let vma = self.vma_of.upgrade().and_then(|mm| mm.find_vma(self.pages.start()));
                vma.is_some_and(|vma| vma.start() < range.end() && range.start() < vma.end())
            }
            _ => true,
        }
    }
}

type Maps = BTreeMap<PageRange, (Arc<IntervalSub>, Arc<Map>)>;

/// The driver: one open file.
struct Gntdev {
    base: Base,
    class: ClassIdx,
    mutant: Option<Mutant>,
    /// `&priv->lock`: one operation on maps at a time.
    lock: Mutex<()>,
    /// A storage lock; `None` when not attached.
    maps: parking_lot::Mutex<Option<Maps>>,
}

impl Gntdev {
    fn map(&self, pages: PageRange) -> Result<(), Errno> {
        self.base.own(pages)?;
        let _users = self.base.users()?;
        let _priv = self.lock.lock();
        let (sub, map) = self.map_of(pages)?;
        let granted = self.base.retry(|| self.try_map(&sub, &map));
        if granted.is_err() && self.mutant == Some(Mutant::ForgetsOnError) {
            self.maps.lock().as_mut().ok_or(Errno::ENODEV)?.remove(&pages);
        }
        granted
    }

    /// The map of exactly these pages, made if there is none.
    fn map_of(&self, pages: PageRange) -> Result<(Arc<IntervalSub>, Arc<Map>), Errno> {
        if let Some(found) = self.maps.lock().as_ref().ok_or(Errno::ENODEV)?.get(&pages) {
            return Ok(found.clone());
        }
        let base = &self.base;
        let map = Arc::new(Map {
            device: Arc::clone(&base.device),
            mm: base.mm.id(),
            vma_of: Arc::downgrade(&base.mm),
            mutant: self.mutant,
            pages,
            lock: Mutex::from_raw(RawMutex::new(self.class, current(Kernel::new_obj)), Vec::new()),
        });
        let sub = Subscriptions::interval_insert(&*base.mm, pages, map.clone())?;
        let made = (sub, map);
        self.maps.lock().as_mut().ok_or(Errno::ENODEV)?.insert(pages, made.clone());
        Ok(made)
    }

    fn try_map(&self, sub: &IntervalSub, map: &Map) -> Result<Option<()>, Errno> {
        let mm = &self.base.mm;
        self.ungrant(map);
        let seq = mm.subscriptions().read_begin(sub);
        let pvec = whole(mm, map.pages, device::pin_user_pages, device::unpin_user_page)?;
        let granted = self.grant(sub, seq, map, &pvec);
        if !granted {
            put_all(mm, &pvec, device::unpin_user_page);
        }
        Ok(granted.then_some(()))
    }

    /// False if an invalidation came between: nothing was granted then.
    fn grant(&self, sub: &IntervalSub, seq: u64, map: &Map, pvec: &[Pfn]) -> bool {
        let mut pinned = map.lock.lock();
        if sub.read_retry(seq) {
            return false;
        }
        let via = Via::interval(self.base.mm.subscriptions(), sub);
        let pages: Vec<(Vpn, &Pfn)> = map.pages.iter().zip(pvec).collect();
        pages.into_iter().for_each(|(vpn, pfn)| self.base.device.set(via, vpn, *pfn, true));
        *pinned = pvec.to_vec();
        true
    }

    /// Takes every grant of the map back, and then gives the pages back.
    fn ungrant(&self, map: &Map) {
        let pvec = {
            let mut pinned = map.lock.lock();
            self.base.device.zap(self.base.mm.id(), map.pages);
            std::mem::take(&mut *pinned)
        };
        put_all(&self.base.mm, &pvec, device::unpin_user_page);
    }

    fn close(&self, (sub, map): &(Arc<IntervalSub>, Arc<Map>)) {
        Subscriptions::interval_remove(&*self.base.mm, sub);
        self.ungrant(map);
    }
}

impl Driver for Gntdev {
    fn name(&self) -> Name {
        self.base.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.base.device
    }

    fn attach(&self) -> Result<(), Errno> {
        *self.maps.lock() = Some(Maps::new());
        Ok(())
    }

    fn detach(&self) {
        let _priv = self.lock.lock();
        let maps = self.maps.lock().take();
        maps.unwrap_or_default().values().for_each(|map| self.close(map));
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.base.pages);
        match op.as_str() {
            "map" => self.map(pages),
            "unmap" => {
                let _priv = self.lock.lock();
                let map = self.maps.lock().as_mut().ok_or(Errno::ENODEV)?.remove(&pages);
                map.iter().for_each(|map| self.close(map));
                Ok(())
            }
            "read" => access(&self.base.device, self.base.mm.id(), args, false),
            "write" => access(&self.base.device, self.base.mm.id(), args, true),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        &[DriverLock { name: "map_lock", class: MAP_LOCK }, DriverLock { name: "priv_lock", class: PRIV_LOCK }]
    }
}
