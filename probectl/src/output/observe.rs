//! An observation as people read it: a table of what moved most, which on a terminal is drawn again while it changes.

use shared_protocol::event::{ObserveEvent, ObserveWindow};
use shared_protocol::report::{DroppedPackets, ObserveFindings, Seen, SelfCheck};

mod connects;
mod flows;
mod latencies;
mod retransmits;

use super::probe::{Columns, Details, Names};
use super::view::word;
use super::{Cell, Line, table};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct ObserveView {
    missing: Vec<String>,
    last: Option<ObserveWindow>,
    found: Option<ObserveFindings>,
}

impl ObserveView {
    /// Takes a live finding in; what it says is in the table.
    pub(crate) fn finding(&mut self, event: &ObserveEvent) -> Vec<Line> {
        match event {
            ObserveEvent::Started { missing, .. } => self.missing.clone_from(missing),
            ObserveEvent::Window(window) => self.last = Some(ObserveWindow::clone(window)),
        }
        Vec::new()
    }

    /// The whole table with its heading.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &ObserveFindings) -> Vec<Line> {
        self.missing.clone_from(&findings.missing);
        self.found = Some(findings.clone());
        self.drawing(names)
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        match (&self.found, &self.last) {
            (Some(found), _) => row(found),
            (None, Some(window)) => cells(&window.seen, [Cell::Absent, Cell::Absent, window.lost.into(), (window.seq + 1).into()], None),
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
        let (columns, rows) = shown(seen);
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
        [heading, summary(seen)]
            .into_iter()
            .chain(table(columns, &rows))
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
    ],
    shown: 7,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &ObserveFindings) -> Vec<Cell> {
    let check = match findings.self_check {
        SelfCheck::Passed => "yes",
        SelfCheck::Failed => "no",
    };
    cells(
        &findings.seen,
        [word(&findings.level).into(), check.into(), findings.lost.into(), findings.windows.into()],
        findings.cost.map(|cost| (cost.runs, cost.run_ns)),
    )
}

fn cells(seen: &Seen, how: [Cell; 4], cost: Option<(u64, u64)>) -> Vec<Cell> {
    let mut row = match seen {
        Seen::TcpFlows(seen) => flows::totals(&seen.totals),
        Seen::ConnectLatency(seen) => vec![Cell::Absent, seen.totals.established.into(), Cell::Absent, seen.totals.failed.into()],
        Seen::Retransmits(seen) => {
            let mut row = vec![Cell::Absent; FLOW_COLUMNS - 1];
            row.push(seen.segments.into());
            row
        }
        Seen::Drops(_) | Seen::Runqlat(_) => Vec::new(),
    };
    row.resize(FLOW_COLUMNS, Cell::Absent);
    row.extend(how);
    row.extend([Cell::of(cost.map(|(runs, _)| runs)), Cell::of(cost.map(|(_, run_ns)| run_ns))]);
    row.push(match seen {
        Seen::Drops(seen) => seen.packets.into(),
        Seen::TcpFlows(_) | Seen::ConnectLatency(_) | Seen::Retransmits(_) | Seen::Runqlat(_) => Cell::Absent,
    });
    row.extend(match seen {
        Seen::Runqlat(seen) => [
            seen.waits.into(),
            Cell::of(seen.latencies.as_ref().map(|latencies| Cell::Micros(latencies.avg_us))),
            Cell::of(seen.latencies.as_ref().map(|latencies| Cell::Micros(latencies.max_us))),
        ],
        Seen::TcpFlows(_) | Seen::ConnectLatency(_) | Seen::Drops(_) | Seen::Retransmits(_) => [Cell::Absent, Cell::Absent, Cell::Absent],
    });
    row
}

/// Columns that are about connections.
const FLOW_COLUMNS: usize = 7;

/// What was seen, one entry a row.
pub(super) fn details(findings: &ObserveFindings) -> Details {
    match &findings.seen {
        Seen::TcpFlows(seen) => Details {
            columns: &flows::COLUMNS,
            rows: seen.flows.iter().map(flows::row).collect(),
        },
        Seen::ConnectLatency(seen) => Details {
            columns: &connects::COLUMNS,
            rows: seen.connects.iter().map(connects::row).collect(),
        },
        Seen::Drops(seen) => Details {
            columns: DROPS,
            rows: seen.reasons.iter().map(dropped).collect(),
        },
        Seen::Retransmits(seen) => Details {
            columns: &retransmits::COLUMNS,
            rows: seen.flows.iter().map(retransmits::row).collect(),
        },
        Seen::Runqlat(seen) => Details {
            columns: &latencies::COLUMNS,
            rows: seen.latencies.iter().flat_map(latencies::rows).collect(),
        },
    }
}

/// The same as far as people have room for it.
fn shown(seen: &Seen) -> (&'static [&'static str], Vec<Vec<Cell>>) {
    match seen {
        Seen::TcpFlows(seen) => (&flows::SHOWN, seen.flows.iter().map(flows::shown).collect()),
        Seen::ConnectLatency(seen) => (
            connects::SHOWN,
            seen.connects
                .iter()
                .map(|one| connects::row(one).into_iter().take(connects::SHOWN.len()).collect())
                .collect(),
        ),
        Seen::Drops(seen) => (DROPS, seen.reasons.iter().map(dropped).collect()),
        Seen::Retransmits(seen) => (&retransmits::COLUMNS, seen.flows.iter().map(retransmits::row).collect()),
        Seen::Runqlat(seen) => (&latencies::SHOWN, seen.latencies.iter().flat_map(latencies::shown).collect()),
    }
}

fn dropped(dropped: &DroppedPackets) -> Vec<Cell> {
    vec![dropped.reason.as_str().into(), dropped.packets.into()]
}

const DROPS: &[&str] = &["reason", "packets"];

fn summary(seen: &Seen) -> String {
    match seen {
        Seen::TcpFlows(seen) => flows::summary(&seen.totals),
        Seen::ConnectLatency(seen) => connects::summary(&seen.totals),
        Seen::Drops(seen) => format!("{} packets dropped", seen.packets),
        Seen::Retransmits(seen) => retransmits::summary(seen),
        Seen::Runqlat(seen) => latencies::summary(seen.waits, "waits for a CPU", seen.latencies.as_ref()),
    }
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
