//! The example driver of the list family with mistakes in it. Each is a mutant; without one it is the example.

use harness::drivers::list::{
    self, End, Ended, Errno, Gfp, ListDriver, MmRef, MmuLock, PageRange, Probe, RETRIES, Release, Released, Start,
    Started, Subscription, Unregistered, kmalloc, wrong,
};
use harness::drivers::{DriverKind, HasKind, MutantInfo};

pub(crate) struct SabotagedList {
    table: MmuLock,
    mistake: String,
}

impl SabotagedList {
    fn makes(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }
}

const fn mutant(name: &'static str) -> MutantInfo {
    MutantInfo { name, doc: "" }
}

impl HasKind for SabotagedList {
    const KIND: DriverKind = list::kind::<SabotagedList>();
}

impl ListDriver for SabotagedList {
    type State = ();
    const NAME: &'static str = "sabotaged_list";
    const DOC: &'static str = "the example of the list family, with mistakes";
    const HUGE: bool = true;
    const MUTANTS: &'static [MutantInfo] = &[
        mutant("zap-small-only"),
        mutant("skip-retry"),
        mutant("forget-begin"),
        mutant("forget-end"),
        mutant("forget-close"),
        mutant("forget-unregister"),
        mutant("ignore-partial-overlap"),
        mutant("zap-without-lock"),
        mutant("allocate-under-the-lock"),
        mutant("leak-on-allocation-failure"),
    ];

    fn probe(dev: &Probe<'_>) -> SabotagedList {
        let mistake = dev.config().mutant.clone().unwrap_or_default();
        SabotagedList { table: dev.mmu_lock("&sabotaged->mmu_lock", ()), mistake }
    }

    fn table(&self) -> &MmuLock {
        &self.table
    }

    fn invalidate_range_start<'a>(&self, start: Start<'a>) -> Started<'a> {
        if self.makes("zap-without-lock") {
            wrong::zap_without_lock(&self.table, start.pages());
            return wrong::without_begin(start);
        }
        let mut table = self.table.lock();
        // Only a bracket of a page.
        if self.makes("zap-small-only") {
            wrong::zap_small_only(&mut table, start.pages());
        } else if !self.makes("ignore-partial-overlap") || start.pages().nr_pages() == 1 {
            table.zap(start.pages());
        }
        if self.makes("forget-begin") { wrong::without_begin(start) } else { table.begin(start) }
    }

    fn invalidate_range_end<'a>(&self, end: End<'a>) -> Ended<'a> {
        if self.makes("forget-end") { wrong::without_end(end) } else { self.table.lock().end(end) }
    }

    fn release<'a>(&self, release: Release<'a>) -> Released<'a> {
        if self.makes("forget-close") { wrong::without_close(release) } else { self.table.lock().close(release) }
    }

    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno> {
        let mm = mm.mmget_not_zero().ok_or(Errno::EFAULT)?;
        for _ in 0..RETRIES {
            let found = mm.read_begin(&self.table)?.get_user_pages(pages, write)?;
            if self.makes("leak-on-allocation-failure")
                && let Err(errno) = kmalloc(Gfp::KERNEL, 1)
            {
                // The way out that forgets to put the pages.
                std::mem::forget(found);
                return Err(errno);
            }
            if self.makes("skip-retry") {
                wrong::publish_without_retry(&found);
                return Ok(());
            }
            let table = self.table.lock();
            if self.makes("allocate-under-the-lock") {
                kmalloc(Gfp::KERNEL, 1)?;
            }
            if let Ok(fresh) = table.retry(&found) {
                fresh.publish();
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }

    fn unregister<'a>(&self, sub: Subscription<'a>) -> Unregistered<'a> {
        if self.makes("forget-unregister") { wrong::keep_subscription(sub) } else { sub.unregister() }
    }
}
