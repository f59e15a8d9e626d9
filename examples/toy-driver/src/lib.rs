//! A driver for Shootdown: the device mirrors the page table of a process, and pins nothing.

use harness::drivers::interval::{
    Errno, HmmError, IntervalDriver, Invalidated, Invalidation, MmRef, NotifierLock, PageRange, Probe, RETRIES, Refused,
};

/// The driver. Its device's page table is inside of the lock.
pub struct Toy {
    table: NotifierLock,
}

impl IntervalDriver for Toy {
    type State = ();
    const NAME: &'static str = "toy";
    const DOC: &'static str = "mirrors the page table of a process, and pins nothing";

    fn probe(dev: &Probe<'_>) -> Toy {
        Toy { table: dev.notifier_lock("&toy->lock", ()) }
    }

    fn table(&self) -> &NotifierLock {
        &self.table
    }

    /// The process loses some pages: so does the device.
    fn invalidate<'a>(&self, inv: Invalidation<'a>) -> Result<Invalidated<'a>, Refused<'a>> {
        let mut table = self.table.lock_for(inv)?;
        let told = table.set_seq(inv);
        table.zap(inv.pages());
        Ok(told)
    }

    /// The device misses some pages: they are looked up, and published unless an invalidation came between.
    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno> {
        let mm = mm.mmget_not_zero().ok_or(Errno::EFAULT)?;
        for _ in 0..RETRIES {
            let found = match mm.read_begin()?.hmm_range_fault(pages, write) {
                Ok(found) => found,
                Err(HmmError::Busy) => continue,
                Err(HmmError::Errno(errno)) => return Err(errno),
            };
            let table = self.table.lock();
            if let Ok(fresh) = table.read_retry(found) {
                fresh.publish();
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }
}
