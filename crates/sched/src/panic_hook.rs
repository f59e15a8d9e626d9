//! Where a task panicked, and silence about it.
//!
//! A panic of simulated code is a result of the run and must not print; where it happened is known only to the
//! process's panic hook. So one hook, installed once, keeps both for the engine and hands every other panic on.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::sync::Once;

const NO_TEXT: &str = "a payload that is no text";

/// What the hook saw.
pub(crate) struct CaughtPanic {
    pub(crate) message: String,
    pub(crate) location: Option<String>,
}

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static CAUGHT: RefCell<Option<CaughtPanic>> = const { RefCell::new(None) };
}

/// Installs the process's panic hook: silent for panics of simulated tasks (their message and place go into
/// [`Outcome::Panicked`](crate::Outcome::Panicked)), the previous hook for all others. Further calls do nothing.
///
/// Without it tasks' panics are still outcomes, but they print and their place is unknown.
pub fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |info| {
            // A thread that is ending has no thread-locals left, and runs no task.
            if IN_TASK.try_with(Cell::get).unwrap_or(false) {
                let caught = describe(info);
                CAUGHT.with(|c| *c.borrow_mut() = Some(caught));
            } else {
                previous(info);
            }
        }));
    });
}

fn describe(info: &PanicHookInfo<'_>) -> CaughtPanic {
    CaughtPanic {
        message: info.payload_as_str().unwrap_or(NO_TEXT).to_owned(),
        location: info.location().map(ToString::to_string),
    }
}

/// Whether this thread executes a simulated task.
#[inline]
pub(crate) fn in_task() -> bool {
    IN_TASK.get()
}

#[inline]
pub(crate) fn set_in_task(yes: bool) {
    IN_TASK.set(yes);
}

/// What is known about the panic with `payload`, which a task's root has just caught.
pub(crate) fn caught(payload: &(dyn Any + Send)) -> CaughtPanic {
    let message = text_of(payload).unwrap_or(NO_TEXT).to_owned();
    // The hook is not called for a payload that is rethrown: what it saw last may then be another panic.
    let location = CAUGHT.take().filter(|seen| seen.message == message).and_then(|seen| seen.location);
    CaughtPanic { message, location }
}

fn text_of(payload: &(dyn Any + Send)) -> Option<&str> {
    payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}
