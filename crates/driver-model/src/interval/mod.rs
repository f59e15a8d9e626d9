//! A typed interval driver: what must not be forgotten is asked for by the compiler.
//!
//! [`IntervalDriver`] is what a driver's author writes, in the shape of the kernel's own Rust abstractions (a guard proves a
//! lock, a value proves a step, two types for the two counts of an mm). [`kind`] makes a
//! [`DriverKind`] of it: device, subscription, operations and their arguments are looked after here.
//!
//! | rule | what holds the author to it | forgetting it |
//! |---|---|---|
//! | the device's table is touched under the notifier lock | only the guard [`Table`] reaches it | no method to call |
//! | `invalidate` tells the sequence | it returns [`Invalidated`], which only [`Table::set_seq`] makes | nothing to return |
//! | it refuses only where it must not sleep | [`Refused`] comes from [`NotifierLock::lock_for`] alone | nothing to return |
//! | nothing is published without a passed `read_retry`, under the lock it was asked under | [`Fresh::publish`]: only [`Table::read_retry`] makes a [`Fresh`], and it borrows the guard | no method to call |
//! | looking up needs a user's hold of the mm | `read_begin` is a method of [`MmWithUser`] | no method to call |
//! | what was subscribed is removed | `remove` returns [`Removed`], which only [`Subscription::remove`] makes | nothing to return |
//!
//! What the compiler does not see is left to the lab: that the right pages are taken away, that nothing sleeps where it
//! must not, that nothing is allocated under the lock. A driver that is wrong on purpose gets its proofs from [`wrong`],
//! and from nowhere else, so that a search for that word finds every one of them.
//!
//! # Protocol
//!
//! ```text
//! map                                       invalidate
//! mm.mmget_not_zero()
//! mm.read_begin()
//! seq.hmm_range_fault(pages, write)
//! lock()                                    lock_for(inv): try_lock where it must not sleep
//!   read_retry(found): start over if Err      set_seq(inv)
//!   fresh.publish()                           zap(inv.pages())
//! unlock                                    unlock
//! ```
//!
//! # What does not compile
//!
//! An `invalidate` without `set_seq` has nothing to return:
//!
//! ```compile_fail,E0308
//! use driver_model::interval::*;
//! fn invalidate<'a>(lock: &NotifierLock, inv: Invalidation<'a>) -> Result<Invalidated<'a>, Refused<'a>> {
//!     let mut table = lock.lock_for(inv)?;
//!     table.zap(inv.pages());
//!     Ok(())
//! }
//! ```
//!
//! With it the same compiles:
//!
//! ```
//! use driver_model::interval::*;
//! fn invalidate<'a>(lock: &NotifierLock, inv: Invalidation<'a>) -> Result<Invalidated<'a>, Refused<'a>> {
//!     let mut table = lock.lock_for(inv)?;
//!     let told = table.set_seq(inv);
//!     table.zap(inv.pages());
//!     Ok(told)
//! }
//! ```
//!
//! A proof cannot be made by hand, nor kept from one invalidation for the next:
//!
//! ```compile_fail,E0451
//! use driver_model::interval::*;
//! fn invalidate<'a>(_: Invalidation<'a>) -> Invalidated<'a> {
//!     Invalidated { of: std::marker::PhantomData }
//! }
//! ```
//!
//! ```compile_fail
//! use driver_model::interval::*;
//! fn keep(kept: &mut Option<Invalidated<'static>>, told: Invalidated<'_>) {
//!     *kept = Some(told);
//! }
//! ```
//!
//! The table without its lock has no methods, and the lock gives no other way to it:
//!
//! ```compile_fail,E0599
//! use driver_model::interval::*;
//! fn unmap(lock: &NotifierLock, pages: PageRange) {
//!     lock.zap(pages);
//! }
//! ```
//!
//! Pages as they were found cannot be published, only those that passed `read_retry`:
//!
//! ```compile_fail,E0599
//! use driver_model::interval::*;
//! fn map(lock: &NotifierLock, found: Found<'_>) {
//!     let _table = lock.lock();
//!     found.publish();
//! }
//! ```
//!
//! and not after the lock was let go in between:
//!
//! ```compile_fail,E0505
//! use driver_model::interval::*;
//! fn map(lock: &NotifierLock, found: Found<'_>) -> Result<(), Collided> {
//!     let table = lock.lock();
//!     let fresh = table.read_retry(found)?;
//!     drop(table);
//!     fresh.publish();
//!     Ok(())
//! }
//! ```
//!
//! An mm whose users may be gone cannot be looked up:
//!
//! ```compile_fail,E0599
//! use driver_model::interval::*;
//! fn map(mm: &MmRef<'_>) {
//!     let _ = mm.read_begin();
//! }
//! ```
//!
//! A driver that overrides `remove` has to remove:
//!
//! ```compile_fail,E0308
//! use driver_model::interval::*;
//! fn remove<'a>(sub: Subscription<'a>) -> Removed<'a> {
//! }
//! ```

mod bound;
mod invalidation;
mod lookup;
mod table;
pub mod wrong;

use crate::device::Device;
use crate::driver::{Args, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, HasKind, MutantInfo, OptionInfo, Roles};
use crate::typed;
use ksync::{Kernel, Mutex, current};
use std::sync::Arc;

pub use crate::typed::{Collided, OPS, RETRIES};
pub use bound::{Removed, Subscription};
pub use invalidation::{Invalidated, Invalidation, Refused};
pub use lookup::{Found, MmRef, MmWithUser, ReadSeq};
pub use mm::device::HmmError;
pub use mm_types::{Errno, Gfp, MmId, Name, PageRange, Vpn};
pub use table::{Fresh, NotifierLock, Table};
pub use trace::{AccessModel, NotifyEvent};

/// A driver of one device for some pages of one address space, subscribed as `struct mmu_interval_notifier` is.
///
/// A value lives as long as its device and may be subscribed several times. All methods run inside of the machine's
/// kernel.
pub trait IntervalDriver: Send + Sync + Sized + 'static {
    /// What its notifier lock protects besides the device's page table.
    type State: Send + 'static;

    /// The name a scenario writes.
    const NAME: &'static str;
    /// One line.
    const DOC: &'static str;
    /// Ways in which it can be wrong on purpose.
    const MUTANTS: &'static [MutantInfo] = &[];
    /// What else it can be told.
    const OPTIONS: &'static [OptionInfo] = &[];
    /// Its operations: [`OPS`], and those that [`IntervalDriver::op`] carries out.
    const OPS: &'static [OpInfo] = OPS;
    /// What they are for.
    const ROLES: Roles = Roles::BY_NAME;
    /// Its locks, for scenarios that pin their acquisition.
    const LOCKS: &'static [DriverLock] = &[];
    /// How it uses translations: what STALE judges it by.
    const MODEL: AccessModel = AccessModel::Mirror;
    /// Whether its device has entries for 2 MiB: then [`Fresh::publish`] makes one wherever the process has one too and all its
    /// pages are the driver's.
    const HUGE: bool = false;

    /// Makes one. Context: setup, nothing is subscribed.
    fn probe(dev: &Probe<'_>) -> Self;

    /// The notifier lock, around the device's page table.
    fn table(&self) -> &NotifierLock<Self::State>;

    /// Translations of `inv.pages()` are about to go. May sleep only if `inv.blockable()`.
    ///
    /// # Errors
    /// [`Refused`] where it would have had to sleep and must not. Then nothing has changed.
    ///
    /// Source: `struct mmu_interval_notifier_ops`, include/linux/mmu_notifier.h, 6.12.
    fn invalidate<'a>(&self, inv: Invalidation<'a>) -> Result<Invalidated<'a>, Refused<'a>>;

    /// The fault handler: looks `pages` up and publishes them. May sleep; no lock is held.
    ///
    /// # Errors
    /// `EFAULT` for pages that are not there or not watched, `ENODEV` when not subscribed, `EBUSY` after [`RETRIES`]
    /// collisions, `ENOMEM`.
    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno>;

    /// One access of the device, of a page's word: a fault is handled by `map`. May sleep; no lock is held.
    ///
    /// # Errors
    /// Those of `map`; `EBUSY` after [`RETRIES`] faults.
    fn access(&self, mm: &MmRef<'_>, vpn: Vpn, store: Option<u64>) -> Result<(), Errno> {
        let map = |page| self.map(mm, page, store.is_some());
        typed::access(&self.table().device, mm.id(), vpn, store, map)
    }

    /// Takes translations away, on the driver's own behalf.
    fn unmap(&self, pages: PageRange) {
        self.table().lock().zap(pages);
    }

    /// The subscription ends. Called when the device has no translation any more and gets none.
    fn remove<'a>(&self, sub: Subscription<'a>) -> Removed<'a> {
        sub.remove()
    }

    /// An operation of its own.
    ///
    /// # Errors
    /// `EINVAL` for one it does not have.
    fn op(&self, mm: &MmRef<'_>, op: &str, args: &Args) -> Result<(), Errno> {
        let _ = (mm, op, args);
        Err(Errno::EINVAL)
    }
}

/// What [`IntervalDriver::probe`] makes a driver from, and [`ListDriver::probe`](crate::list::ListDriver::probe).
pub struct Probe<'a> {
    pub(crate) k: &'a Kernel,
    pub(crate) device: &'a Arc<Device>,
    pub(crate) mm: MmId,
    config: &'a Config,
}

impl<'a> Probe<'a> {
    pub(crate) const fn new(k: &'a Kernel, device: &'a Arc<Device>, mm: MmId, config: &'a Config) -> Probe<'a> {
        Probe { k, device, mm, config }
    }

    /// The lock of lockdep class `class` that protects the device's page table, and `state`.
    #[must_use]
    pub fn notifier_lock<T>(&self, class: &str, state: T) -> NotifierLock<T> {
        NotifierLock::new(self.k, class, Arc::clone(self.device), self.mm, state)
    }

    /// A mutex of lockdep class `class`.
    #[must_use]
    pub fn mutex<T>(&self, class: &str, value: T) -> Mutex<T> {
        self.k.mutex(class, value)
    }

    /// What the driver was told: its mutant and its options.
    #[must_use]
    pub fn config(&self) -> &Config {
        self.config
    }
}

/// `kmalloc()` of so many pages, freed at once: what allocating does to the rest of the kernel. Enters `fs_reclaim`, may sleep
/// and reclaim as `gfp` says. Not under a lock that `invalidate` takes.
///
/// # Errors
/// `ENOMEM`.
#[track_caller]
pub fn kmalloc(gfp: Gfp, nr_pages: u32) -> Result<(), Errno> {
    current(|k| k.kmalloc(gfp, nr_pages))
}

/// `D` as a driver that can be made by name.
#[must_use]
pub const fn kind<D: IntervalDriver>() -> DriverKind {
    DriverKind {
        name: D::NAME,
        doc: D::DOC,
        mutants: D::MUTANTS,
        options: D::OPTIONS,
        ops: D::OPS,
        roles: D::ROLES,
        whole_mm: false,
        make: bound::make::<D>,
    }
}

impl<D: IntervalDriver> HasKind for D {
    const KIND: DriverKind = kind::<D>();
}
