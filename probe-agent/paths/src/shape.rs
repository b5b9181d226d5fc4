//! The shape of a path: where it ends and why, whether it goes in circles, and a number for it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{PathCircle, PathEnd, ReportError};

use crate::book::{Book, Fate, Packet};
use crate::errno;
use crate::hop::answering;
use crate::outlook::ends_path;
use crate::plan::PathPlan;
use crate::verdict::error;

/// The shape of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) end: PathEnd,
    /// The last hop that is part of it.
    pub(crate) last_ttl: u8,
    pub(crate) circle: Option<PathCircle>,
    pub(crate) hash: String,
}

/// Reads the shape off what has come.
pub(crate) fn of(book: &Book, plan: &PathPlan) -> Shape {
    let hops = by_ttl(book);
    let ends = |is_end: &dyn Fn(&Packet) -> bool| {
        hops.iter()
            .find(|(_, packets)| packets.iter().any(|packet| is_end(packet)))
            .map(|(ttl, _)| *ttl)
    };
    let reached = ends(&|packet| packet.answers.iter().any(|came| came.is_from_target(plan.target)));
    let refused = ends(&|packet| ends_path(packet, plan));
    let answered = hops
        .iter()
        .filter(|(_, packets)| packets.iter().any(|packet| !packet.answers.is_empty()))
        .map(|(ttl, _)| *ttl)
        .max()
        .unwrap_or(0);
    let sent = hops.keys().copied().max().unwrap_or(0);
    let circle = circle(&hops);
    let beyond = answered.max(plan.first_ttl.saturating_sub(1)).saturating_add(plan.gap_limit);
    let (end, last_ttl) = match (reached, refused) {
        (Some(reached), refused) if refused.is_none_or(|refused| reached <= refused) => (PathEnd::Reached, reached),
        (_, Some(refused)) => (PathEnd::Unreachable, refused),
        (_, None) if circle.is_some() && !book.stopped => (PathEnd::Looped, sent.min(answered.max(1))),
        (_, None) if book.stopped => (PathEnd::Stopped, answered),
        (_, None) if beyond <= plan.max_ttl && answered < plan.max_ttl => (PathEnd::GapLimit, beyond.min(sent)),
        (_, None) => (PathEnd::MaxTtl, plan.max_ttl.min(sent)),
    };
    Shape {
        end,
        last_ttl,
        circle,
        hash: hash(&hops, last_ttl),
    }
}

/// The packets that left, by the hop they were for.
pub(crate) fn by_ttl(book: &Book) -> BTreeMap<u8, Vec<&Packet>> {
    let mut hops: BTreeMap<u8, Vec<&Packet>> = BTreeMap::new();
    for packet in &book.packets {
        // 0 stands for a packet of which nothing is known.
        if packet.ttl > 0 {
            hops.entry(packet.ttl).or_default().push(packet);
        }
    }
    hops
}

/// A hop that answers again some hops later, with others in between, is on a circle. Routers that answer for their neighbour are not.
pub(crate) fn circle(hops: &BTreeMap<u8, Vec<&Packet>>) -> Option<PathCircle> {
    let primaries: Vec<(u8, IpAddr)> = hops.iter().filter_map(|(ttl, packets)| Some((*ttl, primary(packets)?))).collect();
    primaries.iter().enumerate().find_map(|(place, (ttl, address))| {
        let again = primaries.iter().skip(place + 1).filter(|(_, other)| other == address);
        let (next, _) = again
            .clone()
            .find(|(other, _)| primaries.iter().any(|(between, who)| between > ttl && between < other && who != address))?;
        Some(PathCircle {
            first_ttl: *ttl,
            hops: next - ttl,
        })
    })
}

/// Who answers for a hop most often.
fn primary(packets: &[&Packet]) -> Option<IpAddr> {
    answering(packets.iter().copied()).first().map(|(address, _)| *address)
}

/// FNV-1a, 64 bits, over the addresses in their order, silent hops as empty ones.
fn hash(hops: &BTreeMap<u8, Vec<&Packet>>, last_ttl: u8) -> String {
    let mut hash = FNV_OFFSET;
    for packets in hops.range(..=last_ttl).map(|(_, packets)| packets) {
        let address = primary(packets).map(|address| address.to_string()).unwrap_or_default();
        for byte in address.bytes().chain([b'|']) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME);
        }
    }
    format!("{hash:016x}")
}

/// What the first packet that did not leave says about this host, where there is one.
pub(crate) fn unsent(book: &Book) -> Option<(Fault, ReportError)> {
    let errno = book.packets.iter().find_map(|packet| match packet.fate {
        Fate::Unsent { errno, .. } => Some(errno),
        Fate::Waiting | Fate::Left(_) => None,
    })?;
    Some(errno.map_or_else(
        || {
            (
                Fault::Agent,
                error(ErrorCode::Resource, "the agent's packet rates left no room before the deadline"),
            )
        },
        |errno| {
            let (fault, code) = errno::judge(errno);
            let error = ReportError {
                code,
                message: format!("the kernel would not send: error {errno}"),
                errno: Some(errno),
            };
            (fault, error)
        },
    ))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
