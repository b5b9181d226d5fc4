//! Notes when the last byte came, below the WebSocket: a piece of a frame proves the peer alive as well as a whole one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use shared_protocol::time::MonotonicMicros;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::clock;

/// When the last byte came.
#[derive(Debug, Clone, Default)]
pub struct LastByte(Arc<AtomicU64>);

/// A stream that notes when bytes come.
#[derive(Debug)]
pub struct Heard<S> {
    inner: S,
    last: LastByte,
}

impl LastByte {
    /// When the last byte came; zero before the first.
    pub fn at(&self) -> MonotonicMicros {
        MonotonicMicros::from_micros(self.0.load(Ordering::Relaxed))
    }
}

impl<S> Heard<S> {
    /// Wraps a stream.
    pub fn new(inner: S) -> (Self, LastByte) {
        let last = LastByte::default();
        (Self { inner, last: last.clone() }, last)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.last.0.store(clock::monotonic().micros(), Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
