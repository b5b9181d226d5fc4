//! The one place of this crate that reads a clock: what is stored has its times from whoever asks.

use tokio::time::Instant;

/// The monotonic clock, for how long the writer waits.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}
