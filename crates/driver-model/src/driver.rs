//! [`Driver`]: what a scenario, a test or the tool can do with a driver.

use crate::device::Device;
use ksync::Kernel;
use mm_types::{Errno, Name, PageRange, Vpn};
use std::sync::Arc;

/// A driver of one device, for one address space.
///
/// Its calls run inside of the machine's kernel. Operations may sleep; no lock of the driver or of the mm is held by the
/// caller, unless a scenario means it.
pub trait Driver: Send + Sync {
    /// The name of the device.
    fn name(&self) -> Name;

    /// The device it drives.
    fn device(&self) -> &Arc<Device>;

    /// Subscribes. Called once, before any operation.
    ///
    /// # Errors
    /// Those of registration; nothing is subscribed then.
    fn attach(&self) -> Result<(), Errno>;

    /// Takes every translation away, gives pages back and unsubscribes. Nothing if it is not attached.
    fn detach(&self);

    /// The operations it has.
    fn ops(&self) -> &'static [OpInfo];

    /// Carries one out.
    ///
    /// # Errors
    /// `EINVAL` for an operation that is not in [`Driver::ops`] or lacks its range, `ENODEV` when not attached, `EFAULT` when
    /// the device faulted or the pages are not there, and what the memory manager said.
    fn op(&self, op: Name, args: &Args) -> Result<(), Errno>;

    /// Installs the handlers of its device's interrupts, if it is one that raises any. Called once, when the tasks of the run
    /// are there; never for a device that is made during the run, which is polled then.
    fn request_irqs(&self, _k: &Kernel) {}

    /// Its locks: a scenario may pin their acquisition.
    fn locks(&self) -> &'static [DriverLock];
}

/// An operation of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpInfo {
    /// Its name.
    pub name: &'static str,
    /// What it needs: `RANGE`, `ADDR`, `[RANGE]` for an optional one, or nothing.
    pub args: &'static str,
    /// One line.
    pub doc: &'static str,
}

/// A lock of a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DriverLock {
    /// Its short name.
    pub name: &'static str,
    /// Its lockdep class; also the name of its sync point.
    pub class: &'static str,
}

/// What an operation is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Args {
    /// The pages it is about; an address is its page.
    pub pages: Option<PageRange>,
    /// The value a device write stores.
    pub value: u64,
}

impl Args {
    /// Nothing.
    pub const NONE: Args = Args { pages: None, value: 0 };

    /// Some pages.
    #[must_use]
    pub const fn range(pages: PageRange) -> Args {
        Args { pages: Some(pages), value: 0 }
    }

    /// One page.
    #[must_use]
    pub const fn page(vpn: Vpn) -> Args {
        Args::range(PageRange::page(vpn))
    }

    /// The pages.
    ///
    /// # Errors
    /// `EINVAL` if none were given.
    pub fn need_pages(&self) -> Result<PageRange, Errno> {
        self.pages.ok_or(Errno::EINVAL)
    }
}
