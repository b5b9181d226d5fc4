//! Simulated agents: the real enrolment, the real TLS, the real session machine; only the probes are missing.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Full};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use serde_json::json;
use shared_protocol::frame::{Hello, HostFacts, OutboxState};
use shared_protocol::id::{IncarnationId, InstanceId, Sequence};
use shared_protocol::limits::{ENROL_PATH, PROTOCOL_VERSION, READ_BUFFER_BYTES, SESSION_PATH, SUBPROTOCOL, WRITE_BUFFER_BYTES};
use shared_protocol::session::{AgentEffect, AgentSession, Jitter};
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_util::sync::CancellationToken;

use crate::stand::{Stand, text};

/// A simulated agent that was enrolled.
pub struct SimulatedAgent {
    number: u16,
    tls: Arc<ClientConfig>,
    address: SocketAddr,
}

impl SimulatedAgent {
    /// Enrols an agent through the agent port, from a loopback address of its own.
    ///
    /// # Errors
    /// When the control plane refuses.
    pub async fn enrol(stand: &Stand, number: u16) -> Result<Self> {
        let token = stand.post("/api/v1/join-tokens", &json!({"name": format!("simulated-{number}")})).await?;
        let (_, token) = text(&token, "bundle").split_once("token=").context("no token in the bundle")?;
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?;
        let request = rcgen::CertificateParams::default().serialize_request(&key)?;
        let body = json!({
            "token": token,
            "csr": base64::engine::general_purpose::STANDARD.encode(request.der()),
            "hostname": format!("simulated-{number}"),
            "version": "0",
            "instance": instance(number).to_string(),
        });
        let address: SocketAddr = stand.agent_address().parse()?;
        let answer = post(connect(number, address, &Arc::new(trusting_config()?)).await?, ENROL_PATH, &body).await?;
        let chain = CertificateDer::pem_slice_iter(text(&answer, "certificate").as_bytes()).collect::<Result<Vec<_>, _>>()?;
        let mut roots = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(text(&answer, "ca_bundle").as_bytes()) {
            roots.add(root?)?;
        }
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut tls = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        tls.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            number,
            tls: Arc::new(tls),
            address,
        })
    }

    /// Dials, says hello, and keeps the session alive until told to stop. `welcomed` hears of it once the session stands.
    ///
    /// # Errors
    /// When the session cannot be had, or ends by itself.
    pub async fn idle(self, welcomed: tokio::sync::mpsc::Sender<()>, stop: CancellationToken) -> Result<()> {
        let began = crate::clock::start();
        let now = || MonotonicMicros::from_micros(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        let mut request = format!("wss://{}{SESSION_PATH}", self.address).into_client_request()?;
        request.headers_mut().insert("sec-websocket-protocol", SUBPROTOCOL.parse()?);
        let stream = connect(self.number, self.address, &self.tls).await?;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES);
        let (mut socket, _) = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await?;
        let mut session = AgentSession::new(hello(self.number), 4, Jitter::from_seed(u64::from(self.number)), now());
        loop {
            while let Some(effect) = session.poll_effect() {
                match effect {
                    AgentEffect::Welcomed(_) => welcomed.send(()).await?,
                    AgentEffect::Close(reason) => bail!("the session ended: {}", reason.name()),
                    AgentEffect::Run(_) | AgentEffect::Cancel(_) | AgentEffect::Acked { .. } | AgentEffect::Goaway(_) => {}
                }
            }
            while let Some(frame) = session.poll_transmit(now()) {
                socket.send(Message::text(frame)).await?;
            }
            let wait = session.poll_timeout().map_or(Duration::from_secs(1), |at| at.since(now()));
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => session.handle_timeout(now()),
                message = socket.next() => match message.context("the control plane closed the connection")?? {
                    Message::Text(frame) => session.handle_text(frame.as_str(), now()),
                    Message::Close(frame) => bail!("the control plane closed the session: {frame:?}"),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => session.handle_received(now()),
                },
            }
        }
    }
}

fn hello(number: u16) -> Hello {
    Hello {
        versions: vec![PROTOCOL_VERSION],
        agent_version: "0".to_owned(),
        instance: instance(number),
        capabilities: Vec::new(),
        host: HostFacts::default(),
        outbox: OutboxState {
            incarnation: IncarnationId::new(UnixMicros::from_micros(1), seed(number)),
            first_seq: Sequence::ZERO.next(),
            next_seq: Sequence::ZERO.next(),
            set_aside: 0,
        },
        in_hand: Vec::new(),
    }
}

fn instance(number: u16) -> InstanceId {
    InstanceId::new(UnixMicros::from_micros(1), seed(number))
}

fn seed(number: u16) -> [u8; 10] {
    let [high, low] = number.to_be_bytes();
    [1, 0, 0, 0, 0, 0, 0, 0, high, low]
}

/// Connects from a loopback address of the agent's own, so that limits by address see many hosts.
async fn connect(number: u16, address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let [high, low] = number.to_be_bytes();
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 1, high, low.max(1)), 0)))?;
    let stream = socket.connect(address).await.context("connect to the agent port")?;
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
