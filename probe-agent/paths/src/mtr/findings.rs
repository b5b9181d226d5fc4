//! What an mtr found, derived from its book.

use std::net::IpAddr;

use shared_protocol::event::MtrRow;
use shared_protocol::report::{HopChange, MtrFindings, MtrHop, PathEnd, Rewritten, RoundTripStatistics};

use super::MtrPlan;
use crate::book::{Book, Packet, Reply, Standing};
use crate::outlook::Outlook;
use crate::{extensions, hop, quoted, shape, statistics};

/// Everything.
pub(super) fn all(plan: &MtrPlan, book: &Book) -> MtrFindings {
    let shape = shape::of(book, &plan.path);
    let by_ttl = shape::by_ttl(book);
    let found: Vec<(u8, Vec<&Packet>)> = by_ttl.into_iter().filter(|(ttl, _)| *ttl <= shape.last_ttl).collect();
    let changes: Vec<HopChange> = found.iter().flat_map(|(ttl, packets)| changes(*ttl, packets, plan)).collect();
    let mut hops: Vec<MtrHop> = found.iter().map(|(ttl, packets)| one(*ttl, packets, plan, book)).collect();
    share_loss(&mut hops);
    for hop in &mut hops {
        let of_hop = changes.iter().filter(|change| change.ttl == hop.ttl).count();
        hop.changes = count(of_hop);
    }
    let mut listed = changes;
    listed.sort_by_key(|change| (change.round, change.ttl));
    listed.truncate(CHANGES_MAX);
    let left = book.packets.iter().filter(|packet| packet.departure().is_some());
    MtrFindings {
        address: plan.path.target,
        protocol: plan.path.protocol,
        port: plan.path.port,
        flow: plan.path.flow,
        rounds: left.map(|packet| packet.round.saturating_add(1)).max().unwrap_or(0),
        hops,
        end: shape.end,
        reached: shape.end == PathEnd::Reached,
        path_hash: shape.hash,
        as_path: Vec::new(),
        changes: listed,
        agent_drops: book.agent_drops,
    }
}

/// How the hops stand while it runs: a packet that is still waited for is not counted yet.
pub(super) fn rows(plan: &MtrPlan, book: &Book, outlook: &Outlook) -> Vec<MtrRow> {
    let last = outlook.answered;
    let mut rows: Vec<MtrRow> = Vec::new();
    for (ttl, _) in shape::by_ttl(book).range(plan.path.first_ttl..=last) {
        let settled = (0_u32..)
            .zip(&book.packets)
            .filter(|(number, packet)| packet.ttl == *ttl && packet.departure().is_some() && !outlook.is_open(*number))
            .map(|(_, packet)| packet);
        let packets: Vec<&Packet> = settled.collect();
        let replies = in_time(&packets, plan);
        let times = statistics::round_trips(&times(&replies));
        let address = replies.last().map(|(_, reply)| reply.came.from).filter(|_| !hop::is_masked(*ttl, &plan.path));
        let time = |read: fn(&RoundTripStatistics) -> u64| times.as_ref().map(read);
        rows.push(MtrRow {
            ttl: *ttl,
            address,
            asn: Vec::new(),
            sent: count(packets.len()),
            received: count(replies.len()),
            last_us: replies.last().map(|(_, reply)| reply.best_us()),
            min_us: time(|times| times.min_us),
            avg_us: time(|times| times.avg_us),
            max_us: time(|times| times.max_us),
            stddev_us: time(|times| times.stddev_us),
        });
    }
    rows
}

fn one(ttl: u8, packets: &[&Packet], plan: &MtrPlan, book: &Book) -> MtrHop {
    let left: Vec<&Packet> = packets.iter().copied().filter(|packet| packet.departure().is_some()).collect();
    let replies = in_time(&left, plan);
    let standing = |standing| {
        let all = left.iter().flat_map(|packet| packet.replies(plan.path.wait_us));
        count(all.filter(|reply| reply.standing == standing).count())
    };
    let errors: Vec<_> = left
        .iter()
        .flat_map(|packet| packet.answers.iter().filter_map(|came| Some((*packet, came.error()?))))
        .collect();
    let quotes: Vec<_> = errors
        .iter()
        .filter_map(|(packet, error)| quoted::read(&error.quoted, &hop::original(packet, &plan.path, book)))
        .collect();
    let (sent, received) = (count(left.len()), count(replies.len()));
    let masked = hop::is_masked(ttl, &plan.path);
    MtrHop {
        ttl,
        addresses: hop::addresses(left.iter().copied(), ttl, &plan.path),
        sent,
        received,
        loss: statistics::loss(sent, received),
        forward_loss: 0.0,
        return_loss: 0.0,
        late: standing(Standing::Late),
        duplicates: standing(Standing::Duplicate),
        changes: 0,
        last_us: replies.last().map(|(_, reply)| reply.best_us()),
        rtt: statistics::round_trips(&times(&replies)),
        return_hops: replies.last().and_then(|(_, reply)| reply.came.ttl).map(return_hops),
        nat: quotes.iter().any(|quote| quote.rewritten.iter().copied().any(is_translation)),
        dscp: quotes.iter().rev().find(|quote| quote.dscp != plan.path.dscp).map(|quote| quote.dscp),
        mpls: errors
            .iter()
            .rev()
            .filter(|_| !masked)
            .find_map(|(_, error)| extensions::read(&error.extensions))
            .map(|found| found.mpls)
            .unwrap_or_default(),
    }
}

/// What packets to hops behind lose as well, they lose on the way there: the least loss of any hop from here on that answers at all. The rest is lost
/// on the way back, or not answered.
fn share_loss(hops: &mut [MtrHop]) {
    let mut least: Option<f64> = None;
    for hop in hops.iter_mut().rev() {
        if hop.received > 0 {
            least = Some(least.map_or(hop.loss, |least| least.min(hop.loss)));
        }
        hop.forward_loss = least.unwrap_or(hop.loss).min(hop.loss);
        hop.return_loss = hop.loss - hop.forward_loss;
    }
}

/// Rounds in which a hop answers from another address than in the last in which it answered.
fn changes(ttl: u8, packets: &[&Packet], plan: &MtrPlan) -> Vec<HopChange> {
    let mut answered: Vec<(u32, IpAddr)> = packets.iter().filter_map(|packet| Some((packet.round, packet.answers.first()?.from))).collect();
    answered.sort_by_key(|(round, _)| *round);
    let shown = |address| (!hop::is_masked(ttl, &plan.path)).then_some(address);
    let pairs = answered.iter().zip(answered.iter().skip(1));
    pairs
        .filter(|((_, before), (_, after))| before != after)
        .map(|((_, before), (round, after))| HopChange {
            round: *round,
            ttl,
            from: shown(*before),
            to: shown(*after),
        })
        .collect()
}

/// The answers in time, in the order in which they came.
fn in_time<'a>(packets: &[&'a Packet], plan: &MtrPlan) -> Vec<(u32, Reply<'a>)> {
    let mut replies: Vec<(u32, Reply<'a>)> = packets
        .iter()
        .filter_map(|packet| Some((packet.round, packet.reply(plan.path.wait_us)?)))
        .collect();
    replies.sort_by_key(|(_, reply)| reply.came.at_us);
    replies
}

fn times(replies: &[(u32, Reply<'_>)]) -> Vec<(u32, u64)> {
    replies.iter().map(|(round, reply)| (*round, reply.best_us())).collect()
}

/// A time to live starts at 64, 128 or 255 nearly everywhere; each router on the way back has taken one off.
fn return_hops(ttl: u8) -> u8 {
    let started = match ttl {
        0..=64 => 64,
        65..=128 => 128,
        129.. => 255,
    };
    started - ttl + 1
}

const fn is_translation(what: Rewritten) -> bool {
    match what {
        Rewritten::Source | Rewritten::Destination | Rewritten::SourcePort | Rewritten::DestinationPort => true,
        Rewritten::Dscp | Rewritten::Ecn | Rewritten::Length => false,
    }
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Changes of address that are listed; all are counted.
const CHANGES_MAX: usize = 100;
