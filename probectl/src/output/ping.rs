//! A ping as people read it: one line for each reply as it comes, then the numbers of each agent.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use control_api::job::Job;
use control_api::measurement::{JobReport, Measurement};
use control_api::stream::Finding;
use serde::Serialize;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::Status;
use shared_protocol::report::{Findings, PingFindings, PingPacket, PingStatistics, RoundTripStatistics};

use super::{Screen, Surface};

/// What has been shown of a measurement so far.
#[derive(Debug, Default)]
pub(crate) struct PingView {
    target: String,
    agents: BTreeMap<String, String>,
    addresses: BTreeMap<String, String>,
    shown: BTreeSet<(String, Shown)>,
    summed_up: BTreeSet<String>,
    headed: bool,
    /// Replies shown.
    pub(crate) replies: u32,
}

/// Tells the packets of a job apart, so that what came live is not shown again from the report. Duplicates are told by their time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    seq: u32,
    duplicate: bool,
    late: bool,
    rtt_us: Option<u64>,
}

impl PingView {
    /// The measurement as it stands: whose jobs are whose.
    pub(crate) fn measurement(&mut self, measurement: &Measurement) {
        let target = measurement.spec.get("target").and_then(serde_json::Value::as_str);
        target.unwrap_or_default().clone_into(&mut self.target);
        self.agents = measurement.jobs.iter().map(|job| (job.id.clone(), job.agent_name.clone())).collect();
    }

    /// Shows a live finding.
    pub(crate) fn finding(&mut self, screen: &mut Screen<'_>, finding: &Finding) -> io::Result<()> {
        let ProbeEvent::Ping(event) = &finding.finding;
        match event {
            PingEvent::Resolved { address } => {
                self.addresses.insert(finding.job.clone(), address.to_string());
                Ok(())
            }
            PingEvent::Packet(packet) => self.packet(screen, &finding.job, packet),
        }
    }

    /// Shows what a report has beyond the live findings, then its numbers. Each report is shown once.
    pub(crate) fn report(&mut self, screen: &mut Screen<'_>, report: &JobReport) -> io::Result<()> {
        if !self.summed_up.insert(report.job.clone()) {
            return Ok(());
        }
        if let Some(Findings::Ping(findings)) = report.findings() {
            self.addresses.insert(report.job.clone(), findings.address.to_string());
            for packet in &findings.packets {
                self.packet(screen, &report.job, packet)?;
            }
            for line in self.numbers(&report.job, findings) {
                screen.line(&line)?;
            }
        }
        let verdict = &report.report;
        match (&verdict.error, verdict.status) {
            (Some(error), _) => screen.warning_line(&format!(
                "{}: {}: {} ({}, fault: {})",
                self.agent(&report.job),
                word(&verdict.status),
                error.message,
                word(&error.code),
                word(&verdict.fault)
            )),
            (None, Status::Failed | Status::Timeout) => screen.warning_line(&format!(
                "{}: {} (fault: {})",
                self.agent(&report.job),
                word(&verdict.status),
                word(&verdict.fault)
            )),
            (None, Status::Ok | Status::Degraded) => Ok(()),
        }
    }

    /// Shows a job that ended without a report.
    pub(crate) fn end(&mut self, screen: &mut Screen<'_>, job: &Job) -> io::Result<()> {
        if !self.summed_up.insert(job.id.clone()) {
            return Ok(());
        }
        let reason = job.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        screen.warning_line(&format!("{}: no report, the job is {}{reason}", job.agent_name, job.state))
    }

    fn packet(&mut self, screen: &mut Screen<'_>, job: &str, packet: &PingPacket) -> io::Result<()> {
        let shown = Shown {
            seq: packet.seq,
            duplicate: packet.duplicate,
            late: packet.late,
            rtt_us: packet.duplicate.then_some(packet.user_rtt_us).flatten(),
        };
        if !self.shown.insert((job.to_owned(), shown)) {
            return Ok(());
        }
        self.replies += u32::from(is_reply(packet));
        let answered = packet.from.map(|from| from.to_string());
        let from = answered.or_else(|| self.addresses.get(job).cloned()).unwrap_or_else(|| self.target.clone());
        let line = match screen.surface() {
            Surface::Pipe => self.plain(job, packet, &from),
            Surface::Terminal | Surface::Colour => {
                if !std::mem::replace(&mut self.headed, true) {
                    screen.line(&self.columns(["AGENT", "SEQ", "FROM", "RTT", "USER RTT", "TTL", ""]))?;
                }
                self.row(job, packet, &from)
            }
        };
        if is_reply(packet) { screen.line(&line) } else { screen.warning_line(&line) }
    }

    fn plain(&self, job: &str, packet: &PingPacket, from: &str) -> String {
        let agent = if self.agents.len() > 1 {
            format!("[{}] ", self.agent(job))
        } else {
            String::new()
        };
        let (seq, note) = (packet.seq, note(packet));
        if !is_reply(packet) {
            return format!(
                "{agent}no reply seq={seq} from {from}{}",
                if note.is_empty() { String::new() } else { format!(": {note}") }
            );
        }
        let rtt = packet.rtt_us.or(packet.user_rtt_us).map(milliseconds).unwrap_or_default();
        let user = packet.user_rtt_us.map(|user| format!(" (user {} ms)", milliseconds(user))).unwrap_or_default();
        let ttl = packet.reply_ttl.map(|ttl| format!(" ttl={ttl}")).unwrap_or_default();
        let note = if note.is_empty() { note } else { format!(" {note}") };
        format!("{agent}reply seq={seq} from {from} rtt={rtt} ms{user}{ttl}{note}")
    }

    fn row(&self, job: &str, packet: &PingPacket, from: &str) -> String {
        let time = |micros: Option<u64>| micros.map_or_else(|| "-".to_owned(), |micros| format!("{} ms", milliseconds(micros)));
        let ttl = packet.reply_ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string());
        let note = if is_reply(packet) {
            note(packet)
        } else {
            format!("no reply {}", note(packet))
        };
        self.columns([
            self.agent(job),
            &packet.seq.to_string(),
            from,
            &time(packet.rtt_us),
            &time(packet.user_rtt_us),
            &ttl,
            &note,
        ])
    }

    fn columns(&self, [agent, seq, from, rtt, user, ttl, note]: [&str; 7]) -> String {
        let name = self.agents.values().map(|name| name.chars().count()).max().unwrap_or(0).max(5);
        let line = format!("{agent:name$}  {seq:>4}  {from:15}  {rtt:>12}  {user:>12}  {ttl:>3}  {note}");
        line.trim_end().to_owned()
    }

    fn numbers(&self, job: &str, findings: &PingFindings) -> Vec<String> {
        let PingStatistics { sent, received, loss, .. } = findings.statistics;
        let target = &self.target;
        let address = findings.address.to_string();
        let shown = if *target == address { address } else { format!("{target} ({address})") };
        let mut lines = vec![
            format!("--- {shown} from {}: ping statistics ---", self.agent(job)),
            format!("{sent} sent, {received} received, {:.1} % loss{}", loss * 100.0, oddities(findings)),
        ];
        lines.extend(findings.statistics.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
        lines.extend(findings.statistics.user_rtt.as_ref().map(|rtt| distribution("rtt (user)  ", rtt)));
        lines
    }

    fn agent(&self, job: &str) -> &str {
        self.agents.get(job).map_or("?", String::as_str)
    }
}

/// The name of a value as the API spells it.
pub(crate) fn word<T: Serialize>(value: &T) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Microseconds as milliseconds with three places.
pub(crate) fn milliseconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

/// Whether the target answered.
const fn is_reply(packet: &PingPacket) -> bool {
    packet.icmp_error.is_none() && packet.errno.is_none() && (packet.rtt_us.is_some() || packet.user_rtt_us.is_some())
}

fn note(packet: &PingPacket) -> String {
    let mut notes = Vec::new();
    if let Some((kind, code)) = packet.icmp_error {
        notes.push(format!("ICMP error type {kind} code {code}"));
    }
    if let Some(errno) = packet.errno {
        notes.push(format!("not sent, errno {errno}"));
    }
    if packet.duplicate {
        notes.push("duplicate".to_owned());
    }
    if packet.late {
        notes.push("late".to_owned());
    }
    notes.join(", ")
}

fn oddities(findings: &PingFindings) -> String {
    let statistics = &findings.statistics;
    let counts = [
        (statistics.duplicates, "duplicate"),
        (statistics.late, "late"),
        (statistics.reordered, "reordered"),
        (statistics.errors, "ICMP errors"),
        (findings.agent_drops, "dropped by the agent's host"),
    ];
    let told = counts.iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!(", {count} {name}"));
    told.collect()
}

fn distribution(name: &str, rtt: &RoundTripStatistics) -> String {
    let [min, avg, max, stddev, p95] = [rtt.min_us, rtt.avg_us, rtt.max_us, rtt.stddev_us, rtt.p95_us].map(milliseconds);
    format!("{name} min/avg/max/stddev = {min}/{avg}/{max}/{stddev} ms, p95 {p95} ms")
}
