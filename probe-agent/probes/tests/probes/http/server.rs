//! Servers on loopback, ended with the test.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

/// A request with its body read.
pub(super) type Asked = Request<String>;

impl Server {
    /// Answers every request by a function.
    pub(super) async fn answering(answer: fn(&Asked) -> Response<Vec<u8>>) -> Self {
        Self::accepting(move |stream| async move {
            serve(stream, answer).await;
        })
        .await
    }

    /// The same over TLS.
    pub(super) async fn securely(config: ServerConfig, answer: fn(&Asked) -> Response<Vec<u8>>) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Self::accepting(move |stream| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    serve(stream, answer).await;
                }
            }
        })
        .await
    }

    /// Sends bytes once the request has begun to come, then more of them for ever, or nothing more.
    pub(super) async fn sending(first: impl Into<Vec<u8>>, then: Then) -> Self {
        let first = Arc::new(first.into());
        Self::accepting(move |mut stream| {
            let first = Arc::clone(&first);
            async move {
                let mut request = [0; 4_096];
                let _read = stream.read(&mut request).await;
                if stream.write_all(&first).await.is_err() {
                    return;
                }
                match then {
                    Then::Close => {}
                    Then::Wait => while stream.read(&mut request).await.is_ok_and(|read| read > 0) {},
                    Then::Repeat(piece) => while stream.write_all(piece).await.is_ok() {},
                    Then::Count(piece) => {
                        for number in 0_u64.. {
                            if stream.write_all(piece.replace("{}", &number.to_string()).as_bytes()).await.is_err() {
                                break;
                            }
                        }
                    }
                }
            }
        })
        .await
    }

    pub(super) async fn accepting<F: Future<Output = ()> + Send + 'static>(handle: impl Fn(TcpStream) -> F + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                connections.spawn(handle(stream));
            }
        });
        Self {
            address,
            accepted,
            _tasks: tasks,
        }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Connections so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// What comes after the first bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Then {
    Close,
    /// Nothing, with the connection left open.
    Wait,
    /// The same again and again.
    Repeat(&'static [u8]),
    /// The same with a number in it.
    Count(&'static str),
}

async fn serve(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static, answer: fn(&Asked) -> Response<Vec<u8>>) {
    let service = service_fn(move |request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let asked = Request::from_parts(head, String::from_utf8_lossy(&body).into_owned());
        Ok::<_, Infallible>(answer(&asked).map(|body| Full::new(Bytes::from(body))))
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let _ended = server.serve_connection(TokioIo::new(stream), service).await;
}

pub(super) fn text(status: u16, body: &str) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header("content-type", "text/plain")
        .body(body.into())
        .unwrap()
}

pub(super) fn redirect(status: u16, location: &str) -> Response<Vec<u8>> {
    Response::builder()
        .status(status)
        .header("location", location)
        .body(b"go there".to_vec())
        .unwrap()
}
