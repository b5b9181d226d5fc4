//! What the programs keep, and write into the ring.

use aya::Pod;
use shared_protocol::report::{Dial, DialOutcome, Masked};

use crate::endpoint::{Endpoints, command};

/// `struct dial` of `programs/connects.bpf.c`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct RawDial {
    pub(super) began_ns: u64,
    pub(super) ended_ns: u64,
    pub(super) ends: Endpoints,
    pub(super) pid: u32,
    pub(super) user: u32,
    pub(super) outcome: u32,
    pub(super) error: i32,
    pub(super) command: [u8; 16],
}

// SAFETY: it is plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawDial {}

impl RawDial {
    /// Whether both are about one try, of which one may be older.
    pub(super) fn is_same_try(&self, other: &Self) -> bool {
        (self.began_ns, self.pid, self.ends.remote, self.ends.remote_port) == (other.began_ns, other.pid, other.ends.remote, other.ends.remote_port)
    }

    /// As a report tells it.
    pub(super) fn told(&self, masked: &[Masked]) -> Dial {
        let has_ended = self.ended_ns > 0;
        Dial {
            pid: self.pid,
            user: self.user,
            command: (!masked.contains(&Masked::Commands)).then(|| command(&self.command)),
            local: (self.ends.local_port > 0).then(|| self.ends.local()),
            remote: self.ends.remote(masked),
            outcome: if has_ended { outcome(self.outcome) } else { DialOutcome::UnderWay },
            errno: (has_ended && self.error > 0).then_some(self.error),
            took_us: has_ended.then(|| self.ended_ns.saturating_sub(self.began_ns) / 1_000),
        }
    }
}

/// `enum outcome` of the programs.
const fn outcome(number: u32) -> DialOutcome {
    match number {
        0 => DialOutcome::Established,
        1 => DialOutcome::Refused,
        2 => DialOutcome::TimedOut,
        3 => DialOutcome::Unreachable,
        4 => DialOutcome::GivenUp,
        _ => DialOutcome::Failed,
    }
}

/// `COUNTS` of the programs: outcomes, then what began.
pub(super) const COUNTS: usize = 7;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::AF_INET;
    use crate::layout::assert_same_layout;

    fn raw() -> RawDial {
        let mut remote = [0; 16];
        remote[..4].copy_from_slice(&[192, 0, 2, 77]);
        RawDial {
            began_ns: 5_000,
            ended_ns: 12_900,
            ends: Endpoints {
                remote,
                local_port: 40_000,
                remote_port: 443,
                family: AF_INET,
                ..Endpoints::default()
            },
            pid: 7,
            user: 65_534,
            outcome: 1,
            error: 111,
            command: *b"a\x1bb\0not this one",
        }
    }

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = crate::object::CONNECTS.bytes;
        assert_same_layout!(
            object,
            "dial",
            RawDial {
                began_ns,
                ended_ns,
                ends,
                pid,
                user,
                outcome,
                error,
                command
            }
        );
    }

    #[test]
    fn what_is_under_way_has_no_end_and_what_is_hidden_is_not_told() {
        let told = raw().told(&[]);
        assert_eq!((told.outcome, told.errno, told.took_us), (DialOutcome::Refused, Some(111), Some(7)));
        assert_eq!((told.command.as_deref(), told.remote.to_string().as_str()), (Some("ab"), "192.0.2.77:443"));
        assert_eq!(told.local.unwrap().to_string(), "0.0.0.0:40000");
        let mut under_way = raw();
        (under_way.ended_ns, under_way.ends.local_port) = (0, 0);
        let told = under_way.told(&[Masked::Addresses, Masked::Commands]);
        assert_eq!((told.outcome, told.errno, told.took_us, told.local), (DialOutcome::UnderWay, None, None, None));
        assert_eq!((told.command, told.remote.to_string().as_str()), (None, "192.0.2.0:443"));
    }

    #[test]
    fn an_outcome_that_nobody_knows_is_a_failure() {
        assert_eq!(
            [0, 4, 5, 6, u32::MAX].map(outcome).map(|one| one == DialOutcome::Failed),
            [false, false, true, true, true]
        );
    }
}
