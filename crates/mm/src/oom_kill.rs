//! The OOM killer: when reclaim frees nothing any more, the process that has the most is killed, and its memory reaped.
//!
//! ```text
//! allocation, 16 rounds without progress       oom_reaper                       the killed process
//! trylock oom_lock
//!   choose; mark; queue under oom_reaper_lock
//! unlock                                       take it from the list
//! wait until no victim is left to reap         trylock mmap_lock R              its accesses fail
//! try again                                    UNMAP brackets, nonblocking      a fault in flight maps nothing
//!                                              MMF_OOM_SKIP; wake              (under the page-table lock)
//! ```
//!
//! A process is an address space here: to kill one is to mark it. Its tasks are the scenario's, and its `exit` is too: from the
//! kill on their accesses fail, as those of a task that never returns to user mode.
//!
//! | here | 6.12 |
//! |---|---|
//! | the reaper begins at once | after `OOM_REAPER_DELAY`, which a process that exits in time does not see the end of |
//! | an allocation waits until victims are reaped, or have exited | it goes on reclaiming, for as long as that takes |
//! | no killable process: the allocation fails, and the event says so | the kernel panics |
//!
//! Source: `out_of_memory()`, `oom_badness()`, `select_bad_process()`, `__oom_kill_process()`, `oom_reaper()`, mm/oom_kill.c;
//! `__alloc_pages_may_oom()`, mm/page_alloc.c; 6.12.

use crate::machine::Machine;
use crate::mm::Mm;
use crate::obj::{MachineObj, MmObj, machine_obj, mm_obj};
use crate::page_table::{PMD_PAGES, Pmd};
use crate::{FaultError, PageRange};
use ksync::{Kernel, Mutex, SpinLock, WaitQueue, current};
use mm_types::{Gfp, MmId, Name, PAGE_SIZE, Pte, PteKind, TASK_SIZE, TaskId, Vpn};
use mmu_notifier::MmHost;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI16, AtomicU8, AtomicU32, Ordering};
use trace::EventKind;

/// `oom_score_adj` of a process that is never killed. Source: `OOM_SCORE_ADJ_MIN`, include/uapi/linux/oom.h.
pub const OOM_SCORE_ADJ_MIN: i16 = -1000;
/// The most that it can be.
pub const OOM_SCORE_ADJ_MAX: i16 = 1000;
/// `schedule_timeout_uninterruptible(1)` at 250 Hz.
const JIFFY_NS: u64 = 4_000_000;

/// Marked for the killer (`TIF_MEMDIE`, `signal->oom_mm`).
const VICTIM: u8 = 1;
/// `MMF_UNSTABLE`: reaped, or about to be: nothing new is mapped.
const UNSTABLE: u8 = 2;
/// `MMF_OOM_SKIP`: nothing is to be had from it any more.
const SKIP: u8 = 4;

/// What the OOM killer knows of one address space.
#[derive(Debug, Default)]
pub(crate) struct OomState {
    flags: AtomicU8,
    score_adj: AtomicI16,
}

impl OomState {
    fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// Whether it was not so before.
    fn set(&self, flag: u8) -> bool {
        self.flags.fetch_or(flag, Ordering::Relaxed) & flag == 0
    }
}

/// What a machine with an OOM killer has.
#[derive(Debug)]
pub(crate) struct OomKiller {
    /// `oom_lock`.
    lock: Mutex<()>,
    /// Whether allocations call it.
    on_failure: bool,
    /// `oom_reaper_list`, under `oom_reaper_lock`; the last one queued is reaped first.
    list: SpinLock<Vec<MmId>>,
    /// `oom_reaper_wait`, and how many are on the list.
    reaper: WaitQueue,
    queued: AtomicU32,
    /// `oom_victims_wait`, and how many are killed and not done with.
    victims: WaitQueue,
    pending: AtomicU32,
}

/// What calling the OOM killer came to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Outcome {
    /// This one was killed.
    Killed(Name),
    /// Somebody was before, and is not reaped yet.
    Pending,
    /// The allocation is one that nobody is killed for.
    NotForThis,
    /// There is nobody to kill.
    Nobody,
}

/// Whether there is an OOM killer, and it.
#[derive(Debug, Default)]
pub(crate) struct OomSlot {
    there: AtomicBool,
    killer: parking_lot::Mutex<Option<Arc<OomKiller>>>,
}

impl OomSlot {
    pub(crate) fn clear(&self) {
        self.there.store(false, Ordering::Relaxed);
        *self.killer.lock() = None;
    }

    /// Asked at every access: one load where there is none.
    fn get(&self) -> Option<Arc<OomKiller>> {
        if self.there.load(Ordering::Relaxed) { self.killer.lock().clone() } else { None }
    }
}

impl Machine {
    /// Starts `oom_reaper`, and with `on_failure` lets allocations call the OOM killer; without, only [`Machine::oom_kill`] does.
    /// The reaper does not keep a run alive.
    ///
    /// Context: setup, or a task; once after [`Machine::new`] or [`Machine::reset`].
    pub fn start_oom_reaper(self: &Arc<Machine>, k: &Kernel, on_failure: bool) -> TaskId {
        let reaper = WaitQueue::new(k, Name::new("oom_reaper_wait"));
        let killer = Arc::new(OomKiller {
            lock: k.mutex("oom_lock", ()),
            on_failure,
            list: k.spinlock("oom_reaper_lock", Vec::new()),
            reaper,
            queued: AtomicU32::new(0),
            victims: WaitQueue::new(k, Name::new("oom_victims_wait")),
            pending: AtomicU32::new(0),
        });
        *self.oom.killer.lock() = Some(Arc::clone(&killer));
        self.oom.there.store(true, Ordering::Relaxed);
        let machine = Arc::clone(self);
        k.spawn_daemon(Name::new("oom_reaper"), reaper, move || {
            loop {
                reaper.wait_event(|| killer.queued.load(Ordering::Relaxed) > 0);
                killer.queued.fetch_sub(1, Ordering::Relaxed);
                let victim = killer.list.lock().pop();
                if let Some(mm) = victim.and_then(|id| machine.mm(id)) {
                    mm.oom_reap();
                    // Reaped, or in the way of it for too long.
                    current(|k| killer.done_with(k, &mm));
                    mm.mmdrop();
                }
            }
        })
    }

    /// A write of `f` to `/proc/sysrq-trigger`: kills the process that has the most, whether memory is short or not. Gives its
    /// name; `None` when there is none that may be killed, or no OOM killer. Waits for nothing but `oom_lock`.
    pub fn oom_kill(&self) -> Option<Name> {
        let killer = self.oom.get()?;
        let _oom = killer.lock.lock();
        match current(|k| self.out_of_memory(k, &killer, Gfp::KERNEL, true)) {
            Outcome::Killed(name) => Some(name),
            _ => None,
        }
    }

    /// `__alloc_pages_may_oom()`: whether an allocation that found nothing to reclaim should try again. May sleep.
    pub(crate) fn may_oom(&self, k: &Kernel, gfp: Gfp) -> bool {
        let Some(killer) = self.oom.get().filter(|killer| killer.on_failure) else { return false };
        let outcome = match killer.lock.try_lock() {
            None => Outcome::NotForThis,
            // Somebody may have freed a lot meanwhile.
            Some(_oom) if self.watermark_ok(k, self.watermarks.high) => return true,
            Some(_oom) => self.out_of_memory(k, &killer, gfp, false),
        };
        match outcome {
            Outcome::Killed(_) | Outcome::Pending => {
                killer.victims.wait_event(|| killer.pending.load(Ordering::Relaxed) == 0);
                true
            }
            // Somebody else kills, or is to.
            Outcome::NotForThis => {
                k.sleep_ns(JIFFY_NS);
                true
            }
            Outcome::Nobody => {
                k.emit(EventKind::OutOfMemory { victim: None, points: 0 });
                false
            }
        }
    }

    /// `out_of_memory()`, under `oom_lock`; `asked` is by somebody, not by an allocation.
    fn out_of_memory(&self, k: &Kernel, killer: &OomKiller, gfp: Gfp, asked: bool) -> Outcome {
        if !gfp.contains(Gfp::FS) {
            return Outcome::NotForThis;
        }
        // What each process has is what reclaim looks at, too.
        k.visible_write(machine_obj(MachineObj::Lru));
        let total = ((self.config.memory_bytes + self.config.swap_bytes) / PAGE_SIZE).cast_signed();
        let mut chosen: Option<(i64, Arc<Mm>)> = None;
        for mm in self.living_mms() {
            if mm.oom.has(VICTIM) && !mm.oom.has(SKIP) && !asked {
                return Outcome::Pending;
            }
            // Of two that have as much the later one goes.
            if let Some(points) = mm.oom_badness(total)
                && chosen.as_ref().is_none_or(|(most, _)| points >= *most)
            {
                chosen = Some((points, mm));
            }
        }
        let Some((points, victim)) = chosen else { return Outcome::Nobody };
        killer.kill(k, &victim, points);
        Outcome::Killed(victim.name())
    }
}

impl OomKiller {
    /// `__oom_kill_process()`.
    fn kill(&self, k: &Kernel, victim: &Mm, points: i64) {
        k.visible_write(mm_obj(victim.id, MmObj::Oom));
        if !victim.oom.set(VICTIM) {
            return;
        }
        k.emit(EventKind::OutOfMemory { victim: Some(victim.id), points });
        self.pending.fetch_add(1, Ordering::Relaxed);
        victim.mmgrab();
        self.list.lock().push(victim.id);
        self.reaper.wake_all_after(|| {
            self.queued.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Nothing is to be had from `mm` any more: it was reaped, or its last user has left.
    fn done_with(&self, k: &Kernel, mm: &Mm) {
        k.visible_write(mm_obj(mm.id, MmObj::Oom));
        if mm.oom.set(SKIP) && mm.oom.has(VICTIM) {
            self.victims.wake_all_after(|| {
                self.pending.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}

impl Mm {
    /// `/proc/PID/oom_score_adj`: thousandths of all memory that are added to what the process has; [`OOM_SCORE_ADJ_MIN`] keeps it
    /// from being killed.
    pub fn set_oom_score_adj(&self, adj: i16) {
        self.oom.score_adj.store(adj.clamp(OOM_SCORE_ADJ_MIN, OOM_SCORE_ADJ_MAX), Ordering::Relaxed);
    }

    /// `oom_badness()`: pages in memory, in swap and of page tables, adjusted; `None` for one that is not to be killed.
    pub(crate) fn oom_badness(&self, total: i64) -> Option<i64> {
        let adj = self.oom.score_adj.load(Ordering::Relaxed);
        if adj == OOM_SCORE_ADJ_MIN || self.oom.has(SKIP) {
            return None;
        }
        Some(self.pages_held() + i64::from(adj) * (total / 1000))
    }

    /// `get_mm_rss()`, `MM_SWAPENTS` and `mm_pgtables_bytes()`. No scheduling point.
    fn pages_held(&self) -> i64 {
        let (mut held, mut upper) = (0, [None; 2]);
        let end = Vpn(TASK_SIZE / PAGE_SIZE);
        let mut rest = PageRange::new(Vpn(0), end).ok();
        while let Some((pmd, part)) = rest.and_then(|range| self.tables.next_pmd(range)) {
            held += match pmd {
                Pmd::Table(leaf) => 1 + part.iter().filter(|vpn| counts(leaf.peek_now(*vpn))).count() as i64,
                Pmd::Huge(pte) if counts(pte) => PMD_PAGES as i64,
                Pmd::Huge(_) | Pmd::None => 0,
            };
            // A PMD table for each GiB, a PUD table for each 512.
            for (last, shift) in upper.iter_mut().zip([18, 27]) {
                held += i64::from(last.replace(part.start().0 >> shift) != Some(part.start().0 >> shift));
            }
            rest = PageRange::new(part.end(), end).ok();
        }
        held
    }

    /// Whether the process was killed: its tasks do not return to user mode.
    pub(crate) fn check_alive(&self, k: &Kernel) -> Result<(), FaultError> {
        if !self.machine.oom.there.load(Ordering::Relaxed) {
            return Ok(());
        }
        k.visible_read(mm_obj(self.id, MmObj::Oom));
        if self.oom.has(VICTIM) { Err(FaultError::Killed) } else { Ok(()) }
    }

    /// `check_stable_address_space()`: nothing is mapped that the reaper has been at. The page-table lock held.
    pub(crate) fn check_stable(&self) -> Result<(), FaultError> {
        if self.oom.has(UNSTABLE) { Err(FaultError::Killed) } else { Ok(()) }
    }

    /// `MMF_UNSTABLE`, if it is one that was killed.
    pub(crate) fn set_unstable(&self) {
        if self.oom.has(VICTIM) {
            self.oom.set(UNSTABLE);
        }
    }

    /// Whether the reaper has nothing to do here.
    pub(crate) fn is_reaped(&self) -> bool {
        self.oom.has(SKIP)
    }

    /// The memory of the address space is freed by its own exit.
    pub(crate) fn exit_oom_victim(&self, k: &Kernel) {
        if let Some(killer) = self.machine.oom.get() {
            killer.done_with(k, self);
        }
    }
}

/// Whether an entry counts as a page that its process has, in memory or in swap.
fn counts(pte: Pte) -> bool {
    !pte.is_special() && !matches!(pte.kind(), PteKind::None | PteKind::Guard | PteKind::HwPoison { .. })
}
