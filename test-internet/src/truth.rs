//! What really became of every packet.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Serialize;

/// Why a packet had no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Lost on a link on its way there.
    Lost,
    /// Its answer was lost on a link.
    AnswerLost,
    /// The queue of a link was full.
    Queue,
    /// Too big for a link, and nobody said so.
    TooBig,
    /// A firewall dropped it.
    Firewall,
    /// Who should have answered never does.
    Silent,
    /// Who should have answered had answered too often.
    RateLimited,
    /// The target lets such packets pass unanswered.
    Filtered,
    /// No path leads to its destination.
    NoRoute,
    /// Its answer ran out of hops.
    AnswerExpired,
}

/// What became of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Nothing yet.
    UnderWay,
    /// The first answer came out after so many nanoseconds, from this address.
    Answered(u64, IpAddr),
    /// It has no answer.
    Dropped(Cause),
}

/// One packet of the observer that asked for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacketTruth {
    /// Where it was sent to.
    pub destination: IpAddr,
    /// Its protocol number.
    pub protocol: u8,
    /// Its time to live.
    pub ttl: u8,
    /// Nanoseconds at which it came in.
    pub at: u64,
    /// What became of it.
    pub fate: Fate,
    /// Answers that came out, with copies.
    pub answers: u32,
}

/// All packets to one destination with one protocol and time to live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FlowTruth {
    /// Where they were sent to.
    pub destination: IpAddr,
    /// Their protocol number.
    pub protocol: u8,
    /// Their time to live.
    pub ttl: u8,
    /// How many came in.
    pub sent: u64,
    /// How many had an answer.
    pub answered: u64,
    /// Answers beyond the first of each.
    pub duplicates: u64,
    /// How many had none, by why.
    pub dropped: BTreeMap<Cause, u64>,
    /// Who answered how many.
    pub by: BTreeMap<IpAddr, u64>,
    /// Smallest, mean and largest of the true delays, nanoseconds.
    pub delay_ns: Option<(u64, u64, u64)>,
    /// Every true delay, in the order of the packets.
    #[serde(skip)]
    pub delays_ns: Vec<u64>,
}

/// What one direction of a link did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LaneTruth {
    /// Packets that entered.
    pub entered: u64,
    /// Packets lost.
    pub lost: u64,
    /// Packets for which its queue had no room.
    pub overflowed: u64,
    /// Packets that came twice.
    pub duplicated: u64,
    /// Packets that came later than those behind them.
    pub reordered: u64,
}

/// What a node and the link to it did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LinkTruth {
    /// The node's name.
    pub node: String,
    /// The link towards it.
    pub there: LaneTruth,
    /// The link back from it.
    pub back: LaneTruth,
    /// Answers it gave, with copies.
    pub answers: u64,
}

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Truth {
    /// By destination, protocol and time to live.
    pub flows: Vec<FlowTruth>,
    /// By node.
    pub links: Vec<LinkTruth>,
    /// Packets that asked for no answer: a reset, an acknowledgement, an error, a multicast.
    pub unasking: u64,
    /// What was no IP packet.
    pub unreadable: u64,
}

impl Truth {
    /// Adds packets up.
    pub(crate) fn of(packets: impl Iterator<Item = PacketTruth>) -> Vec<FlowTruth> {
        let mut flows: BTreeMap<(IpAddr, u8, u8), FlowTruth> = BTreeMap::new();
        for packet in packets {
            flows
                .entry((packet.destination, packet.protocol, packet.ttl))
                .or_insert_with(|| FlowTruth::new(&packet))
                .add(&packet);
        }
        let mut flows: Vec<FlowTruth> = flows.into_values().collect();
        flows.iter_mut().for_each(FlowTruth::sum_up);
        flows
    }

    /// Packets to a destination, of any protocol and time to live: sent, and answered.
    pub fn target(&self, destination: IpAddr) -> (u64, u64) {
        let flows = self.flows.iter().filter(|flow| flow.destination == destination);
        flows.fold((0, 0), |(sent, answered), flow| (sent + flow.sent, answered + flow.answered))
    }

    /// Packets of one time to live to a destination.
    pub fn hop(&self, destination: IpAddr, ttl: u8) -> Option<&FlowTruth> {
        self.flows.iter().find(|flow| flow.destination == destination && flow.ttl == ttl)
    }
}

impl FlowTruth {
    fn new(packet: &PacketTruth) -> Self {
        Self {
            destination: packet.destination,
            protocol: packet.protocol,
            ttl: packet.ttl,
            sent: 0,
            answered: 0,
            duplicates: 0,
            dropped: BTreeMap::new(),
            by: BTreeMap::new(),
            delay_ns: None,
            delays_ns: Vec::new(),
        }
    }

    fn add(&mut self, packet: &PacketTruth) {
        self.sent += 1;
        self.duplicates += u64::from(packet.answers.saturating_sub(1));
        match packet.fate {
            Fate::UnderWay => {}
            Fate::Answered(after, by) => {
                self.answered += 1;
                self.delays_ns.push(after);
                *self.by.entry(by).or_default() += 1;
            }
            Fate::Dropped(cause) => *self.dropped.entry(cause).or_default() += 1,
        }
    }

    fn sum_up(&mut self) {
        let delays = self.delays_ns.iter().copied();
        if let (Some(least), Some(most)) = (delays.clone().min(), delays.clone().max()) {
            let mean = delays.sum::<u64>().checked_div(self.answered).unwrap_or(0);
            self.delay_ns = Some((least, mean, most));
        }
    }
}
