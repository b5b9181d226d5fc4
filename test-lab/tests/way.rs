//! What the way between agents and control plane can do to them, through real processes: each end finds out by itself, and work goes on.
#![expect(clippy::unwrap_used, reason = "a test may panic; its helpers too")]

use std::collections::BTreeSet;
use std::time::Duration;

use probe_agent::link::backoff::BackoffSettings;
use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::fault::{Conditions, Direction, Entry, Whom};
use test_lab::fleet::{News, Probes, SimulatedAgent};
use test_lab::stand::{Signal, Stand, text};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As 15 seconds to three missed ones of 45, so is this to less than a second.
const KEEPALIVE: Duration = Duration::from_millis(250);
const SILENT: &str = "probeops_sessions_closed_total{reason=\"silent\"}";

async fn stand_with_an_agent() -> Stand {
    let mut stand = Stand::start_with_keepalive(KEEPALIVE, Kind::Sqlite).await.unwrap();
    stand.add_agent("a").await.unwrap();
    stand
}

async fn measure(stand: &Stand) -> Value {
    let body = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 1}, "selection": {"agents": ["a"]}});
    stand.post("/api/v1/measurements?wait=30s", &body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_01_half_open_without_a_fin_is_found_by_both_ends_after_three_silent_intervals() {
    let stand = stand_with_an_agent().await;
    let way = stand.way().unwrap();
    let dialled = way.dialled();
    way.set(Whom::Present, Conditions::stalled());
    // The agent finds out and dials again, but nobody is let in: the control plane has to find out by itself.
    way.entry(Entry::Refused);
    stand.until_counted(SILENT, 1).await.unwrap();
    stand.until_presence("a", "offline").await.unwrap();
    while way.dialled() == dialled {
        tokio::time::sleep(KEEPALIVE).await;
    }
    way.well_again();
    stand.until_online("a").await.unwrap();
    assert_eq!(text(&measure(&stand).await, "state"), "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_02_one_direction_that_is_silent_is_the_end_for_the_one_who_hears_nothing() {
    let stand = stand_with_an_agent().await;
    let way = stand.way().unwrap();
    // The control plane hears nothing more.
    way.set(Whom::Present, Conditions::one_way(Direction::Up));
    stand.until_counted(SILENT, 1).await.unwrap();
    way.well_again();
    stand.until_online("a").await.unwrap();
    // The agent hears nothing more; it leaves and comes back by a way that is well.
    let dialled = way.dialled();
    way.set(Whom::Present, Conditions::one_way(Direction::Down));
    while way.dialled() == dialled {
        tokio::time::sleep(KEEPALIVE).await;
    }
    stand.until_online("a").await.unwrap();
    assert_eq!(text(&measure(&stand).await, "state"), "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_03_a_reset_anywhere_in_handshake_upgrade_or_frame_is_followed_by_another_attempt() {
    let stand = stand_with_an_agent().await;
    let way = stand.way().unwrap();
    for bytes in [0, 1, 5, 200, 1_000, 2_000, 2_500, 3_000, 3_500] {
        let dialled = way.dialled();
        way.entry(Entry::ResetAfter(bytes));
        way.cut(Whom::Present);
        // Two in a row, so that the second attempt was not spared.
        while way.dialled() < dialled + 2 {
            way.cut(Whom::Present);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    way.entry(Entry::Open);
    way.cut(Whom::Present);
    stand.until_online("a").await.unwrap();
    let dialled = way.dialled();
    way.cut_after(Whom::Present, Direction::Up, 0);
    while way.dialled() == dialled {
        tokio::time::sleep(KEEPALIVE).await;
    }
    assert_eq!(text(&measure(&stand).await, "state"), "ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_04_a_slow_and_late_way_carries_everything() {
    let stand = stand_with_an_agent().await;
    let mut conditions = Conditions::slow(8_000);
    conditions.up.delay = Duration::from_millis(50);
    conditions.down.delay = Duration::from_millis(50);
    stand.way().unwrap().set(Whom::Present, conditions);
    for _ in 0..5 {
        let measured = measure(&stand).await;
        assert_eq!(text(&measured, "state"), "ended", "{measured}");
    }
    assert_eq!(stand.counter(SILENT).await.unwrap(), 0, "whoever is slow is not silent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_06_a_frozen_agent_goes_offline_and_comes_back_without_running_anything_twice() {
    let stand = stand_with_an_agent().await;
    let body = json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": 4, "interval_ms": 100}, "selection": {"agents": ["a"]}});
    let measurement = stand.post("/api/v1/measurements", &body).await.unwrap();
    stand.signal_agent(0, Signal::SIGSTOP).unwrap();
    stand.until_counted(SILENT, 1).await.unwrap();
    stand.until_presence("a", "offline").await.unwrap();
    stand.signal_agent(0, Signal::SIGCONT).unwrap();
    stand.until_online("a").await.unwrap();
    let path = format!("/api/v1/measurements/{}", text(&measurement, "id"));
    let mut found = stand.get(&path).await.unwrap();
    while text(&found, "state") != "ended" {
        tokio::time::sleep(KEEPALIVE).await;
        found = stand.get(&path).await.unwrap();
    }
    let jobs = found["jobs"].as_array().unwrap();
    assert_eq!((jobs.len(), text(&jobs[0], "state")), (1, "completed"), "{found}");
    assert_eq!(stand.counter("probeops_reports_total{outcome=\"stored\"}").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_07_agents_leave_a_frozen_control_plane_and_its_old_sessions_count_no_more() {
    let stand = stand_with_an_agent().await;
    let dialled = stand.way().unwrap().dialled();
    stand.signal_server(Signal::SIGSTOP).unwrap();
    while stand.way().unwrap().dialled() < dialled + 2 {
        tokio::time::sleep(KEEPALIVE).await;
    }
    stand.signal_server(Signal::SIGCONT).unwrap();
    stand.until_online("a").await.unwrap();
    assert_eq!(text(&measure(&stand).await, "state"), "ended");
    assert_eq!(stand.counter("probeops_sessions").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn net_12_a_fleet_comes_back_after_a_crash_and_after_an_orderly_stop_and_nobody_is_lost() {
    const AGENTS: u32 = 100;
    let (mut stand, identities) = Stand::start_founded(AGENTS, Kind::Sqlite).await.unwrap();
    let address = stand.agent_address().parse().unwrap();
    let probes = Probes::new(Duration::ZERO..=Duration::ZERO, 4, 1_024);
    let backoff = BackoffSettings {
        backoff_base_ms: 100,
        backoff_cap_ms: 2_000,
        stable_after_ms: 1_000,
    };
    let (teller, mut news) = mpsc::channel(65_536);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    for (number, identity) in (0..).zip(&identities) {
        let agent = SimulatedAgent::of(identity, number, address, probes.clone(), backoff).unwrap();
        tasks.spawn(agent.run(teller.clone(), stop.clone()));
    }
    let mut here = BTreeSet::new();
    for crash in [None, Some(true), Some(false)] {
        match crash {
            None => {}
            Some(true) => stand.kill_server().await.unwrap(),
            Some(false) => stand.stop_server().await.unwrap(),
        }
        let mut lost = here.clone();
        if crash.is_some() {
            stand.start_server().await.unwrap();
        }
        // Everybody loses the session there was, and has another.
        while !lost.is_empty() || here.len() < usize::try_from(AGENTS).unwrap() {
            match news.recv().await.unwrap() {
                News::Welcomed(number) => drop(here.insert(number)),
                News::Lost(number) => {
                    lost.remove(&number);
                    here.remove(&number);
                }
                News::Dials(_) => {}
                News::Stopped(number) => panic!("agent {number} dials no more"),
            }
        }
    }
    stop.cancel();
    assert_eq!(tasks.join_all().await.len(), identities.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_20_two_thousand_stalled_handshakes_do_not_keep_an_agent_out_and_are_closed() {
    let mut stand = stand_with_an_agent().await;
    stand.kill_agent(0).await.unwrap();
    let mut stalled = Vec::new();
    for _ in 0..2_000 {
        let mut stream = TcpStream::connect(stand.agent_address()).await.unwrap();
        // The head of a record that never comes.
        stream.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        stalled.push(stream);
    }
    stand.start_agent(0).unwrap();
    stand.until_online("a").await.unwrap();
    for mut stream in stalled {
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "a stalled handshake is still open");
    }
}
