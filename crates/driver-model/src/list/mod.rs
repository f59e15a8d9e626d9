//! A typed list driver: what must not be forgotten is asked for by the compiler.
//!
//! [`ListDriver`] is what a driver's author writes for `mmu_notifier_register()`, as KVM does: told of the whole address space, by
//! a call before and one after each change, and by `release` when it ends. The sibling of [`interval`](crate::interval), whose
//! framework keeps the sequence that a list driver has to keep itself.
//!
//! | rule | what holds the author to it | forgetting it |
//! |---|---|---|
//! | the device's table is touched under its lock | only the guard [`Table`] reaches it | no method to call |
//! | a start counts its bracket, once | it returns [`Started`], which only [`Table::begin`] makes of the one [`Start`] there is | nothing to return |
//! | an end closes it and lets the sequence go on, once | it returns [`Ended`], which only [`Table::end`] makes | nothing to return |
//! | `release` leaves nothing, and nothing comes after it | it returns [`Released`], which only [`Table::close`] makes | nothing to return |
//! | nothing is published without a passed `retry`, under the lock it was asked under | [`Fresh::publish`]: only [`Table::retry`] makes a [`Fresh`], and it borrows the guard | no method to call |
//! | nothing is published from the process's page table while a bracket is open | [`Table::publish_present`] looks; the guard is its receiver | no method to call |
//! | looking up needs a user's hold of the mm | `read_begin` is a method of [`MmWithUser`] | no method to call |
//! | pages that were got are put | [`Found`] puts them when it is dropped | it does not have to be remembered |
//! | what was registered is unregistered | `unregister` returns [`Unregistered`], which only [`Subscription::unregister`] makes | nothing to return |
//!
//! What the compiler does not see is left to the lab: that the right pages are taken away, before the start returns, and that
//! nothing sleeps under the lock, which is a spinlock so that no callback has to refuse. A driver that is wrong on purpose gets
//! its proofs from [`wrong`], and from nowhere else.
//!
//! # Protocol
//!
//! ```text
//! map                                       invalidate_range_start
//! mm.mmget_not_zero()                       lock()
//! mm.read_begin(): waits for no bracket       begin(start)
//! seq.get_user_pages(pages, write)            zap(pages)
//! lock()                                    unlock
//!   retry(&found): start over if Err          the process's entries change
//!   fresh.publish()                         invalidate_range_end
//! unlock                                    lock(); end(end); unlock
//! ```
//!
//! Source: kvm_mmu_notifier_invalidate_range_start(), virt/kvm/kvm_main.c; mmu_invalidate_retry(), include/linux/kvm_host.h; 6.12.
//!
//! # What does not compile
//!
//! A start that does not count has nothing to return:
//!
//! ```compile_fail,E0308
//! use driver_model::list::*;
//! fn invalidate_range_start<'a>(lock: &MmuLock, start: Start<'a>) -> Started<'a> {
//!     lock.lock().zap(start.pages());
//! }
//! ```
//!
//! With it the same compiles:
//!
//! ```
//! use driver_model::list::*;
//! fn invalidate_range_start<'a>(lock: &MmuLock, start: Start<'a>) -> Started<'a> {
//!     let mut table = lock.lock();
//!     table.zap(start.pages());
//!     table.begin(start)
//! }
//! ```
//!
//! A bracket cannot be counted twice, nor an end taken for a start:
//!
//! ```compile_fail,E0382
//! use driver_model::list::*;
//! fn invalidate_range_start<'a>(lock: &MmuLock, start: Start<'a>) -> Started<'a> {
//!     let _once = lock.lock().begin(start);
//!     lock.lock().begin(start)
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use driver_model::list::*;
//! fn invalidate_range_end<'a>(lock: &MmuLock, end: End<'a>) -> Ended<'a> {
//!     lock.lock().begin(end)
//! }
//! ```
//!
//! An end that lets the sequence stand has nothing to return, and no proof can be made by hand:
//!
//! ```compile_fail,E0308
//! use driver_model::list::*;
//! fn invalidate_range_end<'a>(lock: &MmuLock, end: End<'a>) -> Ended<'a> {
//! }
//! ```
//!
//! ```compile_fail,E0451
//! use driver_model::list::*;
//! fn forge<'a>() -> Ended<'a> {
//!     Ended { of: std::marker::PhantomData }
//! }
//! ```
//!
//! The table cannot be reached without its lock:
//!
//! ```compile_fail,E0599
//! use driver_model::list::*;
//! fn zap(lock: &MmuLock, pages: PageRange) {
//!     lock.zap(pages);
//! }
//! ```
//!
//! What was looked up cannot be published as it is, nor after the lock was let go:
//!
//! ```compile_fail,E0599
//! use driver_model::list::*;
//! fn map(found: Found<'_>) {
//!     found.publish();
//! }
//! ```
//!
//! ```compile_fail,E0505
//! use driver_model::list::*;
//! fn map(lock: &MmuLock, found: Found<'_>) -> Result<(), Collided> {
//!     let table = lock.lock();
//!     let fresh = table.retry(&found)?;
//!     drop(table);
//!     fresh.publish();
//!     Ok(())
//! }
//! ```
//!
//! Nor is the process's page table asked without the lock:
//!
//! ```compile_fail,E0599
//! use driver_model::list::*;
//! fn map(lock: &MmuLock, mm: &MmRef<'_>, vpn: Vpn) -> Result<bool, Errno> {
//!     lock.publish_present(mm, vpn, false)
//! }
//! ```
//!
//! `release` has to close, and `unregister` to unregister:
//!
//! ```compile_fail,E0308
//! use driver_model::list::*;
//! fn release<'a>(lock: &MmuLock, release: Release<'a>) -> Released<'a> {
//!     lock.lock().zap(PageRange::ALL);
//! }
//! ```
//!
//! ```compile_fail,E0308
//! use driver_model::list::*;
//! fn unregister<'a>(sub: Subscription<'a>) -> Unregistered<'a> {
//! }
//! ```

mod bound;
mod bracket;
mod lookup;
mod table;
pub mod wrong;

use crate::driver::{Args, DriverLock, OpInfo};
use crate::kind::{DriverKind, MutantInfo, OptionInfo, Roles};
use crate::typed;
use std::sync::Arc;

pub use crate::device::DeviceFault;
pub use crate::interval::{Probe, kmalloc};
pub use crate::typed::{Collided, OPS, RETRIES};
pub use bound::{Subscription, Unregistered};
pub use bracket::{End, Ended, Release, Released, Start, Started};
pub use lookup::{Found, MmRef, MmWithUser, ReadSeq};
pub use mm_types::{Errno, Gfp, MmId, Name, PageRange, Vpn};
pub use table::{Fresh, MmuLock, Table};
pub use trace::{AccessModel, NotifyEvent};

/// A driver of one device for some pages of one address space, subscribed as `struct mmu_notifier` is.
///
/// A value lives as long as its device and may be subscribed several times. All methods run inside of the machine's kernel. To
/// be made by name it says how: `impl HasKind for Toy { const KIND: DriverKind = list::kind::<Toy>(); }`.
pub trait ListDriver: Send + Sync + Sized + 'static {
    /// What its lock protects besides the device's page table.
    type State: Send + 'static;

    /// The name a scenario writes.
    const NAME: &'static str;
    /// One line.
    const DOC: &'static str;
    /// Ways in which it can be wrong on purpose.
    const MUTANTS: &'static [MutantInfo] = &[];
    /// What else it can be told.
    const OPTIONS: &'static [OptionInfo] = &[];
    /// Its operations: [`OPS`], and those that [`ListDriver::op`] carries out.
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

    /// The lock, around the device's page table.
    fn table(&self) -> &MmuLock<Self::State>;

    /// Translations of `start.pages()` are about to go. Brackets nest and overlap. Must not sleep: it is called where that is not
    /// allowed, too.
    ///
    /// Source: `struct mmu_notifier_ops`, include/linux/mmu_notifier.h, 6.12.
    fn invalidate_range_start<'a>(&self, start: Start<'a>) -> Started<'a>;

    /// They are gone. Must not sleep.
    fn invalidate_range_end<'a>(&self, end: End<'a>) -> Ended<'a>;

    /// The address space ends, or the subscription does. Called once.
    fn release<'a>(&self, release: Release<'a>) -> Released<'a>;

    /// The fault handler: looks `pages` up and publishes them. May sleep; no lock is held.
    ///
    /// # Errors
    /// `EFAULT` for pages that are not there or not the driver's, `ENODEV` when not subscribed, `EBUSY` after [`RETRIES`]
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

    /// The subscription ends.
    fn unregister<'a>(&self, sub: Subscription<'a>) -> Unregistered<'a> {
        sub.unregister()
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

impl Probe<'_> {
    /// The spinlock of lockdep class `class` that protects the device's page table, and `state`, of a list driver.
    #[must_use]
    pub fn mmu_lock<T>(&self, class: &str, state: T) -> MmuLock<T> {
        MmuLock::new(self.k, class, Arc::clone(self.device), self.mm, state)
    }
}

/// `D` as a driver that can be made by name.
#[must_use]
pub const fn kind<D: ListDriver>() -> DriverKind {
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
