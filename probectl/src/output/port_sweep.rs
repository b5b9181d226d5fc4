//! A scan of the ports of many targets as people read it: the open ports, a line for each target that answered, the silent ones together, then
//! the numbers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use shared_protocol::event::PortProgress;
use shared_protocol::report::{PortResult, PortState, PortSweepFindings};

use super::port::{COLUMNS, cells, numbers_row, totals};
use super::probe::{Details, Names};
use super::view::word;
use super::{Cell, Line, ranges, sweep};

/// What is known so far, under the columns of a scan.
pub(super) fn so_far(progress: &PortProgress) -> Vec<Cell> {
    let mut row = vec![Cell::Absent; COLUMNS.names.len()];
    let known = [
        (0, Cell::from(format!("{}/{} targets", progress.finished, progress.targets))),
        (6, progress.asked.into()),
    ];
    for (column, value) in known {
        if let Some(cell) = row.get_mut(column) {
            *cell = value;
        }
    }
    row
}

/// A report's findings under the columns of a scan: its targets taken together.
pub(super) fn row(findings: &PortSweepFindings) -> Vec<Cell> {
    let totals = &findings.totals;
    let address = format!("{}/{} targets", totals.answered, totals.targets);
    numbers_row(address.into(), &totals.statistics, Cell::Absent)
}

/// The targets, as far as they fit on a screen, and the numbers.
pub(super) fn lines(names: Names<'_>, findings: &PortSweepFindings) -> Vec<Line> {
    let mut alike: BTreeMap<String, Vec<IpAddr>> = BTreeMap::new();
    let mut lines = Vec::new();
    for (place, (address, results)) in findings.results().enumerate() {
        let answered = results.iter().any(|result| matches!(result.state, PortState::Open | PortState::Closed));
        if answered && lines.len() < TARGETS_SHOWN {
            let name = findings.names.iter().find(|(at, _)| usize::try_from(*at) == Ok(place));
            let shown = name.map_or_else(|| address.to_string(), |(_, name)| format!("{name} ({address})"));
            lines.push(Line::plain(format!("{shown:39}  {}", states(&results))));
        } else {
            alike.entry(states(&results)).or_default().push(address);
        }
    }
    lines.extend(alike.iter().take(TARGETS_SHOWN).map(|(states, addresses)| {
        let first = addresses.first().map(ToString::to_string).unwrap_or_default();
        let more = addresses.len().saturating_sub(1);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Line::plain(format!("{first}{more}: {states}"))
    }));
    lines.extend(sweep::not_asked(&findings.denied, &findings.unresolved));
    lines.push(Line::plain(format!("--- {} from {}: ports of many targets ---", names.target, names.agent)));
    let counted = &findings.totals;
    let what = format!(
        "{} of {} targets answered; {} ports",
        counted.answered, counted.targets, counted.statistics.ports
    );
    lines.extend(totals(&what, &counted.statistics));
    lines
}

/// The ports of all targets, one a row.
pub(super) fn details(findings: &PortSweepFindings) -> Details {
    let rows = findings.results().flat_map(|(address, results)| {
        let row = move |result: &PortResult| std::iter::once(address.to_string().into()).chain(cells(result)).collect();
        results.iter().map(row).collect::<Vec<Vec<Cell>>>()
    });
    Details {
        columns: &["address", "port", "state", "reason", "tries", "rtt_us", "user_rtt_us", "from", "banner"],
        rows: rows.collect(),
    }
}

/// Which ports are in which state.
fn states(results: &[PortResult]) -> String {
    let mut ports: BTreeMap<PortState, Vec<u32>> = BTreeMap::new();
    for result in results {
        ports.entry(result.state).or_default().push(result.port.into());
    }
    let told = ports
        .into_iter()
        .map(|(state, ports)| format!("{} {}", word(&state), ranges(ports.into_iter(), ",")));
    told.collect::<Vec<_>>().join("; ")
}

/// Targets with a line of their own.
const TARGETS_SHOWN: usize = 256;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::port::PortView;
    use super::super::probe::Paper;
    use super::*;

    #[test]
    fn open_ports_come_first_then_who_answered_and_the_silent_together() {
        let silent = ["filtered", "filtered"];
        let states: Vec<&str> = [["open", "closed"], silent, silent, ["closed", "closed"]].concat();
        let reasons: Vec<&str> = states
            .iter()
            .map(|state| match *state {
                "open" => "connected",
                "closed" => "reset",
                _ => "silence",
            })
            .collect();
        let mut banners = vec![json!(null); 8];
        banners[0] = json!("220 mail\\r\\n");
        let findings: PortSweepFindings = serde_json::from_value(json!({
            "totals": {"targets": 4, "answered": 2, "ports": 8, "open": 1, "closed": 3, "filtered": 4, "unasked": 0, "sent": 12},
            "targets": [{"first": "10.0.0.1", "count": 4}],
            "ports": [25, 80],
            "columns": {"state": states, "reason": reasons, "tries": vec![1; 8], "banner": banners},
            "names": [[3, "d.test"]],
            "denied": [{"first": "10.0.0.9", "count": 2, "rule": "deny_cidrs"}]
        }))
        .unwrap();
        let names = Names {
            target: "10.0.0.0/28",
            agent: "local",
            paper: Paper::Plain,
        };
        let mut view = PortView::default();
        let lines: Vec<String> = view.sweep(names, &findings).into_iter().map(|line| line.text).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        open port=25 10.0.0.1: connected, says "220 mail\r\n"
        10.0.0.1                                 open 25; closed 80
        d.test (10.0.0.4)                        closed 25,80
        10.0.0.2 and 1 more: filtered 25,80
        not asked: 10.0.0.9 and the 1 after it (deny_cidrs)
        --- 10.0.0.0/28 from local: ports of many targets ---
        2 of 4 targets answered; 8 ports: 1 open, 3 closed, 4 filtered; 12 questions
        "#);
        assert_eq!(view.row()[..3].iter().map(Cell::bare).collect::<Vec<_>>(), ["2/4 targets", "8", "1"]);
        let details = details(&findings);
        assert_eq!((details.rows.len(), details.columns.len(), details.rows[0].len()), (8, 9, 9));
        assert_eq!((details.rows[7][0].bare(), details.rows[7][1].bare()), ("10.0.0.4".to_owned(), "80".to_owned()));
        let progress = PortProgress {
            targets: 4,
            finished: 1,
            planned: 16,
            asked: 5,
        };
        assert_eq!(
            (so_far(&progress)[0].bare(), so_far(&progress).len()),
            ("1/4 targets".to_owned(), COLUMNS.names.len())
        );
    }
}
