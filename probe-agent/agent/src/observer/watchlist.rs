//! Who is looked at for the agent's own probes, and for how long. Plain: time is an argument.

use std::collections::BTreeMap;
use std::time::Duration;

use shared_protocol::report::Peer;
use shared_protocol::time::MonotonicMicros;

/// Who is looked at.
#[derive(Debug)]
pub(super) struct Watchlist {
    held: BTreeMap<u64, Held>,
    /// Since when there is nobody.
    idle: MonotonicMicros,
}

#[derive(Debug)]
struct Held {
    peer: Peer,
    since: MonotonicMicros,
}

/// What came of the wish to have somebody looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// Nobody was looking at them yet.
    First,
    /// They are looked at already.
    Again,
    /// It cannot be.
    Refused,
}

/// Somebody who was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) peer: Peer,
    /// Whether nobody else wants to know about them.
    pub(super) last: bool,
}

impl Watchlist {
    pub(super) const fn new(now: MonotonicMicros) -> Self {
        Self {
            held: BTreeMap::new(),
            idle: now,
        }
    }

    /// A probe is about to speak with somebody.
    pub(super) fn add(&mut self, number: u64, peer: Peer, now: MonotonicMicros) -> Added {
        if self.held.len() >= HELD_MAX || self.held.contains_key(&number) {
            return Added::Refused;
        }
        let known = self.has(peer);
        self.held.insert(number, Held { peer, since: now });
        if known { Added::Again } else { Added::First }
    }

    /// A probe is done with somebody.
    pub(super) fn remove(&mut self, number: u64, now: MonotonicMicros) -> Option<Removed> {
        let Held { peer, .. } = self.held.remove(&number)?;
        if self.held.is_empty() {
            self.idle = now;
        }
        Some(Removed { peer, last: !self.has(peer) })
    }

    /// The number of a probe that will not say any more that it is done.
    pub(super) fn forgotten(&self, now: MonotonicMicros) -> Option<u64> {
        self.held.iter().find(|(_, held)| now.since(held.since) >= HELD_FOR).map(|(number, _)| *number)
    }

    /// Whether nobody has been looked at for so long that it can end.
    pub(super) fn is_idle(&self, now: MonotonicMicros) -> bool {
        self.held.is_empty() && now.since(self.idle) >= LINGER
    }

    fn has(&self, peer: Peer) -> bool {
        self.held.values().any(|held| held.peer == peer)
    }
}

/// Most wishes at the same time; of the peers in them, the kernel's table holds 256.
const HELD_MAX: usize = 1_024;
/// No probe that is looked at takes longer.
const HELD_FOR: Duration = Duration::from_hours(1);
/// How long the programs stay without anybody to look at: loading them anew for each probe would cost more.
const LINGER: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use shared_protocol::report::Transport;

    use super::*;

    fn second(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    fn peer(port: u16) -> Peer {
        Peer {
            transport: Transport::Tcp,
            remote: ([192, 0, 2, 1], port).into(),
        }
    }

    #[test]
    fn somebody_is_looked_at_until_the_last_probe_is_done_with_them() {
        let mut list = Watchlist::new(second(0));
        assert_eq!(list.add(1, peer(80), second(0)), Added::First);
        assert_eq!(list.add(2, peer(80), second(0)), Added::Again);
        assert_eq!(list.add(3, peer(81), second(0)), Added::First);
        // A number is one wish.
        assert_eq!(list.add(3, peer(82), second(0)), Added::Refused);
        let removed = |port, last| Some(Removed { peer: peer(port), last });
        assert_eq!(list.remove(1, second(1)), removed(80, false));
        assert_eq!(list.remove(1, second(1)), None);
        assert_eq!(list.remove(2, second(1)), removed(80, true));
        assert_eq!(list.remove(3, second(1)), removed(81, true));
    }

    #[test]
    fn it_ends_a_minute_after_the_last_and_not_while_there_is_one() {
        let mut list = Watchlist::new(second(0));
        assert_eq!((list.is_idle(second(59)), list.is_idle(second(60))), (false, true));
        list.add(1, peer(80), second(60));
        assert!(!list.is_idle(second(1_000)));
        assert_eq!(list.forgotten(second(3_659)), None);
        assert_eq!(list.forgotten(second(3_660)), Some(1));
        list.remove(1, second(3_660));
        assert_eq!((list.is_idle(second(3_719)), list.is_idle(second(3_720))), (false, true));
    }

    #[test]
    fn there_is_a_bound_on_how_many() {
        let mut list = Watchlist::new(second(0));
        let wishes: Vec<Added> = (0..1_025).map(|number| list.add(number, peer(80), second(0))).collect();
        assert_eq!((wishes[1_023], wishes[1_024]), (Added::Again, Added::Refused));
    }
}
