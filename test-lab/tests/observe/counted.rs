//! `drops` and `connect_latency` beside what the test did in a namespace of its own.

use std::net::{TcpListener, TcpStream, UdpSocket};

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::network::Namespace;
use test_lab::stand::Stand;

use crate::asked::Asked;

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("no number {member} in {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_are_counted_by_the_reason_for_which_they_were_dropped() {
    let namespace = Namespace::new().unwrap();
    namespace
        .filter("table inet lab { chain in { type filter hook input priority 0; udp dport 4000 drop; }\n}\n")
        .unwrap();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["drops", "--from", "seen", "--for", "2s", "--top", "100"]).await;
    namespace
        .within(|| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            for port in [4_000, 4_001] {
                for _ in 0..137 {
                    socket.send_to(b"x", ("127.0.0.1", port)).unwrap();
                }
            }
        })
        .unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"]),
        (&"ok".into(), &"passed".into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let reasons = seen["reasons"].as_array().unwrap();
    let packets = |reason: &str| {
        reasons
            .iter()
            .filter(|one| one["reason"] == reason)
            .map(|one| number(one, "packets"))
            .sum::<u64>()
    };
    assert_eq!(packets("netfilter_drop"), 137, "{seen}");
    // The rest of the host sends to closed ports as well.
    assert!(packets("no_socket") >= 137, "{seen}");
    assert_eq!(number(seen, "packets"), reasons.iter().map(|one| number(one, "packets")).sum::<u64>(), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_to_connect_are_counted_by_where_they_went_with_how_long_they_took() {
    let namespace = Namespace::new().unwrap();
    // Every second first segment gets lost: one connection after the other begins with one, and sends it again a second later (RFC 6298).
    let lossy = "tcp dport 4000 tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 drop;";
    namespace
        .filter(&format!("table inet lab {{ chain in {{ type filter hook input priority 0; {lossy} }}\n}}\n"))
        .unwrap();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["connect_latency", "--from", "seen", "--for", "6s", "--address", "127.7.7.7"]).await;
    namespace
        .within(|| {
            for port in [4_000, 4_001] {
                let _listener = TcpListener::bind(("127.7.7.7", port)).unwrap();
                for _ in 0..if port == 4_000 { 2 } else { 20 } {
                    drop(TcpStream::connect(("127.7.7.7", port)).unwrap());
                }
            }
            for _ in 0..7 {
                TcpStream::connect("127.7.7.7:4001").unwrap_err();
            }
            for _ in 0..3 {
                TcpStream::connect("127.7.7.7:4002").unwrap_err();
            }
        })
        .unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"]),
        (&"ok".into(), &"passed".into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    assert_eq!((number(&seen["totals"], "established"), number(&seen["totals"], "failed")), (22, 10), "{seen}");
    let counts: Vec<_> = seen["connects"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(number(one, "pid"), u64::from(std::process::id()), "{one}");
            (
                one["remote"].as_str().unwrap(),
                number(one, "established"),
                number(one, "failed"),
                one["errno"].as_i64(),
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            ("127.7.7.7:4001", 20, 7, Some(111)),
            ("127.7.7.7:4002", 0, 3, Some(111)),
            ("127.7.7.7:4000", 2, 0, None)
        ]
    );
    let latencies = |place: usize| &seen["connects"][place]["latencies"];
    let slots = |place: usize| -> Vec<u64> {
        latencies(place)["slots"]
            .as_array()
            .unwrap()
            .iter()
            .map(|slot| slot.as_u64().unwrap())
            .collect()
    };
    assert_eq!((slots(0).iter().sum::<u64>(), latencies(1)), (20, &Value::Null));
    assert!(number(latencies(0), "avg_us") < 500_000, "nothing gets lost on the way there: {}", latencies(0));
    assert!((990_000..1_500_000).contains(&number(latencies(2), "avg_us")), "{}", latencies(2));
    assert_eq!(slots(2)[19..].iter().sum::<u64>(), 2, "from 0.5 s: {:?}", slots(2));
}

/// What the kernel of a namespace has sent again since it was made.
fn sent_again() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "RetransSegs").unwrap();
    found.1.parse().unwrap()
}

/// Two connections, one after the other, with four pieces of data each, of which one is read before the next is written.
fn exchange_twice(port: u16) {
    let listener = TcpListener::bind(("127.7.7.8", port)).unwrap();
    for _ in 0..2 {
        let mut here = TcpStream::connect(("127.7.7.8", port)).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        for _ in 0..4 {
            std::io::Write::write_all(&mut here, &[1; 100]).unwrap();
            std::io::Read::read_exact(&mut there, &mut [0; 100]).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_again_is_what_the_kernel_counts_by_connection() {
    let namespace = Namespace::new().unwrap();
    // Of first segments every second is lost, of their answers too, and of segments with data every third.
    let lossy = "tcp dport 4000 tcp flags & (syn | ack) == syn numgen inc mod 2 == 0 drop;
        tcp sport 4001 tcp flags & (syn | ack) == (syn | ack) numgen inc mod 2 == 0 drop;
        tcp dport 4000 tcp flags & psh == psh numgen inc mod 3 == 0 drop;
        tcp dport 4001 tcp flags & psh == psh numgen inc mod 3 == 0 drop;";
    namespace
        .filter(&format!("table inet lab {{ chain in {{ type filter hook input priority 0; {lossy} }}\n}}\n"))
        .unwrap();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["retransmits", "--from", "seen", "--for", "9s", "--address", "127.7.7.8"]).await;
    let counted = namespace
        .within(|| {
            // Both ports at once: one after the other, the kernel's waits are as long as the observation.
            std::thread::scope(|both| {
                for port in [4_000, 4_001] {
                    both.spawn(move || exchange_twice(port));
                }
            });
            sent_again()
        })
        .unwrap();
    let report = asked.report().await;
    let seen = &report["findings"]["seen"];
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"]),
        (&"ok".into(), &"passed".into()),
        "{report}"
    );
    assert!(counted >= 6, "{counted}");
    assert_eq!(number(seen, "segments"), counted, "{seen}");
    let flows = seen["flows"].as_array().unwrap();
    assert_eq!(number(seen, "connections"), u64::try_from(flows.len()).unwrap(), "{seen}");
    let of = |end: &str, port: u64, member: &str| -> u64 {
        let ends = |flow: &&Value| flow[end].as_str().unwrap().ends_with(&format!(":{port}"));
        flows.iter().filter(ends).map(|flow| number(flow, member)).sum()
    };
    // Each of the two connections had its first segment lost once; of the others each first segment went again as its answer did not come.
    assert_eq!(of("remote", 4_000, "opening"), 2, "{seen}");
    assert!(of("remote", 4_001, "opening") + of("local", 4_001, "opening") >= 2, "{seen}");
    assert!(of("remote", 4_000, "segments") > of("remote", 4_000, "opening"), "{seen}");
    assert_eq!(of("local", 4_000, "segments"), 0, "nothing gets lost on the way back: {seen}");
}
