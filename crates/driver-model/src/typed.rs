//! What typed drivers of both families have: the address space with and without a user's hold, and a device's access with its
//! faults.

use crate::device::Device;
use mm::device::mmget_not_zero;
use mm::{Mm, MmUsers};
use mm_types::{Errno, MmId, PageRange, Vpn};
use std::fmt;
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

impl<S> fmt::Debug for MmWithUser<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MmWithUser").field("mm", &self.mm).finish_non_exhaustive()
    }
}

/// One device access; a fault is handled by `map` as often as it takes, within the bound on retries.
pub(crate) fn access(
    device: &Device,
    mm: MmId,
    vpn: Vpn,
    write: Option<u64>,
    map: impl Fn(PageRange) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for _ in 0..RETRIES {
        let done = match write {
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
