//! Server-Sent Events: a live stream that ends with its key, with the process, or with a reader that does not read.
//!
//! A feeding task writes each event into a channel of at most [`PENDING_BYTES`] that the connection drains. While the channel is full the
//! task waits; a client that takes nothing for [`STALL_TIMEOUT`] is dropped. It can come back with `Last-Event-ID`.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use control_services::ServiceError;
use control_services::reports::StreamItem;
use futures_util::{Stream, StreamExt, stream};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};
use shared_protocol::fault::ProblemCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval};

use super::problem::Refused;
use super::state::AppState;

/// Answers with a live stream. `still_granted` is asked again and again: a key may be revoked while its stream is open.
pub(crate) fn respond<S, G, F>(state: &AppState, items: S, still_granted: G) -> Result<Response, Refused>
where
    S: Stream<Item = StreamItem> + Send + 'static,
    G: Fn() -> F + Send + 'static,
    F: Future<Output = Result<(), ServiceError>> + Send,
{
    let Ok(place) = Arc::clone(&state.streams).try_acquire_owned() else {
        return Err(Refused::new(ProblemCode::Unavailable, "as many live streams are open as can be served; try again").retry_after(5));
    };
    let (sender, receiver) = channel();
    let (stopping, open) = (state.stopping.clone(), state.metrics.streams.clone());
    state.tasks.spawn(async move {
        open.inc();
        let why = tokio::select! {
            why = feed(items, &sender) => why,
            () = no_longer_granted(still_granted) => "its key is no longer good",
            () = stopping.cancelled() => "the process stops",
        };
        open.dec();
        drop(place);
        tracing::debug!(why, "a live stream ended");
    });
    let body = stream::unfold(receiver, |mut receiver| async move {
        let pending = receiver.recv().await?;
        // The room is given back when the connection has taken the text.
        Some((Ok::<Bytes, Infallible>(pending.text), receiver))
    });
    let mut response = Body::from_stream(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PROXY_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

struct Sender {
    texts: mpsc::Sender<Pending>,
    room: Arc<Semaphore>,
}

struct Pending {
    text: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The client took nothing for too long, or is gone.
struct Gone(&'static str);

/// Bounded by bytes through the semaphore and by count through the channel; when full, the feeder waits.
fn channel() -> (Sender, mpsc::Receiver<Pending>) {
    let (texts, receiver) = mpsc::channel(PENDING_TEXTS);
    (
        Sender {
            texts,
            room: Arc::new(Semaphore::new(PENDING_BYTES)),
        },
        receiver,
    )
}

impl Sender {
    async fn send(&self, text: Bytes) -> Result<(), Gone> {
        // An event larger than all the room takes all of it, and so travels alone.
        let bytes = u32::try_from(text.len().min(PENDING_BYTES)).unwrap_or(u32::MAX);
        let sent = tokio::time::timeout(STALL_TIMEOUT, async {
            let room = Arc::clone(&self.room).acquire_many_owned(bytes).await.map_err(|_| Gone("closed"))?;
            self.texts.send(Pending { text, _room: room }).await.map_err(|_| Gone("the client left"))
        });
        sent.await.unwrap_or(Err(Gone("the client does not read")))
    }
}

async fn feed(items: impl Stream<Item = StreamItem>, sender: &Sender) -> &'static str {
    let mut items = std::pin::pin!(items);
    let mut quiet = interval(QUIET_INTERVAL);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    quiet.reset();
    loop {
        let text = tokio::select! {
            item = items.next() => match item {
                Some(item) => written(&item),
                None => return "everything was told",
            },
            _ = quiet.tick() => Bytes::from_static(b": still here\n\n"),
            () = sender.texts.closed() => return "the client left",
        };
        if let Err(Gone(why)) = sender.send(text).await {
            return why;
        }
        quiet.reset();
    }
}

async fn no_longer_granted<F: Future<Output = Result<(), ServiceError>>>(still_granted: impl Fn() -> F) {
    loop {
        tokio::time::sleep(GRANT_INTERVAL).await;
        match still_granted().await {
            Ok(()) | Err(ServiceError::Unavailable { .. }) => {}
            Err(_) => return,
        }
    }
}

/// One event. Its data is one line of JSON, which holds no line break.
fn written(item: &StreamItem) -> Bytes {
    let mut text = String::with_capacity(item.data.len() + item.id.len() + 32);
    if !item.id.is_empty() {
        // Writing to a string does not fail.
        let _ = writeln!(text, "id: {}", item.id);
    }
    let _ = write!(text, "event: {}\ndata: {}\n\n", item.name, item.data);
    text.into()
}

/// Most bytes written for a client that has not taken them.
const PENDING_BYTES: usize = 1024 * 1024;
/// Most events written for a client that has not taken them.
const PENDING_TEXTS: usize = 4_096;
/// How long a client may take nothing while everything is full.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence before a comment says that the stream lives.
const QUIET_INTERVAL: Duration = Duration::from_secs(15);
/// How often the key is looked at again.
const GRANT_INTERVAL: Duration = Duration::from_secs(1);
/// Tells nginx to pass each event on at once.
const PROXY_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

#[cfg(test)]
mod tests {
    use super::*;

    fn item(data: &str) -> StreamItem {
        StreamItem {
            id: "b.m.1".to_owned(),
            name: "job",
            data: data.into(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn api_14_a_client_that_never_reads_is_dropped_at_one_mebibyte() {
        let (sender, receiver) = channel();
        let endless = stream::repeat_with(|| item(&"x".repeat(10_000)));
        assert_eq!(feed(endless, &sender).await, "the client does not read");
        assert!(
            receiver.len() * 10_000 <= PENDING_BYTES && receiver.len() > 100,
            "{} texts wait",
            receiver.len()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_gets_everything_however_large() {
        let (sender, mut receiver) = channel();
        let items: Vec<StreamItem> = [3 * PENDING_BYTES, 5, PENDING_BYTES].iter().map(|size| item(&"x".repeat(*size))).collect();
        let (ended, texts) = tokio::join!(
            async move {
                let ended = feed(stream::iter(items), &sender).await;
                drop(sender);
                ended
            },
            async {
                let mut lengths = Vec::new();
                while let Some(pending) = receiver.recv().await {
                    lengths.push(pending.text.len());
                }
                lengths
            }
        );
        assert_eq!(ended, "everything was told");
        let around = written(&item("")).len();
        assert_eq!(texts, [3 * PENDING_BYTES + around, 5 + around, PENDING_BYTES + around]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_says_that_it_lives() {
        let (sender, mut receiver) = channel();
        let feeding = feed(stream::pending(), &sender);
        let listening = async { receiver.recv().await.unwrap().text };
        tokio::select! {
            why = feeding => panic!("{why}"),
            text = listening => assert_eq!(text.as_ref(), b": still here\n\n"),
        }
    }

    #[test]
    fn an_event_is_id_name_and_data() {
        assert_eq!(written(&item("{}")).as_ref(), b"id: b.m.1\nevent: job\ndata: {}\n\n");
    }
}
