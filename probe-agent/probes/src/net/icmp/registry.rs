//! Whose answer is this: flows with their cookies, and every echo number in use. Pure.
//!
//! A flow is one probe's exchange with one address. A reply belongs to it when identifier, sequence, cookie and sender all match;
//! an error when the request it quotes does, as far as it is quoted.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use super::packet::{COOKIE_BYTES, Echo, Family, Message};
use super::tap::Identifiers;

/// Names a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FlowId(u64);

/// The numbers by which an answer finds its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EchoNumber {
    pub family: Family,
    pub identifier: u16,
    pub sequence: u16,
}

/// What a flow is known by; `T` is where its answers go.
#[derive(Debug)]
pub(crate) struct Flow<T> {
    pub target: IpAddr,
    pub cookie: [u8; COOKIE_BYTES],
    /// How much of the cookie its requests have room for.
    pub cookie_bytes: usize,
    pub quotes: Quotes,
    pub outlet: T,
}

/// Which errors a flow takes for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quotes {
    /// Those that quote a request to its target.
    OfTarget,
    /// Those too that quote another address, where enough of the cookie stands behind it: somebody on the way has rewritten it.
    EvenRewritten,
}

/// All flows and the echo numbers they use.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    next: u64,
    flows: HashMap<FlowId, Entry<T>>,
    numbers: HashMap<EchoNumber, (FlowId, u32)>,
    /// Identifiers with all their sequences.
    blocks: HashMap<(Family, u16), (FlowId, u32)>,
}

#[derive(Debug)]
struct Entry<T> {
    flow: Flow<T>,
    numbers: Vec<EchoNumber>,
    blocks: Vec<(Family, u16)>,
}

impl<T> Registry<T> {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            flows: HashMap::new(),
            numbers: HashMap::new(),
            blocks: HashMap::new(),
        }
    }

    /// Begins a flow.
    pub(crate) fn open(&mut self, flow: Flow<T>) -> FlowId {
        self.next = self.next.wrapping_add(1);
        let id = FlowId(self.next);
        let entry = Entry {
            flow,
            numbers: Vec::new(),
            blocks: Vec::new(),
        };
        self.flows.insert(id, entry);
        id
    }

    /// Gives request `index` of a flow a number that no other request in flight has: the wished one, or the next free sequence.
    /// `None` when all sequences of the identifier are in use, or the flow is closed.
    pub(crate) fn reserve(&mut self, id: FlowId, index: u32, wished: EchoNumber) -> Option<EchoNumber> {
        let entry = self.flows.get_mut(&id)?;
        let mut identifiers = (0..=u16::MAX).map(|step| wished.identifier.wrapping_add(step));
        let wished = EchoNumber {
            identifier: identifiers.find(|identifier| !self.blocks.contains_key(&(wished.family, *identifier)))?,
            ..wished
        };
        let number = (0..=u16::MAX)
            .map(|step| EchoNumber {
                sequence: wished.sequence.wrapping_add(step),
                ..wished
            })
            .find(|number| !self.numbers.contains_key(number))?;
        self.numbers.insert(number, (id, index));
        entry.numbers.push(number);
        Some(number)
    }

    /// Gives a flow identifiers of which nobody uses any sequence, at least so many: the wished ones or the next. `None` when there are
    /// none.
    pub(crate) fn reserve_blocks(&mut self, id: FlowId, family: Family, wanted: u32, wished: u16) -> Option<Identifiers> {
        let count = u16::try_from(wanted.next_power_of_two()).ok()?;
        let used: HashSet<u16> = self
            .numbers
            .keys()
            .filter(|number| number.family == family)
            .map(|number| number.identifier)
            .collect();
        let is_free = |identifier: u16| !used.contains(&identifier) && !self.blocks.contains_key(&(family, identifier));
        let wished = wished & !(count - 1);
        let mut firsts = (0..=u16::MAX / count).map(|step| wished.wrapping_add(step.wrapping_mul(count)));
        let first = firsts.find(|first| (0..count).all(|step| is_free(first.wrapping_add(step))))?;
        let entry = self.flows.get_mut(&id)?;
        for block in 0..count {
            let identifier = first.wrapping_add(block);
            entry.blocks.push((family, identifier));
            self.blocks.insert((family, identifier), (id, block.into()));
        }
        Some(Identifiers { first, count })
    }

    /// Whether nobody but a flow uses numbers of a family.
    pub(crate) fn is_alone(&self, id: FlowId, family: Family) -> bool {
        let others = self.blocks.iter().filter(|(_, (owner, _))| *owner != id).map(|((family, _), _)| *family);
        self.numbers.keys().map(|number| number.family).chain(others).all(|used| used != family)
    }

    /// The flow that has an identifier with all its sequences, and which of its blocks that is.
    pub(crate) fn find_block(&self, family: Family, identifier: u16) -> Option<(FlowId, u32)> {
        self.blocks.get(&(family, identifier)).copied()
    }

    /// Finds the request that a message answers; `None` when it is not ours.
    pub(crate) fn find(&self, source: IpAddr, message: &Message<'_>) -> Option<(FlowId, u32)> {
        match message {
            Message::Reply(echo) => {
                let (id, index, flow) = self.look_up(Family::of(source), echo)?;
                let cookie = flow.cookie.get(..flow.cookie_bytes)?;
                (flow.target == source && echo.data.starts_with(cookie)).then_some((id, index))
            }
            Message::Error { destination, request, .. } => {
                let (id, index, flow) = self.look_up(Family::of(*destination), request)?;
                let quoted = flow.cookie_bytes.min(request.data.len());
                let is_to_target = flow.target == *destination || (flow.quotes == Quotes::EvenRewritten && quoted >= COOKIE_ENOUGH);
                (is_to_target && flow.cookie.get(..quoted) == request.data.get(..quoted)).then_some((id, index))
            }
        }
    }

    /// Where the answers of a flow go.
    pub(crate) fn outlet(&self, id: FlowId) -> Option<&T> {
        self.flows.get(&id).map(|entry| &entry.flow.outlet)
    }

    /// Ends a flow; its numbers are free again.
    pub(crate) fn close(&mut self, id: FlowId) {
        if let Some(entry) = self.flows.remove(&id) {
            for number in entry.numbers {
                self.numbers.remove(&number);
            }
            for block in entry.blocks {
                self.blocks.remove(&block);
            }
        }
    }

    fn look_up(&self, family: Family, echo: &Echo<'_>) -> Option<(FlowId, u32, &Flow<T>)> {
        let number = EchoNumber {
            family,
            identifier: echo.identifier,
            sequence: echo.sequence,
        };
        let (id, index) = self.numbers.get(&number)?;
        let entry = self.flows.get(id)?;
        Some((*id, *index, &entry.flow))
    }
}

/// How much of a cookie shows that a request was ours, whatever else was rewritten.
const COOKIE_ENOUGH: usize = 8;

/// A flow's name, for tests of what keeps such names.
#[cfg(test)]
pub(crate) const fn flow_id(number: u64) -> FlowId {
    FlowId(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIE: [u8; COOKIE_BYTES] = *b"0123456789abcdef";

    fn flow(target: &str, cookie_bytes: usize) -> Flow<()> {
        Flow {
            target: target.parse().unwrap(),
            cookie: COOKIE,
            cookie_bytes,
            quotes: Quotes::OfTarget,
            outlet: (),
        }
    }

    fn number(identifier: u16, sequence: u16) -> EchoNumber {
        EchoNumber {
            family: Family::V4,
            identifier,
            sequence,
        }
    }

    fn reply(identifier: u16, sequence: u16, data: &[u8]) -> Message<'_> {
        Message::Reply(Echo { identifier, sequence, data })
    }

    #[test]
    fn job_19_only_identifier_sequence_cookie_and_source_together_match() {
        let mut registry = Registry::new();
        let id = registry.open(flow("127.0.0.9", 16));
        registry.reserve(id, 0, number(5, 6)).unwrap();
        let target = "127.0.0.9".parse().unwrap();
        assert_eq!(registry.find(target, &reply(5, 6, &COOKIE)), Some((id, 0)));
        assert_eq!(registry.find(target, &reply(4, 6, &COOKIE)), None);
        assert_eq!(registry.find(target, &reply(5, 7, &COOKIE)), None);
        assert_eq!(registry.find(target, &reply(5, 6, b"0123456789abcdeX")), None);
        assert_eq!(registry.find(target, &reply(5, 6, &COOKIE[..15])), None, "cut short");
        assert_eq!(registry.find("127.0.0.8".parse().unwrap(), &reply(5, 6, &COOKIE)), None, "from another address");
        registry.close(id);
        assert_eq!(registry.find(target, &reply(5, 6, &COOKIE)), None);
        assert!(registry.numbers.is_empty());
    }

    #[test]
    fn an_error_matches_by_what_it_quotes() {
        let mut registry = Registry::new();
        let id = registry.open(flow("127.0.0.9", 16));
        registry.reserve(id, 2, number(5, 6)).unwrap();
        let error = |destination: &str, data| Message::Error {
            kind: (3, 1),
            destination: destination.parse().unwrap(),
            request: Echo {
                identifier: 5,
                sequence: 6,
                data,
            },
        };
        let router = "127.0.0.1".parse().unwrap();
        assert_eq!(registry.find(router, &error("127.0.0.9", &COOKIE[..0])), Some((id, 2)));
        assert_eq!(registry.find(router, &error("127.0.0.9", &COOKIE)), Some((id, 2)));
        assert_eq!(registry.find(router, &error("127.0.0.9", b"wrong")), None);
        assert_eq!(registry.find(router, &error("127.0.0.8", &COOKIE)), None);
        let path = registry.open(Flow {
            quotes: Quotes::EvenRewritten,
            ..flow("127.0.0.7", 8)
        });
        registry.reserve(path, 4, number(7, 6)).unwrap();
        let rewritten = |data| Message::Error {
            kind: (11, 0),
            destination: "10.0.0.1".parse().unwrap(),
            request: Echo {
                identifier: 7,
                sequence: 6,
                data,
            },
        };
        assert_eq!(registry.find(router, &rewritten(&COOKIE[..8])), Some((path, 4)));
        assert_eq!(registry.find(router, &rewritten(&COOKIE[..7])), None, "too little of the cookie to tell");
    }

    #[test]
    fn a_block_is_nobody_elses_and_comes_back() {
        let mut registry = Registry::new();
        let ping = registry.open(flow("127.0.0.9", 16));
        registry.reserve(ping, 0, number(7, 1)).unwrap();
        let sweep = registry.open(flow("127.0.0.9", 16));
        let blocks = |first, count| Some(Identifiers { first, count });
        assert_eq!(registry.reserve_blocks(sweep, Family::V4, 1, 7), blocks(8, 1), "7 is in use");
        assert_eq!(registry.reserve_blocks(sweep, Family::V4, 3, 6), blocks(12, 4), "from a multiple of four on");
        assert_eq!(registry.reserve_blocks(sweep, Family::V6, 1, 7), blocks(7, 1));
        assert!(registry.is_alone(sweep, Family::V6) && !registry.is_alone(ping, Family::V6));
        assert!(!registry.is_alone(sweep, Family::V4), "the ping has a number");
        assert_eq!(registry.find_block(Family::V4, 14), Some((sweep, 2)));
        assert_eq!(registry.reserve(ping, 1, number(8, 1)), Some(number(9, 1)));
        assert_eq!(registry.reserve(ping, 3, number(12, 1)), Some(number(16, 1)), "not even one that is spare");
        registry.close(sweep);
        assert_eq!(registry.find_block(Family::V4, 14), None);
        assert_eq!(registry.reserve(ping, 2, number(8, 1)), Some(number(8, 1)));
    }

    #[test]
    fn flows_that_share_an_identifier_get_sequences_of_their_own() {
        let mut registry = Registry::new();
        let first = registry.open(flow("127.0.0.9", 0));
        let second = registry.open(flow("127.0.0.9", 0));
        assert_eq!(registry.reserve(first, 0, number(5, 65_535)), Some(number(5, 65_535)));
        assert_eq!(registry.reserve(second, 0, number(5, 65_535)), Some(number(5, 0)));
        assert_eq!(registry.find("127.0.0.9".parse().unwrap(), &reply(5, 0, &[])), Some((second, 0)));
        for sequence in 1..65_535 {
            registry.reserve(first, 0, number(5, sequence)).unwrap();
        }
        assert_eq!(registry.reserve(second, 1, number(5, 1)), None, "all in use");
    }
}
