//! Opening a connection to a checked address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{MsgFlags, setsockopt, sockopt};
use shared_protocol::report::Transport;
use shared_protocol::time::MonotonicMicros;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::TcpStream;

use super::failure::{DialError, Failure, Place};
use crate::beside::Flows;
use crate::clock;
use crate::net::departures::{Departures, NoRoom};
use crate::net::gate::{self, Gate, Peer};
use crate::net::message::{self, Queued};
use crate::net::route;
use crate::table::ProbeContext;

/// Opens connections under the owner's policy and rates.
#[derive(Clone)]
pub(crate) struct Dialler {
    gate: Arc<dyn Gate>,
    departures: Arc<Departures>,
    flows: Flows,
}

/// What to connect to, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dial {
    /// The address, which is used as it stands, and its port.
    pub endpoint: SocketAddr,
    /// Who names it.
    pub peer: Peer,
    /// Differentiated services code point.
    pub dscp: u8,
    /// How long an answer is waited for once the connection has been asked for.
    pub wait: Duration,
    /// When a connection that has had no place under the owner's rates is given up.
    pub depart_by: MonotonicMicros,
}

/// A connection that stands. Dropped, it is reset: nothing was sent that the peer could miss, a port in TIME-WAIT for a minute after
/// each try would let an agent run out of ports, and the peer has nothing left to keep either. Who
/// uses the stream for more than to see that it stands calls [`Connection::into_stream`].
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// When the kernel was asked to connect.
    pub begun: MonotonicMicros,
    /// From asking the kernel to connect until the program was told that the connection stands.
    pub taken: Duration,
    /// This host's end.
    pub local: SocketAddr,
}

impl Dialler {
    /// A dialler of a probe's context.
    pub(crate) fn new(context: &ProbeContext) -> Self {
        Self {
            gate: Arc::clone(&context.gate),
            departures: context.engine.departures(),
            flows: context.flows.clone(),
        }
    }

    /// Opens a connection. The policy is asked at the last moment before the first segment, and what is connected is that address:
    /// nothing is resolved again.
    pub(crate) async fn dial(&self, dial: Dial) -> Result<Connection, DialError> {
        gate::check(self.gate.as_ref(), dial.endpoint, dial.peer).map_err(DialError::Denied)?;
        let place = self.departures.wait(dial.endpoint.ip(), self.gate.pace());
        let time_left = dial.depart_by.since(clock::monotonic());
        let place = tokio::time::timeout(time_left, place).await;
        place.unwrap_or(Err(NoRoom)).map_err(|NoRoom| DialError::NoRoom)?;
        self.flows.watch(Transport::Tcp, dial.endpoint).await;
        gate::check(self.gate.as_ref(), dial.endpoint, dial.peer).map_err(DialError::Denied)?;
        connect(&dial, &self.flows).await
    }
}

impl Connection {
    /// The stream, for a conversation: it ends in the ordinary way, so that what was sent last arrives.
    pub(crate) fn into_stream(self) -> io::Result<TcpStream> {
        SockRef::from(&self.stream).set_linger(None)?;
        Ok(self.stream)
    }

    /// Listens to what the other end says first, for so long or until so many bytes have come, and resets the connection. What it says in
    /// several segments is heard as far as it comes in time.
    pub(crate) async fn listen(self, time: Duration, bytes: usize) -> Vec<u8> {
        let mut heard = vec![0; bytes];
        let mut length = 0;
        let hearing = async {
            while length < bytes {
                self.stream.readable().await?;
                match self.stream.try_read(heard.get_mut(length..).unwrap_or_default()) {
                    Ok(0) => break,
                    Ok(more) => length += more,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(time, hearing).await {
            tracing::debug!(%error, "the other end ended the connection");
        }
        heard.truncate(length);
        heard
    }

    /// The stream, for use.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

async fn connect(dial: &Dial, flows: &Flows) -> Result<Connection, DialError> {
    let host = |error: &io::Error| DialError::Failed(failure(error, Place::Host, Duration::ZERO));
    let socket = open(dial).map_err(|error| host(&error))?;
    let begun = clock::monotonic();
    let taken = || clock::monotonic().since(begun);
    let asked = socket.connect(&dial.endpoint.into());
    if let Some(local) = socket.local_addr().ok().and_then(|local| local.as_socket()) {
        flows.note(Transport::Tcp, dial.endpoint, local.port());
    }
    match asked {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => {
            let mut failure = failure(&error, place_of(&error, dial.endpoint.ip()), taken());
            failure.icmp = icmp_behind(&socket);
            return Err(DialError::Failed(failure));
        }
    }
    let stream = TcpStream::from_std(socket.into()).map_err(|error| host(&error))?;
    let ready = tokio::time::timeout(dial.wait, stream.writable()).await;
    let taken = taken();
    match ready {
        Err(_) => return Err(DialError::TimedOut),
        Ok(Err(error)) => return Err(host(&error)),
        Ok(Ok(())) => {}
    }
    if let Some(error) = stream.take_error().map_err(|error| host(&error))? {
        let mut failure = failure(&error, Place::Network, taken);
        failure.icmp = icmp_behind(&stream);
        return Err(DialError::Failed(failure));
    }
    let peer = stream.peer_addr().map_err(|error| host(&error))?;
    if peer != dial.endpoint {
        return Err(host(&io::Error::from_raw_os_error(libc::EADDRNOTAVAIL)));
    }
    let local = stream.local_addr().map_err(|error| host(&error))?;
    Ok(Connection { stream, begun, taken, local })
}

fn open(dial: &Dial) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(dial.endpoint), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_nodelay(true)?;
    // A reset instead of the ordinary end, see `Connection`.
    socket.set_linger(Some(Duration::ZERO))?;
    // The code point is the upper six bits; the lower two are ECN's (RFC 3168).
    let class = u32::from(dial.dscp) << 2;
    match dial.endpoint.ip() {
        IpAddr::V4(_) => {
            // Lets the kernel say which ICMP error ended an attempt, and who sent it.
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
            if class != 0 {
                socket.set_tos_v4(class)?;
            }
        }
        IpAddr::V6(_) => {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
            if class != 0 {
                socket.set_tclass_v6(class)?;
            }
        }
    }
    Ok(socket)
}

/// Where an attempt failed that the kernel answered at once.
fn place_of(error: &io::Error, target: IpAddr) -> Place {
    match error.raw_os_error() {
        // Over loopback the answer comes before the call returns.
        Some(libc::ECONNREFUSED | libc::ECONNRESET) => Place::Network,
        // No port left, or no address to send from: a datagram socket, whose ports are others, tells the two apart.
        Some(libc::EADDRNOTAVAIL) if route::exists(target) => Place::Ports,
        _ => Place::Host,
    }
}

fn icmp_behind(socket: &impl AsFd) -> Option<((u8, u8), Option<IpAddr>)> {
    let mut nothing = [0; 1];
    let received = message::receive(socket, &mut nothing, MsgFlags::MSG_ERRQUEUE).ok()?;
    match received.queued? {
        Queued::IcmpError { kind, from, .. } => Some((kind, from)),
        Queued::Transmitted(_) => None,
    }
}

fn failure(error: &io::Error, place: Place, taken: Duration) -> Failure {
    Failure {
        errno: error.raw_os_error().unwrap_or_default(),
        place,
        icmp: None,
        taken,
    }
}
