//! `probe-agent probe`: one probe on this host under the owner's policy, without a control plane.

use std::io::{self, Write};
use std::sync::Arc;

use agent_probes::net::icmp::IcmpSockets;
use clap::ValueEnum;
use serde::Serialize;
use shared_protocol::event::{DnsEvent, HttpEvent, NeighborEvent, PingEvent, PortEvent, ProbeEvent, TcpEvent, UdpEvent};
use shared_protocol::fault::Status;
use shared_protocol::report::{
    DnsAnswer, DnsOutcome, DnsTry, Findings, HttpFindings, NeighborResult, PingPacket, PortResult, PortState, PortStatistics, Report, TcpOutcome, TcpTry,
    UdpOutcome, UdpTry,
};
use shared_protocol::spec::{InvalidField, ProbeSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod observe;
mod path;

use crate::agent::open_probes;
use crate::config::Config;
use crate::exit::Failure;
use crate::policy::{Policy, Refused};
use crate::runner::ProbeEngine;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines for people.
    Text,
    /// One JSON document a line: `{"event":…}` as they come, then `{"report":…}`.
    Json,
}

/// Why there is no good report.
#[derive(Debug, thiserror::Error)]
pub enum LocalProbeError {
    /// The spec is not one.
    #[error("the spec is not usable: {0}")]
    Spec(#[from] InvalidField),
    /// The owner's policy says no.
    #[error("refused by rule {}: {}", .0.rule, .0)]
    Refused(#[from] Refused),
    /// The probes cannot be opened, or findings not printed.
    #[error("cannot run the probe: {0}")]
    Io(#[from] io::Error),
    /// The probe did not succeed; its report was printed.
    #[error("the probe did not succeed")]
    Unsuccessful,
}

impl LocalProbeError {
    /// What it means for the exit code.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Spec(_) => Failure::Misconfigured,
            Self::Refused(_) | Self::Io(_) | Self::Unsuccessful => Failure::Failed,
        }
    }
}

/// Runs one probe and prints what it finds; `stop` ends it early, with its report all the same.
///
/// # Errors
/// [`LocalProbeError`]; a probe that found trouble is one.
pub async fn probe(
    spec: &str,
    config: Config,
    sockets: IcmpSockets,
    output: Output,
    stop: CancellationToken,
    out: &mut impl Write,
) -> Result<(), LocalProbeError> {
    let spec = ProbeSpec::parse(spec)?;
    let policy = Arc::new(Policy::new(config.policy).with_observe(config.observe.clone()));
    let probes = open_probes(&policy, (&config.probes, &config.observe, &config.known), None, sockets)?;
    policy.check_spec(&spec)?;
    let (events, mut found) = mpsc::channel(EVENTS);
    let run = probes.run(&spec, events, stop);
    tokio::pin!(run);
    let report = loop {
        tokio::select! {
            biased;
            Some(event) = found.recv() => print_event(&event, output, out)?,
            report = &mut run => break report,
        }
    };
    while let Ok(event) = found.try_recv() {
        print_event(&event, output, out)?;
    }
    print_report(&report, output, out)?;
    match report.status {
        Status::Ok | Status::Degraded => Ok(()),
        Status::Failed | Status::Timeout => Err(LocalProbeError::Unsuccessful),
    }
}

fn print_event(event: &ProbeEvent, output: Output, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        event: &'a ProbeEvent,
    }
    match (output, event) {
        (Output::Json, _) => print_json(&Line { event }, out),
        (Output::Text, ProbeEvent::Ping(PingEvent::Resolved { address })) => writeln!(out, "ping {address}"),
        (Output::Text, ProbeEvent::Ping(PingEvent::Packet(packet))) => writeln!(out, "{}", packet_text(packet)),
        (Output::Text, ProbeEvent::Ping(PingEvent::Sweep(progress))) => {
            writeln!(out, "{} of {} sent, {} received", progress.sent, progress.planned, progress.received)
        }
        (Output::Text, ProbeEvent::Tcp(TcpEvent::Resolved { address })) => writeln!(out, "tcp {address}"),
        (Output::Text, ProbeEvent::Tcp(TcpEvent::Try(tried))) => writeln!(out, "{}", try_text(tried)),
        (Output::Text, ProbeEvent::Http(event)) => writeln!(out, "{}", http_text(event)),
        (Output::Text, ProbeEvent::Dns(DnsEvent::Try(tried))) => writeln!(out, "{}", question_text(tried)),
        (Output::Text, ProbeEvent::Traceroute(event)) => path::print_traceroute(event, out),
        (Output::Text, ProbeEvent::Mtr(event)) => path::print_mtr(event, out),
        (Output::Text, ProbeEvent::Udp(UdpEvent::Resolved { address })) => writeln!(out, "udp {address}"),
        (Output::Text, ProbeEvent::Udp(UdpEvent::Try(tried))) => writeln!(out, "{}", datagram_text(tried)),
        (Output::Text, ProbeEvent::Port(PortEvent::Resolved { address })) => writeln!(out, "port {address}"),
        (Output::Text, ProbeEvent::Port(PortEvent::Port(result))) => writeln!(out, "{}", port_text(result)),
        (Output::Text, ProbeEvent::Port(PortEvent::Open { address, result })) => writeln!(out, "{address}  {}", port_text(result)),
        (Output::Text, ProbeEvent::Port(PortEvent::Sweep(progress))) => {
            writeln!(out, "{} of {} targets, {} questions", progress.finished, progress.targets, progress.asked)
        }
        (Output::Text, ProbeEvent::Neighbor(event)) => writeln!(out, "{}", neighbor_text(event)),
        (Output::Text, ProbeEvent::Pmtu(event)) => path::print_pmtu(event, out),
        (Output::Text, ProbeEvent::Observe(event)) => observe::print(event, out),
    }
}

fn packet_text(packet: &PingPacket) -> String {
    let numbers = [
        ("rtt_us", packet.rtt_us),
        ("user_rtt_us", packet.user_rtt_us),
        ("ttl", packet.reply_ttl.map(u64::from)),
    ];
    let mut words = vec![format!("seq {}", packet.seq)];
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    match (packet.icmp_error, packet.errno, packet.user_rtt_us) {
        (Some((kind, code)), ..) => words.push(format!("ICMP error {kind}/{code}")),
        (_, Some(errno), _) => words.push(format!("not sent, errno {errno}")),
        (_, _, None) => words.push("no answer".to_owned()),
        (_, _, Some(_)) => {}
    }
    words.join("  ")
}

fn try_text(tried: &TcpTry) -> String {
    let outcome = match tried.outcome {
        TcpOutcome::Open => "open",
        TcpOutcome::Closed => "closed",
        TcpOutcome::Filtered => "no answer",
        TcpOutcome::Unreachable => "unreachable",
        TcpOutcome::Unsent => "not sent",
    };
    let numbers = [
        ("rtt_us", tried.rtt_us),
        ("user_rtt_us", tried.user_rtt_us),
        ("retransmits", tried.info.map(|info| u64::from(info.retransmits)).filter(|count| *count > 0)),
    ];
    let mut words = vec![format!("seq {}", tried.seq), outcome.to_owned()];
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.join("  ")
}

fn datagram_text(tried: &UdpTry) -> String {
    let outcome = match tried.outcome {
        UdpOutcome::Answered => "answered",
        UdpOutcome::Unexpected => "another answer",
        UdpOutcome::Closed => "closed",
        UdpOutcome::Silent => "no answer",
        UdpOutcome::Unreachable => "unreachable",
        UdpOutcome::Unsent => "not sent",
    };
    let numbers = [("rtt_us", tried.rtt_us), ("user_rtt_us", tried.user_rtt_us)];
    let mut words = vec![format!("seq {}", tried.seq), outcome.to_owned()];
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.join("  ")
}

fn port_text(result: &PortResult) -> String {
    let state = match result.state {
        PortState::Open => "open",
        PortState::Closed => "closed",
        PortState::Filtered => "filtered",
        PortState::OpenFiltered => "open or filtered",
        PortState::Unasked => "not asked",
    };
    let numbers = [("rtt_us", result.rtt_us), ("user_rtt_us", result.user_rtt_us)];
    let mut words = vec![format!("port {}", result.port), state.to_owned()];
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.extend(result.banner.as_ref().map(|banner| format!("says {banner}")));
    words.join("  ")
}

fn print_ports(numbers: &PortStatistics, out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{} open, {} closed, {} filtered, {} open or filtered",
        numbers.open, numbers.closed, numbers.filtered, numbers.open_filtered
    )
}

fn neighbor_text(event: &NeighborEvent) -> String {
    match event {
        NeighborEvent::Link { interface, address, mac } => format!("link {interface}  from {address}  mac {mac}"),
        NeighborEvent::Neighbor(result) => owners_text(result),
    }
}

fn owners_text(result: &NeighborResult) -> String {
    let numbers = [("rtt_us", result.rtt_us), ("user_rtt_us", result.user_rtt_us)];
    let mut words = vec![result.address.to_string()];
    words.extend(result.mac.iter().chain(&result.others).map(ToString::to_string));
    words.extend(result.vendor.iter().chain(result.other_vendors.iter().flatten()).cloned());
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.join("  ")
}

fn http_text(event: &HttpEvent) -> String {
    match event {
        HttpEvent::Hop { url, method, .. } => format!("{} {url}", method.as_str()),
        HttpEvent::Connecting { remote, .. } => format!("to {remote}"),
        HttpEvent::Phase { phase, took_us, at_us, .. } => format!("{} took_us {took_us}  at_us {at_us}", phase.as_str()),
        HttpEvent::Response { status, version, .. } => format!("status {status}  HTTP/{version}"),
    }
}

fn print_fetch(http: &HttpFindings, out: &mut impl Write) -> io::Result<()> {
    for tls in http.hops.iter().filter_map(|hop| hop.tls.as_ref()) {
        let trouble = tls.verification.as_ref().and_then(|verification| verification.message.as_deref());
        writeln!(out, "certificate: {}", trouble.unwrap_or("proves the name"))?;
    }
    let body = http
        .hops
        .last()
        .and_then(|hop| hop.response.as_ref())
        .and_then(|response| response.body.as_ref());
    let bytes = body.map_or(0, |body| body.decoded_bytes);
    writeln!(out, "{} requests, {bytes} bytes, total_us {}", http.hops.len(), http.total_us)
}

fn question_text(tried: &DnsTry) -> String {
    let outcome = match tried.outcome {
        DnsOutcome::Answered => "answered",
        DnsOutcome::Truncated => "truncated",
        DnsOutcome::Unanswered => "no answer",
        DnsOutcome::Unreachable => "unreachable",
        DnsOutcome::Broken => "broken",
        DnsOutcome::Unsent => "not sent",
    };
    let numbers = [("rtt_us", tried.rtt_us), ("user_rtt_us", tried.user_rtt_us), ("connect_us", tried.connect_us)];
    let mut words = vec![format!("try {}", tried.seq), tried.server.to_string(), outcome.to_owned()];
    words.extend(numbers.into_iter().filter_map(|(name, value)| Some(format!("{name} {}", value?))));
    words.join("  ")
}

fn print_answer(answer: &DnsAnswer, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{} from {}, {} bytes", answer.rcode, answer.server, answer.bytes)?;
    for record in answer.answer.iter().chain(&answer.authority).chain(&answer.additional) {
        writeln!(out, "{} {} {} {} {}", record.name, record.ttl, record.class, record.r#type, record.rdata)?;
    }
    Ok(())
}

fn print_report(report: &Report, output: Output, out: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a> {
        report: &'a Report,
    }
    if output == Output::Json {
        return print_json(&Line { report }, out);
    }
    if let Some(error) = &report.error {
        writeln!(out, "error: {}", error.message)?;
    }
    let (sent, received, loss) = match &report.findings {
        Some(Findings::Ping(ping)) => (ping.statistics.sent, ping.statistics.received, ping.statistics.loss),
        Some(Findings::PingSweep(sweep)) => (sweep.totals.sent, sweep.totals.received, sweep.totals.loss),
        Some(Findings::Udp(udp)) => (udp.statistics.sent, udp.statistics.received, udp.statistics.loss),
        Some(Findings::Tcp(tcp)) => (tcp.statistics.sent, tcp.statistics.received, tcp.statistics.loss),
        Some(Findings::Http(http)) => return print_fetch(http, out),
        Some(Findings::Dns(dns)) => return dns.answer.as_ref().map_or(Ok(()), |answer| print_answer(answer, out)),
        Some(Findings::Port(found)) => return print_ports(&found.statistics, out),
        Some(Findings::PortSweep(found)) => return print_ports(&found.totals.statistics, out),
        Some(Findings::Neighbor(found)) => {
            let numbers = &found.statistics;
            return writeln!(
                out,
                "{} present, {} conflicts, {} own, {} silent",
                numbers.present, numbers.conflicts, numbers.own, numbers.silent
            );
        }
        Some(Findings::Traceroute(found)) => return path::print_hops(found, out),
        Some(Findings::Mtr(found)) => return path::print_rounds(found, out),
        Some(Findings::Pmtu(found)) => return path::print_bound(found, out),
        Some(Findings::Observe(found)) => return observe::print_seen(&found.seen, out),
        None => return Ok(()),
    };
    writeln!(out, "{sent} sent, {received} received, loss {:.0} %", loss * 100.0)
}

fn print_json(line: &impl Serialize, out: &mut impl Write) -> io::Result<()> {
    // In one piece: what prints is flushed by the line, and looks for its end in each piece.
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)?;
    out.flush()
}

/// Most findings that wait to be printed; the report holds them all.
const EVENTS: usize = 256;
