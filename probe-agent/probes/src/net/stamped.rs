//! A socket with the book of what it has sent and for which the kernel has not told the time yet.
#![expect(unsafe_code, reason = "the runtime takes descriptors only on their owner's word that they stay open")]

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, getsockopt, sockopt};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::message::{self, Queued};
use super::stamps::{self, Book};
use crate::clock::{self, Moment};

/// A socket and its book of departures; `T` says whose each packet is.
pub(crate) struct Stamped<S: AsRawFd, T> {
    held: Held<S>,
    timestamps: Timestamps,
    queue: ErrorQueue,
    book: Mutex<Ledger<T>>,
}

/// Whether the runtime is woken by what a socket has.
enum Held<S: AsRawFd> {
    Watched(AsyncFd<S>),
    /// It is not: the kernel stamps a packet and then sends it on, and to wake somebody in between would be part of the packet's time.
    Quiet(S),
}

/// The book, and whether the kernel's count still agrees with it.
struct Ledger<T> {
    book: Book<T>,
    count: Count,
    /// Stamps that were read when the count was begun anew, with whose they are.
    ready: Vec<(T, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Count {
    Agrees,
    /// A packet was refused after others had been taken: the kernel may have counted it.
    Unknown,
}

/// What stands in a socket's error queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorQueue {
    StampsOnly,
    /// ICMP errors as well, which only the reader takes.
    ErrorsToo,
}

/// Whether the kernel tells when packets left and came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Timestamps {
    Kernel,
    Missing,
}

impl<S: AsFd + AsRawFd, T> Stamped<S, T> {
    /// Takes a socket that never closes or exchanges its descriptor before it is dropped, for the runtime to watch.
    pub(crate) fn new(socket: S, timestamps: Timestamps, queue: ErrorQueue) -> io::Result<Self> {
        Ok(Self::holding(Held::Watched(watch(socket)?), timestamps, queue))
    }

    /// Takes a socket that wakes nobody.
    pub(crate) fn quiet(socket: S, timestamps: Timestamps) -> Self {
        Self::holding(Held::Quiet(socket), timestamps, ErrorQueue::StampsOnly)
    }

    fn holding(held: Held<S>, timestamps: Timestamps, queue: ErrorQueue) -> Self {
        Self {
            held,
            timestamps,
            queue,
            book: Mutex::new(Ledger {
                book: Book::new(),
                count: Count::Agrees,
                ready: Vec::new(),
            }),
        }
    }

    pub(crate) fn socket(&self) -> &S {
        match &self.held {
            Held::Watched(watched) => watched.get_ref(),
            Held::Quiet(socket) => socket,
        }
    }

    /// The socket as the runtime watches it, if it does.
    pub(crate) const fn watched(&self) -> Option<&AsyncFd<S>> {
        match &self.held {
            Held::Watched(watched) => Some(watched),
            Held::Quiet(_) => None,
        }
    }

    /// Whether the kernel has still to tell when packets left.
    pub(crate) fn awaits(&self) -> bool {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).book.awaits()
    }

    /// Sends a packet and books it. Returns the clocks just before the kernel got it.
    ///
    /// The book stays locked meanwhile: a timestamp can be ready before the call returns.
    pub(crate) fn send(&self, owner: T, hand_over: impl Fn(&S) -> Result<(), Errno>) -> Result<Moment, Errno> {
        let socket = self.socket();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.settle(socket, self.queue);
        let mut moment = clock::moment();
        let mut sent = hand_over(socket);
        if sent.is_err() {
            // The error may be an earlier packet's, left on the shared socket: only what fails twice is this packet's own.
            book.restart(socket, self.queue);
            // Nothing to do about an error of asking for the error.
            let _ = getsockopt(socket, sockopt::SocketError);
            moment = clock::moment();
            sent = hand_over(socket);
        }
        match sent {
            Ok(()) => {
                if self.timestamps == Timestamps::Kernel {
                    book.book.enter(owner, moment.wall_ns());
                }
                Ok(moment)
            }
            Err(errno) => {
                book.restart(socket, self.queue);
                Err(errno)
            }
        }
    }

    /// Sends packets in one call and books those that the kernel took; gives how many, and the clocks just before it got them. Where it
    /// refuses one, its word is due when that packet is sent again, alone.
    pub(crate) fn send_many(&self, owners: impl Iterator<Item = T>, hand_over: impl FnOnce(&S) -> Result<usize, Errno>, wanted: usize) -> (usize, Moment) {
        let socket = self.socket();
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        book.settle(socket, self.queue);
        let moment = clock::moment();
        let taken = hand_over(socket).unwrap_or_default();
        if taken < wanted {
            book.count = Count::Unknown;
        }
        if self.timestamps == Timestamps::Kernel {
            let not_before_ns = moment.wall_ns();
            for owner in owners.take(taken) {
                book.book.enter(owner, not_before_ns);
            }
        }
        (taken, moment)
    }

    /// Stamps that were read while sending, with whose they are: whoever sends hands them over when the kernel refused a packet.
    pub(crate) fn take_ready(&self) -> Vec<(T, i64)> {
        std::mem::take(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner).ready)
    }

    /// Whose packet the kernel has stamped.
    pub(crate) fn transmitted(&self, number: u32, at_ns: i64) -> Option<T> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner).book.take(number, at_ns)
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

impl<T> Ledger<T> {
    /// Makes book and kernel agree again where they may not.
    fn settle(&mut self, socket: &impl AsFd, queue: ErrorQueue) {
        if self.count == Count::Unknown {
            self.restart(socket, queue);
        }
    }

    fn restart(&mut self, socket: &impl AsFd, queue: ErrorQueue) {
        if queue == ErrorQueue::StampsOnly {
            self.save_stamps(socket);
        }
        stamps::restart_count(socket);
        self.book.restart();
        self.count = Count::Agrees;
    }

    /// Reads the stamps that are there, before their numbers lose their meaning.
    fn save_stamps(&mut self, socket: &impl AsFd) {
        let mut nothing = [0; 1];
        while let Ok(received) = message::receive(socket, &mut nothing, MsgFlags::MSG_ERRQUEUE) {
            if let (Some(Queued::Transmitted(number)), Some(at_ns)) = (received.queued, received.stamped_ns)
                && let Some(owner) = self.book.take(number, at_ns)
            {
                self.ready.push((owner, at_ns));
            }
        }
    }
}
