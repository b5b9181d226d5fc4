//! One answer, and one hop's addresses, as reports have them.

use std::net::IpAddr;

use shared_protocol::report::{HopAddress, HopReply, TcpReply};

use crate::book::{Answer, Book, Packet, Reply, Standing};
use crate::plan::PathPlan;
use crate::quoted::{self, Original};
use crate::{extensions, meaning};

/// Whether a hop's addresses are shown.
pub(crate) const fn is_masked(ttl: u8, plan: &PathPlan) -> bool {
    ttl <= plan.mask_first_hops
}

/// An answer with everything that it says.
pub(crate) fn reply(packet: &Packet, reply: &Reply<'_>, plan: &PathPlan, book: &Book) -> HopReply {
    let masked = is_masked(packet.ttl, plan);
    let came = reply.came;
    let error = came.error();
    HopReply {
        query: packet.round,
        from: (!masked).then_some(came.from),
        rtt_us: reply.rtt_us,
        user_rtt_us: Some(reply.user_rtt_us),
        reply_ttl: came.ttl,
        icmp_error: error.map(|error| error.kind),
        code: error
            .filter(|error| !meaning::is_time_exceeded(plan.target, error.kind))
            .map(|error| meaning::code_of(plan.target, error.kind)),
        tcp: match &came.answer {
            Answer::SynAck => Some(TcpReply::SynAck),
            Answer::Reset => Some(TcpReply::Reset),
            Answer::EchoReply | Answer::Datagram | Answer::Error(_) => None,
        },
        quoted: error.and_then(|error| quoted::read(&error.quoted, &original(packet, plan, book))),
        extensions: error.filter(|_| !masked).and_then(|error| extensions::read(&error.extensions)),
        late: reply.standing == Standing::Late,
        duplicate: reply.standing == Standing::Duplicate,
    }
}

/// The packet as it was sent.
pub(crate) fn original(packet: &Packet, plan: &PathPlan, book: &Book) -> Original {
    Original {
        source: book.source,
        target: plan.target,
        ports: packet.departure().map(|departure| departure.ports).unwrap_or_default(),
        dscp: plan.dscp,
        bytes: packet.bytes,
    }
}

/// The addresses that answer for a hop, the one with most answers first; where it is masked, none.
pub(crate) fn addresses<'a>(packets: impl Iterator<Item = &'a Packet>, ttl: u8, plan: &PathPlan) -> Vec<HopAddress> {
    let mut found = answering(packets);
    if is_masked(ttl, plan) {
        found.clear();
    }
    let unnamed = |(address, answers)| HopAddress {
        address,
        answers,
        name: None,
        asn: Vec::new(),
        as_name: None,
        prefix: None,
    };
    found.into_iter().map(unnamed).collect()
}

/// Who answers, the one with most answers first, and of several the first that did.
pub(crate) fn answering<'a>(packets: impl Iterator<Item = &'a Packet>) -> Vec<(IpAddr, u32)> {
    let mut found: Vec<(IpAddr, u32)> = Vec::new();
    for came in packets.flat_map(|packet| &packet.answers) {
        match found.iter_mut().find(|(address, _)| *address == came.from) {
            Some((_, answers)) => *answers += 1,
            None => found.push((came.from, 1)),
        }
    }
    found.sort_by_key(|(_, answers)| std::cmp::Reverse(*answers));
    found
}
