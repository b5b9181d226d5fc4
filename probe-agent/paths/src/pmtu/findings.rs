//! What a search found, derived from its book.

use std::net::IpAddr;

use shared_protocol::report::{BlackHole, Claim, PmtuBound, PmtuFindings, PmtuLength, TooBig};

use super::placing::limited;
use super::search::{Knowledge, Tally};
use super::{PmtuPlan, SEARCH_TTL};
use crate::book::{Book, Packet};
use crate::quoted::{self, Original};

/// Everything.
pub(super) fn all(plan: &PmtuPlan, book: &Book) -> PmtuFindings {
    let knowledge = Knowledge::of(book, plan, &[]);
    let passes = Some(knowledge.passes()).filter(|passes| *passes > 0);
    let fails = knowledge.fails(plan);
    let bound = bound(&knowledge, passes, fails, plan);
    let vanishes = fails.filter(|_| bound == PmtuBound::BlackHole);
    PmtuFindings {
        address: plan.target,
        protocol: plan.protocol,
        port: plan.port,
        pmtu: passes,
        bound,
        lengths: knowledge.lengths.keys().filter_map(|bytes| length(*bytes, plan, book)).collect(),
        too_big: too_big(&knowledge, plan, book),
        black_hole: vanishes.map(|bytes| black_hole(bytes, plan, book)),
        mss_hint: passes.map(|passes| passes.saturating_sub(headers(plan.target))),
        agent_drops: book.agent_drops,
    }
}

/// A length and what became of its packets; `None` where none was meant to leave.
pub(super) fn length(bytes: u32, plan: &PmtuPlan, book: &Book) -> Option<PmtuLength> {
    let knowledge = Knowledge::of(book, plan, &[]);
    let tally = knowledge.lengths.get(&bytes)?;
    let times = searching(book)
        .filter(|packet| packet.bytes == bytes)
        .filter_map(|packet| packet.reply(plan.wait_us));
    Some(PmtuLength {
        bytes,
        sent: tally.sent,
        answered: tally.answered,
        too_big: tally.too_big,
        passes: tally.answered > 0,
        rtt_us: times
            .filter(|reply| reply.came.is_from_target(plan.target))
            .filter_map(|reply| reply.rtt_us)
            .min(),
        errno: tally.errno,
    })
}

fn bound(knowledge: &Knowledge, passes: Option<u32>, fails: Option<u32>, plan: &PmtuPlan) -> PmtuBound {
    let tally = fails.and_then(|fails| knowledge.lengths.get(&fails));
    match (passes, tally) {
        (Some(passes), None) if passes >= plan.max => PmtuBound::Asked,
        (Some(passes), Some(tally)) if fails == Some(passes + 1) => kind_of(tally),
        // Nothing was answered, or it was ended between two lengths.
        (_, Some(_) | None) => PmtuBound::Unknown,
    }
}

fn kind_of(tally: &Tally) -> PmtuBound {
    if tally.too_big > 0 {
        PmtuBound::Router
    } else if tally.sent > 0 {
        PmtuBound::BlackHole
    } else if tally.errno.is_some() {
        PmtuBound::Interface
    } else {
        PmtuBound::Unknown
    }
}

/// What routers said, once for each that said it, claim and length.
fn too_big(knowledge: &Knowledge, plan: &PmtuPlan, book: &Book) -> Vec<TooBig> {
    let mut found: Vec<TooBig> = Vec::new();
    for packet in searching(book) {
        for came in &packet.answers {
            let Some(error) = came.error().filter(|error| error.is_too_big(plan.target)) else {
                continue;
            };
            let claimed = error.mtu.filter(|mtu| *mtu > 0);
            let same = |known: &&mut TooBig| known.from == came.from && known.bytes == packet.bytes && known.claimed == claimed;
            if let Some(known) = found.iter_mut().find(same) {
                known.count += 1;
                continue;
            }
            found.push(TooBig {
                from: came.from,
                hop: hop(&error.quoted, packet, plan, book),
                claimed,
                bytes: packet.bytes,
                count: 1,
                claim: claim(claimed, packet.bytes, knowledge, plan),
            });
        }
    }
    found.truncate(TOO_BIG_MAX);
    found
}

/// Whether what was measured bears a claim out.
fn claim(claimed: Option<u32>, of_bytes: u32, knowledge: &Knowledge, plan: &PmtuPlan) -> Claim {
    let least = match plan.target {
        IpAddr::V4(_) => 68,
        IpAddr::V6(_) => 1_280,
    };
    let Some(claimed) = claimed.filter(|claimed| (least..of_bytes).contains(claimed)) else {
        return Claim::Implausible;
    };
    let passes = knowledge.passes();
    match knowledge.lengths.get(&claimed) {
        _ if passes > claimed => Claim::Wrong,
        _ if passes == claimed => Claim::Holds,
        Some(tally) if tally.has_failed(plan) => Claim::Wrong,
        Some(_) | None => Claim::Untried,
    }
}

/// Each router before the one that ended the packet took one off its time to live.
fn hop(quoted: &[u8], packet: &Packet, plan: &PmtuPlan, book: &Book) -> Option<u8> {
    let original = Original {
        source: book.source,
        target: plan.target,
        ports: packet.departure().map(|departure| departure.ports).unwrap_or_default(),
        dscp: plan.dscp,
        bytes: packet.bytes,
    };
    let quote = quoted::read(quoted, &original)?;
    SEARCH_TTL.checked_sub(quote.ttl).map(|taken| taken + 1)
}

/// The last hop that answers long packets, and the first behind it that answers short ones only.
fn black_hole(bytes: u32, plan: &PmtuPlan, book: &Book) -> BlackHole {
    let answering = |long: bool| limited(book).filter(move |packet| (packet.bytes == bytes) == long && !packet.answers.is_empty());
    let who = |packet: &Packet| packet.answers.first().map(|came| came.from);
    let after = answering(true).max_by_key(|packet| packet.ttl);
    let after_ttl = after.map_or(0, |packet| packet.ttl);
    let before = answering(false).filter(|packet| packet.ttl > after_ttl).min_by_key(|packet| packet.ttl);
    // A path of one link has no hop between: the target itself answers short packets only.
    let target = before.is_none().then_some(plan.target).filter(|_| limited(book).next().is_none());
    BlackHole {
        after_ttl: after.map(|packet| packet.ttl),
        after: after.and_then(who),
        before_ttl: before.map(|packet| packet.ttl),
        before: before.and_then(who).or(target),
        bytes,
    }
}

fn searching(book: &Book) -> impl Iterator<Item = &Packet> {
    book.packets.iter().filter(|packet| packet.ttl == SEARCH_TTL)
}

/// IP and TCP without options.
const fn headers(target: IpAddr) -> u32 {
    match target {
        IpAddr::V4(_) => 40,
        IpAddr::V6(_) => 60,
    }
}

/// Statements of routers that are listed.
const TOO_BIG_MAX: usize = 64;
