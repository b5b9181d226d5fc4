//! Datagrams to one checked address: a connected socket, so that the kernel lets only its datagrams in, with the kernel's timestamps.

use std::io;
use std::net::{IpAddr, SocketAddr};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, send, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::os::fd::AsRawFd;
use tokio::io::Interest;
use tokio::net::UdpSocket;

use super::icmp::{Family, Fragmentation, set_fragmentation};
use super::message::{self, Queued, Received};
use super::stamps;
use crate::clock::{self, Moment};

/// A socket for one exchange, on a port that the kernel draws anew.
#[derive(Debug)]
pub(crate) struct UdpFlow {
    socket: UdpSocket,
}

/// What a socket has to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// When what was sent left: wall clock, nanoseconds.
    Transmitted { at_ns: i64 },
    /// A datagram of this length stands at the head of the buffer.
    Datagram {
        length: usize,
        /// By the kernel's timestamp: wall clock, nanoseconds.
        at_ns: Option<i64>,
        moment: Moment,
    },
    /// An ICMP error answered.
    Refused {
        kind: (u8, u8),
        from: Option<IpAddr>,
        /// The next hop's MTU that it claims.
        mtu: Option<u32>,
        /// When it came, by the kernel's timestamp: wall clock, nanoseconds.
        at_ns: Option<i64>,
        moment: Moment,
    },
    /// The kernel reports an error of its own.
    Failed(Errno),
}

impl UdpFlow {
    /// Opens a socket towards an address. Nothing is sent.
    pub(crate) fn open(peer: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(peer), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        match peer {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?,
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?,
        }
        if let Err(errno) = stamps::ask_for(&socket) {
            tracing::debug!(%errno, "the kernel gives no timestamps");
        }
        socket.connect(&peer.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        Ok(Self { socket })
    }

    /// This host's end.
    pub(crate) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Sets header fields of what is sent from now on.
    pub(crate) fn set_header(&self, ttl: u8, dscp: u8, fragmentation: Fragmentation) -> io::Result<()> {
        let socket = SockRef::from(&self.socket);
        // The code point is the upper six bits; the lower two are ECN's (RFC 3168).
        let class = u32::from(dscp) << 2;
        let family = Family::of(self.socket.peer_addr()?.ip());
        match family {
            Family::V4 => {
                socket.set_ttl_v4(ttl.into())?;
                socket.set_tos_v4(class)?;
            }
            Family::V6 => {
                socket.set_unicast_hops_v6(ttl.into())?;
                socket.set_tclass_v6(class)?;
            }
        }
        set_fragmentation(&self.socket, family, fragmentation)
    }

    /// Sends one datagram; never waits. Gives the clocks just before the kernel got it.
    pub(crate) fn send(&self, datagram: &[u8]) -> Result<Moment, Errno> {
        let moment = clock::moment();
        send(self.socket.as_raw_fd(), datagram, MsgFlags::MSG_DONTWAIT)?;
        Ok(moment)
    }

    /// Waits for the next thing to tell. Nothing is lost when the wait is given up.
    pub(crate) async fn hear(&self, buffer: &mut [u8]) -> io::Result<Heard> {
        loop {
            self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            // Timestamps first: the one of a question stands in the queue before its answer does.
            if let Some(heard) = self.take_queued()? {
                return Ok(heard);
            }
            let taken = self.socket.try_io(Interest::READABLE, || {
                let received = message::receive(&self.socket, buffer, MsgFlags::empty())?;
                Ok((received.bytes.len(), received.stamped_ns))
            });
            match taken {
                Ok((length, at_ns)) => {
                    let moment = clock::moment();
                    return Ok(Heard::Datagram { length, at_ns, moment });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Ok(Heard::Failed(Errno::from_raw(error.raw_os_error().unwrap_or_default()))),
            }
        }
    }

    /// What stands in the error queue at this moment.
    pub(crate) fn take_queued(&self) -> io::Result<Option<Heard>> {
        let mut nothing = [0; 1];
        let taken = self.socket.try_io(Interest::ERROR, || {
            let Received { queued, stamped_ns, .. } = message::receive(&self.socket, &mut nothing, MsgFlags::MSG_ERRQUEUE)?;
            Ok((queued, stamped_ns))
        });
        match taken {
            Ok((Some(Queued::IcmpError { kind, from, mtu }), at_ns)) => Ok(Some(Heard::Refused {
                kind,
                from,
                mtu,
                at_ns,
                moment: clock::moment(),
            })),
            Ok((Some(Queued::Transmitted(_)), Some(at_ns))) => Ok(Some(Heard::Transmitted { at_ns })),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}
