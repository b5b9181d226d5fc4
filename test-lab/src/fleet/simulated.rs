//! A simulated agent over a real connection: dials, speaks, works, loses its connection, waits as a real one waits, dials again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use probe_agent::link::backoff::{Backoff, BackoffSettings, Next};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::json;
use shared_protocol::close::{CloseReason, Disposition};
use shared_protocol::limits::{ENROL_PATH, READ_BUFFER_BYTES, SESSION_PATH, SUBPROTOCOL, WRITE_BUFFER_BYTES};
use shared_protocol::session::{AgentEffect, AgentSession, Jitter};
use shared_protocol::time::MonotonicMicros;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;

use super::identity::{Identity, Wish};
use super::{MadeUp, Probes};
use crate::stand::{Stand, text};

/// A simulated agent that was enrolled.
pub struct SimulatedAgent {
    number: u32,
    tls: Arc<ClientConfig>,
    address: SocketAddr,
    probes: MadeUp,
    backoff: Backoff,
    random: StdRng,
    previous: Option<AgentSession>,
}

/// What an agent tells whoever watches the fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// It dials.
    Dials(u32),
    /// Its session stands.
    Welcomed(u32),
    /// Its session ended.
    Lost(u32),
    /// It will not dial any more: its identity was revoked.
    Stopped(u32),
}

impl SimulatedAgent {
    /// Enrols an agent through the agent port, from a loopback address of its own.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub async fn enrol(stand: &Stand, number: u32, probes: Probes) -> Result<Self> {
        let token = stand.post("/api/v1/join-tokens", &json!({"name": format!("simulated-{number}")})).await?;
        let (_, token) = text(&token, "bundle").split_once("token=").context("no token in the bundle")?;
        let wish = Wish::new()?;
        let body = json!({
            "token": token,
            "csr": wish.csr,
            "hostname": format!("simulated-{number}"),
            "version": "0",
            "instance": MadeUp::new(probes.clone(), number).hello().instance.to_string(),
        });
        let address: SocketAddr = stand.agent_address().parse()?;
        let answer = post(connect(number, address, &Arc::new(trusting_config()?)).await?, ENROL_PATH, &body).await?;
        let identity = wish.granted(text(&answer, "certificate"), text(&answer, "ca_bundle"))?;
        Self::of(&identity, number, address, probes, BackoffSettings::default())
    }

    /// An agent with an identity that it already has.
    ///
    /// # Errors
    /// When the identity is none.
    pub fn of(identity: &Identity, number: u32, address: SocketAddr, probes: Probes, backoff: BackoffSettings) -> Result<Self> {
        Ok(Self {
            number,
            tls: identity.tls()?,
            address,
            probes: MadeUp::new(probes, number),
            backoff: Backoff::new(backoff),
            random: StdRng::seed_from_u64(u64::from(number)),
            previous: None,
        })
    }

    /// Keeps a session with the control plane, whatever happens to it, until told to stop. Gives back what its probes did.
    pub async fn run(mut self, news: mpsc::Sender<News>, stop: CancellationToken) -> MadeUp {
        let told = stop.clone();
        tokio::select! {
            () = told.cancelled() => {}
            () = self.keep_connected(&news) => {}
        }
        self.probes
    }

    async fn keep_connected(&mut self, news: &mpsc::Sender<News>) {
        let began = crate::clock::start();
        loop {
            tell(news, News::Dials(self.number)).await;
            let disposition = match self.dial().await {
                Ok(socket) => self.session(socket, news, || since(began)).await,
                // Whatever stood in the way of the connection, the real agent treats it alike.
                Err(_) => Disposition::Backoff,
            };
            let Next::Wait(delay) = self.backoff.next(disposition, self.random.random(), since(began)) else {
                return tell(news, News::Stopped(self.number)).await;
            };
            tokio::time::sleep(delay).await;
            self.probes.advance(None, since(began), control_services::clock::now());
        }
    }

    async fn dial(&self) -> Result<WebSocketStream<TlsStream<TcpStream>>> {
        let mut request = format!("wss://{}{SESSION_PATH}", self.address).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let dialling = async {
            let stream = connect(self.number, self.address, &self.tls).await?;
            let config = WebSocketConfig::default()
                .read_buffer_size(READ_BUFFER_BYTES)
                .write_buffer_size(0)
                .max_write_buffer_size(WRITE_BUFFER_BYTES);
            let (socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
            anyhow::Ok(socket)
        };
        tokio::time::timeout(probe_agent::link::dial::CONNECT_TIMEOUT, Box::pin(dialling))
            .await
            .context("dialling took too long")?
    }

    /// One session to its end; says what follows.
    async fn session(
        &mut self,
        mut socket: WebSocketStream<TlsStream<TcpStream>>,
        news: &mpsc::Sender<News>,
        now: impl Fn() -> MonotonicMicros,
    ) -> Disposition {
        let jitter = Jitter::from_seed(u64::from(self.number));
        let mut session = AgentSession::new(self.probes.hello(), self.probes.capacity(), jitter, now());
        if let Some(previous) = self.previous.take() {
            session.carry_over(previous);
        }
        for job in self.probes.answered() {
            session.finished(job);
        }
        let mut stood = false;
        let disposition = loop {
            self.probes.advance(Some(&mut session), now(), control_services::clock::now());
            if let Some(reason) = self.effects(&mut session, &now, news, &mut stood).await {
                break reason.disposition();
            }
            self.probes.feed(&mut session);
            if let Some(frame) = session.poll_transmit(now()) {
                if socket.send(Message::text(frame)).await.is_err() {
                    break Disposition::Backoff;
                }
                continue;
            }
            let due = [session.poll_timeout(), self.probes.deadline()].into_iter().flatten().min();
            let pause = due.map_or(Duration::from_secs(1), |at| at.since(now()));
            tokio::select! {
                () = tokio::time::sleep(pause) => session.handle_timeout(now()),
                message = socket.next() => match message {
                    Some(Ok(Message::Text(frame))) => session.handle_text(frame.as_str(), now()),
                    Some(Ok(Message::Close(Some(frame)))) => break CloseReason::from_close_frame(frame.code.into(), &frame.reason).disposition(),
                    Some(Ok(Message::Close(None)) | Err(_)) | None => break Disposition::Backoff,
                    Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => session.handle_received(now()),
                },
            }
        };
        self.previous = Some(session);
        if stood {
            tell(news, News::Lost(self.number)).await;
        }
        disposition
    }

    async fn effects(
        &mut self,
        session: &mut AgentSession,
        now: &impl Fn() -> MonotonicMicros,
        news: &mpsc::Sender<News>,
        stood: &mut bool,
    ) -> Option<CloseReason> {
        while let Some(effect) = session.poll_effect() {
            match effect {
                AgentEffect::Welcomed(_) => {
                    *stood = true;
                    self.backoff.welcomed(now());
                    tell(news, News::Welcomed(self.number)).await;
                }
                AgentEffect::Run(run) => self.probes.run(&run, session, now()),
                AgentEffect::Cancel(jobs) => self.probes.cancel(&jobs),
                AgentEffect::Acked { up_to } => self.probes.acknowledged(up_to),
                // It says that it knows no standing work.
                AgentEffect::Configure(_) => {}
                AgentEffect::Goaway(goaway) => {
                    return Some(CloseReason::Restart {
                        retry_after_ms: Some(goaway.retry_after_ms),
                    });
                }
                AgentEffect::Close(reason) => return Some(reason),
            }
        }
        None
    }
}

/// Whoever watches may have left.
async fn tell(news: &mpsc::Sender<News>, what: News) {
    let _ = news.send(what).await;
}

fn since(began: std::time::Instant) -> MonotonicMicros {
    MonotonicMicros::from_micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
}

/// Connects from a loopback address of the agent's own, so that limits by address see many hosts.
async fn connect(number: u32, address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let [_, _, high, low] = number.to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 1, high, low.max(1)), 0)))?;
    let stream = socket.connect(address).await.context("connect to the agent port")?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    TlsConnector::from(Arc::clone(tls))
        .connect(name, stream)
        .await
        .context("TLS handshake with the agent port")
}

async fn post(stream: TlsStream<TcpStream>, path: &str, body: &serde_json::Value) -> Result<serde_json::Value> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake::<_, Full<hyper::body::Bytes>>(hyper_util::rt::TokioIo::new(stream)).await?;
    let request = hyper::Request::post(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::from(body.to_string()))?;
    let exchange = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&bytes));
        Ok(serde_json::from_slice(&bytes)?)
    };
    let (answer, ended) = tokio::join!(exchange, connection);
    ended?;
    answer
}

/// The stand's own server on loopback needs no proof of who it is; the product's agent checks the pin, and its own tests show that.
#[derive(Debug)]
struct TrustsTheStand(Arc<rustls::crypto::CryptoProvider>);

fn trusting_config() -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustsTheStand(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

impl ServerCertVerifier for TrustsTheStand {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(&self, _: &[u8], _: &CertificateDer<'_>, _: &DigitallySignedStruct) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
