//! A scan of ports as people read it: one line for each port that says something, the many that say the same together, then the numbers.

use std::collections::{BTreeMap, BTreeSet};

use std::net::IpAddr;

use shared_protocol::event::PortEvent;
use shared_protocol::report::{PortFindings, PortReason, PortResult, PortState, PortStatistics, PortSweepFindings, RoundTripStatistics};

use super::ping::{distribution, milliseconds, time};
use super::probe::{Columns, Details, Names, Paper};
use super::view::word;
use super::{Cell, Line, port_sweep, ranges};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct PortView {
    address: Option<String>,
    seen: BTreeMap<u16, PortState>,
    shown: BTreeSet<(Option<IpAddr>, u16)>,
    headed: bool,
    found: Option<Vec<Cell>>,
}

impl PortView {
    /// What is to be shown of a live finding: open ports at once, the others when it is known how many say the same.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &PortEvent) -> Vec<Line> {
        match event {
            PortEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            PortEvent::Port(result) => {
                self.seen.insert(result.port, result.state);
                if result.state == PortState::Open {
                    self.port(names, None, result)
                } else {
                    Vec::new()
                }
            }
            PortEvent::Open { address, result } => self.port(names, Some(*address), result),
            PortEvent::Sweep(progress) => {
                self.found = Some(port_sweep::so_far(progress));
                Vec::new()
            }
        }
    }

    /// What a report of many targets has beyond the live findings, then its numbers.
    pub(crate) fn sweep(&mut self, names: Names<'_>, findings: &PortSweepFindings) -> Vec<Line> {
        self.found = Some(port_sweep::row(findings));
        let mut lines = Vec::new();
        for (address, results) in findings.results() {
            let open = results.iter().filter(|result| result.state == PortState::Open);
            lines.extend(open.flat_map(|result| self.port(names, Some(address), result)));
        }
        lines.extend(port_sweep::lines(names, findings));
        lines
    }

    /// What a report has beyond the live findings, then its numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &PortFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let mut groups: BTreeMap<(PortState, String), Vec<&PortResult>> = BTreeMap::new();
        for result in &findings.ports {
            groups.entry((result.state, note(result))).or_default().push(result);
        }
        let mut lines = Vec::new();
        let mut together = Vec::new();
        for ((state, note), results) in groups {
            if state != PortState::Open && results.len() > LINES_OF_A_KIND {
                let ports = ranges(results.iter().map(|result| result.port.into()), ",");
                together.push(Line::plain(format!("{} ports {} ({note}): {ports}", results.len(), word(&state))));
            } else {
                lines.extend(results.into_iter().flat_map(|result| self.port(names, None, result)));
            }
        }
        lines.into_iter().chain(together).chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let of = |state| self.seen.values().filter(|seen| **seen == state).count();
            let mut row = vec![
                Cell::of(self.address.as_ref()),
                self.seen.len().into(),
                of(PortState::Open).into(),
                of(PortState::Closed).into(),
                of(PortState::Filtered).into(),
            ];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn port(&mut self, names: Names<'_>, of_many: Option<IpAddr>, result: &PortResult) -> Vec<Line> {
        if !self.shown.insert((of_many, result.port)) {
            return Vec::new();
        }
        let of_many = of_many.map(|address| address.to_string());
        let text = match names.paper {
            Paper::Plain => plain(result, of_many.as_deref().or(self.address.as_deref()).unwrap_or(names.target)),
            Paper::Rows => columns([
                &result.port.to_string(),
                &word(&result.state),
                &time(result.rtt_us),
                &time(result.user_rtt_us),
                &result.tries.to_string(),
                &match of_many {
                    Some(address) => format!("{address}: {}", told(result)),
                    None => told(result),
                },
            ]),
        };
        let heading = (names.paper == Paper::Rows && !std::mem::replace(&mut self.headed, true))
            .then(|| Line::plain(columns(["PORT", "STATE", "RTT", "USER RTT", "TRIES", "BECAUSE"])));
        let line = if result.state == PortState::Unasked {
            Line::warning(text)
        } else {
            Line::plain(text)
        };
        heading.into_iter().chain([line]).collect()
    }
}

/// The columns of a scan of ports.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "ports",
        "open",
        "closed",
        "filtered",
        "unasked",
        "sent",
        "open_ports",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "user_rtt_avg_us",
        "open_filtered",
    ],
    shown: 8,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &PortFindings) -> Vec<Cell> {
    let open = findings.ports.iter().filter(|result| result.state == PortState::Open);
    let open = ranges(open.map(|result| result.port.into()), ",");
    numbers_row(findings.address.to_string().into(), &findings.statistics, Cell::Text(open))
}

/// Numbers under [`COLUMNS`]; round-trip times by the kernel's clock, or where it gave none, by that of user space.
pub(super) fn numbers_row(address: Cell, statistics: &PortStatistics, open: Cell) -> Vec<Cell> {
    let rtt = statistics.rtt.as_ref().or(statistics.user_rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    vec![
        address,
        statistics.ports.into(),
        statistics.open.into(),
        statistics.closed.into(),
        statistics.filtered.into(),
        statistics.unasked.into(),
        statistics.sent.into(),
        open,
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        Cell::of(statistics.user_rtt.as_ref().map(|rtt| Cell::Micros(rtt.avg_us))),
        statistics.open_filtered.into(),
    ]
}

/// The ports, one a row.
pub(super) fn details(findings: &PortFindings) -> Details {
    Details {
        columns: &["port", "state", "reason", "tries", "rtt_us", "user_rtt_us", "from", "banner"],
        rows: findings.ports.iter().map(cells).collect(),
    }
}

/// A port under the columns of its details.
pub(super) fn cells(result: &PortResult) -> Vec<Cell> {
    vec![
        u32::from(result.port).into(),
        word(&result.state).into(),
        word(&result.reason).into(),
        result.tries.into(),
        Cell::of(result.rtt_us.map(Cell::Micros)),
        Cell::of(result.user_rtt_us.map(Cell::Micros)),
        Cell::of(result.from.map(|from| from.to_string())),
        Cell::of(result.banner.clone()),
    ]
}

fn plain(result: &PortResult, address: &str) -> String {
    let rtt = result.rtt_us.or(result.user_rtt_us).map(|rtt| format!(" rtt={} ms", milliseconds(rtt)));
    let user = result.user_rtt_us.map(|user| format!(" (user {} ms)", milliseconds(user)));
    let words: String = [rtt, user].into_iter().flatten().collect();
    format!("{} port={} {address}{words}: {}", word(&result.state), result.port, told(result))
}

fn columns([port, state, rtt, user, tries, note]: [&str; 6]) -> String {
    let line = format!("{port:>5}  {state:8}  {rtt:>12}  {user:>12}  {tries:>5}  {note}");
    line.trim_end().to_owned()
}

/// What the state rests on, and what the service says of itself.
fn told(result: &PortResult) -> String {
    let says = result.banner.as_ref().map(|banner| format!(", says \"{banner}\"")).unwrap_or_default();
    format!("{}{says}", note(result))
}

/// What the state rests on.
pub(super) fn note(result: &PortResult) -> String {
    match (result.reason, result.icmp_error) {
        (PortReason::IcmpError, Some((kind, code))) => {
            let from = result.from.map(|from| format!(" from {from}")).unwrap_or_default();
            format!("ICMP error type {kind} code {code}{from}")
        }
        (PortReason::Unreachable | PortReason::Unsent, _) => result
            .code
            .map_or_else(|| word(&result.reason), |code| format!("{}, {}", word(&result.reason), word(&code))),
        (reason, _) => word(&reason),
    }
}

fn numbers(names: Names<'_>, findings: &PortFindings) -> Vec<Line> {
    let statistics = &findings.statistics;
    let address = findings.address;
    let shown = if names.target == address.to_string() {
        address.to_string()
    } else {
        format!("{} ({address})", names.target)
    };
    let mut lines = vec![Line::plain(format!("--- {shown} from {}: ports ---", names.agent))];
    lines.extend(totals(&format!("{} ports", statistics.ports), statistics));
    lines
}

/// The numbers over the ports of one target or of many.
pub(super) fn totals(what: &str, statistics: &PortStatistics) -> Vec<Line> {
    let others = [(statistics.open_filtered, "open or filtered"), (statistics.unasked, "not asked")];
    let others = others.iter().filter(|(count, _)| *count > 0).map(|(count, state)| format!(", {count} {state}"));
    let others = others.collect::<Vec<_>>().concat();
    let mut lines = vec![Line::plain(format!(
        "{what}: {} open, {} closed, {} filtered{others}; {} questions",
        statistics.open, statistics.closed, statistics.filtered, statistics.sent
    ))];
    if statistics.rate_limited_hint {
        let doubt = if statistics.open_filtered > 0 {
            ", and what is open or filtered may be closed"
        } else {
            ""
        };
        let hint = "some closed ports said so only when they were asked again: ICMP errors seem to be limited";
        lines.push(Line::warning(format!("{hint}{doubt}")));
    }
    let times = [("rtt (kernel)", &statistics.rtt), ("rtt (user)  ", &statistics.user_rtt)];
    lines.extend(
        times
            .into_iter()
            .filter_map(|(clock, rtt)| Some(Line::plain(distribution(clock, rtt.as_ref()?)))),
    );
    lines
}

/// Ports in the same state for the same reason that have a line each.
const LINES_OF_A_KIND: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn result(port: u16, state: &str, reason: &str) -> serde_json::Value {
        json!({"port": port, "state": state, "reason": reason, "tries": 1})
    }

    fn findings() -> PortFindings {
        let mut ports: Vec<_> = (1..=20).map(|port| result(port, "closed", "reset")).collect();
        ports.push(json!({"port": 22, "state": "open", "reason": "syn_ack", "tries": 1, "rtt_us": 510, "user_rtt_us": 612}));
        ports.push(json!({"port": 25, "state": "filtered", "reason": "icmp_error", "tries": 1, "icmp_error": [3, 13], "from": "10.1.0.1"}));
        ports.push(json!({"port": 443, "state": "filtered", "reason": "silence", "tries": 2, "code": "timeout"}));
        let statistics = json!({"ports": 23, "open": 1, "closed": 20, "filtered": 2, "unasked": 0, "sent": 24});
        serde_json::from_value(json!({"address": "198.51.100.7", "ports": ports, "statistics": statistics})).unwrap()
    }

    fn lines(lines: &[Line]) -> String {
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        texts.join("\n")
    }

    #[test]
    fn what_many_ports_say_is_said_once_and_an_open_port_is_not_shown_twice() {
        let names = Names {
            target: "198.51.100.7",
            agent: "local",
            paper: Paper::Rows,
        };
        let mut view = PortView::default();
        let findings = findings();
        let live = PortEvent::Port(Box::new(findings.ports[20].clone()));
        insta::assert_snapshot!(lines(&view.finding(names, &live)), @r"
         PORT  STATE              RTT      USER RTT  TRIES  BECAUSE
           22  open          0.510 ms      0.612 ms      1  syn_ack
        ");
        assert_eq!(view.finding(names, &PortEvent::Port(Box::new(findings.ports[0].clone()))).len(), 0);
        assert_eq!(view.row()[..5].iter().map(Cell::bare).collect::<Vec<_>>(), ["", "2", "1", "1", "0"]);
        insta::assert_snapshot!(lines(&view.findings(names, &findings)), @r"
           25  filtered             -             -      1  ICMP error type 3 code 13 from 10.1.0.1
          443  filtered             -             -      2  silence
        20 ports closed (reset): 1-20
        --- 198.51.100.7 from local: ports ---
        23 ports: 1 open, 20 closed, 2 filtered; 24 questions
        ");
        assert_eq!(view.row()[7].bare(), "22");
    }

    #[test]
    fn silence_over_udp_and_a_hint_at_limited_errors_are_told() {
        let found = |open_filtered: u32| {
            let statistics =
                json!({"ports": 2, "open": 0, "closed": 1, "filtered": 0, "open_filtered": open_filtered, "unasked": 0, "sent": 4, "rate_limited_hint": true});
            let mut texts = totals("2 ports", &serde_json::from_value(statistics).unwrap());
            texts.pop().unwrap().text
        };
        assert!(found(1).ends_with("limited, and what is open or filtered may be closed"));
        assert!(found(0).ends_with("seem to be limited"));
    }
}
