//! The example driver with the five mistakes of `docs/write-a-driver.md` in it, and those no compiler and no oracle can see.
//! Each is a mutant; without one it is the example.

use harness::drivers::MutantInfo;
use harness::drivers::interval::{
    Errno, Gfp, HmmError, IntervalDriver, Invalidated, Invalidation, MmRef, NotifierLock, PageRange, Probe, RETRIES,
    Refused, Removed, Subscription, kmalloc, wrong,
};
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct Sabotaged {
    table: NotifierLock,
    mistake: String,
    gave_up: AtomicBool,
}

impl Sabotaged {
    fn makes(&self, mistake: &str) -> bool {
        self.mistake == mistake
    }
}

const fn mutant(name: &'static str) -> MutantInfo {
    MutantInfo { name, doc: "" }
}

impl IntervalDriver for Sabotaged {
    type State = ();
    const NAME: &'static str = "sabotaged";
    const DOC: &'static str = "the example, with mistakes";
    const HUGE: bool = true;
    const MUTANTS: &'static [MutantInfo] = &[
        mutant("zap-small-only"),
        mutant("skip-retry"),
        mutant("sleep-in-nonblocking"),
        mutant("allocate-under-the-lock"),
        mutant("ignore-partial-overlap"),
        mutant("forget-unregister"),
        mutant("skip-set-seq"),
        mutant("zap-without-lock"),
        mutant("refuse-always"),
        mutant("panic-in-callback"),
        mutant("panic-in-map"),
        mutant("spin-in-callback"),
        mutant("spin-with-operations"),
        mutant("wait-outside-the-lab"),
        mutant("abort"),
        mutant("wrong-error"),
        mutant("publish-nothing"),
        mutant("oops-on-allocation-failure"),
        mutant("gives-up-for-good"),
    ];

    fn probe(dev: &Probe<'_>) -> Sabotaged {
        let mistake = dev.config().mutant.clone().unwrap_or_default();
        Sabotaged { table: dev.notifier_lock("&sabotaged->lock", ()), mistake, gave_up: AtomicBool::new(false) }
    }

    fn table(&self) -> &NotifierLock {
        &self.table
    }

    fn invalidate<'a>(&self, inv: Invalidation<'a>) -> Result<Invalidated<'a>, Refused<'a>> {
        match self.mistake.as_str() {
            "panic-in-callback" => panic!("{} was not expected", inv.event()),
            "spin-in-callback" => loop {
                std::hint::spin_loop();
            },
            "wait-outside-the-lab" => loop {
                std::thread::park();
            },
            "abort" => std::process::abort(),
            "refuse-always" => return Err(wrong::refuse(inv)),
            "zap-without-lock" => {
                wrong::zap_without_lock(&self.table, inv.pages());
                return Ok(wrong::without_set_seq(inv));
            }
            _ => {}
        }
        let mut table =
            if self.makes("sleep-in-nonblocking") { self.table.lock() } else { self.table.lock_for(inv)? };
        if self.makes("skip-set-seq") {
            table.zap(inv.pages());
            return Ok(wrong::without_set_seq(inv));
        }
        let told = table.set_seq(inv);
        if self.makes("zap-small-only") {
            wrong::zap_small_only(&mut table, inv.pages());
            return Ok(told);
        }
        // Only what lies within the pages subscribed to as a whole.
        if !self.makes("ignore-partial-overlap") || inv.pages() == inv.announced() {
            table.zap(inv.pages());
        }
        Ok(told)
    }

    fn map(&self, mm: &MmRef<'_>, pages: PageRange, write: bool) -> Result<(), Errno> {
        match self.mistake.as_str() {
            "wrong-error" => return Err(Errno::EPERM),
            "publish-nothing" => return Ok(()),
            "oops-on-allocation-failure" => kmalloc(Gfp::KERNEL, 1).expect("there is always memory"),
            "gives-up-for-good" => {
                if self.gave_up.load(Ordering::Relaxed) {
                    return Err(Errno::EFAULT);
                }
                kmalloc(Gfp::KERNEL, 1).inspect_err(|_| self.gave_up.store(true, Ordering::Relaxed))?;
            }
            "panic-in-map" => panic!("no room for {pages}"),
            _ => {}
        }
        let mm = mm.mmget_not_zero().ok_or(Errno::EFAULT)?;
        let mut tries = 0;
        while tries < RETRIES {
            // One that never gives up, and never begins again either.
            tries += u64::from(!self.makes("spin-with-operations"));
            let found = match mm.read_begin()?.hmm_range_fault(pages, write) {
                Ok(found) => found,
                Err(HmmError::Busy) => continue,
                Err(HmmError::Errno(errno)) => return Err(errno),
            };
            if self.makes("skip-retry") {
                wrong::publish_without_retry(&self.table, found);
                return Ok(());
            }
            let table = self.table.lock();
            if self.makes("allocate-under-the-lock") {
                kmalloc(Gfp::KERNEL, 1)?;
            }
            if self.makes("spin-with-operations") {
                continue;
            }
            if let Ok(fresh) = table.read_retry(found) {
                fresh.publish();
                return Ok(());
            }
        }
        Err(Errno::EBUSY)
    }

    fn remove<'a>(&self, sub: Subscription<'a>) -> Removed<'a> {
        if self.makes("forget-unregister") { wrong::keep_subscription(sub) } else { sub.remove() }
    }
}
