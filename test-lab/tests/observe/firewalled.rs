//! What the kernel says beside the agent's own probes: a firewall of its own host is named as the cause. Everything runs in a namespace of its
//! own, so that rules are nobody else's.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::network::Namespace;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// Runs a test, with all that it starts, in a network namespace under these rules.
fn under<F: Future<Output = ()>>(rules: &str, test: impl FnOnce() -> F + Send) {
    let namespace = Namespace::new().unwrap();
    namespace.filter(&format!("table inet lab {{\n{rules}\n}}\n")).unwrap();
    let inside = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(test());
    };
    namespace.within(inside).unwrap();
}

/// A report of a probe that the observer was ready for: the first one finds it loading its programs, and says so.
async fn looked_at(stand: &Stand, probe: &str, arguments: &[&str]) -> Value {
    for _ in 0..20 {
        let report = Asked::probe(stand, probe, arguments).report().await;
        let kernel = &report["evidence"]["kernel"];
        if kernel["missing"] == Value::Null {
            assert!(!kernel["flows"].as_array().unwrap().is_empty(), "{report}");
            return report;
        }
        let missing = kernel["missing"].to_string();
        assert!(missing.contains("the observer was not ready in time"), "{report}");
    }
    panic!("the observer is never ready")
}

/// What rules dropped of a report's only flow.
fn dropped(report: &Value, direction: &str) -> u64 {
    let flows = report["evidence"]["kernel"]["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 1, "{report}");
    let drops = flows[0]["drops"].as_array().map_or(&[][..], |drops| drops);
    let of_rules = |drops: &&Value| drops["reason"] == "netfilter_drop" && drops["direction"] == direction;
    drops.iter().filter(of_rules).map(|drops| drops["packets"].as_u64().unwrap()).sum()
}

fn message(report: &Value) -> &str {
    report["error"]["message"].as_str().unwrap()
}

/// Answers every request, on a thread that ends with the test.
fn serve(address: &str) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let read = stream.read(&mut [0; 1_024]).unwrap_or(0);
            if read > 0 {
                let _whoever_asked_may_be_gone = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
            }
        }
    });
}

#[test]
fn an_answer_that_the_hosts_own_firewall_drops_is_named_as_the_cause_and_counted() {
    // Connections come about; what the server then sends does not come through.
    let rules = "chain in { type filter hook input priority 0; tcp sport 4080 tcp flags & psh == psh drop; udp sport 4053 drop; }";
    under(rules, || async {
        let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
        let _observer = stand.add_observed_agent("seen", "").await.unwrap();
        let _other = stand.add_observed_agent("unseen", "beside_probes = false").await.unwrap();
        serve("127.0.0.1:4080");
        serve("127.0.0.1:4081");
        let arguments = ["http://127.0.0.1:4080/", "--from", "seen", "--max-time-ms", "1500"];
        let report = looked_at(&stand, "http", &arguments).await;
        assert_eq!((&report["status"], &report["fault"]), (&"timeout".into(), &"agent".into()), "{report}");
        assert_eq!(report["evidence"]["causes"], json!(["firewall_dropped"]), "{report}");
        let packets = dropped(&report, "received");
        // The answer, and what the server sent again in the time that the probe had.
        assert!((2..=10).contains(&packets), "{report}");
        let sentence = format!("; this host's own firewall dropped the answer (netfilter_drop, {packets} packets)");
        assert!(message(&report).ends_with(&sentence), "{report}");
        let tcp = &report["evidence"]["kernel"]["flows"][0]["tcp"];
        assert_eq!((&tcp["established"], &tcp["reset_received_us"]), (&true.into(), &Value::Null), "{report}");
        assert!(tcp["srtt_us"].as_u64().is_some_and(|us| us > 0), "{report}");

        let silent = UdpSocket::bind("127.0.0.1:4053").unwrap();
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((length, from)) = silent.recv_from(&mut question) {
                question[2] |= 0x80;
                silent.send_to(&question[..length], from).unwrap();
            }
        });
        let arguments = [
            "example.test",
            "--server",
            "127.0.0.1:4053",
            "--retries",
            "0",
            "--wait-ms",
            "500",
            "--from",
            "seen",
        ];
        let report = looked_at(&stand, "dns", &arguments).await;
        assert_eq!((&report["status"], &report["fault"]), (&"timeout".into(), &"agent".into()), "{report}");
        assert_eq!(dropped(&report, "received"), 1, "{report}");
        assert!(message(&report).ends_with("dropped the answer (netfilter_drop, 1 packet)"), "{report}");

        // Where no rule is in the way, nothing is the matter.
        let report = looked_at(&stand, "http", &["http://127.0.0.1:4081/", "--from", "seen"]).await;
        assert_eq!((&report["status"], dropped(&report, "received")), (&"ok".into(), 0), "{report}");
        assert_eq!(report["evidence"].get("causes"), None, "{report}");

        // Where the owner does not want it, nothing is said.
        let report = Asked::probe(&stand, "http", &["http://127.0.0.1:4080/", "--from", "unseen", "--max-time-ms", "500"])
            .report()
            .await;
        assert_eq!((&report["fault"], &report["evidence"]["kernel"]), (&"target".into(), &Value::Null), "{report}");
    });
}

#[test]
fn a_reset_by_a_rule_of_this_host_is_told_from_one_by_the_target() {
    let rules = "chain out { type filter hook output priority 0; tcp dport 4082 reject with tcp reset; tcp dport 4084 drop; }";
    under(rules, || async {
        let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
        let _observer = stand.add_observed_agent("seen", "").await.unwrap();
        serve("127.0.0.1:4082");
        let arguments = |port| ["127.0.0.1", port, "--from", "seen", "--count", "1", "--wait-ms", "1500"];
        let report = looked_at(&stand, "tcp", &arguments("4082")).await;
        let verdict = |report: &Value| (report["fault"].clone(), report["error"]["code"].clone(), report["evidence"]["causes"].clone());
        assert_eq!(verdict(&report), ("agent".into(), "refused".into(), json!(["local_reset"])), "{report}");
        assert!(
            message(&report).ends_with("; a rule of this host's own firewall reset the connection, not the target"),
            "{report}"
        );
        assert_eq!(dropped(&report, "sent"), 1, "{report}");
        let tcp = &report["evidence"]["kernel"]["flows"][0]["tcp"];
        assert!(tcp["reset_received_us"].is_u64() && tcp["established"] == false, "{report}");

        // Nobody listens: the target's own reset.
        let report = looked_at(&stand, "tcp", &arguments("4083")).await;
        assert_eq!(verdict(&report), ("target".into(), "refused".into(), Value::Null), "{report}");
        assert!(report["evidence"]["kernel"]["flows"][0]["tcp"]["reset_received_us"].is_u64(), "{report}");

        // What is dropped on its way out, and sent again, is no loss on the path.
        let report = looked_at(&stand, "tcp", &arguments("4084")).await;
        assert_eq!(verdict(&report), ("agent".into(), "timeout".into(), json!(["firewall_dropped"])), "{report}");
        assert_eq!(
            dropped(&report, "sent"),
            2,
            "the first segment, and the same again after a second (RFC 6298): {report}"
        );
        assert_eq!(report["evidence"]["kernel"]["flows"][0]["tcp"]["retransmits"], 1, "{report}");
    });
}
