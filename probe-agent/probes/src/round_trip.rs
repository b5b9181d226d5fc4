//! Round-trip time by the kernel's timestamps. Pure.

use std::time::Duration;

use crate::clock::Moment;

/// Time between the kernel's two timestamps, unless the wall clock they are read from was stepped in between.
pub(crate) fn by_kernel((sent, transmitted_ns): (&Moment, Option<i64>), (came, received_ns): (&Moment, Option<i64>), user_rtt: Duration) -> Option<u64> {
    agent_paths::round_trip::by_kernel((sent.wall_offset_ns, transmitted_ns), (came.wall_offset_ns, received_ns), user_rtt)
}
