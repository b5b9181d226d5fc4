//! An mtr as people read it: a table of the hops, which on a terminal is drawn again while it changes.

use shared_protocol::event::{MtrEvent, MtrRow};
use shared_protocol::report::{HopAddress, MtrFindings, MtrHop, RoundTripStatistics};

use super::probe::{Columns, Details, Names};
use super::view::word;
use super::{Cell, Line, systems, table};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct MtrView {
    address: Option<String>,
    rounds: u32,
    rows: Vec<MtrRow>,
    found: Option<MtrFindings>,
}

impl MtrView {
    /// Takes a live finding in; what it says is in the table.
    pub(crate) fn finding(&mut self, event: &MtrEvent) -> Vec<Line> {
        match event {
            MtrEvent::Resolved { address } => self.address = Some(address.to_string()),
            MtrEvent::Round { rounds, hops } => {
                self.rounds = *rounds;
                self.rows.clone_from(hops);
            }
        }
        Vec::new()
    }

    /// The whole table with its heading.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &MtrFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(findings.clone());
        self.drawing(names)
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.as_ref().map_or_else(|| self.so_far(), row)
    }

    /// How the hops stand, with a heading.
    pub(crate) fn drawing(&self, names: Names<'_>) -> Vec<Line> {
        let address = self.address.as_deref().unwrap_or(names.target);
        let shown = if names.target == address {
            address.to_owned()
        } else {
            format!("{} ({address})", names.target)
        };
        let rounds = self.found.as_ref().map_or(self.rounds, |found| found.rounds);
        let heading = format!("--- {shown} from {}: {rounds} rounds ---", names.agent);
        let hops = self.found.as_ref().map_or_else(|| live(&self.rows), whole);
        let on_the_way = self.found.as_ref().and_then(|found| {
            let addresses = found.hops.iter().flat_map(|hop| &hop.addresses);
            systems::line(&found.as_path, addresses)
        });
        let end = self.found.as_ref().filter(|found| !found.reached);
        let end = end.map(|found| Line::warning(format!("the path ends before the target: {}", word(&found.end))));
        std::iter::once(heading).chain(hops).chain(on_the_way).map(Line::plain).chain(end).collect()
    }

    fn so_far(&self) -> Vec<Cell> {
        let last = self.rows.last();
        let time = |read: fn(&MtrRow) -> Option<u64>| Cell::of(last.and_then(read).map(Cell::Micros));
        let mut row = vec![
            Cell::of(self.address.as_ref()),
            Cell::Absent,
            self.rows.len().into(),
            Cell::of(last.map(|hop| Cell::Ratio(lost(hop.sent, hop.received)))),
            time(|hop| hop.min_us),
            time(|hop| hop.avg_us),
            time(|hop| hop.max_us),
            self.rounds.into(),
        ];
        row.resize(COLUMNS.names.len(), Cell::Absent);
        row
    }
}

/// The columns of an mtr: those of its last hop, and what holds for all.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "reached",
        "hops",
        "loss",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "rounds",
        "sent",
        "received",
        "rtt_stddev_us",
        "rtt_p50_us",
        "rtt_p95_us",
        "rtt_p99_us",
        "jitter_us",
        "changes",
        "end",
        "protocol",
        "port",
        "flow",
        "path_hash",
        "as_path",
    ],
    shown: 8,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &MtrFindings) -> Vec<Cell> {
    let last = findings.hops.last();
    let rtt = last.and_then(|hop| hop.rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    vec![
        findings.address.to_string().into(),
        if findings.reached { "yes" } else { "no" }.into(),
        findings.hops.len().into(),
        Cell::of(last.map(|hop| Cell::Ratio(hop.loss))),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        findings.rounds.into(),
        Cell::of(last.map(|hop| hop.sent)),
        Cell::of(last.map(|hop| hop.received)),
        time(|rtt| rtt.stddev_us),
        time(|rtt| rtt.p50_us),
        time(|rtt| rtt.p95_us),
        time(|rtt| rtt.p99_us),
        time(|rtt| rtt.jitter_us),
        findings.hops.iter().map(|hop| hop.changes).sum::<u32>().into(),
        word(&findings.end).into(),
        findings.protocol.as_str().into(),
        Cell::of(findings.port.map(u32::from)),
        findings.flow.as_str().into(),
        findings.path_hash.as_str().into(),
        systems::path(&findings.as_path),
    ]
}

/// The hops, one a row.
pub(crate) fn details(findings: &MtrFindings) -> Details {
    Details {
        columns: &WHOLE,
        rows: findings.hops.iter().map(hop_cells).collect(),
    }
}

/// Columns of the table of hops while it runs.
const LIVE: [&str; 10] = [
    "hop",
    "address",
    systems::COLUMN,
    "loss",
    "sent",
    "last_us",
    "avg_us",
    "best_us",
    "worst_us",
    "stddev_us",
];
/// Columns of the table of hops when it is over.
const WHOLE: [&str; 13] = [
    "hop",
    "address",
    systems::COLUMN,
    "loss",
    "sent",
    "last_us",
    "avg_us",
    "best_us",
    "worst_us",
    "stddev_us",
    "p95_us",
    "jitter_us",
    "note",
];

fn live(rows: &[MtrRow]) -> Vec<String> {
    let cells = |hop: &MtrRow| {
        let time = |micros: Option<u64>| Cell::of(micros.map(Cell::Micros));
        vec![
            u32::from(hop.ttl).into(),
            hop.address.map_or_else(|| "*".into(), |address| address.to_string().into()),
            Cell::of(systems::shown(&hop.asn)),
            Cell::Ratio(lost(hop.sent, hop.received)),
            hop.sent.into(),
            time(hop.last_us),
            time(hop.avg_us),
            time(hop.min_us),
            time(hop.max_us),
            time(hop.stddev_us),
        ]
    };
    for_people(&LIVE, rows.iter().map(cells).collect())
}

fn whole(findings: &MtrFindings) -> Vec<String> {
    let details = details(findings);
    for_people(details.columns, details.rows)
}

fn for_people(columns: &[&'static str], rows: Vec<Vec<Cell>>) -> Vec<String> {
    let (columns, rows) = systems::only_if_known(columns, rows);
    table(&columns, &rows)
}

fn hop_cells(hop: &MtrHop) -> Vec<Cell> {
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(hop.rtt.as_ref().map(|rtt| Cell::Micros(read(rtt))));
    vec![
        u32::from(hop.ttl).into(),
        who(&hop.addresses, hop.received).into(),
        systems::of_hop(&hop.addresses),
        Cell::Ratio(hop.loss),
        hop.sent.into(),
        Cell::of(hop.last_us.map(Cell::Micros)),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.max_us),
        time(|rtt| rtt.stddev_us),
        time(|rtt| rtt.p95_us),
        time(|rtt| rtt.jitter_us),
        note(hop).into(),
    ]
}

fn who(addresses: &[HopAddress], received: u32) -> String {
    let shown: Vec<String> = addresses
        .iter()
        .map(|found| found.name.clone().unwrap_or_else(|| found.address.to_string()))
        .collect();
    match shown.as_slice() {
        [] if received > 0 => "masked".to_owned(),
        [] => "*".to_owned(),
        some => some.join(","),
    }
}

fn note(hop: &MtrHop) -> String {
    let mut notes = Vec::new();
    if hop.received > 0 && hop.return_loss > 0.0 {
        notes.push(if hop.forward_loss > 0.0 { "loses on both ways" } else { "answers are lost" }.to_owned());
    }
    if hop.changes > 0 {
        notes.push(format!("{} changes", hop.changes));
    }
    if hop.nat {
        notes.push("NAT before it".to_owned());
    }
    notes.extend(hop.dscp.map(|dscp| format!("arrives with dscp {dscp}")));
    if !hop.mpls.is_empty() {
        let labels: Vec<String> = hop.mpls.iter().map(|entry| entry.label.to_string()).collect();
        notes.push(format!("MPLS {}", labels.join("/")));
    }
    notes.join(", ")
}

fn lost(sent: u32, received: u32) -> f64 {
    if sent == 0 {
        0.0
    } else {
        f64::from(sent.saturating_sub(received)) / f64::from(sent)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::probe::Paper;
    use super::*;

    const NAMES: Names<'static> = Names {
        target: "192.0.2.1",
        agent: "local",
        paper: Paper::Plain,
    };

    fn text(lines: Vec<Line>) -> String {
        lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_table_is_there_from_the_first_answer_on() {
        let mut view = MtrView::default();
        let row =
            json!({"ttl": 1, "address": "10.0.0.1", "sent": 1, "received": 1, "last_us": 310, "min_us": 310, "avg_us": 310, "max_us": 310, "stddev_us": 0});
        let hops = vec![
            serde_json::from_value(row).unwrap(),
            serde_json::from_value(json!({"ttl": 2, "sent": 1, "received": 0})).unwrap(),
        ];
        assert!(view.finding(&MtrEvent::Round { rounds: 0, hops }).is_empty());
        insta::assert_snapshot!(text(view.drawing(NAMES)), @r"
        --- 192.0.2.1 from local: 0 rounds ---
        HOP  ADDRESS      LOSS  SENT      LAST       AVG      BEST     WORST    STDDEV
          1  10.0.0.1    0.0 %     1  0.310 ms  0.310 ms  0.310 ms  0.310 ms  0.000 ms
          2  *         100.0 %     1         -         -         -         -         -
        ");
        assert_eq!(view.row().len(), COLUMNS.names.len());
    }

    #[test]
    fn at_the_end_it_has_everything_that_the_report_has() {
        let rtt = json!({"min_us": 310, "avg_us": 400, "max_us": 600, "stddev_us": 50, "p50_us": 390, "p95_us": 600, "p99_us": 600, "jitter_us": 21, "delay_variation_us": 12});
        let findings: MtrFindings = serde_json::from_value(json!({
            "address": "192.0.2.1", "protocol": "icmp", "flow": "paris", "rounds": 10, "end": "gap_limit", "reached": false, "path_hash": "00ff", "agent_drops": 0,
            "hops": [
                {"ttl": 1, "addresses": [{"address": "10.0.0.1", "answers": 9}, {"address": "10.0.0.2", "answers": 1}], "sent": 10, "received": 10, "loss": 0.0,
                 "forward_loss": 0.0, "return_loss": 0.0, "late": 0, "duplicates": 0, "changes": 2, "last_us": 390, "rtt": rtt,
                 "mpls": [{"label": 24_001, "traffic_class": 0, "bottom": true, "ttl": 1}], "nat": true, "dscp": 10},
                {"ttl": 2, "sent": 10, "received": 0, "loss": 1.0, "forward_loss": 1.0, "return_loss": 0.0, "late": 0, "duplicates": 0, "changes": 0},
            ],
        }))
        .unwrap();
        let mut view = MtrView::default();
        insta::assert_snapshot!(text(view.findings(NAMES, &findings)), @r"
        --- 192.0.2.1 from local: 10 rounds ---
        HOP  ADDRESS               LOSS  SENT      LAST       AVG      BEST     WORST    STDDEV       P95    JITTER  NOTE
          1  10.0.0.1,10.0.0.2    0.0 %    10  0.390 ms  0.400 ms  0.310 ms  0.600 ms  0.050 ms  0.600 ms  0.021 ms  2 changes, NAT before it, arrives with dscp 10, MPLS 24001
          2  *                  100.0 %    10         -         -         -         -         -         -         -
        the path ends before the target: gap_limit
        ");
        assert_eq!(view.row().len(), COLUMNS.names.len());
    }
}
