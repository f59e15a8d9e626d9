//! Registration of list subscribers, and what the first subscriber of either family sets up.

use crate::annotations::Prime;
use crate::behaviour::Behaviour;
use crate::hlist::ListEntry;
use crate::names::NAMES;
use crate::ops::{Hooks, MmHost, Notifier};
use crate::quirks::Quirks;
use crate::subscriptions::{Call, Subscriptions};
use ksync::{Kernel, LockMap, current};
use mm_types::{Errno, Gfp, MmId, PageRange};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use trace::{EventKind, Hook, SubId, SubKind};

/// A registered list subscriber: what [`Subscriptions::register`] returned and [`Subscriptions::unregister`] consumes.
#[must_use = "a subscriber is taken back by `Subscriptions::unregister`"]
pub struct ListSub {
    id: SubId,
    mm: MmId,
    key: usize,
}

impl ListSub {
    /// Which subscription it is, in events.
    #[must_use]
    pub fn id(&self) -> SubId {
        self.id
    }

    /// Of which address space.
    #[must_use]
    pub fn mm_id(&self) -> MmId {
        self.mm
    }
}

impl fmt::Debug for ListSub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListSub").field("id", &self.id).field("mm", &self.mm).finish_non_exhaustive()
    }
}

impl Subscriptions {
    /// `mmu_notifier_register()`: adds a list subscriber at the head. Takes the mmap lock for writing and every rmap lock.
    /// The caller keeps a user of the mm and holds no lock that a callback takes, nor the mmap lock. May sleep. Sync point
    /// `notifier.register`.
    ///
    /// # Errors
    /// `EINVAL` for a subscriber with both range and secondary-TLB callbacks (two registrations are needed then), `ENOMEM`,
    /// `EINTR`. Nothing is subscribed then.
    pub fn register(host: &dyn MmHost, ops: Arc<dyn Notifier>) -> Result<ListSub, Errno> {
        let hooks = ops.hooks();
        let at_end = host.subscriptions().framework.behaviour.contains(Behaviour::SECONDARY_AT_RANGE_END);
        if !at_end && hooks.contains(Hooks::SECONDARY_TLB) && hooks.intersects(Hooks::RANGE_START | Hooks::RANGE_END) {
            return Err(Errno::EINVAL);
        }
        let mut added = None;
        current(|k| k.sync_reached(NAMES.register));
        install(host, &mut |k, subs| {
            host.mmgrab();
            added = Some(subs.add_listed(k, Arc::new(ListEntry { id: SubId(k.new_obj()), ops: ops.clone(), hooks })));
        })?;
        current(|k| k.sync_passed(NAMES.register));
        added.ok_or(Errno::EINTR)
    }

    fn add_listed(&self, k: &Kernel, entry: Arc<ListEntry>) -> ListSub {
        let _locked = self.lock.lock();
        let id = entry.id;
        k.emit(EventKind::Subscribed {
            sub: id,
            mm: self.mm,
            kind: SubKind::List,
            pages: PageRange::ALL,
            model: entry.ops.model(),
            owner: entry.ops.owner(),
            name: entry.ops.name(),
        });
        ListSub { id, mm: self.mm, key: self.list.add_head(k, entry) }
    }

    /// `mmu_notifier_unregister()`: calls `release`, unless the exit of the mm did; once it returns, no callback of `sub`
    /// runs or will run. The end of a bracket that is open now may never reach it. The caller holds no lock that a
    /// callback takes. May sleep. Sync point `notifier.unregister`.
    #[track_caller]
    pub fn unregister(host: &dyn MmHost, sub: ListSub) {
        let subs = host.subscriptions();
        let stays = subs.framework.quirks.contains(Quirks::CALLBACK_AFTER_UNREGISTER);
        if let Some(map) = subs.maps.release {
            map.touch();
        }
        current(|k| {
            k.sync_reached(NAMES.unregister);
            k.emit(EventKind::UnsubscribeStart { sub: sub.id });
            let unlinks_first = subs.framework.quirks.contains(Quirks::WAIT_FOR_RELEASE);
            let again = subs.framework.quirks.contains(Quirks::NO_MULTIPLE_RELEASE);
            if subs.list.is_hashed(k, sub.key) || again {
                if unlinks_first {
                    let _locked = subs.lock.lock();
                    subs.list.del(k, sub.key);
                }
                if unlinks_first {
                    k.sync_point(NAMES.unlinked);
                }
                subs.release_one(k, sub.key);
                let _locked = subs.lock.lock();
                if !stays {
                    subs.list.del(k, sub.key);
                }
            }
            subs.framework.srcu.synchronize();
            if !stays {
                subs.list.free(sub.key);
            }
            k.emit(EventKind::Unsubscribed { sub: sub.id });
            k.sync_passed(NAMES.unregister);
        });
        host.mmdrop();
    }

    /// Calls `release` of one subscriber inside a read section: an exit of the mm waits for it before it frees pages.
    fn release_one(&self, k: &Kernel, key: usize) {
        let _read = self.framework.srcu.read_lock();
        if let Some(entry) = self.list.entry(key) {
            self.call_release(k, &entry);
        }
    }

    pub(crate) fn call_release(&self, k: &Kernel, entry: &ListEntry) {
        if !entry.hooks.contains(Hooks::RELEASE) {
            return;
        }
        let call = Call { sub: entry.id, hook: Hook::Release, pages: PageRange::ALL, bracket: None, blockable: true };
        let map = self.maps.release.map(LockMap::acquire);
        call.run(k, || {
            entry.ops.release(self.mm);
            true
        });
        drop(map);
    }
}

/// Makes the mm one with an interval tree.
pub(crate) fn install_itree(host: &dyn MmHost) -> Result<(), Errno> {
    install(host, &mut |_, subs| subs.has_itree.store(true, Ordering::Release))
}

/// `__mmu_notifier_register()`: calls `add` under `mm_take_all_locks`, after what the first subscriber must allocate.
fn install(host: &dyn MmHost, add: &mut dyn FnMut(&Kernel, &Subscriptions)) -> Result<(), Errno> {
    let mut result = Ok(());
    host.with_mmap_write(&mut || result = install_locked(host, add));
    result
}

fn install_locked(host: &dyn MmHost, add: &mut dyn FnMut(&Kernel, &Subscriptions)) -> Result<(), Errno> {
    let subs = host.subscriptions();
    subs.prime_map(Prime::REGISTRATION);
    if !subs.has_subscribers() {
        // Before the locks: nothing may allocate under them.
        current(|k| k.kmalloc(Gfp::KERNEL, 1))?;
    }
    host.take_all_locks(&mut || {
        subs.prime_map(Prime::TAKE_ALL_LOCKS);
        current(|k| {
            k.visible_write(subs.brackets);
            subs.installed.store(true, Ordering::Release);
            add(k, subs);
        });
    })
}
