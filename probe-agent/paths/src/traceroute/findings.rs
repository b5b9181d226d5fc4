//! What a traceroute found, derived from its book.

use shared_protocol::report::{EndToEnd, HopState, PathEnd, TracerouteFindings, TracerouteHop};

use super::TraceroutePlan;
use crate::book::{Book, Packet, Reply};
use crate::{hop as hops, shape, statistics};

/// Everything.
pub(super) fn all(plan: &TraceroutePlan, book: &Book) -> TracerouteFindings {
    let shape = shape::of(book, &plan.path);
    let reached = shape.end == PathEnd::Reached;
    TracerouteFindings {
        address: plan.path.target,
        protocol: plan.path.protocol,
        port: plan.path.port,
        flow: plan.path.flow,
        hops: (plan.path.first_ttl..=shape.last_ttl).filter_map(|ttl| hop(ttl, plan, book)).collect(),
        end: shape.end,
        reached,
        path_hash: shape.hash,
        as_path: Vec::new(),
        circle: shape.circle,
        end_to_end: reached.then(|| end_to_end(shape.last_ttl, plan, book)),
        agent_drops: book.agent_drops,
    }
}

/// A hop; `None` where no packet was meant for it.
pub(super) fn hop(ttl: u8, plan: &TraceroutePlan, book: &Book) -> Option<TracerouteHop> {
    let packets: Vec<&Packet> = book.packets.iter().filter(|packet| packet.ttl == ttl).collect();
    if packets.is_empty() {
        return None;
    }
    let wait_us = plan.path.wait_us;
    let left: Vec<&Packet> = packets.iter().copied().filter(|packet| packet.departure().is_some()).collect();
    let received = left.iter().filter(|packet| packet.reply(wait_us).is_some()).count();
    let again = left.iter().find(|packet| packet.round >= plan.queries);
    let state = match (left.len(), received, again) {
        (0, _, _) => HopState::Unsent,
        (_, 0, _) => HopState::Silent,
        (sent, received, _) if sent == received => HopState::Answered,
        (_, _, Some(again)) if again.reply(wait_us).is_some() => HopState::RateLimited,
        _ => HopState::Lossy,
    };
    let replies = left
        .iter()
        .flat_map(|packet| packet.replies(wait_us).map(|reply| hops::reply(packet, &reply, &plan.path, book)));
    Some(TracerouteHop {
        ttl,
        state,
        sent: count(left.len()),
        received: count(received),
        addresses: hops::addresses(left.iter().copied(), ttl, &plan.path),
        replies: replies.collect(),
    })
}

/// The packets whose time to live just suffices; those with more were sent before that was known, and are not waited for. Where ways of different
/// length share the load, packets that a router answers have gone the longer one: they are not lost.
fn end_to_end(ttl: u8, plan: &TraceroutePlan, book: &Book) -> EndToEnd {
    let sent: Vec<&Packet> = book.packets.iter().filter(|packet| packet.ttl == ttl && packet.departure().is_some()).collect();
    let mut replies: Vec<(u32, Reply<'_>)> = sent
        .iter()
        .filter_map(|packet| Some((packet.round, packet.reply(plan.path.wait_us)?)))
        .collect();
    replies.sort_by_key(|(_, reply)| reply.came.at_us);
    let times: Vec<(u32, u64)> = replies.iter().filter_map(|(round, reply)| Some((*round, reply.rtt_us?))).collect();
    let (sent, received) = (count(sent.len()), count(replies.len()));
    EndToEnd {
        sent,
        received,
        loss: statistics::loss(sent, received),
        rtt: statistics::round_trips(&times),
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
