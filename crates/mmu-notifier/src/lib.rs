//! MMU notifier subscriptions of one address space, hooks in lockdep maps.
//!
//! Each mm owns one [`Subscriptions`]. Before it takes translations away it opens a [`Bracket`]
//! ([`Subscriptions::invalidate_range_start`]), which tells every subscriber; afterwards it closes it ([`Bracket::end`]).
//! Two families listen: a list subscriber ([`Notifier`]) hears of the whole address space, an interval subscriber
//! ([`IntervalNotifier`]) of its own pages, with a sequence number that tells it whether what it looked up may be stale.
//!
//! An mm is named only by its `MmId`; what the framework asks of it is [`MmHost`]. All of one world share a
//! [`Framework`]: the SRCU domain, the lockdep maps and how they are used ([`Annotations`]).
//!
//! Source of the rules, unless an item names another: mm/mmu_notifier.c and include/linux/mmu_notifier.h, Linux 6.12.
//!
//! # The sequence
//!
//! | state | brackets open | `invalidate_seq` | the tree may change |
//! |---|---|---|---|
//! | idle | 0 | even | yes |
//! | partially excluded: no open bracket met a subscriber | > 0 | even | yes, but an insert makes the sequence odd |
//! | fully excluded | > 0 | odd | no: inserts and removals wait on the deferred list |
//!
//! The first bracket that meets a subscriber makes the sequence odd; it becomes even again when the *last* bracket of the
//! mm closes, whether or not that one met anybody. There is one sequence for the mm, not one for each range.
//!
//! # Who may call what
//!
//! | operation | locks of the caller | may sleep |
//! |---|---|---|
//! | start, end | whatever keeps the range stable (mmap or rmap lock) | yes |
//! | start, nonblocking; its end | the same | no |
//! | register, unregister, insert, remove | none that a callback takes; not the mmap lock | yes |
//! | `read_begin` | none that a callback takes | yes |
//! | `read_retry`, `set_seq` | the driver's own lock, the same for both | as that lock |
//! | secondary TLB and young hooks | often a page-table lock | no |

mod annotations;
mod behaviour;
mod bracket;
mod framework;
mod hlist;
mod interval;
mod itree;
mod names;
mod ops;
mod quirks;
mod register;
mod release;
mod subscriptions;
mod young;

pub use annotations::{Annotations, EndMap, MapScope, OtherMaps, Prime, Touch, Wrap};
pub use behaviour::Behaviour;
pub use bracket::Bracket;
pub use framework::Framework;
pub use interval::IntervalSub;
pub use ops::{Hooks, IntervalNotifier, MmHost, Notifier, WouldBlock};
pub use quirks::Quirks;
pub use register::ListSub;
pub use subscriptions::Subscriptions;
