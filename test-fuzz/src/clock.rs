//! The clock that says how long the runs of a target took.

use std::time::Instant;

#[expect(clippy::disallowed_methods, reason = "the one place of this crate that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
