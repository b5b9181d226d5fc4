//! An observation as people read it: a table of what moved most, which on a terminal is drawn again while it changes.

use shared_protocol::event::{ObserveEvent, ObserveWindow};
use shared_protocol::report::{ObserveFindings, Seen, SelfCheck};

mod block;
mod calls;
mod connects;
mod custom;
mod datagrams;
mod dials;
mod drops;
mod executions;
mod files;
mod flows;
mod latencies;
mod memory;
mod packets;
mod questions;
mod retransmits;
mod stacks;
mod tls;
mod traffic;
mod tried;
mod waits;

use super::probe::{Columns, Details, Names};
use super::view::word;
use super::{Cell, Line, table};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct ObserveView {
    missing: Vec<String>,
    last: Option<Box<ObserveWindow>>,
    found: Option<Box<ObserveFindings>>,
}

impl ObserveView {
    /// Takes a live finding in; what it says is in the table.
    pub(crate) fn finding(&mut self, event: &ObserveEvent) -> Vec<Line> {
        match event {
            ObserveEvent::Started { missing, .. } => self.missing.clone_from(missing),
            ObserveEvent::Window(window) => self.last = Some(Box::new(ObserveWindow::clone(window))),
        }
        Vec::new()
    }

    /// The whole table with its heading.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &ObserveFindings) -> Vec<Line> {
        self.missing.clone_from(&findings.missing);
        self.found = Some(Box::new(findings.clone()));
        self.drawing(names)
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        match (&self.found, &self.last) {
            (Some(found), _) => row(found),
            (None, Some(window)) => cells(&window.seen, vec![("lost", window.lost.into()), ("windows", (window.seq + 1).into())]),
            (None, None) => vec![Cell::Absent; COLUMNS.names.len()],
        }
    }

    /// What was seen, with a heading.
    pub(crate) fn drawing(&self, names: Names<'_>) -> Vec<Line> {
        let (at_us, lost, seen) = match (&self.found, &self.last) {
            (Some(found), _) => (found.observed_us, found.lost, &found.seen),
            (None, Some(window)) => (window.at_us, window.lost, &window.seen),
            (None, None) => return vec![Line::plain(format!("--- {} on {}: waiting for the first look ---", names.target, names.agent))],
        };
        let heading = format!("--- {} on {}: {}.{} s ---", names.target, names.agent, at_us / 1_000_000, at_us / 100_000 % 10);
        let entries = shown(seen).table();
        let missing = self.missing.iter().map(|missing| Line::warning(format!("not seen: {missing}")));
        let lost = (lost > 0).then(|| Line::warning(format!("there was no room for {lost} things that the kernel saw; they are in no number")));
        let over = self.found.iter().filter_map(|found| found.over_budget.as_ref()).map(|over| {
            let became = if over.ended {
                "it ended early".to_owned()
            } else {
                format!("without {}", over.given_up.join(", "))
            };
            Line::warning(format!("took {} of a CPU, {} are allowed: {became}", over.share, over.budget))
        });
        let masked = self.found.iter().flat_map(|found| &found.masked);
        let masked = masked.map(|masked| Line::plain(format!("the owner hides: {}", word(masked))));
        let rows = (!entries.rows.is_empty()).then(|| table(entries.columns, &entries.rows));
        [heading, shown(seen).summary()]
            .into_iter()
            .chain(rows.into_iter().flatten())
            .chain(self.found.iter().filter_map(|found| found.tried.as_ref()).flat_map(tried::lines))
            .map(Line::plain)
            .chain(missing)
            .chain(lost)
            .chain(over)
            .chain(masked)
            .collect()
    }
}

/// The columns of an observation: how well it went, then what each kind has.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "flows",
        "opened",
        "closed",
        "failed",
        "sent_bytes",
        "received_bytes",
        "retransmits",
        "level",
        "self_check",
        "lost",
        "windows",
        "program_runs",
        "program_ns",
        "dropped",
        "waits",
        "wait_avg_us",
        "wait_max_us",
        "block_requests",
        "block_bytes",
        "block_avg_us",
        "block_max_us",
        "samples",
        "idle_samples",
        "offcpu_us",
        "page_faults",
        "reclaims",
        "reclaim_us",
        "killed",
        "executions",
        "ended",
        "refused",
        "file_opens",
        "dials",
        "timed_out",
        "unreachable",
        "given_up",
        "under_way",
        "calls",
        "packets",
        "bytes",
        "refused_datagrams",
        "questions",
        "unanswered",
        "answer_avg_us",
        "answer_max_us",
        "handshakes",
        "tls_reads",
        "tls_writes",
        "handshake_avg_us",
        "handshake_max_us",
        "entries",
        "events",
    ],
    shown: 7,
};

/// What was seen, in one line.
pub(crate) fn summary(findings: &ObserveFindings) -> String {
    shown(&findings.seen).summary()
}

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &ObserveFindings) -> Vec<Cell> {
    let check = match findings.self_check {
        SelfCheck::Passed => "yes",
        SelfCheck::Failed => "no",
        SelfCheck::Unknown => "unknown",
    };
    let mut how = vec![
        ("level", word(&findings.level).into()),
        ("self_check", check.into()),
        ("lost", findings.lost.into()),
        ("windows", findings.windows.into()),
    ];
    if let Some(cost) = findings.cost {
        how.extend([("program_runs", cost.runs.into()), ("program_ns", cost.run_ns.into())]);
    }
    cells(&findings.seen, how)
}

/// What an observation has to show.
trait Shown {
    /// Everything in one line.
    fn summary(&self) -> String;

    /// What goes under which of [`COLUMNS`].
    fn numbers(&self) -> Vec<(&'static str, Cell)>;

    /// What was seen, one entry a row.
    fn details(&self) -> Details;

    /// The same as far as people have room for it.
    fn table(&self) -> Details {
        self.details()
    }
}

fn shown(seen: &Seen) -> &dyn Shown {
    match seen {
        Seen::TcpFlows(seen) => seen,
        Seen::ConnectLatency(seen) => seen,
        Seen::Drops(seen) => seen,
        Seen::Retransmits(seen) => seen,
        Seen::Runqlat(seen) => seen,
        Seen::Biolatency(seen) => seen,
        Seen::Profile(seen) | Seen::Offcpu(seen) => seen,
        Seen::Memory(seen) => seen,
        Seen::Exec(seen) => seen,
        Seen::Files(seen) => seen,
        Seen::Connects(seen) => seen,
        Seen::Syscalls(seen) => seen,
        Seen::Packets(seen) => seen,
        Seen::Interface(seen) => seen,
        Seen::UdpFlows(seen) => seen,
        Seen::DnsLatency(seen) => seen,
        Seen::TlsLatency(seen) => seen,
        Seen::Custom(seen) => seen,
    }
}

/// What was seen, one entry a row.
pub(super) fn details(findings: &ObserveFindings) -> Details {
    findings.tried.as_ref().map_or_else(|| shown(&findings.seen).details(), tried::details)
}

fn cells(seen: &Seen, how: Vec<(&'static str, Cell)>) -> Vec<Cell> {
    let mut numbers = shown(seen).numbers();
    numbers.extend(how);
    let mut row = Vec::with_capacity(COLUMNS.names.len());
    for column in COLUMNS.names {
        let place = numbers.iter().position(|(name, _)| name == column);
        row.push(place.map_or(Cell::Absent, |place| numbers.swap_remove(place).1));
    }
    debug_assert!(numbers.is_empty(), "what has no column: {numbers:?}");
    row
}

#[cfg(test)]
mod tests {
    use super::super::probe::Paper;
    use super::*;

    fn recorded() -> ObserveView {
        let text = include_str!("../../../shared-protocol/tests/golden/v1/probes/observe.json");
        let recorded: serde_json::Value = serde_json::from_str(text).unwrap();
        let mut view = ObserveView::default();
        let names = Names {
            target: "tcp_flows",
            agent: "edge-1",
            paper: Paper::Plain,
        };
        assert_eq!(view.drawing(names).len(), 1);
        let findings: shared_protocol::report::Findings = serde_json::from_value(recorded["report"]["findings"].clone()).unwrap();
        let shared_protocol::report::Findings::Observe(findings) = findings else {
            panic!("another probe")
        };
        view.findings(names, &findings);
        view
    }

    #[test]
    fn what_was_seen_is_a_table_with_what_was_not_seen_below() {
        let names = Names {
            target: "tcp_flows",
            agent: "edge-1",
            paper: Paper::Plain,
        };
        let lines: Vec<String> = recorded().drawing(names).into_iter().map(|line| line.text).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        --- tcp_flows on edge-1: 2.0 s ---
        1 connections: 1 opened, 1 closed, 0 failed; 10 bytes sent, 20 received, 1 segments sent again
        COMMAND  LOCAL            REMOTE            STATE   SENT  RECEIVED      SRTT  RETRANSMITS
        curl/7   192.0.2.1:50000  198.51.100.0:443  closed    10        20  0.300 ms            1
        not seen: numbers of a connection between two changes of its state: tcp_probe does not attach
        there was no room for 3 things that the kernel saw; they are in no number
        took 1.6 % of a CPU, 1 % are allowed: without tcp_probe
        the owner hides: addresses
        ");
    }
}
