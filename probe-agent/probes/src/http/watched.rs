//! A stream that notes when the last of a request was handed on.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use shared_protocol::time::MonotonicMicros;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

/// The stream.
pub(super) struct Watched<S> {
    inner: S,
    written: Arc<Written>,
    answered: bool,
}

/// When a request was handed on.
#[derive(Debug, Default)]
pub(super) struct Written(AtomicU64);

impl Written {
    /// The last write before the first read; `None` before the first write.
    pub(super) fn last(&self) -> Option<MonotonicMicros> {
        let micros = self.0.load(Ordering::Relaxed);
        (micros > 0).then(|| MonotonicMicros::from_micros(micros))
    }
}

impl<S> Watched<S> {
    pub(super) fn new(inner: S) -> (Self, Arc<Written>) {
        let written = Arc::new(Written::default());
        let watched = Self {
            inner,
            written: Arc::clone(&written),
            answered: false,
        };
        (watched, written)
    }

    fn note(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        // What is written once the server speaks (an acknowledgement of its settings) is no part of the request.
        if !self.answered && matches!(outcome, Poll::Ready(Ok(_))) {
            self.written.0.store(clock::monotonic().micros(), Ordering::Relaxed);
        }
        outcome
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(context, buffer);
        this.answered |= buffer.filled().len() > before;
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(context, bytes);
        this.note(outcome)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(context, pieces);
        this.note(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(context)
    }
}
