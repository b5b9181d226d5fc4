//! Many messages a system call: `sendmmsg` and `recvmmsg` over memory that is kept between calls.
#![expect(
    unsafe_code,
    reason = "both calls take arrays of pointers; what nix offers cannot be used twice on the same memory"
)]

use std::mem::zeroed;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::ptr::null_mut;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;

use super::message::{Queued, Received};

/// Room for messages to come.
pub(crate) struct ReceiveBatch {
    slots: Vec<Slot>,
    bytes: usize,
    data: Vec<u8>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
}

/// What the kernel writes beside a message's bytes.
#[derive(Clone, Copy)]
struct Slot {
    name: libc::sockaddr_in6,
    control: Control,
}

/// Control messages begin where a number of eight bytes may.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL_BYTES]);

// SAFETY: the pointers in `vectors` and `headers` are set anew in each call from memory that the structure itself owns, and are used
// in that call only.
unsafe impl Send for ReceiveBatch {}

impl ReceiveBatch {
    /// Room for so many messages of so many bytes.
    pub(crate) fn new(messages: usize, bytes: usize) -> Self {
        let slot = Slot {
            // SAFETY: all-zero bytes are a valid `sockaddr_in6`, which is plain data.
            name: unsafe { zeroed() },
            control: Control([0; CONTROL_BYTES]),
        };
        // SAFETY: all-zero bytes are a valid `iovec` and a valid `mmsghdr`: null pointers and lengths of 0.
        let (vector, header) = unsafe { (zeroed(), zeroed()) };
        Self {
            slots: vec![slot; messages],
            bytes,
            data: vec![0; messages * bytes],
            vectors: vec![vector; messages],
            headers: vec![header; messages],
        }
    }

    /// Receives what is there; never waits. How many messages came.
    pub(crate) fn receive(&mut self, socket: &impl AsFd, queue: MsgFlags) -> Result<usize, Errno> {
        let parts = self.slots.iter_mut().zip(self.data.chunks_exact_mut(self.bytes));
        let parts = parts.zip(&mut self.vectors).zip(&mut self.headers);
        for (((slot, data), vector), header) in parts {
            vector.iov_base = data.as_mut_ptr().cast();
            vector.iov_len = data.len();
            header.msg_hdr.msg_name = (&raw mut slot.name).cast();
            header.msg_hdr.msg_namelen = NAME_BYTES;
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = slot.control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL_BYTES;
            header.msg_hdr.msg_flags = 0;
        }
        let count = libc::c_uint::try_from(self.headers.len()).unwrap_or(libc::c_uint::MAX);
        let flags = (queue | MsgFlags::MSG_DONTWAIT).bits();
        // SAFETY: the descriptor is borrowed for the call; every header points at memory of this structure, of the length it states.
        let outcome = unsafe { libc::recvmmsg(socket.as_fd().as_raw_fd(), self.headers.as_mut_ptr(), count, flags, null_mut()) };
        Errno::result(outcome).map(|count| usize::try_from(count).unwrap_or_default())
    }

    /// Room for how many messages there is.
    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// A message of those that the last call brought.
    pub(crate) fn message(&self, at: usize) -> Option<Received<'_>> {
        let (slot, header) = (self.slots.get(at)?, self.headers.get(at)?);
        let data = self.data.get(at * self.bytes..(at + 1) * self.bytes)?;
        let length = usize::try_from(header.msg_len).ok()?;
        let mut received = Received {
            bytes: data.get(..length.min(data.len()))?,
            cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
            ..Received::default()
        };
        (received.peer, received.port) = endpoint(&slot.name, header.msg_hdr.msg_namelen).unzip();
        let control = slot.control.0.get(..header.msg_hdr.msg_controllen.min(CONTROL_BYTES))?;
        take_control(control, &mut received);
        Some(received)
    }
}

/// Packets to send: each with its bytes and its target, all with the same control messages.
pub(crate) struct SendBatch {
    names: Vec<libc::sockaddr_in6>,
    vectors: Vec<libc::iovec>,
    headers: Vec<libc::mmsghdr>,
    control: Control,
}

// SAFETY: as for `ReceiveBatch`.
unsafe impl Send for SendBatch {}

impl SendBatch {
    /// Room for so many packets.
    pub(crate) fn new(packets: usize) -> Self {
        // SAFETY: all-zero bytes are valid values of all three, which are plain data: null pointers and lengths of 0.
        let (name, vector, header) = unsafe { (zeroed(), zeroed(), zeroed()) };
        Self {
            names: vec![name; packets],
            vectors: vec![vector; packets],
            headers: vec![header; packets],
            control: Control([0; CONTROL_BYTES]),
        }
    }

    /// Hands packets to the kernel, each of `bytes` bytes of `data`; never waits. How many it took: fewer than there are where it refused one.
    pub(crate) fn send(&mut self, socket: &impl AsFd, data: &[u8], bytes: usize, targets: &[IpAddr], fields: Option<(u8, u8)>) -> Result<usize, Errno> {
        let control_bytes = fields.map_or(0, |fields| write_fields(&mut self.control, targets.first(), fields));
        let mut count: libc::c_uint = 0;
        let parts = data
            .chunks_exact(bytes)
            .zip(targets)
            .zip(&mut self.names)
            .zip(&mut self.vectors)
            .zip(&mut self.headers);
        for ((((packet, target), name), vector), header) in parts {
            vector.iov_base = packet.as_ptr().cast_mut().cast();
            vector.iov_len = packet.len();
            header.msg_hdr.msg_namelen = write_name(name, *target);
            header.msg_hdr.msg_name = (&raw mut *name).cast();
            header.msg_hdr.msg_iov = vector;
            header.msg_hdr.msg_iovlen = 1;
            header.msg_hdr.msg_control = if control_bytes == 0 { null_mut() } else { self.control.0.as_mut_ptr().cast() };
            header.msg_hdr.msg_controllen = control_bytes;
            count += 1;
        }
        let flags = MsgFlags::MSG_DONTWAIT.bits();
        // SAFETY: the descriptor is borrowed for the call; the first `count` headers point at memory of this structure and of `data`, of
        // the length they state, which the kernel only reads.
        let outcome = unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), self.headers.as_mut_ptr(), count, flags) };
        Errno::result(outcome).map(|sent| usize::try_from(sent).unwrap_or_default())
    }
}

/// Reads the control messages that were asked for; the rest, and what is not well-formed, is passed over.
fn take_control(mut control: &[u8], received: &mut Received<'_>) {
    while let Some((length, level, kind)) = control_header(control) {
        let Some(data) = control.get(CONTROL_HEADER_BYTES..length) else { return };
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_TTL) | (libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT) => {
                received.ttl = number(data, 0).and_then(|ttl| u8::try_from(ttl).ok());
            }
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPING) => received.stamped_ns = stamp(data),
            (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => received.dropped = number(data, 0).map(i32::cast_unsigned),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => received.queued = queued(data, level),
            _ => {}
        }
        let Some(rest) = control.get(length.next_multiple_of(CONTROL_ALIGNMENT)..) else {
            return;
        };
        control = rest;
    }
}

/// Length, level and type of the control message at the head (`struct cmsghdr`).
fn control_header(control: &[u8]) -> Option<(usize, i32, i32)> {
    let length = usize::from_ne_bytes(control.get(..size_of::<usize>())?.try_into().ok()?);
    let level = number(control, size_of::<usize>())?;
    let kind = number(control, size_of::<usize>() + 4)?;
    (length >= CONTROL_HEADER_BYTES).then_some((length, level, kind))
}

/// The software timestamp of `struct scm_timestamping`, nanoseconds.
fn stamp(data: &[u8]) -> Option<i64> {
    let word = |at: usize| Some(i64::from_ne_bytes(data.get(at..at + 8)?.try_into().ok()?));
    let ns = word(0)?.saturating_mul(1_000_000_000).saturating_add(word(8)?);
    (ns > 0).then_some(ns)
}

/// An entry of the error queue: `struct sock_extended_err`, and the offender's address behind it.
fn queued(data: &[u8], level: i32) -> Option<Queued> {
    let (origin, kind, code) = (*data.get(4)?, *data.get(5)?, *data.get(6)?);
    let info = number(data, 8)?.cast_unsigned();
    let told = number(data, 12)?.cast_unsigned();
    match origin {
        libc::SO_EE_ORIGIN_TIMESTAMPING => Some(Queued::Transmitted(told)),
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => {
            let offender = data.get(16..)?;
            let from = match level {
                libc::IPPROTO_IP => offender.get(4..8).and_then(|octets| Some(IpAddr::from(<[u8; 4]>::try_from(octets).ok()?))),
                _ => offender.get(8..24).and_then(|octets| Some(IpAddr::from(<[u8; 16]>::try_from(octets).ok()?))),
            };
            Some(Queued::IcmpError {
                kind: (kind, code),
                from,
                mtu: (info > 0).then_some(info),
            })
        }
        _ => None,
    }
}

fn number(data: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

/// Reads an address that the kernel has written into room for either family.
fn endpoint(name: &libc::sockaddr_in6, length: libc::socklen_t) -> Option<(IpAddr, u16)> {
    let port = u16::from_be(name.sin6_port);
    match i32::from(name.sin6_family) {
        // The port stands at the same place in both, and the address of IPv4 where IPv6 has the flow label.
        libc::AF_INET if length >= 8 => Some((Ipv4Addr::from(name.sin6_flowinfo.to_ne_bytes()).into(), port)),
        libc::AF_INET6 => Some((Ipv6Addr::from(name.sin6_addr.s6_addr).into(), port)),
        _ => None,
    }
}

fn write_name(name: &mut libc::sockaddr_in6, target: IpAddr) -> libc::socklen_t {
    name.sin6_port = 0;
    match target {
        IpAddr::V4(address) => {
            name.sin6_family = FAMILY_V4;
            name.sin6_flowinfo = u32::from_ne_bytes(address.octets());
            name.sin6_addr.s6_addr = [0; 16];
            16
        }
        IpAddr::V6(address) => {
            name.sin6_family = FAMILY_V6;
            name.sin6_flowinfo = 0;
            name.sin6_addr.s6_addr = address.octets();
            NAME_BYTES
        }
    }
}

/// Writes time to live and traffic class for the family of the target; how many bytes that takes.
fn write_fields(control: &mut Control, target: Option<&IpAddr>, (ttl, class): (u8, u8)) -> usize {
    let (level, kinds) = match target {
        Some(IpAddr::V6(_)) => (libc::IPPROTO_IPV6, [libc::IPV6_HOPLIMIT, libc::IPV6_TCLASS]),
        Some(IpAddr::V4(_)) | None => (libc::IPPROTO_IP, [libc::IP_TTL, libc::IP_TOS]),
    };
    let mut written = Vec::with_capacity(CONTROL_BYTES);
    for (kind, value) in kinds.into_iter().zip([ttl, class]) {
        written.extend((CONTROL_HEADER_BYTES + 4).to_ne_bytes());
        written.extend(level.to_ne_bytes());
        written.extend(kind.to_ne_bytes());
        written.extend(i32::from(value).to_ne_bytes());
        written.resize(written.len().next_multiple_of(CONTROL_ALIGNMENT), 0);
    }
    for (to, from) in control.0.iter_mut().zip(&written) {
        *to = *from;
    }
    written.len()
}

const NAME_BYTES: libc::socklen_t = 28;
const FAMILY_V4: libc::sa_family_t = 2;
const FAMILY_V6: libc::sa_family_t = 10;
/// `struct cmsghdr`: a length, two numbers of four bytes.
const CONTROL_HEADER_BYTES: usize = size_of::<usize>() + 8;
const CONTROL_ALIGNMENT: usize = size_of::<usize>();
/// Everything that is asked for at once: time to live, three timestamps, an error with its sender, the count of drops.
const CONTROL_BYTES: usize = 256;
