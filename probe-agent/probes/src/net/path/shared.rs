//! What flows along paths share: the sockets of the process, opened while privilege lasts, and the ports in use.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::socket::MsgFlags;

use super::book::PortBook;
use super::listener::{Listeners, SegmentSocket};
use super::sender::{HeaderSocket, Sender};
use super::{PathAnswer, PathArrival, segment};
use crate::clock;
use crate::net::icmp::{Family, Reader, Receipt, Shared, drain, watch_for};
use crate::net::message::{self, Queued};

/// The sockets, opened where the host lets us.
#[derive(Debug, Default)]
pub(in crate::net) struct PathSockets {
    senders: Vec<HeaderSocket>,
    packets: Vec<SegmentSocket>,
    prefix: u16,
}

/// The sockets, watched by the runtime, and the ports in use.
pub(in crate::net) struct PathParts {
    pub(super) senders: Vec<Sender>,
    pub(super) listeners: Listeners,
    pub(super) prefix: u16,
    ports: Mutex<PortBook>,
}

impl PathSockets {
    /// Opens what the host lets us open.
    pub(in crate::net) fn open() -> Self {
        let prefix = rand::random();
        let mut sockets = Self { prefix, ..Self::default() };
        for family in [Family::V4, Family::V6] {
            match HeaderSocket::open(family) {
                Ok(sender) => sockets.senders.push(sender),
                Err(error) => tracing::debug!(?family, %error, "packets along paths leave with the kernel's headers"),
            }
            // A service may be kept from packet sockets, and have raw sockets all the same.
            match SegmentSocket::open(family, prefix) {
                Ok(packets) => sockets.packets.push(packets),
                Err(error) => tracing::debug!(?family, %error, "answers to first segments cannot be heard"),
            }
        }
        sockets
    }

    /// Whether answers to first segments can be sent for and heard, in one family at least.
    pub(in crate::net) const fn can_half_open(&self) -> bool {
        !self.senders.is_empty() && !self.packets.is_empty()
    }

    pub(in crate::net) fn into_parts(self) -> io::Result<PathParts> {
        let senders: io::Result<Vec<_>> = self.senders.into_iter().map(Sender::new).collect();
        Ok(PathParts {
            senders: senders?,
            listeners: Listeners::new(self.packets.into_iter())?,
            prefix: self.prefix,
            ports: Mutex::default(),
        })
    }
}

impl PathParts {
    pub(super) fn sender(&self, family: Family) -> Option<&Sender> {
        self.senders.iter().find(|sender| sender.family() == family)
    }

    pub(in crate::net) fn ports(&self) -> MutexGuard<'_, PortBook> {
        self.ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::net) const fn sender_count(&self) -> usize {
        self.senders.len()
    }

    pub(in crate::net) fn listener_count(&self) -> usize {
        self.listeners.all().len()
    }
}

/// Reads the times at which packets left, for as long as the engine lives.
pub(in crate::net) async fn read_departures(shared: Arc<Shared>, position: usize) {
    let Some(sender) = shared.path.senders.get(position) else { return };
    let mut buffer = [0; 1];
    let Some(watched) = sender.watched() else { return };
    watch_for(watched, (&shared.backlog, Reader::Departures(position)), || {
        drain(sender.socket(), &mut buffer, MsgFlags::MSG_ERRQUEUE, |received| {
            if let (Some(Queued::Transmitted(number)), Some(at_ns)) = (received.queued, received.stamped_ns)
                && let Some((flow, index)) = sender.transmitted(number, at_ns)
            {
                shared.deliver_transmitted(flow, index, at_ns);
            }
        })
    })
    .await;
}

/// Reads the answers to first segments, for as long as the engine lives.
pub(in crate::net) async fn read_segments(shared: Arc<Shared>, position: usize) {
    let Some(listener) = shared.path.listeners.all().get(position) else { return };
    let mut buffer = [0; SEGMENT_BYTES];
    let mut dropped = 0;
    watch_for(listener.watched(), (&shared.backlog, Reader::Segments(position)), || {
        drain(listener.watched().get_ref(), &mut buffer, MsgFlags::empty(), |received| {
            shared.count_drops(&mut dropped, received.dropped);
            shared.take_segment(listener.family, &received);
        })
    })
    .await;
}

impl Shared {
    fn take_segment(&self, family: Family, received: &message::Received<'_>) {
        let found = segment::parse(family, received.bytes).and_then(|segment| {
            let found = self.path.ports().find_segment(family, &segment);
            found.map(|found| (segment, found))
        });
        let Some((segment, (flow, index))) = found else {
            return self.count_foreign();
        };
        let receipt = Receipt {
            at_ns: received.stamped_ns,
            moment: clock::moment(),
            ttl: Some(segment.ttl),
            bytes: segment.bytes,
        };
        let what = PathAnswer::Tcp {
            answer: segment.answer,
            receipt,
        };
        self.deliver_on_path(flow, PathArrival { index: Some(index), what });
    }
}

/// As much of a segment as the kernel's filter keeps, and room to see that more came.
const SEGMENT_BYTES: usize = 320;
