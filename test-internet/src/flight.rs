//! Packets under way, and when each has its next moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::description::Restores;
use crate::header::Header;
use crate::plan::Way;

/// A packet of the observer, or its answer, somewhere on its way.
#[derive(Debug, Clone)]
pub(crate) struct Flight {
    /// Number of the packet that the observer sent.
    pub(crate) packet: usize,
    /// The packet as it is here.
    pub(crate) bytes: Vec<u8>,
    pub(crate) header: Header,
    /// The packet as the observer knows it, where a NAT has rewritten it, and how careful that NAT is.
    pub(crate) known_as: Option<(Vec<u8>, Restores)>,
    pub(crate) way: Way,
    /// Which hop of the way it is at, or on the link towards or from.
    pub(crate) hop: usize,
    pub(crate) ttl: u8,
    pub(crate) place: Place,
}

/// Where on a hop a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// About to enter the link towards the hop.
    LinkThere,
    /// At the hop's node, on its way there.
    Node,
    /// About to enter the link back from the hop.
    LinkBack,
    /// At the hop's node, on its way back.
    NodeBack,
    /// At the observer.
    Home,
}

/// What happens next, by time; what came first among equals.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    moments: BinaryHeap<Reverse<(u64, u64, usize)>>,
    flights: Vec<Option<Flight>>,
    free: Vec<usize>,
    counted: u64,
}

impl Schedule {
    pub(crate) fn add(&mut self, at: u64, flight: Flight) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.flights.push(None);
            self.flights.len() - 1
        });
        if let Some(entry) = self.flights.get_mut(place) {
            *entry = Some(flight);
        }
        self.counted += 1;
        self.moments.push(Reverse((at, self.counted, place)));
    }

    pub(crate) fn next_at(&self) -> Option<u64> {
        self.moments.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next flight whose moment has come.
    pub(crate) fn due(&mut self, now: u64) -> Option<(u64, Flight)> {
        self.next_at().filter(|at| *at <= now)?;
        let Reverse((at, _, place)) = self.moments.pop()?;
        self.free.push(place);
        Some((at, self.flights.get_mut(place)?.take()?))
    }
}
