//! `i915_userptr`: user memory as graphics objects, pinned until an invalidation says otherwise.
//!
//! Two drivers bear the name: `corrected.rs`, an interval subscriber for each object, as i915 is since Linux 5.12, and
//! `y2019.rs`, one list subscriber with an interval list of its own, as i915 was when the notifier got its lockdep map.
//! The second is the mutant `2019`.
//!
//! | | 2019 | corrected |
//! |---|---|---|
//! | callback takes | `&mn->lock`, then `&dev->struct_mutex`, `&obj->mm.lock` | `&i915->mm.notifier_lock` |
//! | allocated under `&obj->mm.lock` | page array, table | table |
//! | allocated under a lock of the callback | **yes** | no |
//! | pages given back | in the callback | after it, by the next operation |
//! | shrinker | none here | with the option `shrinker on`; takes `&obj->mm.lock` by trylock |
//! | a publication that collides | cancelled by the callback, under `&obj->mm.lock` | starts over, by `read_retry` |

mod corrected;
mod y2019;

use super::{RETRIES, RETRIES_OPTION, SHRINKER_OPTION, access};
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, MutantInfo, OptionInfo, Roles};
use corrected::{Corrected, Mutant, Settings};
use ksync::Kernel;
use mm::Mm;
use mm_types::{Errno, Name, PageRange};
use std::sync::Arc;
use y2019::Y2019;

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "i915_userptr",
    doc: "pins user memory until told; the mutant is the driver of 2019",
    mutants: &[
        MutantInfo {
            name: "2019",
            doc: "allocates under the object mutex, which its range_start callback takes; as i915 did in 2019",
        },
        MutantInfo { name: SHRINKER_WAITS, doc: "its shrinker waits for the object mutex, under which it allocates" },
    ],
    options: &[
        RETRIES_OPTION,
        SHRINKER_OPTION,
        OptionInfo {
            name: "worker",
            doc: "2019: who looks pages up, get_pages itself after it let the object go, or the operation worker",
            default: "inline",
            words: &["inline", "task"],
        },
    ],
    ops: OPS,
    roles: Roles { map: Some("get_pages"), map_write: Some("get_pages"), unmap: Some("put_pages"), ..Roles::ACCESSES },
    whole_mm: false,
    make,
};

const SHRINKER_WAITS: &str = "shrinker-waits-for-object";

const OPS: &[OpInfo] = &[
    OpInfo {
        name: "get_pages",
        args: "[RANGE]",
        doc: "makes the range an object, if it is none, and publishes its pages",
    },
    OpInfo { name: "put_pages", args: "[RANGE]", doc: "takes the object's translations away and gives its pages back" },
    OpInfo { name: "worker", args: "", doc: "2019: looks up and publishes what get_pages scheduled" },
    OpInfo { name: "read", args: "ADDR", doc: "the device reads; without a translation EFAULT" },
    OpInfo { name: "write", args: "ADDR [VALUE]", doc: "the device writes; without a translation EFAULT" },
];

fn make(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> Arc<dyn Driver> {
    Arc::new(I915Userptr::new(k, mm, pages, config))
}

/// The driver, in either state.
pub struct I915Userptr {
    device: Arc<Device>,
    mm: Arc<Mm>,
    /// The object that an operation without a range is about.
    pages: PageRange,
    variant: Variant,
}

enum Variant {
    Corrected(Corrected),
    Y2019(Y2019),
}

impl I915Userptr {
    /// A driver of a new device; its first object is `pages` of `mm`.
    #[must_use]
    pub fn new(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> I915Userptr {
        let device = Device::new(k, config.dev, config.name, Arc::clone(mm.machine()));
        let (of, on) = (Arc::clone(mm), Arc::clone(&device));
        let variant = match config.mutant.as_deref() {
            Some("2019") => Variant::Y2019(Y2019::new(k, of, on, !config.says("worker", "task"))),
            mutant => {
                let mutant = (mutant == Some(SHRINKER_WAITS)).then_some(Mutant::ShrinkerWaitsForObject);
                let shrinks = mutant.is_some() || config.says(SHRINKER_OPTION.name, "on");
                let settings = Settings { retries: config.number("retries", RETRIES), shrinks, mutant };
                Variant::Corrected(Corrected::new(k, of, on, settings))
            }
        };
        I915Userptr { device, mm: Arc::clone(mm), pages, variant }
    }
}

impl Driver for I915Userptr {
    fn name(&self) -> Name {
        self.device.name()
    }

    fn device(&self) -> &Arc<Device> {
        &self.device
    }

    fn attach(&self) -> Result<(), Errno> {
        match &self.variant {
            Variant::Corrected(driver) => driver.attach(self.pages),
            Variant::Y2019(driver) => driver.attach(),
        }
    }

    fn detach(&self) {
        match &self.variant {
            Variant::Corrected(driver) => driver.detach(),
            Variant::Y2019(driver) => driver.detach(),
        }
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.pages.unwrap_or(self.pages);
        match (op.as_str(), &self.variant) {
            ("get_pages", Variant::Corrected(driver)) => driver.get_pages(pages),
            ("get_pages", Variant::Y2019(driver)) => driver.get_pages(pages),
            ("put_pages", Variant::Corrected(driver)) => driver.put_pages(pages),
            ("put_pages", Variant::Y2019(driver)) => driver.put_pages(pages),
            // Nothing is ever put off.
            ("worker", Variant::Corrected(_)) => Ok(()),
            ("worker", Variant::Y2019(driver)) => driver.worker(),
            ("read", _) => access(&self.device, self.mm.id(), args, false),
            ("write", _) => access(&self.device, self.mm.id(), args, true),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        match self.variant {
            Variant::Corrected(_) => corrected::LOCKS,
            Variant::Y2019(_) => y2019::LOCKS,
        }
    }
}
