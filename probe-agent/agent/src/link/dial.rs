//! From a host name to a TLS connection: every address is tried, each a little after the one before, within one time limit.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use rustls::ClientConfig;
use shared_protocol::limits::UNSENT_BYTES;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::heard::{Heard, LastByte};
use super::http::{self, HttpError, ServerDate};
use super::tls;
use crate::clock;

/// The stream under a session's WebSocket.
pub type SessionStream = Heard<TlsStream<TcpStream>>;

/// A session's WebSocket, fresh from its upgrade.
#[derive(Debug)]
pub struct Dialled {
    /// The WebSocket.
    pub socket: tokio_tungstenite::WebSocketStream<SessionStream>,
    /// When the last byte came.
    pub heard: LastByte,
    /// The server's clock, as its answer told.
    pub date: ServerDate,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address at the moment.
    #[error("cannot resolve {host}: {source}")]
    Resolve {
        /// The host.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No address took the connection.
    #[error("cannot connect to {endpoint}: {source}")]
    Connect {
        /// Where to.
        endpoint: String,
        /// What the last address said.
        source: io::Error,
    },
    /// The server is not who it must be. Nothing was sent beyond the handshake.
    #[error("the server at {endpoint} is not trusted: {why}")]
    Untrusted {
        /// Where to.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with {endpoint} failed: {source}")]
    Handshake {
        /// Where to.
        endpoint: String,
        /// What failed.
        source: io::Error,
    },
    /// The upgrade was not granted.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// It took too long.
    #[error("connecting to {endpoint} took longer than {} s", CONNECT_TIMEOUT.as_secs())]
    Timeout {
        /// Where to.
        endpoint: String,
    },
}

/// All addresses of the endpoint's host, resolved now.
///
/// # Errors
/// [`DialError::Resolve`].
pub async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |source| DialError::Resolve { host: endpoint.host(), source };
    let lookup = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((endpoint.host(), endpoint.port()))).await;
    let addresses: Vec<_> = lookup
        .map_err(|_| failed(io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer")))?
        .map_err(failed)?
        .take(ADDRESSES)
        .collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address")));
    }
    Ok(addresses)
}

/// Connects to the first of the addresses that answers; each next one is tried 250 ms after the one before, or as soon as that fails.
///
/// # Errors
/// [`DialError::Connect`] with what the last one said.
pub async fn connect(endpoint: &Endpoint, addresses: &[SocketAddr]) -> Result<TcpStream, DialError> {
    let mut waiting = alternate(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "there is no address to connect to");
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(DialError::Connect {
                endpoint: endpoint.to_string(),
                source: last,
            });
        }
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt.and_then(prepare) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
        }
    }
}

/// Makes the TLS handshake; nothing else is sent.
///
/// # Errors
/// [`DialError::Untrusted`] where the server is not who it must be, else [`DialError::Handshake`].
pub async fn handshake(endpoint: &Endpoint, stream: TcpStream, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>, DialError> {
    let name = endpoint.server_name().map_err(|error| DialError::Handshake {
        endpoint: endpoint.to_string(),
        source: io::Error::new(io::ErrorKind::InvalidInput, error),
    })?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    connected.map_err(|source| match tls::untrusted(&source) {
        Some(why) => DialError::Untrusted {
            endpoint: endpoint.to_string(),
            why,
        },
        None => DialError::Handshake {
            endpoint: endpoint.to_string(),
            source,
        },
    })
}

/// Resolves, connects and makes the TLS handshake, within [`CONNECT_TIMEOUT`] in all.
///
/// `resolved` hears the addresses before the first is tried: the owner's policy keeps probes away from them.
///
/// # Errors
/// [`DialError`].
pub async fn dial_tls(endpoint: &Endpoint, config: Arc<ClientConfig>, resolved: impl FnOnce(&[IpAddr])) -> Result<TlsStream<TcpStream>, DialError> {
    let dial = async {
        let addresses = resolve(endpoint).await?;
        resolved(&addresses.iter().map(SocketAddr::ip).collect::<Vec<_>>());
        let stream = connect(endpoint, &addresses).await?;
        handshake(endpoint, stream, config).await
    };
    within_connect_timeout(endpoint, dial).await
}

/// Dials a session: TLS with the agent's certificate, then the upgrade, within [`CONNECT_TIMEOUT`] in all.
///
/// # Errors
/// [`DialError`].
pub async fn dial_session(endpoint: &Endpoint, config: Arc<ClientConfig>, resolved: impl FnOnce(&[IpAddr])) -> Result<Dialled, DialError> {
    let dial = async {
        let stream = dial_tls(endpoint, config, resolved).await?;
        let (stream, heard) = Heard::new(stream);
        let (socket, date) = http::upgrade(stream, endpoint, clock::wall()).await?;
        Ok(Dialled { socket, heard, date })
    };
    within_connect_timeout(endpoint, dial).await
}

async fn within_connect_timeout<T>(endpoint: &Endpoint, dial: impl Future<Output = Result<T, DialError>>) -> Result<T, DialError> {
    tokio::time::timeout(CONNECT_TIMEOUT, dial).await.unwrap_or_else(|_| {
        Err(DialError::Timeout {
            endpoint: endpoint.to_string(),
        })
    })
}

/// Families in turn, beginning with that of the resolver's first choice (RFC 8305 section 4).
fn alternate(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut other): (Vec<SocketAddr>, Vec<SocketAddr>) = addresses.iter().copied().partition(|address| address.is_ipv6() == first_is_v6);
    preferred.reverse();
    other.reverse();
    let mut ordered = Vec::with_capacity(addresses.len());
    while !preferred.is_empty() || !other.is_empty() {
        ordered.extend(preferred.pop());
        ordered.extend(other.pop());
    }
    ordered
}

/// Small frames leave at once, unsent bytes stay few so that urgent frames overtake, and a dead path is noticed by the kernel too.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_user_timeout(Some(TCP_USER_TIMEOUT))?;
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    Ok(stream)
}

/// Longest time from the name to a session that stands.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connection attempt delay (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(20);
/// Most addresses of a name that are tried.
const ADDRESSES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn net_08_families_take_turns_so_that_a_broken_one_costs_one_step() {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (address("[::1]:1"), address("[::2]:1"), address("127.0.0.1:1"));
        assert_eq!(alternate(&[a, b, c]), [a, c, b]);
        assert_eq!(alternate(&[c, a, b]), [c, a, b]);
        assert_eq!(alternate(&[]), []);
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_followed_by_the_next() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint: Endpoint = "localhost:1".parse().unwrap();
        let stream = connect(&endpoint, &[closed, open.local_addr().unwrap()]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.local_addr().unwrap());
        assert!(stream.nodelay().unwrap());
        assert!(matches!(connect(&endpoint, &[closed]).await, Err(DialError::Connect { .. })));
        assert!(matches!(connect(&endpoint, &[]).await, Err(DialError::Connect { .. })));
    }
}
