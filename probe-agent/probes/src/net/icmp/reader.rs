//! Reads sockets and their error queues.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Shared;
use super::channel::Channel;
use super::hands::Hands;
use super::socket::MESSAGE_BYTES;
use crate::clock;
use crate::net::batch::ReceiveBatch;
use crate::net::message::{self, Received};

/// Reads the socket at a position for as long as the engine lives.
pub(super) async fn run(shared: Arc<Shared>, position: usize) {
    let Some(channel) = shared.channels.get(position) else { return };
    let Some(watched) = channel.watched() else {
        return look_after(&shared, channel).await;
    };
    let mut batch = ReceiveBatch::new(BATCH, MESSAGE_BYTES);
    let mut dropped = 0;
    watch_for(watched, (&shared.backlog, Reader::Channel(position)), || {
        // Timestamps first: the one of a request stands in its queue before its reply comes.
        let stamps = shared.drain_stamps_of(channel);
        let replies = shared.drain_batch(channel, &mut batch, MsgFlags::empty(), &mut dropped);
        stamps.max(replies)
    })
    .await;
}

/// Looks now and then whether the kernel has stamped what a socket sent, as long as something is awaited: the socket says nothing of itself,
/// and only a reply has its stamp read at once.
async fn look_after(shared: &Shared, channel: &Channel) {
    loop {
        channel.sent.notified().await;
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_EVERY).await;
            shared.drain_stamps(channel);
            if !channel.awaits_stamps() {
                break;
            }
        }
    }
}

/// Calls `on_ready` whenever a socket has something, for as long as the socket can be watched.
pub(in crate::net) async fn watch_for<S: AsRawFd>(watched: &AsyncFd<S>, (backlog, reader): (&Backlog, Reader), mut on_ready: impl FnMut() -> Drained) {
    loop {
        let Ok(mut guard) = watched.ready(Interest::READABLE | Interest::ERROR).await else {
            return;
        };
        let drained = on_ready();
        backlog.note(reader, drained);
        match drained {
            Drained::Empty => guard.clear_ready(),
            // A flood must not keep the flows from emptying their channels.
            Drained::MoreMayBe => tokio::task::yield_now().await,
        }
    }
}

/// Which readers have not emptied their sockets when they last had their turn, a bit each.
#[derive(Debug, Default)]
pub(in crate::net) struct Backlog(AtomicU32);

/// Who reads which socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Reader {
    /// Of a channel.
    Channel(usize),
    /// Of the departures of a sender.
    Departures(usize),
    /// Of a listener.
    Segments(usize),
    /// Of what is said on links.
    Neighbors(usize),
}

impl Backlog {
    fn note(&self, reader: Reader, drained: Drained) {
        let (first, position) = match reader {
            Reader::Channel(position) => (0, position),
            Reader::Departures(position) => (8, position),
            Reader::Segments(position) => (16, position),
            Reader::Neighbors(position) => (24, position),
        };
        // There are at most four of a kind.
        let bit = u32::try_from(position)
            .ok()
            .and_then(|position| 1_u32.checked_shl(first + position))
            .unwrap_or_default();
        match drained {
            Drained::Empty => self.0.fetch_and(!bit, Ordering::Relaxed),
            Drained::MoreMayBe => self.0.fetch_or(bit, Ordering::Relaxed),
        };
    }

    /// Whether something may stand in a socket that a reader has had in hand.
    pub(in crate::net) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// Whether a socket has been emptied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::net) enum Drained {
    Empty,
    MoreMayBe,
}

/// Takes what a socket, or its error queue, holds, up to a bound.
pub(in crate::net) fn drain(socket: &impl AsFd, buffer: &mut [u8], queue: MsgFlags, mut take: impl FnMut(Received<'_>)) -> Drained {
    for _ in 0..MESSAGES {
        match message::receive(socket, buffer, queue) {
            Ok(received) => take(received),
            Err(Errno::EAGAIN) => return Drained::Empty,
            // An error left on the socket by an earlier packet: the error queue tells whose it was. Reading on clears it.
            Err(_) => {}
        }
    }
    Drained::MoreMayBe
}

impl Shared {
    /// Lets those who read the sockets go through what stands in them. Whoever is about to give something up waits for it first: on a host that
    /// is busy, or with hundreds of flows on one thread, an answer may have come in time and stand unread.
    pub(in crate::net) async fn catch_up(&self) {
        for _ in 0..TURNS {
            // The runtime looks at the sockets before it goes on here, and wakes the readers first.
            tokio::task::yield_now().await;
            if self.backlog.is_empty() {
                return;
            }
        }
    }

    /// Takes the stamps, and errors, of a socket itself and of those that send for it.
    fn drain_stamps_of(&self, receiver: &Channel) -> Drained {
        let family = receiver.socket().family;
        let senders = self
            .channels
            .iter()
            .filter(|channel| channel.watched().is_none() && channel.socket().family == family && channel.awaits_stamps());
        let stamps = senders.map(|sender| self.drain_stamps(sender)).max().unwrap_or(Drained::Empty);
        if receiver.receives(family) {
            return stamps;
        }
        stamps.max(self.drain_stamps(receiver))
    }

    /// Takes what the error queue of a socket holds, up to a bound.
    fn drain_stamps(&self, channel: &Channel) -> Drained {
        // Held until all is delivered: a reply must not overtake its stamp in the hands of another.
        let mut batch = channel.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        self.drain_batch(channel, &mut batch, MsgFlags::MSG_ERRQUEUE, &mut 0)
    }

    /// Takes what a socket, or its error queue, holds, up to a bound, and hands it to the flows it belongs to.
    fn drain_batch(&self, channel: &Channel, batch: &mut ReceiveBatch, queue: MsgFlags, dropped: &mut u32) -> Drained {
        for _ in 0..BATCHES {
            let count = match batch.receive(channel.socket(), queue) {
                Ok(count) => count,
                Err(Errno::EAGAIN) => return Drained::Empty,
                // An error left on the socket by an earlier packet: the error queue tells whose it was. Reading on clears it.
                Err(_) => continue,
            };
            let mut hands = Hands {
                shared: self,
                channel,
                registry: self.registry(),
                moment: clock::moment(),
                sweeps: Vec::new(),
            };
            for received in (0..count).filter_map(|at| batch.message(at)) {
                self.count_drops(dropped, received.dropped);
                if queue.contains(MsgFlags::MSG_ERRQUEUE) {
                    hands.take_queued(&received);
                } else {
                    hands.take_message(&received);
                }
            }
            hands.hand_over();
            if count < batch.capacity() {
                return Drained::Empty;
            }
        }
        Drained::MoreMayBe
    }

    pub(in crate::net) fn count_foreign(&self) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts what the kernel has dropped on a socket since it was last asked.
    pub(in crate::net) fn count_drops(&self, before: &mut u32, total: Option<u32>) {
        if let Some(total) = total {
            self.drops.fetch_add(u64::from(total.wrapping_sub(*before)), Ordering::Relaxed);
            *before = total;
        }
    }
}

/// Messages read in one call.
const BATCH: usize = 64;
/// How often is looked for stamps that nobody's reply has fetched, and how many times in vain.
const LOOK_EVERY: Duration = Duration::from_millis(5);
const LOOKS: u32 = 200;
/// Calls before other tasks may run.
const BATCHES: usize = 4;
/// Messages of the quieter sockets that are read before other tasks may run.
const MESSAGES: usize = 256;
/// Turns of the readers that are waited for: a flood must not keep a probe for ever.
const TURNS: u32 = 1_000;
