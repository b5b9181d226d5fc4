//! The owner's share of a CPU: an observation that takes more gives up what can be done without, and then ends.

use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::network::Namespace;
use test_lab::stand::Stand;

use crate::asked::Asked;
use crate::trouble::held;

#[expect(clippy::disallowed_methods, reason = "a pace, so that ports do not run out; nothing is waited for")]
fn pause() {
    std::thread::sleep(Duration::from_millis(1));
}

/// Opens connections to itself in a namespace of its own until told to end: all programs of `tcp_flows` have something to do.
fn connections(namespace: &Namespace, over: &AtomicBool) {
    namespace
        .within(|| {
            let listener = TcpListener::bind("127.0.0.1:4000").unwrap();
            while !over.load(Ordering::Relaxed) {
                let here = TcpStream::connect("127.0.0.1:4000").unwrap();
                drop((listener.accept().unwrap(), here));
                pause();
            }
        })
        .unwrap();
}

/// What an observation of so many seconds reports under this line of the owner's, and whether its programs are gone by then.
async fn observed(observation: &str, seconds: &str, owner: &str) -> (Value, bool) {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let observer = stand.add_observed_agent("seen", owner).await.unwrap();
    let namespace = Namespace::new().unwrap();
    let asked = Asked::observe(&stand, &[observation, "--from", "seen", "--for", seconds]).await;
    let over = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| connections(&namespace, &over));
        let report = tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(asked.report()));
        over.store(true, Ordering::Relaxed);
        report
    });
    for _ in 0..100 {
        if held(observer.pid().unwrap()).is_empty() {
            return (report, true);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    (report, false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_more_than_the_owner_allows_gives_up_one_hook_after_the_other_and_ends() {
    let (report, gone) = observed("tcp_flows", "60s", "max_cpu_percent = 0.001").await;
    let findings = &report["findings"];
    let over = &findings["over_budget"];
    assert_eq!((&report["status"], &report["fault"]), (&"degraded".into(), &"agent".into()), "{report}");
    assert_eq!(
        (&over["budget"], &over["given_up"], &over["ended"]),
        (&json!(10), &json!(["tcp_probe", "tcp_retransmit_skb"]), &json!(true)),
        "{over}"
    );
    assert!(over["share"].as_u64().unwrap() > 10, "{over}");
    let missing = findings["missing"].to_string();
    assert!(missing.contains("tcp_probe was given up for what it cost"), "{missing}");
    // Six seconds of measuring, twice over each of two hooks and over what is left.
    let observed_us = findings["observed_us"].as_u64().unwrap();
    assert!((6_000_000..30_000_000).contains(&observed_us), "{observed_us}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("the owner allows 0.001 % (observe.max_cpu_percent): it ended after"),
        "{message}"
    );
    assert!(
        findings["seen"]["totals"]["flows"].as_u64().unwrap() > 0,
        "what was seen until then is told: {findings}"
    );
    assert!(gone, "its programs stay in the kernel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_costs_less_goes_on_to_its_end_and_says_what_it_cost() {
    let (report, _) = observed("connect_latency", "4s", "max_cpu_percent = 100").await;
    let findings = &report["findings"];
    assert_eq!((&report["status"], findings.get("over_budget")), (&"ok".into(), None), "{report}");
    assert!(findings["observed_us"].as_u64().unwrap() >= 4_000_000, "{findings}");
    assert!(findings["cost"]["run_ns"].as_u64().unwrap() > 0, "{findings}");
}
