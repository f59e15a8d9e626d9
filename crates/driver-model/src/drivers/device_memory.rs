//! `device_memory`: the kernel's test driver for device memory (lib/test_hmm.c): it mirrors the CPU's page table as `interval_mirror`
//! does, and besides moves pages to its own memory and back, and takes them to itself.

use super::interval_mirror::IntervalMirror;
use crate::device::Device;
use crate::driver::{Args, Driver, DriverLock, OpInfo};
use crate::kind::{Config, DriverKind, Roles};
use ksync::Kernel;
use mm::{Direction, Mm};
use mm_types::{Errno, Name, PageRange};
use std::sync::Arc;

/// How it is made by name.
pub(crate) const KIND: DriverKind = DriverKind {
    name: "device_memory",
    doc: "the kernel's test driver for device-private and device-exclusive memory",
    mutants: &[],
    options: &[],
    ops: OPS,
    roles: Roles::ACCESSES,
    whole_mm: false,
    make: |k, mm, pages, config| Arc::new(DeviceMemory::new(k, mm, pages, config)),
};

const OPS: &[OpInfo] = &[
    OpInfo { name: "read", args: "RANGE", doc: "HMM_DMIRROR_READ: faults the pages in, publishes and reads them" },
    OpInfo { name: "write", args: "RANGE [VALUE]", doc: "HMM_DMIRROR_WRITE: the same for writing" },
    OpInfo { name: "migrate_to_dev", args: "RANGE", doc: "HMM_DMIRROR_MIGRATE_TO_DEV: the pages move to the device" },
    OpInfo { name: "migrate_to_sys", args: "RANGE", doc: "HMM_DMIRROR_MIGRATE_TO_SYS: and back" },
    OpInfo { name: "exclusive", args: "RANGE", doc: "HMM_DMIRROR_EXCLUSIVE: CPUs are kept away from the pages" },
];

struct DeviceMemory {
    mirror: IntervalMirror,
    mm: Arc<Mm>,
}

impl DeviceMemory {
    fn new(k: &Kernel, mm: &Arc<Mm>, pages: PageRange, config: &Config) -> DeviceMemory {
        DeviceMemory { mirror: IntervalMirror::new(k, mm, pages, config), mm: Arc::clone(mm) }
    }
}

impl Driver for DeviceMemory {
    fn name(&self) -> Name {
        self.mirror.name()
    }

    fn device(&self) -> &Arc<Device> {
        self.mirror.device()
    }

    fn attach(&self) -> Result<(), Errno> {
        self.mirror.attach()
    }

    fn detach(&self) {
        self.mirror.detach();
    }

    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }

    fn op(&self, op: Name, args: &Args) -> Result<(), Errno> {
        let pages = args.need_pages()?;
        match op.as_str() {
            "read" => self.mirror.op(Name::new("map"), args).and_then(|()| self.mirror.op(op, args)),
            "write" => self.mirror.op(Name::new("map_write"), args).and_then(|()| self.mirror.op(op, args)),
            "migrate_to_dev" => self.mm.migrate_vma(pages, Direction::ToDevice).map(drop),
            "migrate_to_sys" => self.mm.migrate_vma(pages, Direction::ToSystem).map(drop),
            "exclusive" => self.mm.make_device_exclusive(pages, None).map(drop),
            _ => Err(Errno::EINVAL),
        }
    }

    fn locks(&self) -> &'static [DriverLock] {
        self.mirror.locks()
    }
}
