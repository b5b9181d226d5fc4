//! One request from its name to its answer.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{CONTENT_ENCODING, LOCATION};
use hyper::body::Incoming;
use rustls_pki_types::ServerName;
use shared_protocol::event::{HttpEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::HttpPhase;
use shared_protocol::spec::{HttpMethod, HttpVersion};
use shared_protocol::target::Target;
use shared_protocol::time::MonotonicMicros;
use shared_protocol::url::Scheme;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::answer::{self, version};
use super::body::{Body, Bounds, Read};
use super::conversation::{Conversation, Protocol};
use super::hop::Hop;
use super::redirect::{self, Next, Request};
use super::watched::Watched;
use super::{Run, Whole, request, verdict};
use crate::clock;
use crate::net::gate::Peer;
use crate::net::tcp::{Dial, Dialler};
use crate::net::tls::{Handshake, Unproven};
use crate::resolution::{self, Resolution};
use crate::verdict::Stop;

/// A connection to a server, in the clear or not.
type Stream = Either<TcpStream, TlsStream<TcpStream>>;

impl Run<'_> {
    /// Makes a request and reads its answer, as far as it is wanted.
    pub(super) async fn fetch(&mut self, request: &Request) -> Result<Next, Stop> {
        self.begin(request);
        let endpoint = self.endpoint(request).await?;
        let stream = self.connect(endpoint).await?;
        let (stream, protocol) = self.secure(request, stream).await?;
        self.enter(HttpPhase::Request);
        let (stream, written) = Watched::new(stream);
        self.hop()?.written = Arc::clone(&written);
        let mut conversation = Conversation::open(stream, protocol).await.map_err(|error| verdict::broken(&error))?;
        let message = request::message(request, protocol, self.spec.compression);
        let message = message.map_err(|error| Stop::failed(Fault::Agent, ErrorCode::Internal, format!("the request cannot be made: {error}")))?;
        let asked = conversation.ask(message).await;
        self.leave_at(written.last());
        self.enter_at(HttpPhase::FirstByte, written.last());
        let (head, body) = asked.map_err(|error| verdict::broken(&error))?.into_parts();
        if head.status.is_informational() {
            return Err(Stop::failed(
                Fault::Target,
                ErrorCode::ProtoError,
                "the server switches to a protocol that nobody asked for",
            ));
        }
        self.leave();
        self.answered(head.status.as_u16(), version(head.version));
        let location = head.headers.get(LOCATION).map(|value| value.as_bytes().to_vec());
        let next = redirect::next(&self.asked, head.status.as_u16(), location.as_deref(), self.spec.follow);
        let encoding = head.headers.get(CONTENT_ENCODING).and_then(|value| value.to_str().ok()).map(str::to_owned);
        self.hop()?.findings.response = Some(answer::describe(&head));
        if !matches!(next, Next::Follow(_)) && request.method != HttpMethod::Head {
            self.read(&mut conversation, body, encoding.as_deref()).await?;
        }
        Ok(next)
    }

    fn begin(&mut self, request: &Request) {
        let number = u32::try_from(self.hops.len()).unwrap_or(u32::MAX);
        let hop = Hop::begin(number, request, clock::monotonic());
        self.current = Some(hop);
        self.tell(HttpEvent::Hop {
            hop: number,
            url: request.url.to_string(),
            method: request.method,
        });
    }

    /// The address to connect to. All of the host's are put to the policy, and the one that is used once more before each packet.
    async fn endpoint(&mut self, request: &Request) -> Result<SocketAddr, Stop> {
        let first = self.hops.is_empty();
        let target = match self.spec.connect_to.filter(|_| first) {
            Some(address) => Target::Address(address),
            None => request.url.host().clone(),
        };
        self.context.gate.check_port(request.url.port()).map_err(Stop::Denied)?;
        let Resolution { addresses, chosen } = if let Target::Address(_) = target {
            self.resolve(&target).await?
        } else {
            self.enter(HttpPhase::Dns);
            let resolution = self.resolve(&target).await?;
            self.leave();
            resolution
        };
        if first {
            self.resolved = addresses;
        }
        Ok(SocketAddr::new(chosen, request.url.port()))
    }

    async fn resolve(&self, target: &Target) -> Result<Resolution, Stop> {
        resolution::resolve(self.context, target, self.spec.af, |_: IpAddr| true).await
    }

    async fn connect(&mut self, remote: SocketAddr) -> Result<TcpStream, Stop> {
        let hop = self.hop()?;
        hop.findings.remote = Some(remote);
        let number = hop.number;
        self.tell(HttpEvent::Connecting { hop: number, remote });
        self.enter(HttpPhase::Tcp);
        let dial = Dial {
            endpoint: remote,
            peer: Peer::Named,
            dscp: 0,
            wait: self.deadline.since(clock::monotonic()),
            depart_by: self.deadline,
        };
        let connection = Dialler::new(self.context)
            .dial(dial)
            .await
            .map_err(|error| verdict::not_connected(error, remote.ip()))?;
        // Asking the owner's policy and waiting for a place under its rates is this host's time, not the network's.
        self.enter_at(HttpPhase::Tcp, Some(connection.begun));
        self.leave_at(Some(connection.begun.plus(connection.taken)));
        let local = connection.local;
        let stream = connection
            .into_stream()
            .map_err(|error| Stop::failed(Fault::Agent, ErrorCode::Resource, error.to_string()))?;
        let hop = self.hop()?;
        hop.findings.local = Some(local);
        hop.keep_socket(&stream);
        Ok(stream)
    }

    async fn secure(&mut self, request: &Request, stream: TcpStream) -> Result<(Stream, Protocol), Stop> {
        if request.url.scheme() == Scheme::Http {
            let protocol = match self.spec.version {
                HttpVersion::Http2 => Protocol::Http2,
                HttpVersion::Auto | HttpVersion::Http1 => Protocol::Http1,
            };
            return Ok((Either::Left(stream), protocol));
        }
        // Read before, so that it does not count as the server's time.
        let trust = self.context.roots.trust().await;
        let trust = trust.map_err(|error| Stop::failed(Fault::Agent, ErrorCode::Internal, format!("no roots can be read: {error}")))?;
        self.enter(HttpPhase::Tls);
        let alpn: &[&[u8]] = match self.spec.version {
            HttpVersion::Auto => &[b"h2", b"http/1.1"],
            HttpVersion::Http1 => &[b"http/1.1"],
            HttpVersion::Http2 => &[b"h2"],
        };
        let (name, sni) = self.name(request)?;
        let handshake = Handshake {
            name,
            alpn,
            unproven: if self.spec.verify { Unproven::Refused } else { Unproven::Noted },
        };
        let version = self.spec.version;
        let hop = self.hop()?;
        // What is seen of the server stays, whatever comes of the handshake.
        let facts = hop.findings.tls.insert(answer::no_tls(sni));
        let stream = trust.handshake(stream, handshake, facts).await.map_err(|error| verdict::not_secured(&error))?;
        let protocol = match facts.alpn.as_deref() {
            Some("h2") => Protocol::Http2,
            Some(_) | None if version == HttpVersion::Http2 => {
                return Err(Stop::failed(Fault::Target, ErrorCode::ProtoError, "the server does not agree to HTTP/2"));
            }
            Some(_) | None => Protocol::Http1,
        };
        self.leave();
        Ok((Either::Right(stream), protocol))
    }

    /// The name that the server has to prove, and the one it is told, which there is not for an address (RFC 6066 section 3).
    fn name(&self, request: &Request) -> Result<(ServerName<'static>, Option<String>), Stop> {
        let sni = self.spec.sni.as_ref().filter(|_| self.hops.is_empty()).map(|name| name.as_str().to_owned());
        let named = match (sni, request.url.host()) {
            (Some(name), _) => name,
            (None, Target::Name(name)) => name.as_str().to_owned(),
            (None, Target::Address(address)) => return Ok((ServerName::IpAddress((*address).into()), None)),
        };
        let name = ServerName::try_from(named.clone());
        let name = name.map_err(|_| Stop::failed(Fault::Target, ErrorCode::TlsNameMismatch, "no certificate can be for a host of this name"))?;
        Ok((name, Some(named)))
    }

    async fn read(&mut self, conversation: &mut Conversation, mut incoming: Incoming, encoding: Option<&str>) -> Result<(), Stop> {
        self.enter(HttpPhase::Download);
        let bounds = Bounds {
            keep: usize::try_from(self.spec.body_keep_bytes).unwrap_or(usize::MAX),
            most: self.spec.body_max_bytes.into(),
        };
        self.hop()?.body = Some((Body::new(encoding, bounds), Whole::No));
        loop {
            let piece = conversation.piece(&mut incoming).await;
            let Some((body, whole)) = &mut self.hop()?.body else { break };
            let read = match piece {
                Some(Ok(frame)) => frame.data_ref().map_or(Read::More, |data| body.push(data)),
                Some(Err(error)) => return Err(verdict::broken(&error)),
                None => {
                    let read = body.end();
                    if read == Read::More {
                        *whole = Whole::Yes;
                        break;
                    }
                    read
                }
            };
            match read {
                Read::More => {}
                Read::Enough => break,
                Read::Malformed => return Err(Stop::failed(Fault::Target, ErrorCode::ProtoError, "the compressed body cannot be decoded")),
            }
        }
        self.leave();
        Ok(())
    }

    fn answered(&self, status: u16, version: &str) {
        if let Some(hop) = &self.current {
            self.tell(HttpEvent::Response {
                hop: hop.number,
                status,
                version: version.to_owned(),
            });
        }
    }

    fn enter(&mut self, phase: HttpPhase) {
        self.enter_at(phase, None);
    }

    fn enter_at(&mut self, phase: HttpPhase, at: Option<MonotonicMicros>) {
        if let Some(hop) = &mut self.current {
            hop.enter(phase, at.unwrap_or_else(clock::monotonic));
        }
    }

    fn leave(&mut self) {
        self.leave_at(None);
    }

    fn leave_at(&mut self, at: Option<MonotonicMicros>) {
        let event = self.current.as_mut().and_then(|hop| hop.leave(at.unwrap_or_else(clock::monotonic)));
        if let Some(event) = event {
            self.tell(event);
        }
    }

    fn hop(&mut self) -> Result<&mut Hop, Stop> {
        // `begin` has put it there; only the end of the run takes it away.
        self.current
            .as_mut()
            .ok_or_else(|| Stop::failed(Fault::Agent, ErrorCode::Internal, "there is no request under way"))
    }

    /// Tells a partial finding, if the channel has room: the report holds it again.
    fn tell(&self, event: HttpEvent) {
        if self.events.try_send(ProbeEvent::Http(event)).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}
