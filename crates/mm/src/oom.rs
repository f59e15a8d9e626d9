//! The OOM reaper and `process_mrelease()`: what a dying process has is unmapped before it gets to that itself, by a task that
//! must not wait for subscribers. The only callers that announce without blocking.
//!
//! One UNMAP bracket for each private VMA, `mmap_lock` R. Where a subscriber refuses, the VMA is passed over; whatever else
//! was announced is as the framework leaves it.
//!
//! Source: mm/oom_kill.c, 6.12.

use crate::mm::Mm;
use crate::names::NAMES;
use crate::tlb::MmuGather;
use crate::zap::Zap;
use ksync::{Kernel, current};
use mm_types::{Errno, VmFlags};
use trace::{NotifyEvent, NotifyRange};

/// How often the reaper tries. Source: `MAX_OOM_REAP_RETRIES`.
const RETRIES: u32 = 10;
/// How long it waits in between: `HZ / 10`.
const RETRY_NS: u64 = 100_000_000;

impl Mm {
    /// `oom_reap_task()`: whether all that may be was reaped, within ten tries. `mmap_lock` by trylock.
    pub fn oom_reap(&self) -> bool {
        current(|k| {
            let reaped: Result<bool, Errno> = self.call(k, NAMES.oom_reap, None, || {
                for retry in 0..RETRIES {
                    if retry > 0 {
                        k.sleep_ns(RETRY_NS);
                    }
                    if let Some(_read) = self.mmap_lock.try_read()
                        && (self.is_reaped() || self.oom_reap_vmas(k))
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            });
            reaped.unwrap_or(false)
        })
    }

    /// `process_mrelease()` of a process that is being killed.
    ///
    /// # Errors
    /// `EAGAIN` when a subscriber refused.
    pub fn process_mrelease(&self) -> Result<(), Errno> {
        current(|k| {
            self.call(k, NAMES.process_mrelease, None, || {
                let _read = self.mmap_lock.read();
                if self.oom_reap_vmas(k) { Ok(()) } else { Err(Errno::EAGAIN) }
            })
        })
    }

    /// `__oom_reap_task_mm()`: false if a subscriber refused.
    fn oom_reap_vmas(&self, k: &Kernel) -> bool {
        self.set_unstable();
        let mut all = true;
        let reapable = |flags: VmFlags| !flags.intersects(VmFlags::PFNMAP | VmFlags::SHARED);
        for vma in self.vmas().into_iter().filter(|vma| reapable(vma.flags())) {
            let mut tlb = MmuGather::new(self);
            let started = self.subs.invalidate_range_start_nonblock(NotifyRange {
                mm: self.id,
                pages: vma.range(),
                event: NotifyEvent::Unmap,
                blockable: false,
                owner: None,
            });
            match started {
                Ok(bracket) => {
                    self.unmap_page_range(k, &mut tlb, &vma, vma.range(), Zap::DISCARD);
                    bracket.end();
                }
                Err(_refused) => all = false,
            }
            tlb.finish(k);
        }
        all
    }
}
