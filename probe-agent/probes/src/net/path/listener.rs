//! Hears the answers to first segments: one packet socket a family, with a filter in the kernel that lets nothing else through. A raw
//! TCP socket would be handed a copy of every segment of the host.
#![expect(unsafe_code, reason = "binding a packet socket to a protocol has no safe wrapper")]

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Mutex, PoisonError};

use socket2::{Domain, SockFilter, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::book::PREFIX_MASK;
use crate::net::icmp::{Family, widen};
use crate::net::stamped::watch;
use crate::net::stamps;

/// A packet socket that hears nothing yet.
#[derive(Debug)]
pub(super) struct PacketSocket {
    socket: Socket,
    family: Family,
}

/// The packet sockets of the process.
#[derive(Default)]
pub(in crate::net) struct Listeners {
    listeners: Vec<Listener>,
}

pub(in crate::net) struct Listener {
    watched: AsyncFd<Socket>,
    pub(super) family: Family,
    /// How many flows listen.
    users: Mutex<usize>,
}

impl PacketSocket {
    /// Opens it; needs the right to raw sockets. Bound to no protocol, it costs the host nothing.
    pub(super) fn open(family: Family, prefix: u16) -> io::Result<Self> {
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        socket.attach_filter(&answers_to_ours(family, prefix))?;
        widen(&socket)?;
        stamps::ask_for(&socket).map_err(io::Error::from)?;
        Ok(Self { socket, family })
    }
}

impl Listeners {
    pub(super) fn new(opened: impl Iterator<Item = PacketSocket>) -> io::Result<Self> {
        let listeners: io::Result<Vec<_>> = opened
            .map(|PacketSocket { socket, family }| {
                Ok(Listener {
                    watched: watch(socket)?,
                    family,
                    users: Mutex::new(0),
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
        let listener = self.of(family).ok_or(io::ErrorKind::PermissionDenied)?;
        let mut users = listener.users.lock().unwrap_or_else(PoisonError::into_inner);
        if *users == 0 {
            bind(listener.watched.get_ref(), ethernet_protocol(family))?;
        }
        *users += 1;
        Ok(())
    }

    /// Ends it when nobody is left.
    pub(super) fn leave(&self, family: Family) {
        let Some(listener) = self.of(family) else { return };
        let mut users = listener.users.lock().unwrap_or_else(PoisonError::into_inner);
        *users = users.saturating_sub(1);
        if *users == 0
            && let Err(error) = bind(listener.watched.get_ref(), 0)
        {
            tracing::debug!(%error, "the packet socket goes on listening");
        }
    }

    fn of(&self, family: Family) -> Option<&Listener> {
        self.listeners.iter().find(|listener| listener.family == family)
    }
}

impl Listener {
    pub(super) fn watched(&self) -> &AsyncFd<Socket> {
        &self.watched
    }
}

/// Binds to a protocol of Ethernet on every interface; to 0, it hears nothing.
fn bind(socket: &Socket, protocol: u16) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::c_ushort::try_from(libc::AF_PACKET).map_err(io::Error::other)?,
        sll_protocol: protocol.to_be(),
        sll_ifindex: 0,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call; pointer and length describe `address`, which the kernel only reads.
    let outcome = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
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
        Step::Do(RETURN, KEPT_BYTES),
        Step::Do(RETURN, 0),
    ];
    let last = head.len() + tail.len() - 1;
    let steps = head.iter().copied().chain(tail).enumerate();
    steps
        .map(|(at, step)| {
            // The last step drops the packet.
            let drop = u8::try_from(last.saturating_sub(at + 1)).unwrap_or(u8::MAX);
            match step {
                Step::Do(code, value) => SockFilter::new(code, 0, 0, value),
                Step::Only(code, value) => SockFilter::new(code, 0, drop, value),
                Step::Not(code, value) => SockFilter::new(code, drop, 0, value),
            }
        })
        .collect()
}

/// A step of a filter.
#[derive(Clone, Copy)]
enum Step {
    Do(u16, u32),
    /// Goes on only if the test holds.
    Only(u16, u32),
    /// Goes on only if it does not.
    Not(u16, u32),
}

const fn ethernet_protocol(family: Family) -> u16 {
    match family {
        Family::V4 => 0x0800,
        Family::V6 => 0x86dd,
    }
}

const TCP: u32 = 6;
/// Flags of TCP (RFC 9293 section 3.1).
const ACK: u32 = 0x10;
const SYN_OR_RST: u32 = 0x06;
/// Both headers with all their options.
const KEPT_BYTES: u32 = 256;
/// Instructions of the classic filter machine (`linux/bpf_common.h`).
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_INDEXED: u16 = 0x40;
const LOAD_BYTE_INDEXED: u16 = 0x50;
const INDEX: u16 = 0x01;
const INDEX_BY_IPV4_HEADER: u16 = 0xb1;
const SHIFT_RIGHT: u16 = 0x74;
const EQUAL: u16 = 0x15;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
