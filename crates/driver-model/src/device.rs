//! [`Device`]: a page table of its own, with a TLB before it or without, and accesses through it.

use crate::kref::Objects;
use crate::via::Via;
use ksync::{Kernel, current};
use mm::{Machine, device};
use mm_types::{MmId, Name, ObjId, PageRange, Pfn, Vpn};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use trace::{DevId, EventKind};

/// One device translation: a shadow page-table entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spte {
    /// The frame.
    pub pfn: Pfn,
    /// Whether the device may write through it.
    pub writable: bool,
    /// The subscription that keeps it honest.
    pub via: Via,
}

/// Why a device access did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// There is no translation.
    NotPresent,
    /// There is one, but not for writing.
    ReadOnly,
}

/// A device access that did not happen: the driver's fault handler may publish a translation, and the device try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceFault {
    /// The device.
    pub dev: DevId,
    /// Whose page.
    pub mm: MmId,
    /// Which page.
    pub vpn: Vpn,
    /// Why.
    pub fault: Fault,
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.fault {
            Fault::NotPresent => "not present",
            Fault::ReadOnly => "read-only",
        };
        write!(f, "device {} faults at {} of {}: {why}", self.dev.0, self.vpn.addr(), self.mm)
    }
}

impl std::error::Error for DeviceFault {}

/// Objects of this crate are keyed from here on; those of `mm` are below.
const SPTE: u8 = 32;

/// The translation of one page by one device: what publishing it, taking it away and using it access.
#[must_use]
pub const fn spte_obj(dev: DevId, mm: MmId, vpn: Vpn) -> ObjId {
    ObjId::keyed(SPTE, ((dev.0 as u64) << 48) | ((mm.0 as u64 & 0xfff) << 36) | vpn.0)
}

/// A device of a machine.
///
/// With a TLB ([`Device::with_tlb`]) a translation that was used stays usable when it is cleared, until
/// [`Device::flush_tlb`]: only then is it gone, and told to be. Without one, what is cleared is gone.
///
/// All methods run inside of the machine's kernel and do not sleep.
pub struct Device {
    id: DevId,
    name: Name,
    machine: Arc<Machine>,
    /// A storage lock, never held across a scheduling point; what serialises drivers is theirs.
    table: Mutex<Table>,
    /// The TLB, if it has one: as `table`.
    tlb: Option<Mutex<Table>>,
    objects: Objects,
}

type Table = BTreeMap<(MmId, Vpn), Spte>;

impl Device {
    /// A device without translations and without a TLB.
    #[must_use]
    pub fn new(k: &Kernel, id: DevId, name: Name, machine: Arc<Machine>) -> Arc<Device> {
        Device::made(k, id, name, machine, None)
    }

    /// A device with a TLB, nothing in it.
    #[must_use]
    pub fn with_tlb(k: &Kernel, id: DevId, name: Name, machine: Arc<Machine>) -> Arc<Device> {
        Device::made(k, id, name, machine, Some(Mutex::default()))
    }

    fn made(k: &Kernel, id: DevId, name: Name, machine: Arc<Machine>, tlb: Option<Mutex<Table>>) -> Arc<Device> {
        k.emit(EventKind::DeviceCreated { dev: id, name });
        Arc::new(Device { id, name, machine, table: Mutex::default(), tlb, objects: Objects::default() })
    }

    /// Which device it is.
    #[must_use]
    pub fn id(&self) -> DevId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> Name {
        self.name
    }

    /// The machine it is part of.
    #[must_use]
    pub fn machine(&self) -> &Arc<Machine> {
        &self.machine
    }

    /// The counted objects that its driver has made.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Publishes a translation under `via`, replacing one that is there.
    pub fn set(&self, via: Via, vpn: Vpn, pfn: Pfn, writable: bool) {
        current(|k| {
            k.visible_read(via.brackets);
            k.visible_write(spte_obj(self.id, via.mm, vpn));
            self.table.lock().insert((via.mm, vpn), Spte { pfn, writable, via });
            k.emit(EventKind::SpteSet { dev: self.id, sub: via.sub, mm: via.mm, vpn, pfn, writable });
        });
    }

    /// Fills the TLB from a walk of the CPU's page table, which is the only table of this device: reading the entry and
    /// keeping what it says are one step, as an invalidation that returned has waited for the walks under way. `entry` are
    /// the objects read by `walk`, which is no scheduling point. Whether there was a translation.
    pub fn fill(&self, via: Via, vpn: Vpn, entry: [ObjId; 2], walk: impl FnOnce() -> Option<(Pfn, bool)>) -> bool {
        current(|k| {
            k.visible_read(via.brackets);
            k.visible_write(spte_obj(self.id, via.mm, vpn));
            entry.into_iter().for_each(|obj| k.visible_read(obj));
            let Some((pfn, writable)) = walk() else { return false };
            self.table.lock().insert((via.mm, vpn), Spte { pfn, writable, via });
            k.emit(EventKind::SpteSet { dev: self.id, sub: via.sub, mm: via.mm, vpn, pfn, writable });
            true
        })
    }

    /// Takes one translation away; what it was. Looking at a page that has none is an access too.
    pub fn clear(&self, mm: MmId, vpn: Vpn) -> Option<Spte> {
        current(|k| {
            k.visible_write(spte_obj(self.id, mm, vpn));
            let spte = self.table.lock().remove(&(mm, vpn))?;
            if self.cached(mm, vpn).is_none() {
                k.emit(EventKind::SpteClear { dev: self.id, sub: spte.via.sub, mm, vpn });
            }
            Some(spte)
        })
    }

    /// Forgets what the TLB has of `pages`. Nothing without a TLB.
    pub fn flush_tlb(&self, mm: MmId, pages: PageRange) {
        let Some(tlb) = &self.tlb else { return };
        let cached = in_range(&tlb.lock(), mm, pages);
        for vpn in cached {
            current(|k| {
                k.visible_write(spte_obj(self.id, mm, vpn));
                let Some(spte) = tlb.lock().remove(&(mm, vpn)) else { return };
                if self.lookup(mm, vpn).is_none() {
                    k.emit(EventKind::SpteClear { dev: self.id, sub: spte.via.sub, mm, vpn });
                }
            });
        }
    }

    fn cached(&self, mm: MmId, vpn: Vpn) -> Option<Spte> {
        self.tlb.as_ref()?.lock().get(&(mm, vpn)).copied()
    }

    /// What the hardware uses for an access: the TLB's entry, unless that forbids it, else the table's.
    fn translate(&self, mm: MmId, vpn: Vpn, write: bool) -> Option<Spte> {
        self.cached(mm, vpn).filter(|spte| spte.writable || !write).or_else(|| self.lookup(mm, vpn))
    }

    /// Takes away every translation of `pages`, in order; how many there were.
    pub fn zap(&self, mm: MmId, pages: PageRange) -> u64 {
        // Which pages have one is read without a scheduling point: the caller's lock keeps publishers of `pages` out.
        let found = in_range(&self.table.lock(), mm, pages);
        found.into_iter().filter(|vpn| self.clear(mm, *vpn).is_some()).count() as u64
    }

    /// The device reads the word of a page through its translation.
    ///
    /// # Errors
    /// [`DeviceFault`] without a translation; nothing was accessed.
    pub fn read(&self, mm: MmId, vpn: Vpn) -> Result<u64, DeviceFault> {
        self.access(mm, vpn, None)
    }

    /// The device writes the word of a page through its translation.
    ///
    /// # Errors
    /// [`DeviceFault`] without a translation that allows it; nothing was accessed.
    pub fn write(&self, mm: MmId, vpn: Vpn, value: u64) -> Result<(), DeviceFault> {
        self.access(mm, vpn, Some(value)).map(drop)
    }

    /// Looks the translation up, reads or stores, and tells of it. All scheduling points come before: the look-up that
    /// counts, the access and its event are one step.
    fn access(&self, mm: MmId, vpn: Vpn, store: Option<u64>) -> Result<u64, DeviceFault> {
        let write = store.is_some();
        let fault = |fault| DeviceFault { dev: self.id, mm, vpn, fault };
        current(|k| {
            k.visible_read(spte_obj(self.id, mm, vpn));
            let mut named = None;
            loop {
                let spte = self.translate(mm, vpn, write).ok_or(fault(Fault::NotPresent))?;
                if write && !spte.writable {
                    return Err(fault(Fault::ReadOnly));
                }
                let Spte { pfn, via, .. } = spte;
                if named == Some(spte) {
                    if let Some(value) = store {
                        device::frame_write(&self.machine, pfn, value);
                    }
                    if let Some(tlb) = &self.tlb {
                        tlb.lock().insert((mm, vpn), spte);
                    }
                    let value = store.unwrap_or_else(|| device::frame_read(&self.machine, pfn));
                    k.emit(EventKind::DeviceAccess { dev: self.id, sub: via.sub, mm, vpn, pfn, write, value });
                    return Ok(value);
                }
                named = Some(spte);
                k.visible_read(via.brackets);
                if write {
                    k.visible_write(device::frame_object(pfn));
                } else {
                    k.visible_read(device::frame_object(pfn));
                }
            }
        })
    }

    /// The translation of a page in the table, without a scheduling point: for drivers under their lock, reports and tests.
    #[must_use]
    pub fn lookup(&self, mm: MmId, vpn: Vpn) -> Option<Spte> {
        self.table.lock().get(&(mm, vpn)).copied()
    }

    /// All translations, in order, without a scheduling point: for reports and tests.
    #[must_use]
    pub fn sptes(&self) -> Vec<(MmId, Vpn, Spte)> {
        self.table.lock().iter().map(|((mm, vpn), spte)| (*mm, *vpn, *spte)).collect()
    }
}

/// The pages of `pages` that a table has.
fn in_range(table: &Table, mm: MmId, pages: PageRange) -> Vec<Vpn> {
    table.range((mm, pages.start())..(mm, pages.end())).map(|((_, vpn), _)| *vpn).collect()
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
