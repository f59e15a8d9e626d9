//! Where reports go.

use core::cell::Cell;
use std::sync::Arc;

use lockdep::Report;

use crate::thread;

type Handler = Arc<dyn Fn(&Report) + Send + Sync>;

static HANDLER: parking_lot::RwLock<Option<Handler>> = parking_lot::RwLock::new(None);

thread_local! {
    /// A handler is running on this thread: what it does is validated, and its reports are kept, but it is not called again.
    static TELLING: Cell<bool> = const { Cell::new(false) };
}

/// All reports since the process began, in order, each distinct one once.
#[must_use]
pub fn reports() -> Vec<Report> {
    thread::all_reports()
}

/// Has each report from now on handed to `handler`, instead of to the handler before; reports are kept all the same.
///
/// It is called on the thread that made the report, before that thread waits for the lock that the report is about, and
/// without any lock of the validator held. It may take locks. It may panic: then a lock that was to be taken is not.
/// While a thread unwinds already, and for reports that the handler itself causes, it is not called.
pub fn on_report(handler: impl Fn(&Report) + Send + Sync + 'static) {
    *HANDLER.write() = Some(Arc::new(handler));
}

/// Hands reports to the handler, if there is one.
pub(crate) fn tell(reports: &[Report]) {
    if reports.is_empty() || std::thread::panicking() {
        return;
    }
    let Some(handler) = HANDLER.read().clone() else { return };
    // Without thread-local storage the thread is at its end, and so cannot be inside of the handler.
    if TELLING.try_with(|telling| telling.replace(true)).unwrap_or(false) {
        return;
    }
    let _done = Done;
    reports.iter().for_each(|report| handler(report));
}

struct Done;

impl Drop for Done {
    fn drop(&mut self) {
        let _ = TELLING.try_with(|telling| telling.set(false));
    }
}
