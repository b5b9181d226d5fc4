//! A socket that is watched by the runtime, with the book of what it has sent and for which the kernel has not told the time yet.
#![expect(unsafe_code, reason = "the runtime takes descriptors only on their owner's word that they stay open")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::stamps::{self, Book};
use crate::clock::{self, Moment};

/// A socket and its book of departures; `T` says whose each packet is.
pub(crate) struct Stamped<S: AsRawFd, T> {
    watched: AsyncFd<S>,
    timestamps: Timestamps,
    book: Mutex<Book<T>>,
}

/// Whether the kernel tells when packets left and came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timestamps {
    Kernel,
    Missing,
}

impl<S: AsFd + AsRawFd, T> Stamped<S, T> {
    /// Takes a socket that never closes or exchanges its descriptor before it is dropped.
    pub(crate) fn new(socket: S, timestamps: Timestamps) -> io::Result<Self> {
        Ok(Self {
            watched: watch(socket)?,
            timestamps,
            book: Mutex::new(Book::new()),
        })
    }

    pub(crate) fn socket(&self) -> &S {
        self.watched.get_ref()
    }

    pub(crate) fn watched(&self) -> &AsyncFd<S> {
        &self.watched
    }

    /// Sends a packet and books it. Returns the clocks just before the kernel got it.
    ///
    /// The book stays locked meanwhile: a timestamp can be ready before the call returns.
    pub(crate) fn send(&self, owner: T, hand_over: impl Fn(&S) -> Result<(), Errno>) -> Result<Moment, Errno> {
        let socket = self.socket();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let mut moment = clock::moment();
        let mut sent = hand_over(socket);
        if sent.is_err() {
            // The error may be an earlier packet's, left on the shared socket: only what fails twice is this packet's own.
            restart(&mut book, socket);
            // Nothing to do about an error of asking for the error.
            let _ = getsockopt(socket, sockopt::SocketError);
            moment = clock::moment();
            sent = hand_over(socket);
        }
        match sent {
            Ok(()) => {
                if self.timestamps == Timestamps::Kernel {
                    book.enter(owner, moment.wall_ns());
                }
                Ok(moment)
            }
            Err(errno) => {
                restart(&mut book, socket);
                Err(errno)
            }
        }
    }

    /// Whose packet the kernel has stamped.
    pub(crate) fn transmitted(&self, number: u32, at_ns: i64) -> Option<T> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).take(number, at_ns)
    }
}

/// Lets the runtime watch a socket that never closes or exchanges its descriptor before it is dropped.
pub(crate) fn watch<S: AsRawFd>(socket: S) -> io::Result<AsyncFd<S>> {
    // The runtime panics outside of itself; an error serves callers better.
    tokio::runtime::Handle::try_current().map_err(io::Error::other)?;
    // SAFETY: the caller's socket owns its descriptor, and is moved into the `AsyncFd`.
    let watched = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE | Interest::ERROR) };
    watched.map_err(|error| error.into_parts().1)
}

fn restart<T>(book: &mut Book<T>, socket: &impl AsFd) {
    stamps::restart_count(socket);
    book.restart();
}
