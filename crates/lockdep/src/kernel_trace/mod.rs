//! The lock events of a running kernel, as text, judged afterwards.
//!
//! `/sys/kernel/tracing/trace`, `trace-cmd report` (best with `-l`) and `perf script` print the events `lock:lock_acquire` and
//! `lock:lock_release` of a kernel with `CONFIG_LOCKDEP`, a line each. [`TraceLine::parse`] reads one line of either, or
//! says which field is wrong; [`TraceJudge`] tells a [`Run`](crate::Run) what it means.
//!
//! ```text
//!     bash-1234    [001] d..1.  1234.567890: lock_acquire: 00000000f5a018c4 try read &mm->mmap_lock          tracing file
//!     bash-1234    1d..1.  1234.567890: lock_acquire:      0xffff888003f5a018 try read &mm->mmap_lock        trace-cmd -l
//!     bash  1234 [001]  1234.567890: lock:lock_acquire: 0xffff888003f5a018 try read &mm->mmap_lock           perf
//! ```
//!
//! # What an event does not say, and what is made of it
//!
//! The events print the address, whether it was a trylock, whether it was shared, and the name
//! (`include/trace/events/lock.h`, 6.12). They do not print subclass, `nest_lock`, which kind of shared, wait types and
//! whether the map is checked. Where a guess is needed it is the one that accuses less:
//!
//! | not printed | taken to be |
//! |---|---|
//! | class | the name. Two classes of one name are one, as their keys are not printed |
//! | subclass, `nest_lock` | of a name that the task holds at another address: the next subclass. So recursion is reported of one lock taken twice, and an inversion inside one name is not |
//! | kind of shared | recursive and unchecked for `rcu_...`, recursive for names with `srcu` in them and in interrupts (a queued rwlock), else the kind that waits behind writers |
//! | wait types | unchecked |
//! | hardirqs | on or off as the flags column says; where there is none, nothing is said to be held with them on |
//! | softirqs | the same, from the first line on whose column knows of them (`b`, `D`, or a header that names `BH-disabled`): neither old kernels nor trace-cmd print it |
//! | context | the flags column; where there is none, `irq:irq_handler_entry`, `irq:softirq_entry` and their counterparts, if they were recorded. Without either, an interrupt's locks count as its victim's |
//! | what was held when recording began | a release of a lock that may have been held then is counted, not reported |
//! | lost events | nothing is known to be held after them |

mod judge;
mod line;

pub use judge::{EarlyReleases, TraceJudge, TraceSummary};
pub use line::{EventKind, TraceContext, TraceEvent, TraceLine};
