//! The clock of the tool itself.

use std::time::Duration;

/// The host's clock: for bounds and rates, never inside a run.
pub(crate) struct Clock(
    #[expect(clippy::disallowed_types, reason = "floor 8: time bounds and rates of the tool itself")]
    std::time::Instant,
);

impl Clock {
    pub(crate) fn start() -> Clock {
        #[expect(
            clippy::disallowed_types,
            clippy::disallowed_methods,
            reason = "floor 8: time bounds and rates of the tool itself"
        )]
        Clock(std::time::Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
