//! The one place of the lab that reads a clock.

use std::time::Instant;

/// A moment from which time is measured.
#[expect(clippy::disallowed_methods, reason = "the lab measures real processes")]
pub fn start() -> Instant {
    Instant::now()
}
