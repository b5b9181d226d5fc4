//! Lines for people about probes along a path.

use std::io::{self, Write};

use shared_protocol::event::{MtrEvent, PmtuEvent, TracerouteEvent};
use shared_protocol::report::{HopAddress, MtrFindings, PmtuFindings, TracerouteFindings};

pub(super) fn print_traceroute(event: &TracerouteEvent, out: &mut impl Write) -> io::Result<()> {
    match event {
        TracerouteEvent::Resolved { address } => writeln!(out, "traceroute {address}"),
        TracerouteEvent::Hop(hop) => {
            let times = hop.replies.iter().filter_map(|reply| reply.rtt_us.or(reply.user_rtt_us));
            let times: Vec<String> = times.map(|rtt| rtt.to_string()).collect();
            let who = who(&hop.addresses);
            let times = times.join(" ");
            writeln!(out, "hop {}  {who}  {} of {} answered  rtt_us {times}", hop.ttl, hop.received, hop.sent)
        }
    }
}

pub(super) fn print_mtr(event: &MtrEvent, out: &mut impl Write) -> io::Result<()> {
    match event {
        MtrEvent::Resolved { address } => writeln!(out, "mtr {address}"),
        MtrEvent::Round { rounds, hops } => writeln!(out, "round {rounds}, {} hops", hops.len()),
    }
}

pub(super) fn print_pmtu(event: &PmtuEvent, out: &mut impl Write) -> io::Result<()> {
    match event {
        PmtuEvent::Resolved { address } => writeln!(out, "pmtu {address}"),
        PmtuEvent::Length(length) => writeln!(out, "{} bytes {}", length.bytes, if length.passes { "pass" } else { "do not pass" }),
    }
}

pub(super) fn print_hops(found: &TracerouteFindings, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} hops, {}", found.hops.len(), if found.reached { "reached" } else { "not reached" })
}

pub(super) fn print_rounds(found: &MtrFindings, out: &mut impl Write) -> io::Result<()> {
    for hop in &found.hops {
        let times = hop
            .rtt
            .as_ref()
            .map(|rtt| format!("  rtt_us {}/{}/{}", rtt.min_us, rtt.avg_us, rtt.max_us))
            .unwrap_or_default();
        let (sent, received, who) = (hop.sent, hop.received, who(&hop.addresses));
        writeln!(out, "hop {}  {who}  {sent} sent, {received} received{times}", hop.ttl)?;
    }
    writeln!(out, "{} rounds, {}", found.rounds, if found.reached { "reached" } else { "not reached" })
}

pub(super) fn print_bound(found: &PmtuFindings, out: &mut impl Write) -> io::Result<()> {
    match found.pmtu {
        Some(bytes) => writeln!(out, "{bytes} bytes pass"),
        None => writeln!(out, "nothing passes"),
    }
}

fn who(addresses: &[HopAddress]) -> String {
    let addresses: Vec<String> = addresses.iter().map(shown).collect();
    if addresses.is_empty() { "*".to_owned() } else { addresses.join(",") }
}

/// An address, and behind it who announces it.
fn shown(found: &HopAddress) -> String {
    let systems: Vec<String> = found.asn.iter().map(|number| format!("AS{number}")).collect();
    if systems.is_empty() {
        found.address.to_string()
    } else {
        format!("{} [{}]", found.address, systems.join("/"))
    }
}
