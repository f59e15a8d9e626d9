//! What typed drivers of both families have: the address space with and without a user's hold, what their locks protect, and the
//! operations that a scenario calls.

use crate::device::{Device, Features, has_block};
use crate::driver::{Args, OpInfo};
use crate::kind::Config;
use ksync::Kernel;
use mm::device::mmget_not_zero;
use mm::{Mm, MmUsers};
use mm_types::{Errno, MmId, Name, PageRange, Vpn};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// How often a look-up that collides with invalidations, or a device's access, starts over before it gives up with `EBUSY`. The
/// kernel's drivers use a time limit.
pub const RETRIES: u64 = 64;

/// The address space a driver is bound to, kept as a struct (`mm_count`): its users may be gone. The kernel's `Mm`. `S` is the
/// driver's subscription.
#[derive(Clone, Copy)]
pub struct MmRef<'a, S> {
    pub(crate) mm: &'a Arc<Mm>,
    pub(crate) pages: PageRange,
    /// Absent when the driver is not subscribed.
    pub(crate) sub: Option<S>,
}

impl<'a, S: Copy> MmRef<'a, S> {
    /// Which one.
    #[must_use]
    pub fn id(&self) -> MmId {
        self.mm.id()
    }

    /// The pages the driver is for.
    #[must_use]
    pub fn pages(&self) -> PageRange {
        self.pages
    }

    /// `EFAULT` for pages that are not the driver's: nobody would tell it when they go.
    ///
    /// # Errors
    /// That.
    pub fn own(&self, pages: PageRange) -> Result<(), Errno> {
        if self.pages.covers(pages) { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// `mmget_not_zero()`: a user's hold, unless the last user has left. Dropping it is `mmput()`.
    #[must_use]
    pub fn mmget_not_zero(&self) -> Option<MmWithUser<'a, S>> {
        Some(MmWithUser { mm: *self, _users: mmget_not_zero(self.mm)? })
    }
}

impl<S> fmt::Debug for MmRef<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmRef").field("mm", &self.mm.id()).field("pages", &self.pages).finish_non_exhaustive()
    }
}

/// The address space, held as a user does (`mm_users`): its pages can be looked up. The kernel's `MmWithUser`.
pub struct MmWithUser<'a, S> {
    pub(crate) mm: MmRef<'a, S>,
    _users: MmUsers,
}

impl<S> MmWithUser<'_, S> {
    /// `copy_from_user()` of a page's word, through the process's own mapping. Faults; may sleep. The caller holds nothing that a
    /// callback takes.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn copy_from_user(&self, vpn: Vpn) -> Result<u64, Errno> {
        self.mm.mm.read_page(vpn).map_err(|_| Errno::EFAULT)
    }

    /// `copy_to_user()` of a page's word: as [`MmWithUser::copy_from_user`].
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn copy_to_user(&self, vpn: Vpn, value: u64) -> Result<(), Errno> {
        self.mm.mm.write_page(vpn, value).map_err(|_| Errno::EFAULT)
    }
}

impl<S> fmt::Debug for MmWithUser<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmWithUser").field("mm", &self.mm).finish_non_exhaustive()
    }
}

/// What the lock of a typed driver protects besides the device's page table.
pub(crate) struct Guarded<T> {
    /// Whether something may be published: not before the subscription, and not once it or the mm has ended.
    pub(crate) open: bool,
    state: T,
}

impl<T> Guarded<T> {
    pub(crate) const fn new(state: T) -> Guarded<T> {
        Guarded { open: false, state }
    }
}

impl<T> Deref for Guarded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state
    }
}

impl<T> DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.state
    }
}

/// An invalidation came between: begin again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Collided;

impl fmt::Display for Collided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an invalidation came between the look-up and its publication")
    }
}

impl std::error::Error for Collided {}

/// The device of a typed driver for `pages`, with entries for 2 MiB if it is to have them and any could fit.
pub(crate) fn device(k: &Kernel, mm: &Mm, pages: PageRange, config: &Config, huge: bool) -> Arc<Device> {
    let features = Features { huge: huge && has_block(pages), ..Features::default() };
    Device::with(k, config.dev, config.name, Arc::clone(mm.machine()), features)
}

/// The operations every typed driver has.
pub const OPS: &[OpInfo] = &[
    OpInfo { name: "map", args: "[RANGE]", doc: "looks the pages up for reading and publishes them" },
    OpInfo { name: "map_write", args: "[RANGE]", doc: "looks the pages up for writing and publishes them" },
    OpInfo { name: "unmap", args: "[RANGE]", doc: "takes the device's translations away" },
    OpInfo { name: "read", args: "ADDR", doc: "the device reads; a fault is handled by map" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the device writes; a fault is handled by map_write" },
];

/// A driver with its device and its subscription, as far as [`OPS`] need it.
pub(crate) trait Bound {
    /// Its pages.
    fn pages(&self) -> PageRange;
    /// The driver's fault handler.
    fn map(&self, pages: PageRange, write: bool) -> Result<(), Errno>;
    /// Takes translations away.
    fn unmap(&self, pages: PageRange);
    /// One access of the device.
    fn access(&self, vpn: Vpn, store: Option<u64>) -> Result<(), Errno>;
    /// An operation that is not one of [`OPS`].
    fn own_op(&self, op: &str, args: &Args) -> Result<(), Errno>;
}

/// Carries an operation out: one of [`OPS`], or one of the driver's own.
pub(crate) fn carry_out(bound: &impl Bound, op: Name, args: &Args) -> Result<(), Errno> {
    let pages = args.pages.unwrap_or(bound.pages());
    match op.as_str() {
        "map" => bound.map(pages, false),
        "map_write" => bound.map(pages, true),
        "unmap" => {
            bound.unmap(pages);
            Ok(())
        }
        "read" => args.need_pages()?.iter().try_for_each(|vpn| bound.access(vpn, None)),
        "write" => args.need_pages()?.iter().try_for_each(|vpn| bound.access(vpn, Some(args.value))),
        other => bound.own_op(other, args),
    }
}

/// One device access; a fault is handled by `map` as often as it takes, within the bound on retries.
pub(crate) fn access(
    device: &Device,
    mm: MmId,
    vpn: Vpn,
    store: Option<u64>,
    map: impl Fn(PageRange) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for _ in 0..RETRIES {
        let done = match store {
            Some(value) => device.write(mm, vpn, value),
            None => device.read(mm, vpn).map(drop),
        };
        if done.is_ok() {
            return Ok(());
        }
        map(PageRange::page(vpn))?;
    }
    Err(Errno::EBUSY)
}
