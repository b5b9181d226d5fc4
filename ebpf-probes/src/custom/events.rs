//! A ring's messages as JSON: how many came, and the latest.

use std::collections::VecDeque;

use aya::maps::{Map, MapData, RingBuf};
use ebpf_package::{Shape, decode};
use serde_json::Value;
use shared_protocol::report::CustomEvents;

use super::load::CustomError;
use super::rows::length;

/// A ring that is told.
pub(super) struct Events {
    name: String,
    ring: RingBuf<MapData>,
    event: Shape,
    seen: u64,
    malformed: u64,
    /// The latest, oldest first.
    latest: VecDeque<Value>,
    /// How many of them have not been told yet.
    fresh: usize,
    kept: usize,
}

impl Events {
    pub(super) fn open(name: &str, map: Map, event: Shape, kept: usize) -> Result<Self, CustomError> {
        Ok(Self {
            ring: RingBuf::try_from(map).map_err(|error| CustomError::read(name, error))?,
            name: name.to_owned(),
            event,
            seen: 0,
            malformed: 0,
            latest: VecDeque::new(),
            fresh: 0,
            kept: kept.max(1),
        })
    }

    /// Takes in what waits, so much that others are not kept waiting; the rest is taken the next time.
    pub(super) fn gather(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(message) = self.ring.next() else { break };
            self.seen += 1;
            if message.len() != self.event.bytes() {
                self.malformed += 1;
                continue;
            }
            if self.latest.len() == self.kept {
                self.latest.pop_front();
            }
            self.latest.push_back(decode(&self.event, &message));
            self.fresh = (self.fresh + 1).min(self.kept);
        }
    }

    pub(super) const fn has_seen(&self) -> bool {
        self.seen > 0
    }

    /// The latest of those that came since this was last asked.
    pub(super) fn told_since(&mut self, room: &mut usize) -> CustomEvents {
        let fresh = std::mem::take(&mut self.fresh);
        self.told(fresh, room)
    }

    /// The latest of all.
    pub(super) fn told_of_all(&mut self, room: &mut usize) -> CustomEvents {
        self.told(self.latest.len(), room)
    }

    fn told(&self, last: usize, room: &mut usize) -> CustomEvents {
        let mut events = VecDeque::new();
        for event in self.latest.iter().rev().take(last) {
            let Some(left) = room.checked_sub(length(event)) else { break };
            *room = left;
            events.push_front(event.clone());
        }
        CustomEvents {
            map: self.name.clone(),
            seen: self.seen,
            malformed: self.malformed,
            events: events.into(),
        }
    }
}

/// Most messages taken in at once.
const AT_ONCE: usize = 20_000;
