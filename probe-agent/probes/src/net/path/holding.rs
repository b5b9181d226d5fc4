//! Source ports that are ours for a while. A bound TCP socket that does not listen keeps others off the port, and lets the kernel answer
//! what comes with the reset that is wanted; a bound UDP socket hears what the target answers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;

use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use socket2::{Domain, Protocol as SocketProtocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::{PathAnswer, PathArrival};
use crate::clock;
use crate::net::icmp::{Family, Receipt};
use crate::net::{message, stamps};

/// Takes a port of TCP.
pub(super) fn hold_tcp(family: Family, port: Option<u16>) -> io::Result<(Socket, u16)> {
    let socket = Socket::new(domain(family), Type::STREAM, Some(SocketProtocol::TCP))?;
    let port = bind(&socket, family, port)?;
    Ok((socket, port))
}

/// Takes a port of UDP, with what comes to it.
pub(super) fn hold_udp(family: Family, port: Option<u16>) -> io::Result<(Answers, u16)> {
    let socket = Socket::new(domain(family), Type::DGRAM, Some(SocketProtocol::UDP))?;
    socket.set_nonblocking(true)?;
    let port = bind(&socket, family, port)?;
    match family {
        Family::V4 => setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?,
        Family::V6 => setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?,
    }
    if let Err(errno) = stamps::ask_for(&socket) {
        tracing::debug!(%errno, "the kernel gives no timestamps");
    }
    let socket = UdpSocket::from_std(socket.into())?;
    Ok((Answers { socket }, port))
}

/// What comes to a port of UDP.
#[derive(Debug)]
pub(super) struct Answers {
    socket: UdpSocket,
}

impl Answers {
    /// Waits for the next datagram from the target. Nothing is lost when the wait is given up.
    pub(super) async fn next(&self, target: IpAddr) -> io::Result<PathArrival> {
        loop {
            self.socket.readable().await?;
            if let Some(arrival) = self.take(target)? {
                return Ok(arrival);
            }
        }
    }

    /// The datagram from the target that is there, if one is.
    pub(super) fn take(&self, target: IpAddr) -> io::Result<Option<PathArrival>> {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        loop {
            let taken = self.socket.try_io(Interest::READABLE, || {
                let descriptor = self.socket.as_fd();
                let received = message::receive(&descriptor, &mut buffer, MsgFlags::empty())?;
                let receipt = Receipt {
                    at_ns: received.stamped_ns,
                    moment: clock::moment(),
                    ttl: received.ttl,
                    bytes: u32::try_from(received.bytes.len()).unwrap_or(u32::MAX),
                };
                let from_target = received.peer == Some(target);
                Ok(from_target.then(|| (received.bytes.to_vec(), received.port.unwrap_or_default(), receipt)))
            });
            match taken {
                Ok(Some((bytes, port, receipt))) => {
                    let what = PathAnswer::Udp { bytes, port, receipt };
                    return Ok(Some(PathArrival { index: None, what }));
                }
                // From somebody else; or an error that an earlier packet left on the socket, which reading on clears.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if is_told_elsewhere(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Errors of packets, which are read from the network itself.
fn is_told_elsewhere(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ECONNREFUSED | libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EMSGSIZE | libc::EPROTO | libc::ENOPROTOOPT | libc::EACCES)
    )
}

fn bind(socket: &Socket, family: Family, port: Option<u16>) -> io::Result<u16> {
    let any: IpAddr = match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => {
            // Or the port would be taken of IPv4 as well.
            socket.set_only_v6(true)?;
            Ipv6Addr::UNSPECIFIED.into()
        }
    };
    socket.bind(&SocketAddr::new(any, port.unwrap_or_default()).into())?;
    let bound = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    Ok(bound.port())
}

const fn domain(family: Family) -> Domain {
    match family {
        Family::V4 => Domain::IPV4,
        Family::V6 => Domain::IPV6,
    }
}

/// Longest datagram there is.
const DATAGRAM_BYTES: usize = 65_535;
