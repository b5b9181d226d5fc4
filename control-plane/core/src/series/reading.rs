//! The numbers of a report that become samples: one match over all findings, so that a new probe has to say what its numbers are.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use shared_protocol::fault::{Fault, Status};
use shared_protocol::report::{
    DnsFindings, Findings, HttpFindings, MtrFindings, NeighborStatistics, PingFindings, PortStatistics, PortSweepTotals, Report, RoundTripStatistics, Seen,
    SweepTotals, TcpFindings, TracerouteFindings, UdpFindings,
};

/// A number with its name within its probe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// The name, its unit at its end.
    pub name: Cow<'static, str>,
    /// The number.
    pub value: f64,
}

/// What a report says about its target, in numbers. A report that says nothing about the target has none: its agent, the owner's policy or
/// the control plane kept the probe from running.
pub fn readings(report: &Report) -> Vec<Reading> {
    match report.fault {
        Fault::Agent | Fault::Policy | Fault::Control => return Vec::new(),
        Fault::None | Fault::Target | Fault::Path | Fault::Resolver => {}
    }
    let answered = match report.status {
        Status::Ok | Status::Degraded => 1.0,
        Status::Failed | Status::Timeout => 0.0,
    };
    let mut readings = vec![reading("ok", answered), reading("duration_us", float(report.duration_us))];
    match &report.findings {
        Some(Findings::Ping(ping)) => of_ping(ping, &mut readings),
        Some(Findings::PingSweep(sweep)) => of_sweep(&sweep.totals, &mut readings),
        Some(Findings::Tcp(tcp)) => of_tcp(tcp, &mut readings),
        Some(Findings::Udp(udp)) => of_udp(udp, &mut readings),
        Some(Findings::Port(ports)) => of_ports(&ports.statistics, &mut readings),
        Some(Findings::PortSweep(sweep)) => of_many_ports(&sweep.totals, &mut readings),
        Some(Findings::Neighbor(link)) => of_link(&link.statistics, &mut readings),
        Some(Findings::Http(http)) => of_http(http, &mut readings),
        Some(Findings::Dns(dns)) => of_dns(dns, &mut readings),
        Some(Findings::Traceroute(path)) => of_traceroute(path, &mut readings),
        Some(Findings::Mtr(path)) => of_mtr(path, &mut readings),
        Some(Findings::Observe(observed)) => of_seen(&observed.seen, &mut readings),
        Some(Findings::Pmtu(pmtu)) => readings.extend(pmtu.pmtu.map(|bytes| reading("pmtu_bytes", f64::from(bytes)))),
        None => {}
    }
    readings.retain(|reading| reading.value.is_finite());
    readings
}

fn of_ping(ping: &PingFindings, readings: &mut Vec<Reading>) {
    let statistics = &ping.statistics;
    if statistics.sent > 0 {
        readings.push(reading("loss", statistics.loss));
        readings.push(reading("duplicates", f64::from(statistics.duplicates)));
    }
    of_round_trips(statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()), readings);
}

/// Of many targets only what they come to together.
fn of_sweep(totals: &SweepTotals, readings: &mut Vec<Reading>) {
    if totals.sent > 0 {
        readings.push(reading("loss", totals.loss));
        readings.push(reading("duplicates", f64::from(totals.duplicates)));
        readings.push(reading("targets_answered", f64::from(totals.answered)));
    }
}

fn of_udp(udp: &UdpFindings, readings: &mut Vec<Reading>) {
    let statistics = &udp.statistics;
    if statistics.sent > 0 {
        readings.push(reading("loss", statistics.loss));
        readings.push(reading("answered", f64::from(statistics.answered) / f64::from(statistics.sent)));
    }
    of_round_trips(statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()), readings);
}

fn of_seen(seen: &Seen, readings: &mut Vec<Reading>) {
    match seen {
        Seen::TcpFlows(seen) => {
            let totals = &seen.totals;
            readings.push(reading("flows", float(totals.flows)));
            readings.push(reading("failed", float(totals.failed)));
            readings.push(reading("sent_bytes", float(totals.sent_bytes)));
            readings.push(reading("received_bytes", float(totals.received_bytes)));
            readings.push(reading("retransmits", float(totals.retransmits)));
        }
        Seen::ConnectLatency(seen) => {
            readings.push(reading("established", float(seen.totals.established)));
            readings.push(reading("failed", float(seen.totals.failed)));
        }
        Seen::Files(seen) => {
            readings.push(reading("opened", float(seen.totals.opened)));
            readings.push(reading("failed", float(seen.totals.failed)));
        }
        Seen::Connects(seen) => {
            let totals = &seen.totals;
            readings.push(reading("dials", float(totals.dials)));
            readings.push(reading("established", float(totals.established)));
            readings.push(reading("refused", float(totals.refused)));
            readings.push(reading("timed_out", float(totals.timed_out)));
            readings.push(reading("unreachable", float(totals.unreachable)));
            readings.push(reading("given_up", float(totals.given_up)));
            readings.push(reading("failed", float(totals.failed)));
        }
        Seen::Syscalls(seen) => {
            readings.push(reading("calls", float(seen.totals.calls)));
            readings.push(reading("failed", float(seen.totals.failed)));
        }
        Seen::Memory(seen) => {
            readings.push(reading("page_faults", float(seen.totals.faults)));
            readings.push(reading("reclaims", float(seen.totals.reclaims)));
            readings.push(reading("reclaim_us", float(seen.totals.reclaim_us)));
            readings.push(reading("killed", float(seen.totals.killed)));
        }
        Seen::Exec(seen) => {
            readings.push(reading("executions", float(seen.totals.executions)));
            readings.push(reading("failed", float(seen.totals.failed)));
        }
        Seen::Drops(seen) => readings.push(reading("dropped", float(seen.packets))),
        Seen::Retransmits(seen) => {
            readings.push(reading("retransmits", float(seen.segments)));
            readings.push(reading("retransmits_opening", float(seen.opening)));
        }
        Seen::Interface(seen) => {
            readings.push(reading("received_packets", float(seen.total.received_packets)));
            readings.push(reading("received_bytes", float(seen.total.received_bytes)));
            readings.push(reading("sent_packets", float(seen.total.sent_packets)));
            readings.push(reading("sent_bytes", float(seen.total.sent_bytes)));
        }
        Seen::UdpFlows(seen) => {
            let totals = &seen.totals;
            readings.push(reading("flows", float(totals.flows)));
            readings.push(reading("sent_bytes", float(totals.sent_bytes)));
            readings.push(reading("received_bytes", float(totals.received_bytes)));
            readings.push(reading("refused_datagrams", float(totals.refused)));
        }
        Seen::DnsLatency(seen) => {
            readings.push(reading("questions", float(seen.totals.questions)));
            readings.push(reading("unanswered", float(seen.totals.unanswered)));
            readings.push(reading("failed", float(seen.totals.failed)));
            if let Some(latencies) = &seen.latencies {
                readings.push(reading("answer_avg_us", float(latencies.avg_us)));
                readings.push(reading("answer_max_us", float(latencies.max_us)));
            }
        }
        Seen::TlsLatency(seen) => {
            let totals = &seen.totals;
            readings.push(reading("handshakes", float(totals.handshakes)));
            readings.push(reading("handshakes_failed", float(totals.handshakes_failed)));
            readings.push(reading("tls_reads", float(totals.reads)));
            readings.push(reading("tls_writes", float(totals.writes)));
            if let Some(latencies) = &seen.handshakes {
                readings.push(reading("handshake_avg_us", float(latencies.avg_us)));
                readings.push(reading("handshake_max_us", float(latencies.max_us)));
            }
        }
        // What the numbers of a package mean, and over which of them a series would go, only its author knows.
        Seen::Custom(_) => {}
        Seen::Packets(seen) => {
            readings.push(reading("packets", float(seen.packets)));
            readings.push(reading("bytes", float(seen.bytes)));
        }
        Seen::Runqlat(seen) => {
            readings.push(reading("waits", float(seen.waits)));
            if let Some(latencies) = &seen.latencies {
                readings.push(reading("wait_avg_us", float(latencies.avg_us)));
                readings.push(reading("wait_max_us", float(latencies.max_us)));
            }
        }
        Seen::Profile(seen) => {
            readings.push(reading("samples", float(seen.total)));
            readings.extend(seen.idle.map(|idle| reading("idle_samples", float(idle))));
        }
        Seen::Offcpu(seen) => readings.push(reading("offcpu_us", float(seen.total))),
        Seen::Biolatency(seen) => {
            readings.push(reading("block_requests", float(seen.requests)));
            readings.push(reading("block_bytes", float(seen.bytes)));
            if let Some(latencies) = &seen.latencies {
                readings.push(reading("block_avg_us", float(latencies.avg_us)));
                readings.push(reading("block_max_us", float(latencies.max_us)));
            }
        }
    }
}

fn of_tcp(tcp: &TcpFindings, readings: &mut Vec<Reading>) {
    let statistics = &tcp.statistics;
    if statistics.sent > 0 {
        readings.push(reading("loss", statistics.loss));
        readings.push(reading("open", f64::from(statistics.open) / f64::from(statistics.sent)));
    }
    of_round_trips(statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()), readings);
}

/// How many are in which state: what changes there is what a scan is repeated for.
fn of_ports(statistics: &PortStatistics, readings: &mut Vec<Reading>) {
    if statistics.sent > 0 {
        readings.push(reading("ports_open", f64::from(statistics.open)));
        readings.push(reading("ports_closed", f64::from(statistics.closed)));
        readings.push(reading("ports_filtered", f64::from(statistics.filtered)));
        readings.push(reading("ports_open_filtered", f64::from(statistics.open_filtered)));
    }
    of_round_trips(statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()), readings);
}

/// Of many targets only what they come to together.
fn of_many_ports(totals: &PortSweepTotals, readings: &mut Vec<Reading>) {
    if totals.statistics.sent > 0 {
        readings.push(reading("targets_answered", f64::from(totals.answered)));
    }
    of_ports(&totals.statistics, readings);
}

/// How many are there, and how many are there twice.
fn of_link(statistics: &NeighborStatistics, readings: &mut Vec<Reading>) {
    if statistics.sent > 0 {
        readings.push(reading("neighbors_present", f64::from(statistics.present)));
        readings.push(reading("neighbors_silent", f64::from(statistics.silent)));
        readings.push(reading("address_conflicts", f64::from(statistics.conflicts)));
    }
    of_round_trips(statistics.rtt.as_ref().or(statistics.user_rtt.as_ref()), readings);
}

/// How long it took in all, and the parts of the request that counts: the last.
fn of_http(http: &HttpFindings, readings: &mut Vec<Reading>) {
    readings.push(reading("total_us", float(http.total_us)));
    let Some(hop) = http.hops.last() else { return };
    let phases = [
        ("dns_us", hop.phases.dns_us),
        ("tcp_us", hop.phases.tcp_us),
        ("tls_us", hop.phases.tls_us),
        ("first_byte_us", hop.phases.first_byte_us),
    ];
    readings.extend(phases.into_iter().filter_map(|(name, micros)| Some(reading(name, float(micros?)))));
    if let Some(response) = &hop.response {
        readings.push(reading("status_code", f64::from(response.status)));
    }
}

/// How long the answer that counts took, and how many records it has.
fn of_dns(dns: &DnsFindings, readings: &mut Vec<Reading>) {
    let Some(answer) = &dns.answer else { return };
    if let Some(rtt_us) = answer.rtt_us.or(answer.user_rtt_us) {
        readings.push(reading("rtt_us", float(rtt_us)));
    }
    readings.push(reading("answers", f64::from(answer.counts.0)));
}

/// How far the target is, and what became of the packets that should have reached it.
fn of_traceroute(path: &TracerouteFindings, readings: &mut Vec<Reading>) {
    if !path.reached {
        return;
    }
    readings.extend(path.hops.last().map(|hop| reading("hops", f64::from(hop.ttl))));
    if let Some(end) = &path.end_to_end {
        readings.push(reading("loss", end.loss));
        of_round_trips(end.rtt.as_ref(), readings);
    }
}

/// The same of the last hop over all rounds, and how often the path has changed.
fn of_mtr(path: &MtrFindings, readings: &mut Vec<Reading>) {
    readings.push(reading("changes", path.hops.iter().map(|hop| f64::from(hop.changes)).sum()));
    if let Some(target) = path.hops.last().filter(|_| path.reached) {
        readings.push(reading("hops", f64::from(target.ttl)));
        readings.push(reading("loss", target.loss));
        of_round_trips(target.rtt.as_ref(), readings);
    }
}

/// By the kernel's clock where the host gives it, else by the program's.
fn of_round_trips(rtt: Option<&RoundTripStatistics>, readings: &mut Vec<Reading>) {
    if let Some(rtt) = rtt {
        readings.push(reading("rtt_min_us", float(rtt.min_us)));
        readings.push(reading("rtt_avg_us", float(rtt.avg_us)));
        readings.push(reading("rtt_p95_us", float(rtt.p95_us)));
        readings.push(reading("jitter_us", float(rtt.jitter_us)));
    }
}

const fn reading(name: &'static str, value: f64) -> Reading {
    Reading {
        name: Cow::Borrowed(name),
        value,
    }
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "microseconds of a report are far below 2^53")]
const fn float(micros: u64) -> f64 {
    micros as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(status: &str, fault: &str, findings: &str) -> Report {
        serde_json::from_str(&format!(
            r#"{{"schema_version":1,"status":"{status}","fault":"{fault}","started_at_us":0,"duration_us":1500,"clock":{{}},
                "policy":{{"verdict":"allowed","rule":"default"}}{findings}}}"#
        ))
        .unwrap()
    }

    fn ping(loss: f64, rtt: &str) -> String {
        format!(
            r#","findings":{{"probe":"ping","address":"127.0.0.1","socket":"raw","packets":[],"agent_drops":0,"statistics":{{"sent":4,"received":4,
               "loss":{loss},"duplicates":1,"late":0,"reordered":0,"errors":0{rtt}}}}}"#
        )
    }

    fn named(report: &Report) -> Vec<(String, f64)> {
        readings(report).into_iter().map(|reading| (reading.name.into_owned(), reading.value)).collect()
    }

    #[test]
    fn a_ping_yields_its_loss_its_round_trips_and_its_jitter() {
        let rtt = r#","rtt":{"min_us":10,"avg_us":20,"max_us":40,"stddev_us":1,"p50_us":19,"p95_us":38,"p99_us":40,"jitter_us":3,"delay_variation_us":null}"#;
        let expected = [
            ("ok", 1.0),
            ("duration_us", 1_500.0),
            ("loss", 0.0),
            ("duplicates", 1.0),
            ("rtt_min_us", 10.0),
            ("rtt_avg_us", 20.0),
            ("rtt_p95_us", 38.0),
            ("jitter_us", 3.0),
        ];
        assert_eq!(
            named(&report("ok", "none", &ping(0.0, rtt))),
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }

    #[test]
    fn without_an_answer_there_is_loss_but_no_round_trip() {
        let names: Vec<_> = named(&report("timeout", "path", &ping(1.0, ""))).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["ok", "duration_us", "loss", "duplicates"]);
    }

    #[test]
    fn a_scan_of_many_targets_yields_how_many_ports_are_in_which_state_and_how_many_targets_answered() {
        let findings = r#","findings":{"probe":"port_sweep","targets":[],"ports":[53],"columns":{"state":[],"reason":[],"tries":[]},
            "totals":{"targets":5,"answered":3,"ports":5,"open":1,"closed":2,"filtered":0,"open_filtered":2,"unasked":0,"sent":7}}"#;
        let expected = [
            ("ok", 1.0),
            ("duration_us", 1_500.0),
            ("targets_answered", 3.0),
            ("ports_open", 1.0),
            ("ports_closed", 2.0),
            ("ports_filtered", 0.0),
            ("ports_open_filtered", 2.0),
        ];
        assert_eq!(named(&report("ok", "none", findings)), expected.map(|(name, value)| (name.to_owned(), value)));
    }

    #[test]
    fn what_says_nothing_about_the_target_yields_nothing() {
        for fault in ["agent", "policy", "control"] {
            assert_eq!(readings(&report("failed", fault, "")), []);
        }
        assert_eq!(
            named(&report("failed", "resolver", "")),
            [("ok".to_owned(), 0.0), ("duration_us".to_owned(), 1_500.0)]
        );
    }
}
