//! A driver whose operations say that all went well, and do nothing.

use harness::drivers::interval::OPS;
use harness::drivers::{Args, Config, Device, Driver, DriverKind, DriverLock, OpInfo, Roles};
use ksync::Kernel;
use mm::Mm;
use mm_types::{Errno, Name, PageRange};
use std::sync::Arc;

struct Idle(Arc<Device>);

impl Driver for Idle {
    fn name(&self) -> Name {
        self.0.name()
    }
    fn device(&self) -> &Arc<Device> {
        &self.0
    }
    fn attach(&self) -> Result<(), Errno> {
        Ok(())
    }
    fn detach(&self) {}
    fn ops(&self) -> &'static [OpInfo] {
        OPS
    }
    fn op(&self, _: Name, _: &Args) -> Result<(), Errno> {
        Ok(())
    }
    fn locks(&self) -> &'static [DriverLock] {
        &[]
    }
}

pub(crate) const IDLE: DriverKind = DriverKind {
    name: "idle",
    doc: "says that all went well, and does nothing",
    mutants: &[],
    options: &[],
    ops: OPS,
    roles: Roles::BY_NAME,
    whole_mm: false,
    make: |k: &Kernel, mm: &Arc<Mm>, _: PageRange, config: &Config| {
        Arc::new(Idle(Device::new(k, config.dev, config.name, mm.machine().clone())))
    },
};
