//! The one place of this crate that reads clocks and draws random numbers.

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use shared_protocol::time::{MonotonicMicros, UnixMicros};

/// The wall clock, for people and deadlines.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn now() -> UnixMicros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// The monotonic clock, for durations.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn monotonic() -> MonotonicMicros {
    static START: OnceLock<Instant> = OnceLock::new();
    let elapsed = START.get_or_init(Instant::now).elapsed();
    MonotonicMicros::from_micros(u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX))
}

/// A number drawn evenly from all there are, for the jitter of a pause.
pub fn random_jitter() -> u32 {
    rand::random()
}

/// Ten random bytes for a time-ordered id.
pub fn random_id_bytes() -> [u8; 10] {
    rand::random()
}

/// A random number.
pub fn random_seed() -> u64 {
    rand::random()
}
