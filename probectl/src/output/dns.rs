//! A DNS answer as people read it: one line for each try, then the records as a zone file has them.

use std::collections::BTreeSet;

use shared_protocol::event::DnsEvent;
use shared_protocol::report::{DnsAnswer, DnsFindings, DnsFlags, DnsOutcome, DnsRecord, DnsTry};

use super::ping::milliseconds;
use super::probe::{Columns, Names};
use super::view::word;
use super::{Cell, Line};

/// What has been seen of one job.
#[derive(Debug, Default)]
pub(crate) struct DnsView {
    shown: BTreeSet<u32>,
    server: Option<String>,
    found: Option<Vec<Cell>>,
}

impl DnsView {
    /// What is to be shown of a live finding.
    pub(crate) fn finding(&mut self, event: &DnsEvent) -> Vec<Line> {
        match event {
            DnsEvent::Try(tried) => self.tried(tried),
        }
    }

    /// What a report has beyond the live findings, then its records.
    pub(crate) fn findings(&mut self, names: Names<'_>, findings: &DnsFindings) -> Vec<Line> {
        self.found = Some(row(findings));
        let tries: Vec<Line> = findings.tries.iter().flat_map(|tried| self.tried(tried)).collect();
        tries.into_iter().chain(answer(names, findings)).collect()
    }

    /// What is known so far under [`COLUMNS`].
    pub(crate) fn row(&self) -> Vec<Cell> {
        self.found.clone().unwrap_or_else(|| {
            let mut row = vec![Cell::of(self.server.as_ref())];
            row.resize(COLUMNS.names.len(), Cell::Absent);
            row
        })
    }

    fn tried(&mut self, tried: &DnsTry) -> Vec<Line> {
        self.server = Some(tried.server.to_string());
        if !self.shown.insert(tried.seq) {
            return Vec::new();
        }
        let text = told(tried);
        match tried.outcome {
            DnsOutcome::Answered | DnsOutcome::Truncated => vec![Line::plain(text)],
            DnsOutcome::Unanswered | DnsOutcome::Unreachable | DnsOutcome::Broken | DnsOutcome::Unsent => vec![Line::warning(text)],
        }
    }
}

/// The columns of a DNS probe.
pub(crate) const COLUMNS: Columns = Columns {
    names: &[
        "server",
        "rcode",
        "rtt_us",
        "answers",
        "last_answer",
        "transport",
        "user_rtt_us",
        "connect_us",
        "bytes",
        "tries",
        "tc_retried",
        "authoritative",
        "authentic",
        "nsid",
        "soa_serial",
    ],
    shown: 5,
};

/// A report's findings under [`COLUMNS`]; the time by the kernel's clock, or where it gave none, by that of user space.
pub(crate) fn row(findings: &DnsFindings) -> Vec<Cell> {
    let answer = findings.answer.as_ref();
    let server = answer.map(|answer| answer.server).or_else(|| findings.tries.last().map(|tried| tried.server));
    let flag = |read: fn(&DnsAnswer) -> bool| Cell::of(answer.map(|answer| if read(answer) { "yes" } else { "no" }));
    let time = |read: fn(&DnsAnswer) -> Option<u64>| Cell::of(answer.and_then(read).map(Cell::Micros));
    vec![
        Cell::of(server.map(|server| server.to_string())),
        Cell::of(answer.map(|answer| answer.rcode.as_str())),
        time(|answer| answer.rtt_us.or(answer.user_rtt_us)),
        Cell::of(answer.map(|answer| answer.answer.len())),
        Cell::of(answer.and_then(|answer| answer.answer.last()).map(|record| record.rdata.as_str())),
        Cell::of(answer.map(|answer| word(&answer.transport))),
        time(|answer| answer.user_rtt_us),
        time(|answer| answer.connect_us),
        Cell::of(answer.map(|answer| answer.bytes)),
        findings.tries.len().into(),
        flag(|answer| answer.tc_retried),
        flag(|answer| answer.flags.aa),
        flag(|answer| answer.flags.ad),
        Cell::of(answer.and_then(|answer| answer.edns.as_ref()?.nsid.as_deref())),
        Cell::of(answer.and_then(|answer| answer.soa_serial)),
    ]
}

fn told(tried: &DnsTry) -> String {
    let time = tried.rtt_us.or(tried.user_rtt_us).map(|rtt| format!(" in {} ms", milliseconds(rtt)));
    let code = tried.code.map(|code| format!(": {}", word(&code)));
    let passed = Some(tried.foreign + tried.malformed).filter(|count| *count > 0);
    let passed = passed.map(|count| format!(", {count} messages passed over"));
    let rest: String = [time, code, passed].into_iter().flatten().collect();
    format!("{} by {} over {}{rest}", word(&tried.outcome), tried.server, word(&tried.transport))
}

fn answer(names: Names<'_>, findings: &DnsFindings) -> Vec<Line> {
    let question = &findings.question;
    let asked = format!("{} {} {}", question.name, question.class, question.r#type);
    let Some(answer) = &findings.answer else {
        return vec![Line::plain(format!("--- {asked} from {}: no answer ---", names.agent))];
    };
    let mut lines = vec![
        format!("--- {asked} from {}: {} ---", names.agent, answer.rcode),
        format!("flags: {}; {}", flags(answer.flags), counts(answer)),
    ];
    lines.extend(answer.edns.iter().filter_map(|edns| edns.nsid.as_ref()).map(|nsid| format!("nsid: {nsid}")));
    let extended = answer.edns.iter().flat_map(|edns| &edns.ede);
    lines.extend(extended.map(|told| format!("extended error {}: {}", told.code, told.text).trim_end_matches(": ").to_owned()));
    for (name, records) in [("answer", &answer.answer), ("authority", &answer.authority), ("additional", &answer.additional)] {
        if !records.is_empty() {
            lines.push(format!("{name}:"));
            lines.extend(records.iter().map(record));
        }
    }
    lines.into_iter().map(Line::plain).collect()
}

fn record(record: &DnsRecord) -> String {
    format!("  {}  {}  {}  {}  {}", record.name, record.ttl, record.class, record.r#type, record.rdata)
}

fn flags(flags: DnsFlags) -> String {
    let DnsFlags { aa, tc, rd, ra, ad, cd } = flags;
    let all = [("aa", aa), ("tc", tc), ("rd", rd), ("ra", ra), ("ad", ad), ("cd", cd)];
    let set: Vec<&str> = all.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect();
    set.join(" ")
}

fn counts(answer: &DnsAnswer) -> String {
    let (answers, authorities, additionals) = answer.counts;
    let retried = if answer.tc_retried { "; cut over UDP, asked again over TCP" } else { "" };
    format!(
        "{answers} answer, {authorities} authority, {additionals} additional; {} bytes{retried}",
        answer.bytes
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::probe::Paper;

    #[test]
    fn tries_come_first_and_then_the_records() {
        let findings: DnsFindings = serde_json::from_value(json!({
            "question": {"name": "a.test", "type": "A", "class": "IN"},
            "tries": [
                {"seq": 0, "server": "192.0.2.53:53", "transport": "udp", "outcome": "unanswered", "rtt_us": null, "user_rtt_us": null, "query_bytes": 35, "foreign": 2, "code": "timeout"},
                {"seq": 1, "server": "192.0.2.53:53", "transport": "udp", "outcome": "answered", "rtt_us": 1234, "user_rtt_us": 1300, "query_bytes": 35, "bytes": 51},
            ],
            "answer": {
                "server": "192.0.2.53:53", "transport": "udp", "tc_retried": false, "rcode": "NOERROR",
                "flags": {"aa": false, "tc": false, "rd": true, "ra": true, "ad": true, "cd": false}, "rtt_us": 1234, "user_rtt_us": 1300, "bytes": 51,
                "answer": [{"name": "a.test", "type": "A", "class": "IN", "ttl": 60, "rdata": "192.0.2.9", "wire": "wAACCQ=="}],
                "authority": [], "additional": [], "counts": [1, 0, 1],
                "edns": {"version": 0, "udp_size": 1232, "do": false, "nsid": "ns1", "ede": [{"code": 3, "text": "stale"}]},
            },
        }))
        .unwrap();
        let (target, agent, paper) = ("a.test", "local", Paper::Plain);
        let mut view = DnsView::default();
        let first = view.finding(&DnsEvent::Try(Box::new(findings.tries[0].clone())));
        assert_eq!(first, [Line::warning("unanswered by 192.0.2.53:53 over udp: timeout, 2 messages passed over")]);
        let rest = view.findings(Names { target, agent, paper }, &findings);
        let rest: Vec<&str> = rest.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(
            rest,
            [
                "answered by 192.0.2.53:53 over udp in 1.234 ms",
                "--- a.test IN A from local: NOERROR ---",
                "flags: rd ra ad; 1 answer, 0 authority, 1 additional; 51 bytes",
                "nsid: ns1",
                "extended error 3: stale",
                "answer:",
                "  a.test  60  IN  A  192.0.2.9",
            ]
        );
        let shown: Vec<String> = view.row().iter().take(COLUMNS.shown).map(Cell::shown).collect();
        assert_eq!(shown, ["192.0.2.53:53", "NOERROR", "1.234 ms", "1", "192.0.2.9"]);
    }
}
