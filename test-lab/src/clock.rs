//! The one place of the lab that reads a clock.

use std::time::Instant;

/// A moment from which time is measured.
#[expect(clippy::disallowed_methods, reason = "the lab measures real processes")]
pub fn start() -> Instant {
    Instant::now()
}

/// Tokio's own clock, which stands still in tests that stop it.
#[expect(clippy::disallowed_methods, reason = "delays are counted on the clock that sleeps are")]
pub(crate) fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}
