//! A WebSocket as the driver needs it: one frame on its way out at a time, and reading goes on meanwhile.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Error, Message};

/// What happened on the wire.
#[derive(Debug)]
pub(super) enum WireEvent {
    /// The frame has left; there is room for the next.
    Sent,
    /// Something came; `None` is the end of the stream.
    Received(Option<Result<Message, Error>>),
    /// Writing failed.
    Failed(Error),
}

/// A WebSocket with room for one frame.
#[derive(Debug)]
pub(super) struct Wire<S> {
    socket: WebSocketStream<S>,
    outgoing: Outgoing,
}

#[derive(Debug)]
enum Outgoing {
    Free,
    Waiting(Message),
    Flushing,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(super) const fn new(socket: WebSocketStream<S>) -> Self {
        Self {
            socket,
            outgoing: Outgoing::Free,
        }
    }

    /// Whether a frame can be given.
    pub(super) const fn is_free(&self) -> bool {
        matches!(self.outgoing, Outgoing::Free)
    }

    /// Takes a frame; to be called only while [`Wire::is_free`].
    pub(super) fn send(&mut self, text: String) {
        self.outgoing = Outgoing::Waiting(Message::text(text));
    }

    /// Waits for the next thing that happens; nothing is lost when the wait is given up.
    pub(super) async fn next(&mut self) -> WireEvent {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    /// The socket, to close it.
    pub(super) const fn socket_mut(&mut self) -> &mut WebSocketStream<S> {
        &mut self.socket
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<WireEvent> {
        match self.poll_send(context) {
            Poll::Ready(Ok(true)) => return Poll::Ready(WireEvent::Sent),
            Poll::Ready(Err(error)) => return Poll::Ready(WireEvent::Failed(error)),
            Poll::Ready(Ok(false)) | Poll::Pending => {}
        }
        Pin::new(&mut self.socket).poll_next(context).map(WireEvent::Received)
    }

    /// Moves the frame on; true once it has left.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, Error>> {
        if matches!(self.outgoing, Outgoing::Free) {
            return Poll::Ready(Ok(false));
        }
        if matches!(self.outgoing, Outgoing::Waiting(_)) {
            ready!(Pin::new(&mut self.socket).poll_ready(context))?;
            if let Outgoing::Waiting(message) = std::mem::replace(&mut self.outgoing, Outgoing::Flushing) {
                Pin::new(&mut self.socket).start_send(message)?;
            }
        }
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.outgoing = Outgoing::Free;
        Poll::Ready(Ok(true))
    }
}
