//! A connection as the programs tell it: `struct flow` of `programs/tcp_flows.bpf.c`.

use aya::Pod;
use shared_protocol::report::{Masked, TcpFlow};

use crate::endpoint::{Endpoints, command, tcp_state};

/// `struct flow`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RawFlow {
    pub(crate) ends: Endpoints,
    pub(crate) socket: u64,
    pub(crate) first_seen_ns: u64,
    pub(crate) syn_sent_ns: u64,
    pub(crate) established_ns: u64,
    pub(crate) updated_ns: u64,
    pub(crate) segment_tick: u64,
    pub(crate) closed_ns: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) sent_before_bytes: u64,
    pub(crate) received_before_bytes: u64,
    pub(crate) retransmits_before: u32,
    pub(crate) srtt_us: u32,
    pub(crate) min_rtt_us: u32,
    pub(crate) congestion_window: u32,
    pub(crate) retransmits: u32,
    pub(crate) pid: u32,
    pub(crate) state: u32,
    pub(crate) error: i32,
    pub(crate) command: [u8; 16],
}

// SAFETY: it is plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawFlow {}

impl RawFlow {
    /// Bytes that went over it while it was observed.
    pub(crate) const fn moved(&self) -> u64 {
        self.sent() + self.received()
    }

    pub(crate) const fn sent(&self) -> u64 {
        self.sent_bytes.saturating_sub(self.sent_before_bytes)
    }

    pub(crate) const fn received(&self) -> u64 {
        self.received_bytes.saturating_sub(self.received_before_bytes)
    }

    pub(crate) const fn sent_again(&self) -> u32 {
        self.retransmits.saturating_sub(self.retransmits_before)
    }

    /// A try to connect that came to nothing.
    pub(crate) const fn failed(&self) -> bool {
        self.closed_ns > 0 && self.syn_sent_ns > 0 && self.established_ns == 0
    }

    /// As a report tells it.
    pub(crate) fn told(&self, masked: &[Masked]) -> TcpFlow {
        let until = if self.closed_ns > 0 { self.closed_ns } else { self.updated_ns };
        let seen = |value: u32| (value > 0 && value != u32::MAX).then(|| u64::from(value));
        TcpFlow {
            local: self.ends.local(),
            remote: self.ends.remote(masked),
            state: tcp_state(self.state),
            pid: (self.pid > 0).then_some(self.pid),
            command: (self.pid > 0 && !masked.contains(&Masked::Commands)).then(|| command(&self.command)),
            sent_bytes: self.sent_bytes,
            received_bytes: self.received_bytes,
            srtt_us: seen(self.srtt_us),
            min_rtt_us: seen(self.min_rtt_us),
            congestion_window: self.congestion_window,
            retransmits: self.retransmits,
            connect_us: span_us(self.syn_sent_ns, self.established_ns),
            established_us: span_us(self.established_ns, until),
            errno: (self.error > 0).then_some(self.error),
        }
    }
}

/// From one moment to another, where both were seen.
const fn span_us(from_ns: u64, to_ns: u64) -> Option<u64> {
    if from_ns == 0 || to_ns < from_ns {
        return None;
    }
    Some((to_ns - from_ns) / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::message::message;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = crate::object::TCP_FLOWS.bytes;
        assert_same_layout!(
            object,
            "endpoints",
            Endpoints {
                local,
                remote,
                local_port,
                remote_port,
                family,
                unused
            }
        );
        assert_same_layout!(
            object,
            "flow",
            RawFlow {
                ends,
                socket,
                first_seen_ns,
                syn_sent_ns,
                established_ns,
                updated_ns,
                segment_tick,
                closed_ns,
                sent_bytes,
                received_bytes,
                sent_before_bytes,
                received_before_bytes,
                retransmits_before,
                srtt_us,
                min_rtt_us,
                congestion_window,
                retransmits,
                pid,
                state,
                error,
                command,
            }
        );
    }

    #[test]
    fn what_was_not_seen_is_absent() {
        let mut flow = RawFlow {
            min_rtt_us: u32::MAX,
            updated_ns: 5_000,
            ..RawFlow::default()
        };
        let told = flow.told(&[]);
        assert_eq!((told.pid, told.command.as_deref(), told.srtt_us, told.min_rtt_us), (None, None, None, None));
        assert_eq!((told.connect_us, told.established_us, told.errno), (None, None, None));
        flow.pid = 7;
        flow.command[..5].copy_from_slice(b"a\x1bb\0c");
        assert_eq!(flow.told(&[]).command.as_deref(), Some("ab"));
        assert_eq!(flow.told(&[Masked::Commands]).command, None);
        assert_eq!(flow.told(&[Masked::Commands]).pid, Some(7));
    }

    #[test]
    fn a_message_of_another_length_is_none() {
        let flow = RawFlow::default();
        assert_eq!(message::<RawFlow>(&[0; size_of::<RawFlow>()]), Some(flow));
        assert_eq!(message::<RawFlow>(&[0; size_of::<RawFlow>() - 1]), None);
        assert_eq!(message::<RawFlow>(&[]), None);
    }
}
