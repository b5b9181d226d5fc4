//! One connection's HTTP, of either version, driven beside what waits for it. Nothing of it outlives the value.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

/// Which version is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// A connection with its HTTP.
pub(super) struct Conversation {
    sender: Sender,
    /// What moves the bytes; `None` once it is over.
    connection: Option<Connection>,
    /// Tasks of HTTP/2; they end with this.
    _tasks: Arc<Mutex<JoinSet<()>>>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// Spawns into a set that its owner ends. The tasks hold this, so it must not hold the set.
#[derive(Clone)]
struct Spawner(Weak<Mutex<JoinSet<()>>>);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawner {
    fn execute(&self, task: F) {
        if let Some(tasks) = self.0.upgrade() {
            tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(task);
        }
    }
}

impl Conversation {
    /// Begins; every buffer of what a server may send is bounded here.
    pub(super) async fn open<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, protocol: Protocol) -> hyper::Result<Self> {
        let tasks = Arc::new(Mutex::new(JoinSet::new()));
        let io = TokioIo::new(stream);
        let (sender, connection): (_, Connection) = match protocol {
            Protocol::Http1 => {
                let mut builder = http1::Builder::new();
                builder.max_headers(HEADERS).max_header_size(HEAD_BYTES).max_buf_size(BUFFER_BYTES);
                let (sender, connection) = builder.handshake(io).await?;
                (Sender::Http1(sender), Box::pin(connection))
            }
            Protocol::Http2 => {
                let mut builder = http2::Builder::new(Spawner(Arc::downgrade(&tasks)));
                builder
                    .max_header_list_size(HEAD_LIST_BYTES)
                    .initial_stream_window_size(WINDOW_BYTES)
                    .initial_connection_window_size(WINDOW_BYTES)
                    .max_concurrent_reset_streams(1);
                let (sender, connection) = builder.handshake(io).await?;
                (Sender::Http2(sender), Box::pin(connection))
            }
        };
        Ok(Self {
            sender,
            connection: Some(connection),
            _tasks: tasks,
        })
    }

    /// Asks, and waits for the head of the answer.
    pub(super) async fn ask(&mut self, request: http::Request<Full<Bytes>>) -> hyper::Result<http::Response<Incoming>> {
        match &mut self.sender {
            Sender::Http1(sender) => beside(&mut self.connection, sender.send_request(request)).await,
            Sender::Http2(sender) => beside(&mut self.connection, sender.send_request(request)).await,
        }
    }

    /// The next piece of a body.
    pub(super) async fn piece(&mut self, body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
        beside(&mut self.connection, body.frame()).await
    }
}

/// Waits for something while the connection is driven, without which it would never come.
async fn beside<T>(connection: &mut Option<Connection>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    while let Some(driven) = connection {
        tokio::select! {
            biased;
            done = &mut work => return done,
            ended = driven => {
                // Whoever waits for an answer is told the same.
                if let Err(error) = ended {
                    tracing::debug!(%error, "the connection ended");
                }
                *connection = None;
            }
        }
    }
    work.await
}

/// Headers of one answer; more are an error.
const HEADERS: usize = 256;
/// Bytes of the head of one answer; more are an error.
const HEAD_BYTES: usize = 64 * 1024;
const HEAD_LIST_BYTES: u32 = 64 * 1024;
/// Bytes that wait to be parsed.
const BUFFER_BYTES: usize = 128 * 1024;
/// Bytes of a body that may be on their way.
const WINDOW_BYTES: u32 = 256 * 1024;
