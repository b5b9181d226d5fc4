//! A traceroute as people read it: one line for each hop, in the order of the path, then where it ends.

use std::collections::BTreeSet;

use shared_protocol::event::TracerouteEvent;
use shared_protocol::report::{HopAddress, HopReply, HopState, Rewritten, RoundTripStatistics, TcpReply, TracerouteFindings, TracerouteHop};

use super::ping::{distribution, milliseconds};
use super::probe::{Columns, Details, Names};
use super::view::word;
use super::{Cell, Line, systems};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct TracerouteView {
    address: Option<String>,
    shown: BTreeSet<u8>,
    found: Option<Vec<Cell>>,
}

impl TracerouteView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, event: &TracerouteEvent) -> Vec<Line> {
        match event {
            TracerouteEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            TracerouteEvent::Hop(hop) => self.hop(hop),
        }
    }

    /// What a report has beyond the live findings, then where the path ends.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &TracerouteFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let hops: Vec<Line> = findings.hops.iter().flat_map(|hop| self.hop(hop)).collect();
        hops.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let mut row = vec![Cell::of(self.address.as_ref()), Cell::Absent, self.shown.len().into()];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn hop(&mut self, hop: &TracerouteHop) -> Vec<Line> {
        if !self.shown.insert(hop.ttl) {
            return Vec::new();
        }
        let line = hop_line(hop);
        let refused = hop.replies.iter().any(|reply| reply.code.is_some() && mark(reply).is_some());
        vec![if refused { Line::warning(line) } else { Line::plain(line) }]
    }
}

/// The columns of a traceroute.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "reached",
        "hops",
        "loss",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "end",
        "protocol",
        "port",
        "flow",
        "silent_hops",
        "shared_hops",
        "path_hash",
        "as_path",
    ],
    shown: 7,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &TracerouteFindings) -> Vec<Cell> {
    let end = findings.end_to_end.as_ref();
    let rtt = end.and_then(|end| end.rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    let count = |is: fn(&TracerouteHop) -> bool| Cell::from(findings.hops.iter().filter(|hop| is(hop)).count());
    vec![
        findings.address.to_string().into(),
        if findings.reached { "yes" } else { "no" }.into(),
        findings.hops.len().into(),
        Cell::of(end.map(|end| Cell::Ratio(end.loss))),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        word(&findings.end).into(),
        findings.protocol.as_str().into(),
        Cell::of(findings.port.map(u32::from)),
        findings.flow.as_str().into(),
        count(|hop| hop.state == HopState::Silent),
        count(|hop| hop.addresses.len() > 1),
        findings.path_hash.as_str().into(),
        systems::path(&findings.as_path),
    ]
}

/// The hops, one a row.
pub(crate) fn details(findings: &TracerouteFindings) -> Details {
    let row = |hop: &TracerouteHop| {
        let times: Vec<u64> = hop
            .replies
            .iter()
            .filter(|reply| !reply.duplicate && !reply.late)
            .filter_map(|reply| reply.rtt_us.or(reply.user_rtt_us))
            .collect();
        let marks = hop.replies.iter().find_map(mark);
        vec![
            u32::from(hop.ttl).into(),
            who(hop).into(),
            systems::of_hop(&hop.addresses),
            hop.sent.into(),
            hop.received.into(),
            Cell::of(times.iter().min().copied().map(Cell::Micros)),
            Cell::of(times.iter().max().copied().map(Cell::Micros)),
            marks.into_iter().chain(notes(hop)).collect::<Vec<_>>().join(", ").into(),
        ]
    };
    Details {
        columns: &["hop", "address", systems::COLUMN, "sent", "received", "best_us", "worst_us", "note"],
        rows: findings.hops.iter().map(row).collect(),
    }
}

fn who(hop: &TracerouteHop) -> String {
    answered(hop, named)
}

/// The addresses that answer for a hop, each in such words.
fn answered(hop: &TracerouteHop, shown: impl Fn(&HopAddress) -> String) -> String {
    let who: Vec<String> = hop.addresses.iter().map(shown).collect();
    match who.as_slice() {
        [] if hop.received > 0 => "masked".to_owned(),
        [] => "*".to_owned(),
        some => some.join(", "),
    }
}

fn named(found: &HopAddress) -> String {
    match &found.name {
        Some(name) => format!("{name} ({})", found.address),
        None => found.address.to_string(),
    }
}

fn hop_line(hop: &TracerouteHop) -> String {
    let who = answered(hop, |found| {
        let systems = systems::shown(&found.asn).map(|systems| format!(" [{systems}]"));
        format!("{}{}", named(found), systems.unwrap_or_default())
    });
    let times: Vec<String> = hop.replies.iter().filter(|reply| !reply.duplicate).map(timed).collect();
    let notes = notes(hop).join(", ");
    let line = format!("{:>3}  {who:15}  {}  {notes}", hop.ttl, times.join("  "));
    line.trim_end().to_owned()
}

fn timed(reply: &HopReply) -> String {
    let time = reply
        .rtt_us
        .or(reply.user_rtt_us)
        .map_or_else(|| "-".to_owned(), |rtt| format!("{} ms", milliseconds(rtt)));
    let late = if reply.late { " late" } else { "" };
    let mark = mark(reply).map(|mark| format!(" {mark}")).unwrap_or_default();
    format!("{time}{late}{mark}")
}

/// The mark by which traceroute has always shown that a hop refuses to forward.
fn mark(reply: &HopReply) -> Option<String> {
    let (kind, code) = reply.icmp_error?;
    let v6 = reply.from.is_some_and(|from| from.is_ipv6());
    let mark = match (v6, kind, code) {
        (false, 11, _) | (true, 3, _) | (false, 3, 3) | (true, 1, 4) => return None,
        (false, 3, 0 | 6 | 11) | (true, 1, 0) => "!N",
        (false, 3, 1 | 7 | 8 | 12) | (true, 1, 3) => "!H",
        (false, 3, 2) | (true, 4, 1) => "!P",
        (false, 3, 4) | (true, 2, _) => "!F",
        (false, 3, 5) => "!S",
        (false, 3, 9 | 10 | 13) | (true, 1, 1 | 5 | 6) => "!X",
        (false, 3, 14) => "!V",
        (false, 3, 15) => "!C",
        _ => return Some(format!("!<{kind}/{code}>")),
    };
    Some(mark.to_owned())
}

fn notes(hop: &TracerouteHop) -> Vec<String> {
    let mut notes = Vec::new();
    match hop.state {
        HopState::RateLimited => notes.push(format!("answers {} of {}, rate limited", hop.received, hop.sent)),
        HopState::Lossy => notes.push(format!("answers {} of {}", hop.received, hop.sent)),
        HopState::Unsent => notes.push("not asked".to_owned()),
        HopState::Answered | HopState::Silent => {}
    }
    let labels = hop
        .replies
        .iter()
        .rev()
        .filter_map(|reply| reply.extensions.as_ref())
        .find(|found| !found.mpls.is_empty());
    if let Some(found) = labels {
        let labels: Vec<String> = found.mpls.iter().map(|entry| entry.label.to_string()).collect();
        notes.push(format!("MPLS {}", labels.join("/")));
    }
    let interface = hop
        .replies
        .iter()
        .rev()
        .filter_map(|reply| reply.extensions.as_ref())
        .find_map(|found| found.interfaces.first());
    notes.extend(interface.and_then(|interface| interface.name.as_ref()).map(|name| format!("interface {name}")));
    let quotes: Vec<_> = hop.replies.iter().filter_map(|reply| reply.quoted.as_ref()).collect();
    let arrives_with = |what: Rewritten| quotes.iter().find(|quote| quote.rewritten.contains(&what));
    let translated = [Rewritten::Source, Rewritten::Destination, Rewritten::SourcePort, Rewritten::DestinationPort];
    if translated.into_iter().any(|what| arrives_with(what).is_some()) {
        notes.push("NAT before it".to_owned());
    }
    notes.extend(arrives_with(Rewritten::Dscp).map(|quote| format!("arrives with dscp {}", quote.dscp)));
    let tcp = hop.replies.iter().find_map(|reply| reply.tcp);
    notes.extend(tcp.map(|answer| match answer {
        TcpReply::SynAck => "port open".to_owned(),
        TcpReply::Reset => "port closed".to_owned(),
    }));
    let duplicates = hop.replies.iter().filter(|reply| reply.duplicate).count();
    notes.extend((duplicates > 0).then(|| format!("{duplicates} duplicates")));
    notes
}

fn numbers(names: Names<'_>, findings: &TracerouteFindings) -> Vec<Line> {
    let address = findings.address.to_string();
    let shown = if names.target == address {
        address
    } else {
        format!("{} ({address})", names.target)
    };
    let port = findings.port.map(|port| format!(" port {port}")).unwrap_or_default();
    let (agent, protocol) = (names.agent, findings.protocol.as_str());
    let hops = match findings.hops.len() {
        1 => "1 hop".to_owned(),
        many => format!("{many} hops"),
    };
    let mut lines = vec![
        format!("--- {shown} from {agent}: path by {protocol}{port} ---"),
        format!("{hops}, {}, path {}", word(&findings.end), findings.path_hash),
    ];
    let addresses = findings.hops.iter().flat_map(|hop| &hop.addresses);
    lines.extend(systems::line(&findings.as_path, addresses));
    for hop in findings.hops.iter().filter(|hop| hop.state == HopState::RateLimited) {
        lines.push(format!(
            "hop {} answers so many in a time and no more: {} of {}, the last after a pause",
            hop.ttl, hop.received, hop.sent
        ));
    }
    if let Some(circle) = findings.circle {
        lines.push(format!("packets go in circles of {} hops from hop {} on", circle.hops, circle.first_ttl));
    }
    if let Some(end) = &findings.end_to_end {
        lines.push(format!(
            "{} sent to the target, {} answered, {:.1} % lost",
            end.sent,
            end.received,
            end.loss * 100.0
        ));
        lines.extend(end.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
    }
    lines.into_iter().map(Line::plain).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::probe::Paper;
    use super::*;

    fn findings() -> TracerouteFindings {
        let reply = |query: u32, from: &str, rtt: u64| json!({"query": query, "from": from, "rtt_us": rtt, "user_rtt_us": rtt + 9, "icmp_error": [11, 0]});
        let mut labelled = reply(0, "10.0.0.2", 1_900);
        labelled["extensions"] = json!({"mpls": [{"label": 24_001, "traffic_class": 0, "bottom": true, "ttl": 1}]});
        labelled["quoted"] = json!({"ttl": 1, "dscp": 0, "ecn": 0, "bytes": 60, "quoted_bytes": 28, "checksum_ok": true, "rewritten": ["source"]});
        let mut refused = reply(0, "10.0.0.4", 2_000);
        refused["icmp_error"] = json!([3, 13]);
        refused["code"] = json!("unreachable_admin");
        serde_json::from_value(json!({
            "address": "192.0.2.1", "protocol": "udp", "port": 33_434, "flow": "paris",
            "hops": [
                {"ttl": 1, "state": "answered", "sent": 2, "received": 2, "addresses": [{"address": "10.0.0.1", "answers": 2, "name": "gate.test"}],
                 "replies": [reply(0, "10.0.0.1", 310), reply(1, "10.0.0.1", 295)]},
                {"ttl": 2, "state": "rate_limited", "sent": 3, "received": 2,
                 "addresses": [{"address": "10.0.0.2", "answers": 1, "asn": [64_500], "as_name": "Example", "prefix": "10.0.0.0/8"}, {"address": "10.0.0.3", "answers": 1, "asn": [64_501, 64_502]}],
                 "replies": [labelled, reply(1, "10.0.0.3", 1_800)]},
                {"ttl": 3, "state": "silent", "sent": 2, "received": 0},
                {"ttl": 4, "state": "answered", "sent": 1, "received": 1, "addresses": [{"address": "10.0.0.4", "answers": 1}], "replies": [refused]},
            ],
            "end": "unreachable", "reached": false, "path_hash": "00ff", "as_path": [[64_500]], "agent_drops": 0,
        }))
        .unwrap()
    }

    #[test]
    fn each_hop_has_its_line_once_and_where_the_path_ends_comes_last() {
        let mut view = TracerouteView::default();
        let names = Names {
            target: "example.test",
            agent: "local",
            paper: Paper::Plain,
        };
        let findings = findings();
        let live = view.finding(&TracerouteEvent::Hop(Box::new(findings.hops[0].clone())));
        let lines = |lines: Vec<Line>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
        assert_eq!(lines(live), "  1  gate.test (10.0.0.1)  0.310 ms  0.295 ms");
        insta::assert_snapshot!(lines(view.findings(names, &findings)), @r"
          2  10.0.0.2 [AS64500], 10.0.0.3 [AS64501/AS64502]  1.900 ms  1.800 ms  answers 2 of 3, rate limited, MPLS 24001, NAT before it
          3  *
          4  10.0.0.4         2.000 ms !X
        --- example.test (192.0.2.1) from local: path by udp port 33434 ---
        4 hops, unreachable, path 00ff
        systems on the way: AS64500 Example
        hop 2 answers so many in a time and no more: 2 of 3, the last after a pause
        ");
        assert_eq!(view.row().len(), COLUMNS.names.len());
        assert_eq!(view.row().last().map(Cell::bare).as_deref(), Some("AS64500"));
        let details = details(&findings);
        let systems: Vec<String> = details.rows.iter().map(|row| row[2].shown()).collect();
        assert_eq!(
            (details.columns[2], systems),
            ("as", ["-", "AS64500,AS64501/AS64502", "-", "-"].map(str::to_owned).into())
        );
    }

    #[test]
    fn refusals_have_the_marks_of_old() {
        for (from, error, expected) in [
            ("10.0.0.1", (3, 0), Some("!N")),
            ("10.0.0.1", (3, 1), Some("!H")),
            ("10.0.0.1", (3, 2), Some("!P")),
            ("10.0.0.1", (3, 3), None),
            ("10.0.0.1", (3, 4), Some("!F")),
            ("10.0.0.1", (3, 13), Some("!X")),
            ("10.0.0.1", (3, 99), Some("!<3/99>")),
            ("10.0.0.1", (11, 0), None),
            ("fd00::1", (3, 0), None),
            ("fd00::1", (1, 0), Some("!N")),
            ("fd00::1", (1, 1), Some("!X")),
            ("fd00::1", (1, 3), Some("!H")),
            ("fd00::1", (1, 4), None),
            ("fd00::1", (2, 0), Some("!F")),
        ] {
            let reply = serde_json::from_value(json!({"query": 0, "from": from, "rtt_us": 1, "user_rtt_us": 1, "icmp_error": error})).unwrap();
            assert_eq!(mark(&reply).as_deref(), expected, "{from} {error:?}");
        }
    }
}
