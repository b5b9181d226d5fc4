//! A ping as people read it: one line for each reply as it comes, then the numbers.

use std::collections::BTreeSet;

use shared_protocol::event::PingEvent;
use shared_protocol::report::{PingFindings, PingPacket, PingStatistics, RoundTripStatistics, SweepFindings};

use super::probe::{Columns, Names, Paper};
use super::{Cell, Line, sweep};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct PingView {
    address: Option<String>,
    shown: BTreeSet<Shown>,
    headed: bool,
    replies: Vec<u64>,
    requests: BTreeSet<u32>,
    found: Option<Vec<Cell>>,
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
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &PingEvent) -> Vec<Line> {
        match event {
            PingEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            PingEvent::Packet(packet) => self.packet(names, packet),
            PingEvent::Sweep(progress) => {
                let mut row = sweep::so_far(progress);
                row.resize(COLUMNS.names.len(), Cell::Absent);
                self.found = Some(row);
                Vec::new()
            }
        }
    }

    /// What a report of many targets has.
    pub(crate) fn sweep(&mut self, names: Names<'_>, findings: &SweepFindings) -> Vec<Line> {
        self.found = Some(sweep::row(findings));
        sweep::lines(names, findings)
    }

    /// What a report has beyond the live findings, then its numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &PingFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let packets: Vec<Line> = findings.packets.iter().flat_map(|packet| self.packet(names, packet)).collect();
        packets.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| self.so_far())
    }

    fn so_far(&self) -> Vec<Cell> {
        let (sent, received) = (self.requests.len(), self.replies.len());
        let times = u64::try_from(received).unwrap_or(u64::MAX);
        let mean = self.replies.iter().sum::<u64>().checked_div(times);
        let unanswered = u32::try_from(sent.saturating_sub(received)).unwrap_or(u32::MAX);
        let loss = u32::try_from(sent)
            .ok()
            .filter(|sent| *sent > 0)
            .map(|sent| Cell::Ratio(f64::from(unanswered) / f64::from(sent)));
        let mut row = vec![
            Cell::of(self.address.as_ref()),
            sent.into(),
            received.into(),
            loss.unwrap_or(Cell::Absent),
            Cell::of(self.replies.iter().copied().min().map(Cell::Micros)),
            Cell::of(mean.map(Cell::Micros)),
            Cell::of(self.replies.iter().copied().max().map(Cell::Micros)),
        ];
        row.resize(COLUMNS.names.len(), Cell::Absent);
        row
    }

    fn packet(&mut self, names: Names<'_>, packet: &PingPacket) -> Vec<Line> {
        let shown = Shown {
            seq: packet.seq,
            duplicate: packet.duplicate,
            late: packet.late,
            rtt_us: packet.duplicate.then_some(packet.user_rtt_us).flatten(),
        };
        if !self.shown.insert(shown) {
            return Vec::new();
        }
        self.requests.insert(packet.seq);
        if is_reply(packet) && !packet.duplicate && !packet.late {
            self.replies.extend(packet.rtt_us.or(packet.user_rtt_us));
        }
        let from = packet.from.map(|from| from.to_string()).or_else(|| self.address.clone());
        let from = from.unwrap_or_else(|| names.target.to_owned());
        let text = match names.paper {
            Paper::Plain => plain(packet, &from),
            Paper::Rows => columns([
                &packet.seq.to_string(),
                &from,
                &time(packet.rtt_us),
                &time(packet.user_rtt_us),
                &ttl(packet),
                &remark(packet),
            ]),
        };
        let heading = (names.paper == Paper::Rows && !std::mem::replace(&mut self.headed, true))
            .then(|| Line::plain(columns(["SEQ", "FROM", "RTT", "USER RTT", "TTL", ""])));
        let line = if is_reply(packet) { Line::plain(text) } else { Line::warning(text) };
        heading.into_iter().chain([line]).collect()
    }
}

/// The columns of a ping.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "sent",
        "received",
        "loss",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "rtt_stddev_us",
        "rtt_p50_us",
        "rtt_p95_us",
        "rtt_p99_us",
        "user_rtt_avg_us",
        "duplicates",
        "late",
        "reordered",
        "errors",
    ],
    shown: 7,
};

/// A report's findings under [`COLUMNS`]; round-trip times by the kernel's clock, or where it gave none, by that of user space.
pub(crate) fn row(findings: &PingFindings) -> Vec<Cell> {
    let statistics = &findings.statistics;
    let rtt = statistics.rtt.as_ref().or(statistics.user_rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    vec![
        findings.address.to_string().into(),
        statistics.sent.into(),
        statistics.received.into(),
        Cell::Ratio(statistics.loss),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        time(|rtt| rtt.stddev_us),
        time(|rtt| rtt.p50_us),
        time(|rtt| rtt.p95_us),
        time(|rtt| rtt.p99_us),
        Cell::of(statistics.user_rtt.as_ref().map(|rtt| Cell::Micros(rtt.avg_us))),
        statistics.duplicates.into(),
        statistics.late.into(),
        statistics.reordered.into(),
        statistics.errors.into(),
    ]
}

/// Microseconds as milliseconds with three places.
pub(crate) fn milliseconds(micros: u64) -> String {
    format!("{}.{:03}", micros / 1_000, micros % 1_000)
}

fn plain(packet: &PingPacket, from: &str) -> String {
    let (seq, note) = (packet.seq, note(packet));
    if !is_reply(packet) {
        let note = if note.is_empty() { note } else { format!(": {note}") };
        return format!("no reply seq={seq} from {from}{note}");
    }
    let rtt = packet.rtt_us.or(packet.user_rtt_us).map(milliseconds).unwrap_or_default();
    let user = packet.user_rtt_us.map(|user| format!(" (user {} ms)", milliseconds(user))).unwrap_or_default();
    let ttl = packet.reply_ttl.map(|ttl| format!(" ttl={ttl}")).unwrap_or_default();
    let note = if note.is_empty() { note } else { format!(" {note}") };
    format!("reply seq={seq} from {from} rtt={rtt} ms{user}{ttl}{note}")
}

fn columns([seq, from, rtt, user, ttl, note]: [&str; 6]) -> String {
    let line = format!("{seq:>4}  {from:15}  {rtt:>12}  {user:>12}  {ttl:>3}  {note}");
    line.trim_end().to_owned()
}

pub(super) fn time(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".to_owned(), |micros| format!("{} ms", milliseconds(micros)))
}

fn ttl(packet: &PingPacket) -> String {
    packet.reply_ttl.map_or_else(|| "-".to_owned(), |ttl| ttl.to_string())
}

fn remark(packet: &PingPacket) -> String {
    if is_reply(packet) {
        note(packet)
    } else {
        format!("no reply {}", note(packet))
    }
}

fn numbers(names: Names<'_>, findings: &PingFindings) -> Vec<Line> {
    let PingStatistics { sent, received, loss, .. } = findings.statistics;
    let address = findings.address.to_string();
    let shown = if names.target == address {
        address
    } else {
        format!("{} ({address})", names.target)
    };
    let mut lines = vec![
        format!("--- {shown} from {}: ping statistics ---", names.agent),
        format!("{sent} sent, {received} received, {:.1} % loss{}", loss * 100.0, oddities(findings)),
    ];
    lines.extend(findings.statistics.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
    lines.extend(findings.statistics.user_rtt.as_ref().map(|rtt| distribution("rtt (user)  ", rtt)));
    lines.into_iter().map(Line::plain).collect()
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

pub(super) fn distribution(name: &str, rtt: &RoundTripStatistics) -> String {
    let [min, avg, max, stddev, p95] = [rtt.min_us, rtt.avg_us, rtt.max_us, rtt.stddev_us, rtt.p95_us].map(milliseconds);
    format!("{name} min/avg/max/stddev = {min}/{avg}/{max}/{stddev} ms, p95 {p95} ms")
}
