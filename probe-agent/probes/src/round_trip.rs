//! Round-trip time by the kernel's timestamps. Pure.

use std::time::Duration;

use crate::clock::Moment;

/// Time between the kernel's two timestamps, unless the wall clock they are read from was stepped in between.
pub(crate) fn by_kernel((sent, transmitted_ns): (&Moment, Option<i64>), (came, received_ns): (&Moment, Option<i64>), user_rtt: Duration) -> Option<u64> {
    let taken = u64::try_from(received_ns?.checked_sub(transmitted_ns?)?).ok()?;
    let stepped = came.wall_offset_ns.abs_diff(sent.wall_offset_ns) > STEP_NS;
    // The kernel's two moments lie between the two of user space.
    let fits = Duration::from_nanos(taken) <= user_rtt.saturating_add(Duration::from_nanos(STEP_NS));
    (!stepped && fits).then_some(taken / 1_000)
}

/// The wall clock was stepped when it moved this much against the monotonic clock; slewing moves both alike.
const STEP_NS: u64 = 1_000_000;
