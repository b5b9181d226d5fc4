//! Observations that go on until they are taken back, through the real programs: while the agent is restarted, cut off, told something else.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use test_lab::fault::{Entry, Whom};
use test_lab::stand::{Stand, text};
use tokio::process::Command;

/// What `probectl standing` prints.
async fn standing(stand: &Stand, arguments: &[&str]) -> Value {
    let output = Command::new(stand.program("probectl"))
        .args(["--url", &stand.url(""), "-o", "json", "standing"])
        .args(arguments)
        .env("PROBEOPS_TOKEN", &stand.key)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    if output.stdout.is_empty() {
        Value::Null
    } else {
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

async fn windows(stand: &Stand, id: &str) -> Vec<Value> {
    let listed = standing(stand, &["windows", id, "--limit", "1000"]).await;
    listed["windows"].as_array().unwrap().clone()
}

/// Waits until the windows are as they should be.
pub(crate) async fn until(stand: &Stand, id: &str, what: &str, are_there: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    for _ in 0..PATIENCE {
        let windows = windows(stand, id).await;
        if are_there(&windows) {
            return windows;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!(
        "{what}: {:?}; {}; {}; {}",
        standing(stand, &["show", id]).await,
        stand.last_words("eyes.log"),
        stand.last_words("eyes.observe.log"),
        stand.last_words("server.log")
    )
}

/// Waits until the only agent fares like this.
async fn until_it_fares(stand: &Stand, id: &str, state: &str) -> Value {
    for _ in 0..PATIENCE {
        let shown = standing(stand, &["show", id]).await;
        if text(&shown["agents"][0], "state") == state {
            return shown["agents"][0].clone();
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("never {state}: {:?}; {}", standing(stand, &["show", id]).await, stand.last_words("eyes.log"))
}

fn of_revision(windows: &[Value], revision: u64) -> usize {
    windows.iter().filter(|window| window["revision"] == revision).count()
}

pub(crate) async fn create(stand: &Stand, arguments: &[&str]) -> String {
    let made = standing(stand, &[&["create"], arguments].concat()).await;
    text(&made["standing_observation"], "id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stw_04_it_goes_on_through_a_cut_and_a_restart_and_what_was_seen_meanwhile_arrives_after() {
    let mut stand = Stand::start().await.unwrap();
    let _observer = stand.add_observed_agent("eyes", "allow_standing = true").await.unwrap();
    let id = create(&stand, &["tcp_flows", "--window", "1s", "--from", "eyes"]).await;
    let before = until(&stand, &id, "two windows", |windows| windows.len() >= 2).await;
    let report = &before[0]["report"];
    assert_eq!(
        (text(report, "status"), report["findings"]["seen"]["observation"].as_str()),
        ("ok", Some("tcp_flows")),
        "{report}"
    );
    assert_eq!(text(&until_it_fares(&stand, &id, "running").await, "agent_name"), "eyes");

    // Nobody is let in: neither this process nor its successor can be told anything.
    let way = stand.way().unwrap();
    way.entry(Entry::Refused);
    way.cut(Whom::Present);
    tokio::time::sleep(AWAY).await;
    stand.kill_agent(0).await.unwrap();
    let killed = windows(&stand, &id).await;
    stand.start_agent(0).unwrap();
    tokio::time::sleep(AWAY).await;
    stand.way().unwrap().well_again();
    stand.until_online("eyes").await.unwrap();
    // A second a window: of those made by either process, the last two may have been under way when it ended or began.
    let enough = killed.len() + 4;
    let after = until(&stand, &id, "what was seen meanwhile", |windows| windows.len() >= enough).await;
    assert_eq!(of_revision(&after, 1), after.len());
    let mut started: Vec<&str> = after.iter().map(|window| text(window, "started_at")).collect();
    started.sort_unstable();
    started.dedup();
    assert_eq!(started.len(), after.len(), "each window once");
    assert_eq!(until_it_fares(&stand, &id, "running").await["windows_lost"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stw_05_a_change_is_a_new_revision_stop_ends_it_start_goes_on_and_delete_takes_all_away() {
    let mut stand = Stand::start().await.unwrap();
    let _observer = stand.add_observed_agent("eyes", "allow_standing = true").await.unwrap();
    let id = create(&stand, &["tcp_flows", "--window", "1s", "--from", "eyes"]).await;
    until(&stand, &id, "a window", |windows| !windows.is_empty()).await;
    standing(&stand, &["update", &id, "--observation", "drops"]).await;
    let changed = until(&stand, &id, "a window of the second revision", |windows| of_revision(windows, 2) > 0).await;
    assert!(of_revision(&changed, 1) > 0, "what was seen before stays");
    let seen = |revision: u64| {
        let window = changed.iter().find(|window| window["revision"] == revision).unwrap();
        window["report"]["findings"]["seen"]["observation"].clone()
    };
    assert_eq!((seen(1), seen(2)), ("tcp_flows".into(), "drops".into()));

    standing(&stand, &["stop", &id]).await;
    until_it_fares(&stand, &id, "stopped").await;
    // What was under way when it was stopped may still be on its way.
    tokio::time::sleep(AWAY).await;
    let stopped = windows(&stand, &id).await.len();
    tokio::time::sleep(AWAY).await;
    assert_eq!(windows(&stand, &id).await.len(), stopped);

    standing(&stand, &["start", &id]).await;
    until(&stand, &id, "a window after the start", |windows| of_revision(windows, 4) > 0).await;
    standing(&stand, &["delete", &id, "--yes"]).await;
    assert_eq!(standing(&stand, &["list"]).await["standing_observations"], Value::Array(Vec::new()));
    // Its last window comes to nothing, and the agent goes on with everything else.
    stand.until_counted("probeops_reports_total{outcome=\"unknown_standing\"}", 1).await.unwrap();
    let numbers = stand.get("/api/v1/metrics/latest?limit=200").await.unwrap();
    assert!(numbers.to_string().contains("observe."), "the numbers of windows are in the series: {numbers}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stw_06_an_owner_that_does_not_allow_it_is_named_with_the_rule_and_nothing_is_seen() {
    let mut stand = Stand::start().await.unwrap();
    let _observer = stand.add_observed_agent("eyes", "").await.unwrap();
    let id = create(&stand, &["tcp_flows", "--window", "1s", "--from", "eyes"]).await;
    let fare = until_it_fares(&stand, &id, "refused").await;
    assert_eq!(text(&fare, "reason"), "policy_denied");
    assert!(text(&fare, "message").contains("observe.allow_standing"), "{fare}");
    assert_eq!((windows(&stand, &id).await.len(), fare["revision"].as_u64()), (0, Some(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stw_14_an_observer_that_is_killed_shows_and_windows_go_on_once_it_is_back() {
    let mut stand = Stand::start().await.unwrap();
    let mut observer = stand.add_observed_agent("eyes", "allow_standing = true").await.unwrap();
    let id = create(&stand, &["tcp_flows", "--window", "1s", "--from", "eyes"]).await;
    until(&stand, &id, "a window", |windows| !windows.is_empty()).await;
    observer.kill().await.unwrap();
    let fare = until_it_fares(&stand, &id, "unsupported").await;
    assert!(text(&fare, "message").contains("observe"), "{fare}");
    let before = windows(&stand, &id).await.len();
    stand.observe_again("eyes", &mut observer).await.unwrap();
    until_it_fares(&stand, &id, "running").await;
    until(&stand, &id, "windows after it came back", |windows| windows.len() > before).await;
}

/// How long the way is closed, or nothing is expected: some windows long.
const AWAY: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);
const PATIENCE: u32 = 300;
