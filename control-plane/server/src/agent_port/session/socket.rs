//! The WebSocket of a session: text in, text out, both at once, within the limits of the wire.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink as _, Stream as _};
use shared_protocol::limits::{AGENT_FRAME_BYTES, AGENT_MESSAGE_BYTES, READ_BUFFER_BYTES, WRITE_BUFFER_BYTES};
use shared_protocol::time::MonotonicMicros;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::closing::Ending;
use crate::agent_port::connection::Stream;

/// The connection and what is on its way out.
pub(super) struct Socket {
    stream: WebSocketStream<Stream>,
    /// Since when something waits to leave.
    flushing: Option<MonotonicMicros>,
    heard: u64,
    /// Received when the last whole message came.
    heard_at_message: u64,
    controls: u32,
    controls_since: MonotonicMicros,
}

/// What happened on the connection.
pub(super) enum Event {
    /// A whole text came.
    Text(Utf8Bytes),
    /// Something else moved on.
    Progress,
    /// It is over.
    Ended(Ending),
}

impl Socket {
    pub(super) async fn new(stream: Stream, early: &[u8], now: MonotonicMicros) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WRITE_BUFFER_BYTES)
            .max_frame_size(Some(AGENT_FRAME_BYTES))
            .max_message_size(Some(AGENT_MESSAGE_BYTES));
        Self {
            stream: WebSocketStream::from_partially_read(stream, early.to_vec(), Role::Server, Some(config)).await,
            flushing: None,
            heard: 0,
            heard_at_message: 0,
            controls: 0,
            controls_since: now,
        }
    }

    /// Whether the text before has left.
    pub(super) const fn is_free(&self) -> bool {
        self.flushing.is_none()
    }

    /// When what waits to leave has waited for too long.
    pub(super) fn blocked_at(&self) -> Option<MonotonicMicros> {
        self.flushing.map(|since| since.plus(WRITE_TIMEOUT))
    }

    /// Whether what waits to leave has waited for too long.
    pub(super) fn is_blocked(&self, now: MonotonicMicros) -> bool {
        self.blocked_at().is_some_and(|at| now >= at)
    }

    /// Whether any byte came since this was last asked.
    pub(super) fn heard_anything(&mut self) -> bool {
        let received = self.stream.get_ref().received();
        std::mem::replace(&mut self.heard, received) != received
    }

    /// Hands a text to the socket; it leaves while [`Socket::event`] is waited for.
    pub(super) fn send(&mut self, text: String, now: MonotonicMicros) -> Result<(), Ending> {
        self.flushing = Some(now);
        Pin::new(&mut self.stream)
            .start_send(Message::text(text))
            .map_err(|error| Ending::of_error(&error))
    }

    /// Waits for what happens next.
    pub(super) async fn event(&mut self) -> Event {
        poll_fn(|cx| self.poll_event(cx)).await
    }

    /// The stream itself, for its last moments.
    pub(super) fn into_stream(self) -> WebSocketStream<Stream> {
        self.stream
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.flushing.is_some()
            && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(cx)
        {
            self.flushing = None;
            return Poll::Ready(flushed.map_or_else(|error| Event::Ended(Ending::of_error(&error)), |()| Event::Progress));
        }
        let polled = Pin::new(&mut self.stream).poll_next(cx);
        let received = self.stream.get_ref().received();
        match polled {
            Poll::Ready(message) => {
                self.heard_at_message = received;
                Poll::Ready(self.message(message))
            }
            // More bytes than the longest message takes, and still no message: they are frames without content.
            Poll::Pending if received.saturating_sub(self.heard_at_message) > WITHOUT_MESSAGE_BYTES => Poll::Ready(Event::Ended(Ending::EmptyFrames)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn message(&mut self, message: Option<Result<Message, tokio_tungstenite::tungstenite::Error>>) -> Event {
        match message {
            Some(Ok(Message::Text(text))) => Event::Text(text),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => self.control(),
            Some(Ok(Message::Binary(_))) => Event::Ended(Ending::Binary),
            Some(Ok(Message::Close(frame))) => Event::Ended(Ending::ByPeer(frame.map(|frame| (u16::from(frame.code), frame.reason.to_string())))),
            Some(Ok(Message::Frame(_))) => Event::Progress,
            Some(Err(error)) => Event::Ended(Ending::of_error(&error)),
            None => Event::Ended(Ending::Gone),
        }
    }

    /// The answer to a ping has been queued by the library and must leave; too many of them are an attack on the processor.
    fn control(&mut self) -> Event {
        let now = control_services::clock::monotonic();
        if now.since(self.controls_since) >= CONTROL_WINDOW {
            self.controls_since = now;
            self.controls = 0;
        }
        self.controls += 1;
        if self.controls > CONTROLS_PER_WINDOW {
            return Event::Ended(Ending::TooFast);
        }
        self.flushing.get_or_insert(now);
        Event::Progress
    }
}

/// A write that takes longer ends the session: the peer does not read.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const CONTROL_WINDOW: Duration = Duration::from_secs(1);
/// Pings and pongs a second; an honest peer sends none or one each few seconds.
const CONTROLS_PER_WINDOW: u32 = 20;
/// The longest message in frames of a size that makes sense, and room.
const WITHOUT_MESSAGE_BYTES: u64 = 2 * 1024 * 1024;
const _: () = assert!(AGENT_MESSAGE_BYTES < 2 * 1024 * 1024);
