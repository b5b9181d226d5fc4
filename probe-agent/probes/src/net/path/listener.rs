//! Hears the answers to first segments: one packet socket a family, with a filter in the kernel that lets nothing else through. A raw
//! TCP socket would be handed a copy of every segment of the host.

use std::io;

use socket2::{SockFilter, Socket};
use tokio::io::unix::AsyncFd;

use super::book::PREFIX_MASK;
use crate::net::filter::{
    self, ANY_BIT, EQUAL, INDEX, INDEX_BY_IPV4_HEADER, Kept, LOAD_BYTE, LOAD_BYTE_INDEXED, LOAD_HALF, LOAD_WORD_INDEXED, SHIFT_RIGHT, Step,
};
use crate::net::icmp::Family;
use crate::net::packet_listener::{PacketListener, PacketSocket};

/// A packet socket of a family that hears nothing yet.
#[derive(Debug)]
pub(super) struct SegmentSocket {
    socket: PacketSocket,
    family: Family,
}

/// The packet sockets of the process.
#[derive(Default)]
pub(in crate::net) struct Listeners {
    listeners: Vec<Listener>,
}

pub(in crate::net) struct Listener {
    packets: PacketListener,
    pub(super) family: Family,
}

impl SegmentSocket {
    /// Opens it; needs the right to raw sockets.
    pub(super) fn open(family: Family, prefix: u16) -> io::Result<Self> {
        let socket = PacketSocket::open(&answers_to_ours(family, prefix))?;
        Ok(Self { socket, family })
    }
}

impl Listeners {
    pub(super) fn new(opened: impl Iterator<Item = SegmentSocket>) -> io::Result<Self> {
        let listeners: io::Result<Vec<_>> = opened
            .map(|SegmentSocket { socket, family }| {
                Ok(Listener {
                    packets: PacketListener::new(socket, ethernet_protocol(family))?,
                    family,
                })
            })
            .collect();
        Ok(Self { listeners: listeners? })
    }

    pub(super) fn all(&self) -> &[Listener] {
        &self.listeners
    }

    /// Begins to hear a family, if nobody does yet.
    pub(super) fn listen(&self, family: Family) -> io::Result<()> {
        self.of(family).ok_or(io::ErrorKind::PermissionDenied)?.packets.listen()
    }

    /// Ends it when nobody is left.
    pub(super) fn leave(&self, family: Family) {
        if let Some(listener) = self.of(family) {
            listener.packets.leave();
        }
    }

    fn of(&self, family: Family) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.family == family)
    }
}

impl Listener {
    pub(super) const fn watched(&self) -> &AsyncFd<Socket> {
        self.packets.watched()
    }
}

/// Lets through what acknowledges a number with our prefix and opens or refuses: the filter runs for every packet of the family.
fn answers_to_ours(family: Family, prefix: u16) -> Vec<SockFilter> {
    let head: &[Step] = match family {
        Family::V4 => &[
            Step::Do(LOAD_BYTE, 9),
            Step::Only(EQUAL, TCP),
            Step::Do(LOAD_HALF, 6),
            // Not of a later fragment.
            Step::Not(ANY_BIT, 0x1fff),
            Step::Do(INDEX_BY_IPV4_HEADER, 0),
        ],
        Family::V6 => &[Step::Do(LOAD_BYTE, 6), Step::Only(EQUAL, TCP), Step::Do(INDEX, 40)],
    };
    let tail = [
        Step::Do(LOAD_BYTE_INDEXED, 13),
        Step::Only(ANY_BIT, ACK),
        Step::Only(ANY_BIT, SYN_OR_RST),
        Step::Do(LOAD_WORD_INDEXED, 8),
        Step::Do(SHIFT_RIGHT, PREFIX_MASK.trailing_zeros() + u16::BITS),
        Step::Only(EQUAL, u32::from(prefix & PREFIX_MASK) >> PREFIX_MASK.trailing_zeros()),
    ];
    let kept = Kept {
        passing: KEPT_BYTES,
        others: 0,
    };
    filter::compile(&[head, &tail].concat(), kept)
}

const fn ethernet_protocol(family: Family) -> i32 {
    match family {
        Family::V4 => libc::ETH_P_IP,
        Family::V6 => libc::ETH_P_IPV6,
    }
}

const TCP: u32 = 6;
/// Flags of TCP (RFC 9293 section 3.1).
const ACK: u32 = 0x10;
const SYN_OR_RST: u32 = 0x06;
/// Both headers with all their options.
const KEPT_BYTES: u32 = 256;
