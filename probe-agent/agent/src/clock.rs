//! The only place of this crate that reads a clock or the system's randomness; everything else takes them as arguments.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use shared_protocol::time::{MonotonicMicros, UnixMicros};

/// Wall-clock time, for people and file names.
#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
pub fn wall() -> UnixMicros {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros::from_micros(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

/// Monotonic time since the first call in this process.
pub fn monotonic() -> MonotonicMicros {
    MonotonicMicros::from_micros(u64::try_from(read().saturating_duration_since(start()).as_micros()).unwrap_or(u64::MAX))
}

/// Waits until a monotonic instant; returns at once when it has passed.
pub async fn sleep_until(at: MonotonicMicros) {
    let left = at.since(monotonic());
    if left > Duration::ZERO {
        tokio::time::sleep(left).await;
    }
}

/// Ten bytes from the system's generator, for time-ordered ids.
pub fn random_id_bytes() -> [u8; 10] {
    rand::random()
}

/// A seed from the system's generator.
pub fn random_seed() -> u64 {
    rand::random()
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(read)
}

#[expect(clippy::disallowed_methods, reason = "this is the crate's clock")]
fn read() -> Instant {
    Instant::now()
}
