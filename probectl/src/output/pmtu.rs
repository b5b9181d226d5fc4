//! A search for the path MTU as people read it: one line for each length that is decided, then what passes and what keeps the rest away.

use std::collections::BTreeSet;
use std::net::IpAddr;

use shared_protocol::event::PmtuEvent;
use shared_protocol::report::{BlackHole, Claim, PmtuFindings, PmtuLength, TooBig};

use super::ping::milliseconds;
use super::probe::{Columns, Details, Names};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct PmtuView {
    address: Option<String>,
    shown: BTreeSet<u32>,
    longest: Option<u32>,
    found: Option<Vec<Cell>>,
}

impl PmtuView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, event: &PmtuEvent) -> Vec<Line> {
        match event {
            PmtuEvent::Resolved { address } => {
                self.address = Some(address.to_string());
                Vec::new()
            }
            PmtuEvent::Length(length) => self.length(length),
        }
    }

    /// What a report has beyond the live findings, then what passes.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &PmtuFindings) -> Vec<Line> {
        self.address = Some(findings.address.to_string());
        self.found = Some(row(findings));
        let lengths: Vec<Line> = findings.lengths.iter().flat_map(|length| self.length(length)).collect();
        lengths.into_iter().chain(numbers(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let mut row = vec![Cell::of(self.address.as_ref()), Cell::of(self.longest)];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn length(&mut self, length: &PmtuLength) -> Vec<Line> {
        if !self.shown.insert(length.bytes) {
            return Vec::new();
        }
        if length.passes {
            self.longest = self.longest.max(Some(length.bytes));
        }
        vec![Line::plain(told(length))]
    }
}

/// The columns of a search for the path MTU.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "address",
        "pmtu_bytes",
        "bound",
        "mss_bytes",
        "too_big_from",
        "claimed_bytes",
        "claim",
        "black_hole_after",
        "black_hole_before",
        "lengths",
        "protocol",
        "port",
    ],
    shown: 4,
};

/// A report's findings under [`COLUMNS`].
pub(crate) fn row(findings: &PmtuFindings) -> Vec<Cell> {
    let said = findings.too_big.last();
    let hole = findings.black_hole.as_ref();
    let place = |address: Option<IpAddr>| Cell::of(address.map(|address| address.to_string()));
    vec![
        findings.address.to_string().into(),
        Cell::of(findings.pmtu),
        word(&findings.bound).into(),
        Cell::of(findings.mss_hint),
        place(said.map(|said| said.from)),
        Cell::of(said.and_then(|said| said.claimed)),
        Cell::of(said.map(|said| word(&said.claim))),
        place(hole.and_then(|hole| hole.after)),
        place(hole.and_then(|hole| hole.before)),
        findings.lengths.len().into(),
        findings.protocol.as_str().into(),
        Cell::of(findings.port.map(u32::from)),
    ]
}

/// The lengths, one a row.
pub(crate) fn details(findings: &PmtuFindings) -> Details {
    let row = |length: &PmtuLength| {
        vec![
            length.bytes.into(),
            if length.passes { "yes" } else { "no" }.into(),
            length.sent.into(),
            length.answered.into(),
            length.too_big.into(),
            Cell::of(length.rtt_us.map(Cell::Micros)),
        ]
    };
    Details {
        columns: &["length_bytes", "passes", "sent", "answered", "too_big", "rtt_us"],
        rows: findings.lengths.iter().map(row).collect(),
    }
}

fn told(length: &PmtuLength) -> String {
    let bytes = length.bytes;
    match (length.passes, length.rtt_us) {
        (true, Some(rtt)) => format!("{bytes:>5} bytes pass, {} ms", milliseconds(rtt)),
        (true, None) => format!("{bytes:>5} bytes pass"),
        (false, _) if length.too_big > 0 => format!("{bytes:>5} bytes are too big for a router"),
        (false, _) if length.errno.is_some() => format!("{bytes:>5} bytes are too big for this host's interface"),
        (false, _) => format!("{bytes:>5} bytes vanish, {} sent", length.sent),
    }
}

fn numbers(names: Names<'_>, findings: &PmtuFindings) -> Vec<Line> {
    let address = findings.address.to_string();
    let shown = if names.target == address {
        address
    } else {
        format!("{} ({address})", names.target)
    };
    let mut lines = vec![Line::plain(format!("--- {shown} from {}: path MTU ---", names.agent))];
    match (findings.pmtu, findings.mss_hint) {
        (Some(bytes), Some(mss)) => lines.push(Line::plain(format!(
            "{bytes} bytes, bound: {}; TCP segments of {mss} bytes fit",
            word(&findings.bound)
        ))),
        (Some(bytes), None) => lines.push(Line::plain(format!("{bytes} bytes, bound: {}", word(&findings.bound)))),
        (None, _) => lines.push(Line::warning("no packet was answered")),
    }
    lines.extend(findings.too_big.iter().map(said));
    lines.extend(findings.black_hole.as_ref().map(hole));
    lines
}

fn said(said: &TooBig) -> Line {
    let hop = said.hop.map(|hop| format!(", hop {hop}")).unwrap_or_default();
    let claimed = said.claimed.map_or_else(|| "no length".to_owned(), |claimed| format!("{claimed} bytes"));
    let text = format!("{}{hop} claims {claimed} for packets of {}: {}", said.from, said.bytes, word(&said.claim));
    match said.claim {
        Claim::Holds | Claim::Untried => Line::plain(text),
        Claim::Wrong | Claim::Implausible => Line::warning(text),
    }
}

fn hole(hole: &BlackHole) -> Line {
    let place = |ttl: Option<u8>, address: Option<IpAddr>| match (ttl, address) {
        (Some(ttl), Some(address)) => format!("hop {ttl} ({address})"),
        (Some(ttl), None) => format!("hop {ttl}"),
        (None, Some(address)) => address.to_string(),
        (None, None) => "the target".to_owned(),
    };
    let after = hole.after_ttl.map_or_else(|| "this host".to_owned(), |ttl| place(Some(ttl), hole.after));
    Line::warning(format!(
        "packets of {} bytes vanish between {after} and {}",
        hole.bytes,
        place(hole.before_ttl, hole.before)
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::probe::Paper;
    use super::*;

    #[test]
    fn each_length_has_its_line_once_and_what_passes_comes_last() {
        let findings: PmtuFindings = serde_json::from_value(json!({
            "address": "192.0.2.1", "protocol": "icmp", "pmtu": 1400, "bound": "black_hole", "mss_hint": 1360, "agent_drops": 0,
            "lengths": [
                {"bytes": 576, "sent": 1, "answered": 1, "too_big": 0, "passes": true, "rtt_us": 2_040},
                {"bytes": 1400, "sent": 1, "answered": 1, "too_big": 0, "passes": true},
                {"bytes": 1401, "sent": 3, "answered": 0, "too_big": 0, "passes": false},
                {"bytes": 1500, "sent": 1, "answered": 0, "too_big": 1, "passes": false},
                {"bytes": 9216, "sent": 0, "answered": 0, "too_big": 0, "passes": false, "errno": 90},
            ],
            "too_big": [{"from": "10.0.0.2", "hop": 2, "claimed": 68, "bytes": 1500, "count": 1, "claim": "wrong"}],
            "black_hole": {"after_ttl": 2, "after": "10.0.0.2", "before_ttl": 3, "before": "10.0.0.3", "bytes": 1401},
        }))
        .unwrap();
        let mut view = PmtuView::default();
        let live = view.finding(&PmtuEvent::Length(findings.lengths[0].clone()));
        let text = |lines: Vec<Line>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
        assert_eq!(text(live), "  576 bytes pass, 2.040 ms");
        let names = Names {
            target: "192.0.2.1",
            agent: "local",
            paper: Paper::Plain,
        };
        insta::assert_snapshot!(text(view.findings(names, &findings)), @r"
         1400 bytes pass
         1401 bytes vanish, 3 sent
         1500 bytes are too big for a router
         9216 bytes are too big for this host's interface
        --- 192.0.2.1 from local: path MTU ---
        1400 bytes, bound: black_hole; TCP segments of 1360 bytes fit
        10.0.0.2, hop 2 claims 68 bytes for packets of 1500: wrong
        packets of 1401 bytes vanish between hop 2 (10.0.0.2) and hop 3 (10.0.0.3)
        ");
        assert_eq!(view.row().len(), COLUMNS.names.len());
    }
}
