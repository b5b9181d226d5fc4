//! Every packet of a run with what became of it: what all findings are derived from, and nothing else is.
//!
//! Instants are kept relative to the beginning of the run, so that a book that was written down and read again is the same book.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::time::MonotonicMicros;

use crate::{Moment, round_trip};

/// Every packet of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    begun: Moment,
    pub(crate) source: Option<IpAddr>,
    pub(crate) stopped: bool,
    pub(crate) agent_drops: u32,
    pub(crate) packets: Vec<Packet>,
}

/// A packet and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) ttl: u8,
    /// Which packet to its hop, or which round, from 0.
    pub(crate) round: u32,
    /// Length with the IP header.
    pub(crate) bytes: u32,
    pub(crate) fate: Fate,
    /// What came back, in the order of coming.
    pub(crate) answers: Vec<Came>,
}

/// Whether a packet left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Waiting,
    Left(Departure),
    Unsent { at_us: u64, errno: Option<i32> },
}

/// When a packet left, and from where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    pub(crate) at_us: u64,
    pub(crate) kernel_ns: Option<i64>,
    pub(crate) stepped_ns: i64,
    pub(crate) ports: Ports,
}

/// The ports of a packet, as far as they are known; the identifier of an echo request stands for its source port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports {
    /// Where it came from.
    pub source: Option<u16>,
    /// Where it went.
    pub destination: Option<u16>,
}

/// Something that came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Came {
    pub(crate) at_us: u64,
    pub(crate) kernel_ns: Option<i64>,
    pub(crate) stepped_ns: i64,
    pub(crate) ttl: Option<u8>,
    pub(crate) from: IpAddr,
    pub(crate) answer: Answer,
}

/// Something that came from the network for a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub from: IpAddr,
    /// Its time to live, or hop limit.
    pub ttl: Option<u8>,
    /// By the kernel's timestamp: wall clock, nanoseconds.
    pub kernel_ns: Option<i64>,
    /// By the clocks of user space.
    pub moment: Moment,
    /// What it is.
    pub answer: Answer,
}

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The target's reply to an echo request.
    EchoReply,
    /// A UDP datagram of the target.
    Datagram,
    /// The target's TCP: something listens.
    SynAck,
    /// The target's TCP: nothing does.
    Reset,
    /// An ICMP error.
    Error(IcmpError),
}

/// An ICMP error, with what it quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IcmpError {
    /// Type and code.
    pub kind: (u8, u8),
    /// MTU of the next hop, where the error has a place for it.
    pub mtu: Option<u32>,
    /// The packet that it quotes, from its IP header on.
    pub quoted: Vec<u8>,
    /// What follows the quoted packet (RFC 4884).
    pub extensions: Vec<u8>,
}

/// Why a packet did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendFailure {
    /// The kernel refused, with its error number.
    Kernel(i32),
    /// The owner's packet rates left no room in time, or every number was in use.
    NoRoom,
}

/// What a packet's answers come to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reply<'a> {
    pub(crate) came: &'a Came,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) user_rtt_us: u64,
    pub(crate) standing: Standing,
}

/// How an answer stands to its packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    InTime,
    Late,
    Duplicate,
}

impl Book {
    /// An empty book of a run that begins at this moment.
    pub fn new(begun: Moment, source: Option<IpAddr>) -> Self {
        Self {
            begun,
            source,
            stopped: false,
            agent_drops: 0,
            packets: Vec::new(),
        }
    }

    /// Notes a packet that is to leave; its number.
    pub(crate) fn plan(&mut self, ttl: u8, round: u32, bytes: u32) -> u32 {
        let number = u32::try_from(self.packets.len()).unwrap_or(u32::MAX);
        self.packets.push(Packet {
            ttl,
            round,
            bytes,
            fate: Fate::Waiting,
            answers: Vec::new(),
        });
        number
    }

    /// A packet has left.
    pub(crate) fn sent(&mut self, number: u32, moment: Moment, ports: Ports) {
        let departure = Departure {
            at_us: self.since(moment.monotonic),
            kernel_ns: None,
            stepped_ns: self.stepped(moment),
            ports,
        };
        if let Some(packet) = self.packet_mut(number)
            && packet.fate == Fate::Waiting
        {
            packet.fate = Fate::Left(departure);
        }
    }

    /// The kernel says when a packet left: wall clock, nanoseconds.
    pub(crate) fn transmitted(&mut self, number: u32, at_ns: i64) {
        let relative = self.relative(at_ns);
        if let Some(Packet {
            fate: Fate::Left(departure), ..
        }) = self.packet_mut(number)
        {
            departure.kernel_ns.get_or_insert(relative);
        }
    }

    /// A packet did not leave.
    pub(crate) fn unsent(&mut self, number: u32, at_us: u64, failure: SendFailure) {
        let errno = match failure {
            SendFailure::Kernel(errno) => Some(errno),
            SendFailure::NoRoom => None,
        };
        if let Some(packet) = self.packet_mut(number)
            && packet.fate == Fate::Waiting
        {
            packet.fate = Fate::Unsent { at_us, errno };
        }
    }

    /// Something came for a packet. One that never left has no answers: what says so is forged.
    pub(crate) fn came(&mut self, number: u32, arrival: Arrival) {
        let came = Came {
            at_us: self.since(arrival.moment.monotonic),
            kernel_ns: arrival.kernel_ns.map(|at_ns| self.relative(at_ns)),
            stepped_ns: self.stepped(arrival.moment),
            ttl: arrival.ttl,
            from: arrival.from,
            answer: arrival.answer,
        };
        if let Some(packet) = self.packet_mut(number)
            && matches!(packet.fate, Fate::Left(_))
            && packet.answers.len() < ANSWERS_MAX
        {
            packet.answers.push(came);
        }
    }

    /// A moment as microseconds since the beginning.
    pub(crate) fn since(&self, now: MonotonicMicros) -> u64 {
        u64::try_from(now.since(self.begun.monotonic).as_micros()).unwrap_or(u64::MAX)
    }

    /// The beginning by the monotonic clock.
    pub(crate) const fn begun(&self) -> Moment {
        self.begun
    }

    /// Whether the kernel still owes the moment at which an answered packet left.
    pub(crate) fn misses_stamps(&self) -> bool {
        self.packets.iter().any(|packet| {
            let owed = packet.departure().is_some_and(|departure| departure.kernel_ns.is_none());
            owed && packet.answers.iter().any(|came| came.kernel_ns.is_some())
        })
    }

    pub(crate) fn packet(&self, number: u32) -> Option<&Packet> {
        self.packets.get(usize::try_from(number).ok()?)
    }

    fn packet_mut(&mut self, number: u32) -> Option<&mut Packet> {
        self.packets.get_mut(usize::try_from(number).ok()?)
    }

    fn stepped(&self, moment: Moment) -> i64 {
        moment.wall_offset_ns.saturating_sub(self.begun.wall_offset_ns)
    }

    fn relative(&self, at_ns: i64) -> i64 {
        at_ns.saturating_sub(self.begun.wall_ns())
    }
}

impl Packet {
    /// When it left; `None` where it did not.
    pub(crate) const fn departure(&self) -> Option<Departure> {
        match self.fate {
            Fate::Left(departure) => Some(departure),
            Fate::Waiting | Fate::Unsent { .. } => None,
        }
    }

    /// Its answers with their round-trip times: the first in time or late, the others duplicates.
    pub(crate) fn replies(&self, wait_us: u64) -> impl Iterator<Item = Reply<'_>> {
        let departure = self.departure();
        self.answers.iter().enumerate().filter_map(move |(place, came)| {
            let sent = departure?;
            let user_rtt_us = came.at_us.saturating_sub(sent.at_us);
            let user_rtt = Duration::from_micros(user_rtt_us);
            let rtt_us = round_trip::by_kernel((sent.stepped_ns, sent.kernel_ns), (came.stepped_ns, came.kernel_ns), user_rtt);
            let standing = match place {
                0 if rtt_us.unwrap_or(user_rtt_us) <= wait_us => Standing::InTime,
                0 => Standing::Late,
                _ => Standing::Duplicate,
            };
            Some(Reply {
                came,
                rtt_us,
                user_rtt_us,
                standing,
            })
        })
    }

    /// The answer that came in time, if one did.
    pub(crate) fn reply(&self, wait_us: u64) -> Option<Reply<'_>> {
        self.replies(wait_us).find(|reply| reply.standing == Standing::InTime)
    }
}

impl Reply<'_> {
    /// By the kernel's clock, or where it gave none, by that of user space.
    pub(crate) fn best_us(&self) -> u64 {
        self.rtt_us.unwrap_or(self.user_rtt_us)
    }
}

impl Came {
    /// Whether the target itself answered: it need not forward the packet any more.
    pub(crate) fn is_from_target(&self, target: IpAddr) -> bool {
        match &self.answer {
            Answer::EchoReply | Answer::Datagram | Answer::SynAck | Answer::Reset => true,
            // A time that ran out ran out on the way, whatever address says so (a translator answers by the target's).
            Answer::Error(error) => self.from == target && !crate::meaning::is_time_exceeded(target, error.kind) && !error.is_too_big(target),
        }
    }

    /// Type and code of the ICMP error that it is.
    pub(crate) const fn error(&self) -> Option<&IcmpError> {
        match &self.answer {
            Answer::Error(error) => Some(error),
            Answer::EchoReply | Answer::Datagram | Answer::SynAck | Answer::Reset => None,
        }
    }
}

impl IcmpError {
    /// Whether it says that a packet is too big for the next link.
    pub(crate) const fn is_too_big(&self, target: IpAddr) -> bool {
        matches!((target, self.kind), (IpAddr::V4(_), (3, 4)) | (IpAddr::V6(_), (2, _)))
    }
}

/// Answers to one packet that are kept: whoever sends more is not believed more.
const ANSWERS_MAX: usize = 8;
