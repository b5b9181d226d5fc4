//! `tls_latency` beside `openssl s_server`, with whom the test itself shakes hands.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};
use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// A server of somebody else's: OpenSSL's own.
struct Server {
    process: Child,
    says: ChildStdin,
    port: u16,
    certificate: CertificateDer<'static>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.join("certificate"), signed.cert.pem()).unwrap();
        std::fs::write(folder.join("key"), signed.signing_key.serialize_pem()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut process = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
            .args(["-cert", "certificate", "-key", "key"])
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let says = process.stdin.take().unwrap();
        let server = Self {
            process,
            says,
            port,
            certificate: signed.cert.der().clone(),
        };
        // It hears nobody at first. Whoever is heard and says nothing fails to shake hands.
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        server
    }

    fn dial(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    /// Shakes hands, waiting so long before the last step.
    fn shake_hands(&self, wait: Duration) -> (ClientConnection, Slow) {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut slow = Slow {
            stream: self.dial(),
            writes: 0,
            wait,
        };
        while connection.is_handshaking() {
            connection.complete_io(&mut slow).unwrap();
        }
        (connection, slow)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _was_killed = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// Says that nothing more comes, and waits until the other side has heard it.
fn close(mut connection: ClientConnection, mut stream: Slow) {
    connection.send_close_notify();
    while connection.wants_write() {
        connection.write_tls(&mut stream).unwrap();
    }
    let _reset_or_ended = stream.read_to_end(&mut Vec::new());
}

/// A connection on which the second thing that is said comes late.
struct Slow {
    stream: TcpStream,
    writes: u32,
    wait: Duration,
}

impl Read for Slow {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.read(into)
    }
}

impl Write for Slow {
    #[expect(clippy::disallowed_methods, reason = "what is measured is how long somebody waits")]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        if self.writes == 2 {
            std::thread::sleep(self.wait);
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What is done, one after the other, as the server hears one at a time: five handshakes at once and one that takes its time; one that comes to
/// nothing; three things said, and one answered.
fn speak(server: &mut Server) {
    for _ in 0..4 {
        let (connection, stream) = server.shake_hands(Duration::ZERO);
        close(connection, stream);
    }
    let (connection, stream) = server.shake_hands(Duration::from_millis(400));
    close(connection, stream);
    let mut stranger = server.dial();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let _reset_or_ended = stranger.read_to_end(&mut Vec::new());
    let (mut connection, mut stream) = server.shake_hands(Duration::ZERO);
    let mut speaking = Stream::new(&mut connection, &mut stream);
    for _ in 0..3 {
        speaking.write_all(b"x").unwrap();
        speaking.flush().unwrap();
    }
    server.says.write_all(b"hello\n").unwrap();
    let mut heard = [0; 6];
    speaking.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"hello\n");
    close(connection, stream);
}

fn of<'a>(seen: &'a Value, kind: &str) -> &'a Value {
    let mut calls = seen["calls"].as_array().unwrap().iter();
    let found = calls.find(|one| one["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {seen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_of_openssls_server_are_as_many_and_as_long_as_those_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path());
    let process = server.process.id().to_string();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "allow = [\"tls_latency\"]").await.unwrap();
    let asked = Asked::observe(&stand, &["tls_latency", "--from", "seen", "--for", "4s", "--pid", &process]).await;
    let server = tokio::task::spawn_blocking(move || {
        speak(&mut server);
        server
    })
    .await
    .unwrap();
    let report = asked.report().await;
    drop(server);
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    assert_eq!(
        seen["totals"],
        json!({"handshakes": 6, "handshakes_failed": 1, "reads": 3, "reads_failed": 0, "writes": 1, "writes_failed": 0}),
        "{seen}"
    );
    for kind in ["handshake", "read", "write"] {
        assert_eq!(
            (&of(seen, kind)["command"], of(seen, kind)["pid"].to_string()),
            (&"openssl".into(), process.clone()),
            "{seen}"
        );
    }
    let latencies = &of(seen, "handshake")["latencies"];
    let max_us = latencies["max_us"].as_u64().unwrap();
    assert!((400_000..1_500_000).contains(&max_us), "{latencies}");
    let slots: Vec<u64> = latencies["slots"].as_array().unwrap().iter().map(|slot| slot.as_u64().unwrap()).collect();
    // One of six took from 2 to the power of 18 microseconds on, 262 ms.
    assert_eq!((slots[18..].iter().sum::<u64>(), slots.iter().sum::<u64>()), (1, 6), "{slots:?}");
    let libraries = seen["libraries"].as_array().unwrap();
    assert!(libraries.iter().any(|file| file.as_str().unwrap().ends_with("/libssl.so.3")), "{libraries:?}");
}
