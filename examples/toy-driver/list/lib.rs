//! A driver for Shootdown: the device mirrors the page table of a process, as a list subscriber that counts open brackets.

use harness::drivers::list::{
    self, End, Ended, Errno, ListDriver, MmRef, MmuLock, PageRange, Probe, RETRIES, Release, Released, Start, Started,
};
use harness::drivers::{DriverKind, HasKind};

/// The driver. Its device's page table is inside of the lock.
pub struct Toy {
    table: MmuLock,
}

impl HasKind for Toy {
    const KIND: DriverKind = list::kind::<Toy>();
}

impl ListDriver for Toy {
    type State = ();
    const NAME: &'static str = "toy";
    const DOC: &'static str = "mirrors the page table of a process, and counts open brackets";

    fn probe(dev: &Probe<'_>) -> Toy {
        Toy { table: dev.mmu_lock("&toy->mmu_lock", ()) }
    }

    fn table(&self) -> &MmuLock {
        &self.table
    }

    /// The process is about to lose some pages: so does the device, and it gets none until that is over.
    fn invalidate_range_start<'a>(&self, start: Start<'a>) -> Started<'a> {
        let mut table = self.table.lock();
        table.zap(start.pages());
        table.begin(start)
    }

    /// It is over.
    fn invalidate_range_end<'a>(&self, end: End<'a>) -> Ended<'a> {
        self.table.lock().end(end)
    }

    /// The process ends, or the driver does.
    fn release<'a>(&self, release: Release<'a>) -> Released<'a> {
        self.table.lock().close(release)
    }

    /// The device misses some pages: they are looked up, and published unless an invalidation came between.
    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno> {
        let mm = mm.mmget_not_zero().ok_or(Errno::EFAULT)?;
        for _ in 0..RETRIES {
            let found = mm.read_begin(&self.table)?.get_user_pages(pages, write)?;
            let table = self.table.lock();
            if let Ok(fresh) = table.retry(&found) {
                fresh.publish();
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }
}
