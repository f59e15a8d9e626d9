//! `kswapd`: a daemon that reclaims when allocations find memory low, until there is plenty.
//!
//! Allocations go on meanwhile, down to the low reserve, before they reclaim themselves.
//!
//! Sources: `kswapd()`, `balance_pgdat()`, mm/vmscan.c; `wake_all_kswapds()`, mm/page_alloc.c, 6.12.

use crate::alloc::SWAP_CLUSTER_MAX;
use crate::machine::Machine;
use ksync::{Kernel, WaitQueue};
use mm_types::{Gfp, Name, TaskId};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What wakes it.
#[derive(Debug)]
pub(crate) struct Kswapd {
    wait: WaitQueue,
    wanted: AtomicBool,
}

impl Machine {
    /// Starts `kswapd0`. It sleeps until an allocation finds fewer free frames than the low watermark, then reclaims up to
    /// the high one, and does not keep a run alive.
    ///
    /// Context: setup, or a task; once after [`Machine::new`] or [`Machine::reset`].
    pub fn start_kswapd(self: &Arc<Machine>, k: &Kernel) -> TaskId {
        let wait = WaitQueue::new(k, Name::new("kswapd_wait"));
        let kswapd = Arc::new(Kswapd { wait, wanted: AtomicBool::new(false) });
        *self.kswapd.lock() = Some(Arc::clone(&kswapd));
        let machine = Arc::clone(self);
        k.spawn_daemon(Name::new("kswapd0"), wait, move || {
            loop {
                wait.wait_event(|| kswapd.wanted.load(Ordering::Relaxed));
                ksync::current(|k| machine.balance(k, &kswapd));
            }
        })
    }

    /// `balance_pgdat()`: reclaims until there is plenty, or nothing more can be had.
    fn balance(&self, k: &Kernel, kswapd: &Kswapd) {
        kswapd.wait.wake_all_after(|| kswapd.wanted.store(false, Ordering::Relaxed));
        self.reclaim_section(k, |machine| {
            let mut freed = 0;
            while !machine.watermark_ok(k, machine.watermarks.high) {
                match machine.shrink_node(k, Gfp::KERNEL, SWAP_CLUSTER_MAX) {
                    0 => break,
                    more => freed += more,
                }
            }
            freed
        });
    }

    /// `wakeup_kswapd()`. Whether there is one.
    pub(crate) fn wake_kswapd(&self) -> bool {
        let Some(kswapd) = self.kswapd.lock().clone() else { return false };
        if !kswapd.wanted.load(Ordering::Relaxed) {
            kswapd.wait.wake_all_after(|| kswapd.wanted.store(true, Ordering::Relaxed));
        }
        true
    }
}
