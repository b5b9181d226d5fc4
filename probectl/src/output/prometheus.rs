//! Numbers in the text format of Prometheus, version 0.0.4: for a textfile collector, or to compare with what other probers say.

use std::fmt::Write;

use super::{Cell, printable};

/// What a row is about.
#[derive(Debug, Clone)]
pub(crate) struct Subject<'a> {
    pub(crate) probe: &'a str,
    pub(crate) target: &'a str,
    pub(crate) agent: &'a str,
}

/// Every number of the rows under its column, once with its type and then for each row; text is left out. Times are seconds, as is usual there.
pub(crate) fn prometheus(probe: &str, columns: &[&str], rows: &[(Subject<'_>, Vec<Cell>)]) -> String {
    let mut text = String::new();
    for (place, column) in columns.iter().enumerate() {
        let name = name(probe, column);
        let mut samples = String::new();
        for (subject, row) in rows {
            if let Some(value) = row.get(place).and_then(|cell| value((probe, column), cell)) {
                let _cannot_fail = writeln!(samples, "{name}{} {value}", labels(subject));
            }
        }
        if !samples.is_empty() {
            let _cannot_fail = write!(text, "# TYPE {name} gauge\n{samples}");
        }
    }
    text
}

/// The columns that every prober of this kind has are called as everybody calls them.
fn name(probe: &str, column: &str) -> String {
    match (probe, column) {
        (_, "status") => "probe_success".to_owned(),
        (_, "duration_us") => "probe_duration_seconds".to_owned(),
        ("ping", "sent") => "probe_icmp_packets_sent_count".to_owned(),
        ("ping", "received") => "probe_icmp_packets_received_count".to_owned(),
        ("ping", "rtt_min_us") => "probe_icmp_duration_rtt_min_seconds".to_owned(),
        ("ping", "rtt_max_us") => "probe_icmp_duration_rtt_max_seconds".to_owned(),
        ("ping", "rtt_stddev_us") => "probe_icmp_duration_rtt_stddev_seconds".to_owned(),
        ("traceroute", "hops") => "probe_traceroute_total_hops".to_owned(),
        ("traceroute", "loss") => "probe_traceroute_packet_loss_percent".to_owned(),
        ("http", "http_status") => "probe_http_status_code".to_owned(),
        ("http", "redirects") => "probe_http_redirects".to_owned(),
        ("dns", "rtt_us") => "probe_dns_lookup_time_seconds".to_owned(),
        ("dns", "answers") => "probe_dns_answer_rrs".to_owned(),
        ("dns", "soa_serial") => "probe_dns_serial".to_owned(),
        (probe, column) => match column.strip_suffix("_us") {
            Some(bare) => format!("probeops_{probe}_{bare}_seconds"),
            None => format!("probeops_{probe}_{column}"),
        },
    }
}

fn value((probe, column): (&str, &str), cell: &Cell) -> Option<String> {
    match cell {
        Cell::Micros(micros) => Some(seconds(*micros)),
        // Its name says percent.
        Cell::Ratio(ratio) if (probe, column) == ("traceroute", "loss") => Some((ratio * 100.0).to_string()),
        Cell::Number(_) | Cell::Unlimited(_) | Cell::Signed(_) | Cell::Ratio(_) => Some(cell.bare()),
        Cell::Text(text) => match (column, text.as_str()) {
            ("status", "ok" | "degraded") | (_, "yes") => Some("1".to_owned()),
            ("status", _) | (_, "no") => Some("0".to_owned()),
            _ => None,
        },
        Cell::Absent => None,
    }
}

/// Microseconds as seconds, without losing one.
fn seconds(micros: u64) -> String {
    format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn labels(subject: &Subject<'_>) -> String {
    let (probe, target, agent) = (escaped(subject.probe), escaped(subject.target), escaped(subject.agent));
    format!("{{probe=\"{probe}\",target=\"{target}\",agent=\"{agent}\"}}")
}

/// No text leaves its quotes.
fn escaped(text: &str) -> String {
    printable(text).replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_names_that_others_know() {
        let subject = |agent| Subject {
            probe: "traceroute",
            target: "192.0.2.1",
            agent,
        };
        let columns = ["status", "duration_us", "address", "reached", "hops", "loss", "rtt_avg_us"];
        let row = |status: &str, rtt| {
            vec![
                status.into(),
                Cell::Micros(1_500_000),
                "192.0.2.1".into(),
                "yes".into(),
                Cell::Number(8),
                Cell::Ratio(0.25),
                rtt,
            ]
        };
        let rows = [
            (subject("eu"), row("ok", Cell::Micros(21_042))),
            (subject("a\"\\\n{x"), row("timeout", Cell::Absent)),
        ];
        insta::assert_snapshot!(prometheus("traceroute", &columns, &rows), @r#"
        # TYPE probe_success gauge
        probe_success{probe="traceroute",target="192.0.2.1",agent="eu"} 1
        probe_success{probe="traceroute",target="192.0.2.1",agent="a\"\\{x"} 0
        # TYPE probe_duration_seconds gauge
        probe_duration_seconds{probe="traceroute",target="192.0.2.1",agent="eu"} 1.500000
        probe_duration_seconds{probe="traceroute",target="192.0.2.1",agent="a\"\\{x"} 1.500000
        # TYPE probeops_traceroute_reached gauge
        probeops_traceroute_reached{probe="traceroute",target="192.0.2.1",agent="eu"} 1
        probeops_traceroute_reached{probe="traceroute",target="192.0.2.1",agent="a\"\\{x"} 1
        # TYPE probe_traceroute_total_hops gauge
        probe_traceroute_total_hops{probe="traceroute",target="192.0.2.1",agent="eu"} 8
        probe_traceroute_total_hops{probe="traceroute",target="192.0.2.1",agent="a\"\\{x"} 8
        # TYPE probe_traceroute_packet_loss_percent gauge
        probe_traceroute_packet_loss_percent{probe="traceroute",target="192.0.2.1",agent="eu"} 25
        probe_traceroute_packet_loss_percent{probe="traceroute",target="192.0.2.1",agent="a\"\\{x"} 25
        # TYPE probeops_traceroute_rtt_avg_seconds gauge
        probeops_traceroute_rtt_avg_seconds{probe="traceroute",target="192.0.2.1",agent="eu"} 0.021042
        "#);
    }
}
