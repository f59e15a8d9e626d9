//! [`Device`]: a page table of its own, with a TLB before it or without, and accesses through it.
//!
//! The table has two levels: an entry of the upper one is a table of pages of 4 KiB, or translates its 2 MiB by itself, if the
//! device can do that. A big entry translates every page of its block, so whatever takes a part away must find it:
//!
//! ```text
//! set_huge        one entry of the upper level
//! zap of a part   the whole entry goes; the device faults on the rest again
//! set of a page   the entry becomes a table of the same translations, and the page's is replaced
//! clear of a page finds nothing: that writes an entry of the lower level, and there is none
//! ```
//!
//! To everybody who looks on, a big entry is its 512 translations. Publishing, clearing and using it access one object of the
//! block, which a device with big entries accesses for each page as well.

mod table;

pub use table::{BLOCK_PAGES, block_base, block_of, has_block};

use crate::kref::Objects;
use crate::via::Via;
use ksync::{Kernel, current};
use mm::{Machine, device};
use mm_types::{MmId, Name, ObjId, PageRange, Pfn, Vpn};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use table::{Level, Table};
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
    /// The device is switched off.
    Off,
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
            Fault::Off => "switched off",
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

const BLOCK: u8 = 34;

/// The translation of a block by one device: as [`spte_obj`], of a device with big entries.
const fn block_obj(dev: DevId, mm: MmId, base: Vpn) -> ObjId {
    ObjId::keyed(BLOCK, ((dev.0 as u64) << 48) | ((mm.0 as u64 & 0xfff) << 36) | base.0)
}

/// What a device has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Features {
    /// A TLB.
    pub tlb: bool,
    /// Entries for 2 MiB.
    pub huge: bool,
    /// A switch: [`RuntimePm`](crate::RuntimePm).
    pub power: bool,
}

/// The switch of a device that has one.
struct Power {
    obj: ObjId,
    on: AtomicBool,
}

/// A device of a machine.
///
/// With a TLB ([`Features`]) a translation that was used stays usable when it is cleared, until
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
    /// Whether it has big entries.
    huge: bool,
    /// Its switch, if it has one.
    power: Option<Power>,
    objects: Objects,
}

impl Device {
    /// A device without translations and without a TLB.
    #[must_use]
    pub fn new(k: &Kernel, id: DevId, name: Name, machine: Arc<Machine>) -> Arc<Device> {
        Device::with(k, id, name, machine, Features::default())
    }

    /// A device with what `features` say, and no translations.
    #[must_use]
    pub fn with(k: &Kernel, id: DevId, name: Name, machine: Arc<Machine>, features: Features) -> Arc<Device> {
        k.emit(EventKind::DeviceCreated { dev: id, name });
        let tlb = features.tlb.then(Mutex::default);
        let power = features.power.then(|| Power { obj: k.new_obj(), on: AtomicBool::new(true) });
        let (table, objects) = (Mutex::default(), Objects::default());
        Arc::new(Device { id, name, machine, table, tlb, huge: features.huge, power, objects })
    }

    /// Whether it has entries for 2 MiB.
    #[must_use]
    pub fn has_huge_entries(&self) -> bool {
        self.huge
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
            self.read_block(k, via.mm, vpn);
            k.visible_write(spte_obj(self.id, via.mm, vpn));
            self.table.lock().insert(via.mm, vpn, Spte { pfn, writable, via });
            k.emit(EventKind::SpteSet { dev: self.id, sub: via.sub, mm: via.mm, vpn, pfn, writable });
        });
    }

    /// Publishes one translation for the whole block from `base` on, to the frames from `pfn` on, in the place of what is there.
    ///
    /// # Panics
    /// If the device has no such entries, or `base` does not begin a block.
    pub fn set_huge(&self, via: Via, base: Vpn, pfn: Pfn, writable: bool) {
        assert!(self.huge && base == block_base(base), "{} is no block for {}", base.addr(), self.name);
        current(|k| {
            k.visible_read(via.brackets);
            k.visible_write(block_obj(self.id, via.mm, base));
            self.table.lock().insert_big(via.mm, base, Spte { pfn, writable, via });
            for index in 0..BLOCK_PAGES {
                let (vpn, pfn) = (Vpn(base.0 + index), Pfn(pfn.0 + index));
                k.emit(EventKind::SpteSet { dev: self.id, sub: via.sub, mm: via.mm, vpn, pfn, writable });
            }
        });
    }

    /// Fills the TLB from a walk of the CPU's page table, which is the only table of this device: reading the entry and
    /// keeping what it says are one step, as an invalidation that returned has waited for the walks under way. `entry` are
    /// the objects read by `walk`, which is no scheduling point. Whether there was a translation.
    pub fn fill(&self, via: Via, vpn: Vpn, entry: [ObjId; 2], walk: impl FnOnce() -> Option<(Pfn, bool)>) -> bool {
        current(|k| {
            k.visible_read(via.brackets);
            self.read_block(k, via.mm, vpn);
            k.visible_write(spte_obj(self.id, via.mm, vpn));
            entry.into_iter().for_each(|obj| k.visible_read(obj));
            let Some((pfn, writable)) = walk() else { return false };
            self.table.lock().insert(via.mm, vpn, Spte { pfn, writable, via });
            k.emit(EventKind::SpteSet { dev: self.id, sub: via.sub, mm: via.mm, vpn, pfn, writable });
            true
        })
    }

    /// Takes the entry of one page away; what it was. Looking at a page that has none is an access too. A page that its block
    /// translates has none.
    pub fn clear(&self, mm: MmId, vpn: Vpn) -> Option<Spte> {
        current(|k| {
            self.read_block(k, mm, vpn);
            k.visible_write(spte_obj(self.id, mm, vpn));
            let spte = self.table.lock().remove(mm, vpn)?;
            self.tell_gone(k, spte, mm, PageRange::page(vpn));
            Some(spte)
        })
    }

    /// Takes the entry of a whole block away; what it was.
    pub fn clear_huge(&self, mm: MmId, base: Vpn) -> Option<Spte> {
        current(|k| {
            k.visible_write(block_obj(self.id, mm, base));
            let spte = self.table.lock().remove_big(mm, base)?;
            self.tell_gone(k, spte, mm, block_of(base));
            Some(spte)
        })
    }

    /// Forgets what the TLB has of `pages`, and of blocks that they are a part of. Nothing without a TLB.
    pub fn flush_tlb(&self, mm: MmId, pages: PageRange) {
        let Some(tlb) = &self.tlb else { return };
        let cached = tlb.lock().big_in(mm, pages);
        for base in cached {
            current(|k| {
                k.visible_write(block_obj(self.id, mm, base));
                let gone = tlb.lock().remove_big(mm, base);
                gone.iter().for_each(|spte| self.tell_gone(k, *spte, mm, block_of(base)));
            });
        }
        self.flush_tlb_pages(mm, pages);
    }

    /// The same by entries of 4 KiB alone: what there is for a block stays.
    pub fn flush_tlb_pages(&self, mm: MmId, pages: PageRange) {
        let Some(tlb) = &self.tlb else { return };
        let cached = tlb.lock().pages_in(mm, pages);
        for vpn in cached {
            current(|k| {
                self.read_block(k, mm, vpn);
                k.visible_write(spte_obj(self.id, mm, vpn));
                let gone = tlb.lock().remove(mm, vpn);
                gone.iter().for_each(|spte| self.tell_gone(k, *spte, mm, PageRange::page(vpn)));
            });
        }
    }

    /// Switches it off, if it has a switch: no access succeeds, and what its TLB had is lost. Its page table is in memory and stays.
    pub fn power_off(&self) {
        let Some(power) = &self.power else { return };
        current(|k| {
            k.visible_write(power.obj);
            power.on.store(false, Ordering::Release);
            let lost = self.tlb.as_ref().map(|tlb| std::mem::take(&mut *tlb.lock()));
            for (mm, vpn, spte) in lost.iter().flat_map(Table::all) {
                self.tell_gone(k, spte, mm, PageRange::page(vpn));
            }
        });
    }

    /// Switches it on, with nothing in its TLB.
    pub fn power_on(&self) {
        let Some(power) = &self.power else { return };
        current(|k| {
            k.visible_write(power.obj);
            power.on.store(true, Ordering::Release);
        });
    }

    /// An access finds it off: a scheduling point if it has a switch.
    fn is_off(&self, k: &Kernel) -> bool {
        self.power.as_ref().is_some_and(|power| {
            k.visible_read(power.obj);
            !power.on.load(Ordering::Acquire)
        })
    }

    /// Tells of the pages of `of`, which `spte` translated, that have no translation left, here or in the TLB.
    fn tell_gone(&self, k: &Kernel, spte: Spte, mm: MmId, of: PageRange) {
        for vpn in of.iter() {
            if self.cached(mm, vpn).is_none() && self.lookup(mm, vpn).is_none() {
                k.emit(EventKind::SpteClear { dev: self.id, sub: spte.via.sub, mm, vpn });
            }
        }
    }

    /// What concerns a page of a device with big entries concerns its block.
    fn read_block(&self, k: &Kernel, mm: MmId, vpn: Vpn) {
        if self.huge {
            k.visible_read(block_obj(self.id, mm, block_base(vpn)));
        }
    }

    fn cached(&self, mm: MmId, vpn: Vpn) -> Option<(Spte, Level)> {
        self.tlb.as_ref()?.lock().get(mm, vpn)
    }

    /// What the hardware uses for an access: the TLB's entry, unless that forbids it, else the table's.
    fn translate(&self, mm: MmId, vpn: Vpn, write: bool) -> Option<(Spte, Level)> {
        let cached = self.cached(mm, vpn).filter(|(spte, _)| spte.writable || !write);
        cached.or_else(|| self.table.lock().get(mm, vpn))
    }

    /// Takes away every translation of `pages`, in order, and with a big one that of its whole block; how many pages lost theirs.
    pub fn zap(&self, mm: MmId, pages: PageRange) -> u64 {
        // Which pages have one is read without a scheduling point: the caller's lock keeps publishers of `pages` out.
        let found = self.table.lock().big_in(mm, pages);
        let blocks = found.into_iter().filter(|base| self.clear_huge(mm, *base).is_some()).count() as u64;
        blocks * BLOCK_PAGES + self.zap_pages(mm, pages)
    }

    /// The same by entries of 4 KiB alone: a big one that translates some of `pages` stays.
    pub fn zap_pages(&self, mm: MmId, pages: PageRange) -> u64 {
        let found = self.table.lock().pages_in(mm, pages);
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
            if self.is_off(k) {
                return Err(fault(Fault::Off));
            }
            self.read_block(k, mm, vpn);
            k.visible_read(spte_obj(self.id, mm, vpn));
            let mut named = None;
            loop {
                let (spte, level) = self.translate(mm, vpn, write).ok_or(fault(Fault::NotPresent))?;
                if write && !spte.writable {
                    return Err(fault(Fault::ReadOnly));
                }
                let Spte { pfn, via, .. } = spte;
                if named == Some(spte) {
                    if let Some(value) = store {
                        device::frame_write(&self.machine, pfn, value);
                    }
                    if let Some(tlb) = &self.tlb {
                        cache(&mut tlb.lock(), mm, vpn, spte, level);
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
        self.table.lock().get(mm, vpn).map(|(spte, _)| spte)
    }

    /// All translations, page by page, in order, without a scheduling point: for reports and tests.
    #[must_use]
    pub fn sptes(&self) -> Vec<(MmId, Vpn, Spte)> {
        self.table.lock().all()
    }
}

/// The TLB keeps what an access used, as big as it was.
fn cache(tlb: &mut Table, mm: MmId, vpn: Vpn, spte: Spte, level: Level) {
    match level {
        Level::Page => tlb.insert(mm, vpn, spte),
        Level::Block => {
            let base = block_base(vpn);
            tlb.insert_big(mm, base, Spte { pfn: Pfn(spte.pfn.0 - (vpn - base)), ..spte });
        }
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
