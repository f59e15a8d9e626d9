//! Ctrl-C. The first asks for the results so far, and so does the second: they come as soon as the runs in progress have
//! ended. Should one never end, what is known by then is printed instead. The third ends the tool at once.

use crate::{Exit, out};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long a second Ctrl-C waits for the results to be printed in good order.
const PATIENCE: Duration = Duration::from_secs(3);
/// After that many there is no waiting.
const AT_ONCE: u32 = 3;

/// What the handler and the command share.
#[derive(Clone, Default)]
pub(crate) struct Interrupts {
    count: Arc<AtomicU32>,
    /// What to print if a run does not end: a line each.
    known: Arc<Mutex<Vec<String>>>,
}

impl Interrupts {
    /// Catches Ctrl-C from now on.
    pub(crate) fn catch() -> Interrupts {
        let interrupts = Interrupts::default();
        let shared = interrupts.clone();
        if let Err(why) = ctrlc::set_handler(move || shared.handle()) {
            out::complain(&format!("warning: Ctrl-C will lose the results: {why}"));
        }
        interrupts
    }

    /// Whether there was one.
    pub(crate) fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Says what is known so far.
    pub(crate) fn note(&self, known: Vec<String>) {
        *self.known.lock() = known;
    }

    fn handle(&self) {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        if count >= AT_ONCE {
            std::process::exit(i32::from(Exit::Interrupted.code()));
        }
        if count == 2 {
            let interrupts = self.clone();
            // Not here: the third has to be heard meanwhile.
            #[expect(clippy::disallowed_methods, reason = "floor 8: outlives every scope, and no run is in it")]
            std::thread::spawn(move || interrupts.last_words());
        }
    }

    fn last_words(&self) {
        std::thread::sleep(PATIENCE);
        let known = self.known.lock();
        out::complain("a run does not end; found so far:");
        for line in &*known {
            out::print(&format!("{line}\n"));
        }
        std::process::exit(i32::from(Exit::Interrupted.code()));
    }
}
