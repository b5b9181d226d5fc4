//! A TCP probe as people read it: one line for each try as it ends, then the numbers.

use std::collections::BTreeMap;

use shared_protocol::event::TcpEvent;
use shared_protocol::report::{RoundTripStatistics, TcpFindings, TcpOutcome, TcpTry};

use super::ping::{distribution, milliseconds, time};
use super::probe::{Columns, Names, Paper};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct TcpView {
    address: Option<String>,
    shown: BTreeMap<u32, TcpTry>,
    headed: bool,
    found: Option<Vec<Cell>>,
}

impl TcpView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &TcpEvent) -> Vec<Line> {
        match event {
            TcpEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            TcpEvent::Try(tried) => self.tried(names, tried),
        }
    }

    /// What a report has beyond the live findings, then its numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &TcpFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let tries: Vec<Line> = findings.tries.iter().flat_map(|tried| self.tried(names, tried)).collect();
        tries.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| self.so_far())
    }

    fn so_far(&self) -> Vec<Cell> {
        let count = |outcomes: &[TcpOutcome]| self.shown.values().filter(|tried| outcomes.contains(&tried.outcome)).count();
        let sent = self.shown.len() - count(&[TcpOutcome::Unsent]);
        let mut row = vec![
            Cell::of(self.address.as_ref()),
            Cell::Absent,
            sent.into(),
            count(&[TcpOutcome::Open, TcpOutcome::Closed]).into(),
            Cell::Absent,
            count(&[TcpOutcome::Open]).into(),
            count(&[TcpOutcome::Closed]).into(),
        ];
        row.resize(COLUMNS.names.len(), Cell::Absent);
        row
    }

    fn tried(&mut self, names: Names<'_>, tried: &TcpTry) -> Vec<Line> {
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
        let open = tried.outcome == TcpOutcome::Open;
        let line = if open { Line::plain(text) } else { Line::warning(text) };
        heading.into_iter().chain([line]).collect()
    }
}

/// The columns of a TCP probe.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "port",
        "sent",
        "received",
        "loss",
        "open",
        "closed",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "rtt_stddev_us",
        "rtt_p50_us",
        "rtt_p95_us",
        "rtt_p99_us",
        "user_rtt_avg_us",
        "unreachable",
        "retransmitted",
    ],
    shown: 10,
};

/// A report's findings under [`COLUMNS`]; round-trip times by the kernel's clock, or where it gave none, by that of user space.
pub(crate) fn row(findings: &TcpFindings) -> Vec<Cell> {
    let statistics = &findings.statistics;
    let rtt = statistics.rtt.as_ref().or(statistics.user_rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    vec![
        findings.address.to_string().into(),
        u32::from(findings.port).into(),
        statistics.sent.into(),
        statistics.received.into(),
        Cell::Ratio(statistics.loss),
        statistics.open.into(),
        statistics.closed.into(),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        time(|rtt| rtt.stddev_us),
        time(|rtt| rtt.p50_us),
        time(|rtt| rtt.p95_us),
        time(|rtt| rtt.p99_us),
        Cell::of(statistics.user_rtt.as_ref().map(|rtt| Cell::Micros(rtt.avg_us))),
        statistics.unreachable.into(),
        statistics.retransmitted.into(),
    ]
}

fn plain(tried: &TcpTry, address: &str) -> String {
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

fn note(tried: &TcpTry) -> String {
    let mut notes = Vec::new();
    if let Some((kind, code)) = tried.icmp_error {
        let from = tried.from.map(|from| format!(" from {from}")).unwrap_or_default();
        notes.push(format!("ICMP error type {kind} code {code}{from}"));
    } else if let Some(code) = tried.code {
        notes.push(word(&code));
    }
    if let Some(retransmits) = tried.info.map(|info| info.retransmits).filter(|count| *count > 0) {
        notes.push(format!("{retransmits} retransmitted"));
    }
    notes.join(", ")
}

fn numbers(names: Names<'_>, findings: &TcpFindings) -> Vec<Line> {
    let statistics = &findings.statistics;
    let (address, port) = (findings.address, findings.port);
    let shown = if names.target == address.to_string() {
        format!("{address} port {port}")
    } else {
        format!("{} ({address}) port {port}", names.target)
    };
    let mut lines = vec![
        format!("--- {shown} from {}: tcp statistics ---", names.agent),
        format!(
            "{} sent, {} open, {} closed, {} unreachable, {:.1} % unanswered",
            statistics.sent,
            statistics.open,
            statistics.closed,
            statistics.unreachable,
            statistics.loss * 100.0
        ),
    ];
    lines.extend(statistics.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
    lines.extend(statistics.user_rtt.as_ref().map(|rtt| distribution("rtt (user)  ", rtt)));
    lines.into_iter().map(Line::plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn findings() -> TcpFindings {
        let rtt = json!({"min_us": 31, "avg_us": 31, "max_us": 31, "stddev_us": 0, "p50_us": 31, "p95_us": 31, "p99_us": 31, "jitter_us": 0, "delay_variation_us": null});
        serde_json::from_value(json!({
            "address": "192.0.2.1", "port": 443,
            "tries": [
                {"seq": 0, "outcome": "open", "rtt_us": 31, "user_rtt_us": 1074},
                {"seq": 1, "outcome": "closed", "rtt_us": null, "user_rtt_us": 60, "code": "refused", "errno": 111},
                {"seq": 2, "outcome": "unreachable", "rtt_us": null, "user_rtt_us": 52, "code": "unreachable_host", "errno": 113, "icmp_error": [3, 1], "from": "198.51.100.1"},
                {"seq": 3, "outcome": "filtered", "rtt_us": null, "user_rtt_us": null, "code": "timeout"},
            ],
            "statistics": {"sent": 4, "received": 2, "loss": 0.5, "open": 1, "closed": 1, "unreachable": 1, "retransmitted": 0, "rtt": rtt},
        }))
        .unwrap()
    }

    fn lines(lines: Vec<Line>) -> String {
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn each_try_has_its_line_once_and_the_numbers_come_last() {
        let mut view = TcpView::default();
        let (target, agent, paper) = ("example.test", "local", Paper::Plain);
        let names = Names { target, agent, paper };
        let findings = findings();
        let live = view.finding(names, &TcpEvent::Try(Box::new(findings.tries[0].clone())));
        assert_eq!(lines(live), "open try=0 example.test rtt=0.031 ms (user 1.074 ms)");
        insta::assert_snapshot!(lines(view.findings(names, &findings)), @r"
        closed try=1 192.0.2.1 rtt=0.060 ms (user 0.060 ms): refused
        unreachable try=2 192.0.2.1 rtt=0.052 ms (user 0.052 ms): ICMP error type 3 code 1 from 198.51.100.1
        filtered try=3 192.0.2.1: timeout
        --- example.test (192.0.2.1) port 443 from local: tcp statistics ---
        4 sent, 1 open, 1 closed, 1 unreachable, 50.0 % unanswered
        rtt (kernel) min/avg/max/stddev = 0.031/0.031/0.031/0.000 ms, p95 0.031 ms
        ");
    }

    #[test]
    fn on_a_terminal_tries_are_rows_under_a_heading() {
        let mut view = TcpView::default();
        let (target, agent, paper) = ("192.0.2.1", "local", Paper::Rows);
        let all = lines(view.findings(Names { target, agent, paper }, &findings()));
        let rows: Vec<&str> = all.lines().take(3).collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
         TRY  ADDRESS          OUTCOME               RTT      USER RTT
           0  192.0.2.1        open             0.031 ms      1.074 ms
           1  192.0.2.1        closed                  -      0.060 ms  refused
        ");
    }
}
