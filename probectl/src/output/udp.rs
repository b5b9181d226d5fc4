//! A UDP probe as people read it: one line for each datagram as it ends, then the numbers.

use std::collections::BTreeMap;

use shared_protocol::event::UdpEvent;
use shared_protocol::report::{RoundTripStatistics, UdpFindings, UdpOutcome, UdpTry};

use super::ping::{distribution, milliseconds, time};
use super::probe::{Columns, Names, Paper};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct UdpView {
    address: Option<String>,
    shown: BTreeMap<u32, UdpTry>,
    headed: bool,
    found: Option<Vec<Cell>>,
}

impl UdpView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &UdpEvent) -> Vec<Line> {
        match event {
            UdpEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            UdpEvent::Try(tried) => self.tried(names, tried),
        }
    }

    /// What a report has beyond the live findings, then its numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &UdpFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let tries: Vec<Line> = findings.tries.iter().flat_map(|tried| self.tried(names, tried)).collect();
        tries.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let count = |outcomes: &[UdpOutcome]| self.shown.values().filter(|tried| outcomes.contains(&tried.outcome)).count();
            let mut row = vec![
                Cell::of(self.address.as_ref()),
                Cell::Absent,
                (self.shown.len() - count(&[UdpOutcome::Unsent])).into(),
                count(&[UdpOutcome::Answered, UdpOutcome::Unexpected, UdpOutcome::Closed]).into(),
                Cell::Absent,
                count(&[UdpOutcome::Answered]).into(),
                count(&[UdpOutcome::Closed]).into(),
            ];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn tried(&mut self, names: Names<'_>, tried: &UdpTry) -> Vec<Line> {
        if self.shown.insert(tried.seq, tried.clone()).is_some() {
            return Vec::new();
        }
        let address = self.address.as_deref().unwrap_or(names.target);
        let text = match names.paper {
            Paper::Plain => plain(tried, address),
            Paper::Rows => columns([
                &tried.seq.to_string(),
                address,
                &word(&tried.outcome),
                &time(tried.rtt_us),
                &time(tried.user_rtt_us),
                &note(tried),
            ]),
        };
        let heading = (names.paper == Paper::Rows && !std::mem::replace(&mut self.headed, true))
            .then(|| Line::plain(columns(["TRY", "ADDRESS", "OUTCOME", "RTT", "USER RTT", ""])));
        let answered = tried.outcome == UdpOutcome::Answered;
        let line = if answered { Line::plain(text) } else { Line::warning(text) };
        heading.into_iter().chain([line]).collect()
    }
}

/// The columns of a UDP probe.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "port",
        "sent",
        "received",
        "loss",
        "answered",
        "closed",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "rtt_stddev_us",
        "rtt_p50_us",
        "rtt_p95_us",
        "rtt_p99_us",
        "user_rtt_avg_us",
    ],
    shown: 10,
};

/// A report's findings under [`COLUMNS`]; round-trip times by the kernel's clock, or where it gave none, by that of user space.
pub(crate) fn row(findings: &UdpFindings) -> Vec<Cell> {
    let statistics = &findings.statistics;
    let rtt = statistics.rtt.as_ref().or(statistics.user_rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    vec![
        findings.address.to_string().into(),
        u32::from(findings.port).into(),
        statistics.sent.into(),
        statistics.received.into(),
        Cell::Ratio(statistics.loss),
        statistics.answered.into(),
        statistics.closed.into(),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        time(|rtt| rtt.stddev_us),
        time(|rtt| rtt.p50_us),
        time(|rtt| rtt.p95_us),
        time(|rtt| rtt.p99_us),
        Cell::of(statistics.user_rtt.as_ref().map(|rtt| Cell::Micros(rtt.avg_us))),
    ]
}

fn plain(tried: &UdpTry, address: &str) -> String {
    let rtt = tried.rtt_us.or(tried.user_rtt_us).map(|rtt| format!(" rtt={} ms", milliseconds(rtt)));
    let user = tried.user_rtt_us.map(|user| format!(" (user {} ms)", milliseconds(user)));
    let note = Some(note(tried)).filter(|note| !note.is_empty()).map(|note| format!(": {note}"));
    let words: String = [rtt, user, note].into_iter().flatten().collect();
    format!("{} try={} {address}{words}", word(&tried.outcome), tried.seq)
}

fn columns([seq, address, outcome, rtt, user, note]: [&str; 6]) -> String {
    let line = format!("{seq:>4}  {address:15}  {outcome:11}  {rtt:>12}  {user:>12}  {note}");
    line.trim_end().to_owned()
}

fn note(tried: &UdpTry) -> String {
    if let Some((kind, code)) = tried.icmp_error {
        let from = tried.from.map(|from| format!(" from {from}")).unwrap_or_default();
        return format!("ICMP error type {kind} code {code}{from}");
    }
    let bytes = tried.bytes.map(|bytes| format!("{bytes} bytes"));
    let notes: Vec<String> = bytes.into_iter().chain(tried.code.map(|code| word(&code))).collect();
    notes.join(", ")
}

fn numbers(names: Names<'_>, findings: &UdpFindings) -> Vec<Line> {
    let statistics = &findings.statistics;
    let (address, port) = (findings.address, findings.port);
    let shown = if names.target == address.to_string() {
        format!("{address} port {port}")
    } else {
        format!("{} ({address}) port {port}", names.target)
    };
    let mut lines = vec![
        format!("--- {shown} from {}: udp statistics ---", names.agent),
        format!(
            "{} sent, {} answered, {} closed, {:.1} % without any answer of the target",
            statistics.sent,
            statistics.answered,
            statistics.closed,
            statistics.loss * 100.0
        ),
    ];
    lines.extend(statistics.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
    lines.extend(statistics.user_rtt.as_ref().map(|rtt| distribution("rtt (user)  ", rtt)));
    lines.into_iter().map(Line::plain).collect()
}
