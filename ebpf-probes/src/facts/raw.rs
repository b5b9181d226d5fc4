//! What `programs/facts.bpf.c` reads and writes, as it lies in memory.

use aya::Pod;
use shared_protocol::report::Transport;

use crate::endpoint::Endpoints;

/// `struct peer`.
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy)]
pub(super) struct RawPeer {
    pub(super) address: [u8; 16],
    pub(super) port: u16,
    pub(super) family: u16,
    pub(super) protocol: u32,
}

/// `struct connection`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection {
    pub(super) ends: Endpoints,
    pub(super) syn_sent_ns: u64,
    pub(super) established_ns: u64,
    pub(super) closed_ns: u64,
    pub(super) reset_received_ns: u64,
    pub(super) reset_sent_ns: u64,
    pub(super) srtt_us: u32,
    pub(super) retransmits: u32,
}

/// `struct dropping`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropping {
    pub(super) ends: Endpoints,
    pub(super) protocol: u32,
    pub(super) reason: u32,
    pub(super) outward: u32,
    pub(super) unused: u32,
}

/// `struct dropped`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(super) struct Dropped {
    pub(super) packets: u64,
    pub(super) last_ns: u64,
}

impl Dropping {
    pub(super) const fn transport(&self) -> Transport {
        if self.protocol == IPPROTO_UDP { Transport::Udp } else { Transport::Tcp }
    }
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for RawPeer {}
// SAFETY: the same.
unsafe impl Pod for Connection {}
// SAFETY: the same.
unsafe impl Pod for Dropping {}
// SAFETY: the same.
unsafe impl Pod for Dropped {}

/// Numbers of protocols (include/uapi/linux/in.h).
pub(super) const IPPROTO_TCP: u32 = 6;
pub(super) const IPPROTO_UDP: u32 = 17;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::assert_same_layout;
    use crate::object;

    #[test]
    fn it_lies_in_memory_as_the_programs_have_it() {
        let object = object::FACTS.bytes;
        assert_same_layout!(
            object,
            "peer",
            RawPeer {
                address,
                port,
                family,
                protocol
            }
        );
        assert_same_layout!(
            object,
            "connection",
            Connection {
                ends,
                syn_sent_ns,
                established_ns,
                closed_ns,
                reset_received_ns,
                reset_sent_ns,
                srtt_us,
                retransmits,
            }
        );
        assert_same_layout!(
            object,
            "dropping",
            Dropping {
                ends,
                protocol,
                reason,
                outward,
                unused
            }
        );
        assert_same_layout!(object, "dropped", Dropped { packets, last_ns });
    }
}
