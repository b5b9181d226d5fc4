//! Who is on a link, as people read it: one line for each address that somebody has, the many for which nobody answered together, the numbers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use shared_protocol::event::NeighborEvent;
use shared_protocol::report::{AddressRun, NeighborFindings, NeighborResult, NeighborState, RoundTripStatistics};

use super::ping::{distribution, milliseconds, time};
use super::probe::{Columns, Details, Names, Paper};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct NeighborView {
    interface: Option<String>,
    source: Option<String>,
    /// How many were said to have each address when it was last shown.
    shown: BTreeMap<IpAddr, usize>,
    headed: bool,
    found: Option<Vec<Cell>>,
}

impl NeighborView {
    /// What is to be shown of a live finding: whoever is there, at once, and again where another says the same.
    pub(crate) fn finding(&mut self, names: Names<'_>, event: &NeighborEvent) -> Vec<Line> {
        match event {
            NeighborEvent::Link { interface, address, .. } => {
                self.interface = Some(interface.clone());
                self.source = Some(address.to_string());
                Vec::new()
            }
            NeighborEvent::Neighbor(result) => self.neighbor(names, result),
        }
    }

    /// What a report has beyond the live findings, then its numbers.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &NeighborFindings) -> Vec<Line> {
        self.found = Some(row(findings));
        let mut lines: Vec<Line> = findings.neighbors.iter().flat_map(|result| self.neighbor(names, result)).collect();
        if !findings.silent.is_empty() {
            lines.push(Line::plain(format!("nobody answered for {}", runs(findings.silent.iter()))));
        }
        if !findings.denied.is_empty() {
            let rules: Vec<&str> = findings.denied.iter().map(|denied| denied.rule.as_str()).collect();
            let denied = runs(findings.denied.iter().map(|denied| &denied.run));
            lines.push(Line::warning(format!("not asked for: {denied} ({})", distinct(&rules))));
        }
        lines.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let conflicts = self.shown.values().filter(|owners| **owners > 1).count();
            let mut row = vec![
                Cell::of(self.interface.as_ref()),
                Cell::of(self.source.as_ref()),
                Cell::Absent,
                (self.shown.len() - conflicts).into(),
                conflicts.into(),
            ];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn neighbor(&mut self, names: Names<'_>, result: &NeighborResult) -> Vec<Line> {
        let owners = usize::from(result.mac.is_some()) + result.others.len();
        if self.shown.insert(result.address, owners) == Some(owners) {
            return Vec::new();
        }
        let text = match names.paper {
            Paper::Plain => plain(result),
            Paper::Rows => columns([
                &result.address.to_string(),
                &macs(result),
                &time(result.rtt_us),
                &time(result.user_rtt_us),
                &result.tries.to_string(),
                &note(result),
            ]),
        };
        let heading = (names.paper == Paper::Rows && !std::mem::replace(&mut self.headed, true))
            .then(|| Line::plain(columns(["ADDRESS", "MAC", "RTT", "USER RTT", "TRIES", "STATE"])));
        let line = match result.state {
            NeighborState::Present | NeighborState::Own => Line::plain(text),
            NeighborState::Conflict | NeighborState::Unknown => Line::warning(text),
        };
        heading.into_iter().chain([line]).collect()
    }
}

/// The columns of asking a link.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "interface",
        "source",
        "addresses",
        "present",
        "conflicts",
        "silent",
        "own",
        "mac",
        "unknown",
        "denied",
        "sent",
        "rtt_min_us",
        "rtt_avg_us",
        "rtt_max_us",
        "user_rtt_avg_us",
        "vendor",
    ],
    shown: 8,
};

/// A report's findings under [`COLUMNS`]; `mac` and `vendor` where one address was asked for only, times by the kernel's clock, or where it gave none, by
/// that of user space.
pub(crate) fn row(findings: &NeighborFindings) -> Vec<Cell> {
    let statistics = &findings.statistics;
    let rtt = statistics.rtt.as_ref().or(statistics.user_rtt.as_ref());
    let time = |read: fn(&RoundTripStatistics) -> u64| Cell::of(rtt.map(|rtt| Cell::Micros(read(rtt))));
    let denied: u32 = findings.denied.iter().map(|denied| denied.run.count).fold(0, u32::saturating_add);
    let only = findings.neighbors.first().filter(|result| statistics.addresses == 1 && result.mac.is_some());
    vec![
        Cell::from(&findings.interface),
        findings.address.to_string().into(),
        statistics.addresses.into(),
        statistics.present.into(),
        statistics.conflicts.into(),
        statistics.silent.into(),
        statistics.own.into(),
        Cell::of(only.map(macs)),
        statistics.unknown.into(),
        denied.into(),
        statistics.sent.into(),
        time(|rtt| rtt.min_us),
        time(|rtt| rtt.avg_us),
        time(|rtt| rtt.max_us),
        Cell::of(statistics.user_rtt.as_ref().map(|rtt| Cell::Micros(rtt.avg_us))),
        Cell::of(only.and_then(vendors)),
    ]
}

/// The addresses of which something is known, one a row.
pub(super) fn details(findings: &NeighborFindings) -> Details {
    let row = |result: &NeighborResult| {
        vec![
            result.address.to_string().into(),
            word(&result.state).into(),
            macs(result).into(),
            Cell::of(vendors(result)),
            result.tries.into(),
            Cell::of(result.rtt_us.map(Cell::Micros)),
            Cell::of(result.user_rtt_us.map(Cell::Micros)),
            if result.router { "router".into() } else { Cell::Absent },
        ]
    };
    Details {
        columns: &["address", "state", "mac", "vendor", "tries", "rtt_us", "user_rtt_us", "router"],
        rows: findings.neighbors.iter().map(row).collect(),
    }
}

fn plain(result: &NeighborResult) -> String {
    let rtt = result.rtt_us.or(result.user_rtt_us).map(|rtt| format!(" rtt={} ms", milliseconds(rtt)));
    let user = result.user_rtt_us.map(|user| format!(" (user {} ms)", milliseconds(user)));
    let words: String = [rtt, user].into_iter().flatten().collect();
    let macs = if result.mac.is_some() {
        format!(" mac={}", macs(result))
    } else {
        String::new()
    };
    format!("{} {}{macs}{words}{}", word(&result.state), result.address, after(&remarks(result)))
}

fn columns([address, macs, rtt, user, tries, note]: [&str; 6]) -> String {
    let line = format!("{address:39}  {macs:17}  {rtt:>12}  {user:>12}  {tries:>5}  {note}");
    line.trim_end().to_owned()
}

/// Everybody who says to have the address.
fn macs(result: &NeighborResult) -> String {
    let all: Vec<String> = result.mac.iter().chain(&result.others).map(ToString::to_string).collect();
    all.join(",")
}

/// Who makes the interfaces that have the address, in the order of [`macs`], where that is known of any.
fn vendors(result: &NeighborResult) -> Option<String> {
    let others = result.other_vendors.iter().map(Option::as_deref);
    let all: Vec<Option<&str>> = std::iter::once(result.vendor.as_deref()).chain(others).collect();
    all.iter().any(Option::is_some).then(|| {
        let shown: Vec<&str> = all.iter().map(|vendor| vendor.unwrap_or("?")).collect();
        shown.join(" / ")
    })
}

fn note(result: &NeighborResult) -> String {
    format!("{}{}", word(&result.state), after(&remarks(result)))
}

fn remarks(result: &NeighborResult) -> Vec<String> {
    let router = result.router.then(|| "router".to_owned());
    vendors(result)
        .into_iter()
        .chain(router)
        .chain(result.code.map(|code| format!("not asked for, {}", word(&code))))
        .collect()
}

fn after(remarks: &[String]) -> String {
    if remarks.is_empty() {
        String::new()
    } else {
        format!(": {}", remarks.join(", "))
    }
}

/// Runs of addresses, as far as they fit on a line.
fn runs<'a>(runs: impl ExactSizeIterator<Item = &'a AddressRun>) -> String {
    let more = runs.len().saturating_sub(RUNS_SHOWN);
    let shown = runs.take(RUNS_SHOWN).map(|run| match (run.count, run.addresses().last()) {
        (0 | 1, _) | (_, None) => run.first.to_string(),
        (_, Some(last)) => format!("{} to {last}", run.first),
    });
    let mut shown: Vec<String> = shown.collect();
    if more > 0 {
        shown.push(format!("and {more} runs more"));
    }
    shown.join(", ")
}

fn distinct(rules: &[&str]) -> String {
    let mut rules = rules.to_vec();
    rules.sort_unstable();
    rules.dedup();
    rules.join(", ")
}

fn numbers(names: Names<'_>, findings: &NeighborFindings) -> Vec<Line> {
    let statistics = &findings.statistics;
    let counts = [
        (statistics.conflicts, "in conflict"),
        (statistics.own, "our own"),
        (statistics.unknown, "unknown"),
        (findings.agent_drops, "messages lost on the agent's host"),
    ];
    let told = counts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!(", {count} {what}"))
        .collect::<Vec<_>>()
        .concat();
    let mut lines = vec![
        format!("--- {} from {}: neighbours on {} ---", names.target, names.agent, findings.interface),
        format!("asked by {} ({})", findings.address, findings.mac),
        format!(
            "{} addresses: {} present, {} silent{told}; {} questions",
            statistics.addresses, statistics.present, statistics.silent, statistics.sent
        ),
    ];
    lines.extend(statistics.rtt.as_ref().map(|rtt| distribution("rtt (kernel)", rtt)));
    lines.extend(statistics.user_rtt.as_ref().map(|rtt| distribution("rtt (user)  ", rtt)));
    lines.into_iter().map(Line::plain).collect()
}

/// Runs of addresses that a line names.
const RUNS_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> NeighborFindings {
        let recorded: serde_json::Value = serde_json::from_str(include_str!("../../../shared-protocol/tests/golden/v1/probes/neighbor.json")).unwrap();
        serde_json::from_value(recorded["report"]["findings"].clone()).unwrap()
    }

    fn lines(lines: &[Line]) -> String {
        let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
        texts.join("\n")
    }

    fn names(paper: Paper) -> Names<'static> {
        Names {
            target: "192.0.2.0/28",
            agent: "local",
            paper,
        }
    }

    #[test]
    fn who_is_there_is_shown_once_a_conflict_again_and_silence_together() {
        let mut view = NeighborView::default();
        let findings = findings();
        let mut first = findings.neighbors[2].clone();
        (first.state, first.others) = (NeighborState::Present, Vec::new());
        for (result, shown) in [(&first, 1), (&first, 0), (&findings.neighbors[2], 1), (&findings.neighbors[0], 1)] {
            let event = NeighborEvent::Neighbor(Box::new(result.clone()));
            assert_eq!(view.finding(names(Paper::Plain), &event).len(), shown);
        }
        assert_eq!(view.row()[3..5].iter().map(Cell::bare).collect::<Vec<_>>(), ["1", "1"]);
        insta::assert_snapshot!(lines(&view.findings(names(Paper::Plain), &findings)), @r"
        own 192.0.2.2 mac=02:00:00:00:00:02
        unknown 192.0.2.14: not asked for, resource
        nobody answered for 192.0.2.4 to 192.0.2.12
        not asked for: 192.0.2.13 (deny_cidrs)
        --- 192.0.2.0/28 from local: neighbours on eth0 ---
        asked by 192.0.2.2 (02:00:00:00:00:02)
        13 addresses: 1 present, 9 silent, 1 in conflict, 1 our own, 1 unknown; 21 questions
        rtt (kernel) min/avg/max/stddev = 0.210/0.220/0.230/0.010 ms, p95 0.230 ms
        rtt (user)   min/avg/max/stddev = 0.290/0.300/0.310/0.010 ms, p95 0.310 ms
        ");
        let event = NeighborEvent::Neighbor(Box::new(findings.neighbors[2].clone()));
        insta::assert_snapshot!(lines(&NeighborView::default().finding(names(Paper::Plain), &event)), @"conflict 192.0.2.3 mac=02:00:00:00:00:03,00:00:5e:00:53:04 rtt=0.230 ms (user 0.310 ms): ? / ICANN, IANA Department, router");
        insta::assert_snapshot!(lines(&NeighborView::default().finding(names(Paper::Rows), &event)), @r"
        ADDRESS                                  MAC                         RTT      USER RTT  TRIES  STATE
        192.0.2.3                                02:00:00:00:00:03,00:00:5e:00:53:04      0.230 ms      0.310 ms      1  conflict: ? / ICANN, IANA Department, router
        ");
    }
}
