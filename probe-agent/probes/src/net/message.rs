//! One message from a socket, or from its error queue, with what the kernel says about it.

use std::io::IoSliceMut;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, SockaddrStorage, recvmsg};
use shared_protocol::mac_address::MacAddress;

/// One message from the socket or from its error queue.
#[derive(Debug, Default)]
pub(crate) struct Received<'a> {
    pub bytes: &'a [u8],
    /// Sender; on the error queue where the request was going.
    pub peer: Option<IpAddr>,
    /// Its port.
    pub port: Option<u16>,
    /// Where a packet socket saw it.
    pub seen: Option<Seen>,
    pub ttl: Option<u8>,
    /// Kernel's timestamp, wall clock, nanoseconds.
    pub stamped_ns: Option<i64>,
    /// How many messages the kernel has dropped on this socket since it was opened.
    pub dropped: Option<u32>,
    /// What the error queue says.
    pub queued: Option<Queued>,
    /// The message was longer than the buffer.
    pub cut: bool,
}

/// Where a packet socket saw a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of the interface.
    pub interface: u32,
    pub way: Way,
    /// Who sent its frame, on an Ethernet.
    pub sender: Option<MacAddress>,
}

/// Which way a packet passes an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To this host, alone or among others.
    In,
    /// From this host.
    Out,
    /// To another host: the interface hears more than it has to.
    Past,
}

/// An entry of the error queue.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Queued {
    /// A transmit timestamp; the number counts the socket's packets.
    Transmitted(u32),
    /// An ICMP error.
    IcmpError {
        kind: (u8, u8),
        from: Option<IpAddr>,
        /// The next hop's MTU that it claims.
        mtu: Option<u32>,
    },
}

/// Receives one message; never waits.
pub(crate) fn receive<'a>(socket: &impl AsFd, buffer: &'a mut [u8], queue: MsgFlags) -> Result<Received<'a>, Errno> {
    let mut control = [0_u8; CONTROL_BYTES];
    let mut received = Received::default();
    let length;
    {
        let mut slices = [IoSliceMut::new(buffer)];
        let descriptor = socket.as_fd().as_raw_fd();
        let message = recvmsg::<SockaddrStorage>(descriptor, &mut slices, Some(&mut control), queue | MsgFlags::MSG_DONTWAIT)?;
        length = message.bytes;
        received.cut = message.flags.contains(MsgFlags::MSG_TRUNC);
        (received.peer, received.port) = message.address.as_ref().and_then(endpoint_of).unzip();
        received.seen = message.address.as_ref().and_then(SockaddrStorage::as_link_addr).map(seen);
        for control in message.cmsgs()? {
            received.take(&control);
        }
    }
    received.bytes = buffer.get(..length).unwrap_or_default();
    Ok(received)
}

impl Received<'_> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel may add control messages; only these were asked for")]
    fn take(&mut self, control: &ControlMessageOwned) {
        match control {
            ControlMessageOwned::Ipv4Ttl(ttl) | ControlMessageOwned::Ipv6HopLimit(ttl) => self.ttl = u8::try_from(*ttl).ok(),
            ControlMessageOwned::ScmTimestampsns(stamps) => {
                let ns = stamps.system.tv_sec().saturating_mul(1_000_000_000).saturating_add(stamps.system.tv_nsec());
                self.stamped_ns = (ns > 0).then_some(ns);
            }
            ControlMessageOwned::RxqOvfl(dropped) => self.dropped = Some(*dropped),
            ControlMessageOwned::Ipv4RecvErr(error, offender) => {
                let from = offender.map(|address| IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()));
                self.queued = queued(error, from);
            }
            ControlMessageOwned::Ipv6RecvErr(error, offender) => {
                let from = offender.map(|address| IpAddr::from(address.sin6_addr.s6_addr));
                self.queued = queued(error, from);
            }
            _ => {}
        }
    }
}

fn queued(error: &libc::sock_extended_err, from: Option<IpAddr>) -> Option<Queued> {
    match error.ee_origin {
        libc::SO_EE_ORIGIN_TIMESTAMPING => Some(Queued::Transmitted(error.ee_data)),
        libc::SO_EE_ORIGIN_ICMP | libc::SO_EE_ORIGIN_ICMP6 => Some(Queued::IcmpError {
            kind: (error.ee_type, error.ee_code),
            from,
            mtu: (error.ee_info > 0).then_some(error.ee_info),
        }),
        _ => None,
    }
}

fn seen(address: &LinkAddr) -> Seen {
    let way = match address.pkttype() {
        libc::PACKET_OUTGOING => Way::Out,
        libc::PACKET_OTHERHOST => Way::Past,
        _ => Way::In,
    };
    let is_ethernet = address.hatype() == libc::ARPHRD_ETHER && address.halen() == 6;
    Seen {
        interface: u32::try_from(address.ifindex()).unwrap_or_default(),
        way,
        sender: address.addr().filter(|_| is_ethernet).map(MacAddress::new),
    }
}

fn endpoint_of(address: &SockaddrStorage) -> Option<(IpAddr, u16)> {
    address
        .as_sockaddr_in()
        .map(|address| (IpAddr::V4(address.ip()), address.port()))
        .or_else(|| address.as_sockaddr_in6().map(|address| (IpAddr::V6(address.ip()), address.port())))
}

const CONTROL_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    /// Error, origin, type, code, then information and data, as the kernel lays them out on this machine.
    const ENTRIES: &str = "# a transmit timestamp, then ICMP errors of both versions: by hand after linux/errqueue.h
hex 2a0000000400000000000000 07000000
hex 6f0000000203030000000000 00000000
hex 5a0000000203040078050000 00000000
hex 5a0000000302000000050000 00000000
";

    #[test]
    fn job_19_fuzz_error_queue() {
        Target::new("error_queue", ENTRIES).survives(|bytes| {
            let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
            let word = |at: usize| u32::from_le_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)]);
            let entry = libc::sock_extended_err {
                ee_errno: word(0),
                ee_origin: byte(4),
                ee_type: byte(5),
                ee_code: byte(6),
                ee_pad: byte(7),
                ee_info: word(8),
                ee_data: word(12),
            };
            let found = queued(&entry, None);
            if let Some(Queued::IcmpError { mtu, .. }) = found {
                assert_ne!(mtu, Some(0));
            }
            Reading::of(found.is_some())
        });
    }
}
