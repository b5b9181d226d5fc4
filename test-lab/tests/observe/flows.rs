//! `tcp_flows` beside connections whose bytes the test counted, beside `ss`, and beside libbpf-tools' tcplife.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;
use crate::snoop::Snoop;

/// A connection to itself over which so many bytes went each way; both ends, and the port of the one that opened it.
fn connection(listener: &TcpListener, sent: u64, received: u64) -> (TcpStream, TcpStream, u16) {
    let (sent, received) = (usize::try_from(sent).unwrap(), usize::try_from(received).unwrap());
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut there, from) = listener.accept().unwrap();
    let writer = std::thread::spawn(move || {
        here.write_all(&vec![1; sent]).unwrap();
        let mut back = vec![0; received];
        here.read_exact(&mut back).unwrap();
        here
    });
    let mut come = vec![0; sent];
    there.read_exact(&mut come).unwrap();
    there.write_all(&vec![2; received]).unwrap();
    (writer.join().unwrap(), there, from.port())
}

/// Ends it, whoever opened it first, and waits until both ends know.
fn close((mut here, mut there, _): (TcpStream, TcpStream, u16)) {
    here.shutdown(Shutdown::Write).unwrap();
    assert_eq!(there.read(&mut [0]).unwrap(), 0);
    drop(there);
    assert_eq!(here.read(&mut [0]).unwrap(), 0);
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("no number {member} in {value}"))
}

fn port_of(endpoint: &Value) -> u16 {
    endpoint.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_connection_is_seen_with_exactly_the_bytes_that_went_over_it() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::observe(
        &stand,
        &["tcp_flows", "--from", "seen", "--for", "3s", "--port", &port.to_string(), "--top", "100"],
    )
    .await;
    let mut other = Snoop::start("tcplife", "COMM").await;
    let mut done = BTreeMap::new();
    for number in 0..40_u64 {
        let (sent, received) = (number * 7_001, 200_000 - number * 5_000);
        let connected = connection(&listener, sent, received);
        done.insert(connected.2, (sent, received));
        close(connected);
    }
    let theirs = by_tcplife(&mut other, port, 80).await;
    // Nothing listens there: the other end resets.
    drop(listener);
    TcpStream::connect(("127.0.0.1", port)).unwrap_err();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"]),
        (&"ok".into(), &"passed".into()),
        "{report}"
    );
    assert_eq!(
        (&report["findings"]["level"], number(&report["findings"], "lost")),
        (&"full".into(), 0),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let flows = seen["flows"].as_array().unwrap();
    let mut found = 0;
    for flow in flows {
        let (local, remote) = (port_of(&flow["local"]), port_of(&flow["remote"]));
        let Some(&(sent, received)) = done.get(if remote == port { &local } else { &remote }) else {
            assert_eq!(flow["errno"], 111, "only the refused one is nobody's: {flow}");
            continue;
        };
        let bytes = (number(flow, "sent_bytes"), number(flow, "received_bytes"));
        assert_eq!(bytes, if remote == port { (sent, received) } else { (received, sent) }, "{flow}");
        let (their_sent, their_received) = theirs[&(local, remote)];
        let close = |theirs: u64, ours: u64| theirs.abs_diff(ours) <= THEIR_STEP;
        assert!(
            close(their_sent, bytes.0) && close(their_received, bytes.1),
            "{their_sent} {their_received} {flow}"
        );
        assert_eq!((&flow["state"], flow.get("errno")), (&"closed".into(), None), "{flow}");
        assert_eq!(number(flow, "pid"), u64::from(std::process::id()), "{flow}");
        assert!(flow["srtt_us"].is_u64() && flow["established_us"].is_u64(), "{flow}");
        assert_eq!(flow.get("connect_us").is_some(), remote == port, "only who opens it connects: {flow}");
        found += 1;
    }
    assert_eq!(found, 80);
    let both: u64 = done.values().map(|(sent, received)| sent + received).sum();
    let totals = &seen["totals"];
    let counts = ["flows", "opened", "closed", "failed", "sent_bytes", "received_bytes"].map(|name| number(totals, name));
    assert_eq!(counts, [81, 80, 80, 1, both, both], "{totals}");
}

/// What tcplife says of that many ends of connections to a port: bytes sent and received, by local and remote port.
async fn by_tcplife(tcplife: &mut Snoop, port: u16, rows: usize) -> BTreeMap<(u16, u16), (u64, u64)> {
    let found = Cell::new(0);
    let port = port.to_string();
    let of_port = |words: &[&str]| words.len() >= 9 && (words[3] == port || words[5] == port);
    let lines = tcplife
        .until(|line| {
            found.set(found.get() + usize::from(of_port(&line.split_whitespace().collect::<Vec<_>>())));
            found.get() == rows
        })
        .await;
    let bytes = |word: &str| {
        let (whole, hundredths) = word.split_once('.').unwrap();
        whole.parse::<u64>().unwrap() * 1_024 + hundredths.parse::<u64>().unwrap() * 1_024 / 100
    };
    lines
        .iter()
        .map(|line| line.iter().map(String::as_str).collect::<Vec<_>>())
        .filter(|words| of_port(words))
        .map(|words| ((words[3].parse().unwrap(), words[5].parse().unwrap()), (bytes(words[6]), bytes(words[7]))))
        .collect()
}

/// It tells hundredths of a kibibyte, and counts the two ends of a stream as a byte each.
const THEIR_STEP: u64 = 13;

/// What `ss` says of an open connection: bytes sent, bytes received, smoothed round-trip time, congestion window.
fn by_ss(local: u16, remote: u16) -> (u64, u64, u64, u64) {
    let output = Command::new("ss")
        .args(["-tinH", "src", &format!("127.0.0.1:{local}"), "dst", &format!("127.0.0.1:{remote}")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let word = |name: &str| {
        let found = text.split_whitespace().find_map(|word| word.strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    };
    let (whole, part) = word("rtt:").split('/').next().and_then(|rtt| rtt.split_once('.')).unwrap();
    let rtt_us = format!("{whole}{part:0<3}").parse().unwrap();
    (
        word("bytes_sent:").parse().unwrap(),
        word("bytes_received:").parse().unwrap(),
        rtt_us,
        word("cwnd:").parse().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_was_open_before_is_seen_as_ss_sees_it() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (mut here, mut there, own) = connection(&listener, 300_000, 5_000);
    let (_quiet, _peer, quiet) = connection(&listener, 1_000, 2_000);
    let mut asked = Asked::observe(
        &stand,
        &[
            "tcp_flows",
            "--from",
            "seen",
            "--for",
            "2s",
            "--interval-ms",
            "500",
            "--port",
            &port.to_string(),
        ],
    )
    .await;
    asked.until("window").await;
    here.write_all(&vec![3; 40_000]).unwrap();
    there.read_exact(&mut vec![0; 40_000]).unwrap();
    let report = asked.report().await;
    assert_eq!(report["status"], "ok", "{report}");
    let seen = &report["findings"]["seen"];
    let flows = seen["flows"].as_array().unwrap();
    for client in [own, quiet] {
        let flow = flows.iter().find(|flow| port_of(&flow["local"]) == client).expect("the opening end");
        let (sent, received, srtt_us, window) = by_ss(client, port);
        assert_eq!(
            (
                number(flow, "sent_bytes"),
                number(flow, "received_bytes"),
                number(flow, "srtt_us"),
                number(flow, "congestion_window")
            ),
            (sent, received, srtt_us, window),
            "{flow}"
        );
        assert_eq!(flow["state"], "established");
        assert_eq!(
            (flow.get("connect_us"), flow.get("established_us")),
            (None, None),
            "its beginning was not seen: {flow}"
        );
    }
    // What went over them before is in no total.
    let counts = ["flows", "opened", "closed", "sent_bytes", "received_bytes"].map(|name| number(&seen["totals"], name));
    assert_eq!(counts, [4, 0, 0, 40_000, 40_000], "{}", seen["totals"]);
}
