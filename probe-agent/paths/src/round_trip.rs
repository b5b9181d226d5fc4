//! Round-trip time by the kernel's timestamps.

use std::time::Duration;

/// An end of a round trip: how far the wall clock stood from the monotonic one, and the kernel's timestamp, both nanoseconds.
pub type End = (i64, Option<i64>);

/// Microseconds between the kernel's two timestamps, unless the wall clock they are read from was stepped in between.
pub fn by_kernel((sent_offset, transmitted_ns): End, (came_offset, received_ns): End, user_rtt: Duration) -> Option<u64> {
    let taken = u64::try_from(received_ns?.checked_sub(transmitted_ns?)?).ok()?;
    let stepped = came_offset.abs_diff(sent_offset) > STEP_NS;
    // The kernel's two moments lie between the two of user space.
    let fits = Duration::from_nanos(taken) <= user_rtt.saturating_add(Duration::from_nanos(STEP_NS));
    (!stepped && fits).then_some(taken / 1_000)
}

/// The wall clock was stepped when it moved this much against the monotonic clock; slewing moves both alike.
const STEP_NS: u64 = 1_000_000;
