//! What a run tells: a closed vocabulary of events, observers that are handed each one, a stable text form, a run hash.
//!
//! Events are emitted by the accessor that changes the thing (the page-table accessor emits [`EventKind::PteSet`], the
//! frame allocator [`EventKind::FrameFree`]), never by its callers, so that no path can forget. Oracles see nothing
//! else: what an oracle relates must be in here.
//!
//! Neighbours: `ksync::Kernel` hands events on; `properties` judges them; [`RunHash`] folds them into the number that
//! "the same run" means. Source locations are not part of events, so moving code does not change a run hash.

mod end;
mod event;
mod hash;
mod notify;
mod text;

pub use end::{BlockedTask, HeldRef, RunEnd, WaitFor};
pub use event::{Atomic, DevId, Event, EventKind, LockKind, LockMode, LockRef, SubId};
pub use hash::RunHash;
pub use notify::{AccessModel, BracketId, Hook, NotifyEvent, NotifyRange, SubKind};
pub use text::TextLog;

/// Something that looks on while a run goes: the oracles, the recorder, the run hash.
///
/// Called in the order of events, on the thread of the run. It must not call back into the run.
pub trait Observer {
    /// One event happened.
    fn event(&mut self, event: &Event);

    /// The run is over; called once, after the last event.
    fn end(&mut self, _end: &RunEnd) {}
}
