//! Kills the control plane and the agents under load, and does to the way between them everything that can happen to one, again and again:
//! nothing that was accepted is lost, nothing ends twice.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print; its helpers too")]

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use test_lab::database::Kind;
use test_lab::fault::Schedule;
use test_lab::ledger::{Ledger, jobs_of};
use test_lab::load::{Destination, Load};
use test_lab::stand::Stand;

const AGENTS: usize = 2;
const KILLS: usize = 40;
const KILLS_LONG: usize = 1_000;
/// As many as the agents keep up with: what is accepted has to come to its end before the test can.
const CLIENTS: usize = 1;
/// Short, so that an agent whose way is stalled finds out before the way is well again as often as after.
const KEEPALIVE: Duration = Duration::from_millis(300);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_01_kil_02_every_accepted_job_has_exactly_one_end_whatever_is_killed() {
    kill_again_and_again(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_01_kil_02_every_accepted_job_has_exactly_one_end_on_postgresql_too() {
    kill_again_and_again(Kind::Postgresql).await;
}

async fn kill_again_and_again(kind: Kind) {
    let seed = std::env::var("PROBEOPS_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121);
    let kills = if std::env::var_os("PROBEOPS_LONG").is_some() { KILLS_LONG } else { KILLS };
    println!("seed {seed} (give it back as PROBEOPS_SEED)");
    let mut random = StdRng::seed_from_u64(seed);
    let mut schedule = Schedule::new(seed);
    let mut stand = Stand::start_with_keepalive(KEEPALIVE, kind).await.unwrap();
    let names: Vec<String> = (0..AGENTS).map(|number| format!("agent-{number}")).collect();
    stand.add_agents(&names).await.unwrap();
    let ledger = Arc::new(Ledger::default());
    let destination = Destination {
        url: stand.url(""),
        key: stand.key.clone(),
        agents: names.clone(),
    };
    let load = Load::start(&destination, CLIENTS, &ledger).unwrap();

    let (mut server_kills, mut agent_kills, mut faults) = (0, 0, 0);
    for _ in 0..kills {
        // Before a kill something happens to the way or nothing does, and sometimes it still lasts while somebody is killed.
        if random.random_bool(0.5) {
            load.until_accepted(random.random_range(1..5)).await;
            stand.way().unwrap().act(schedule.next().unwrap());
            faults += 1;
        }
        load.until_accepted(random.random_range(1..10)).await;
        if random.random_bool(0.5) {
            stand.way().unwrap().well_again();
        }
        if random.random_bool(0.5) {
            stand.kill_server().await.unwrap();
            server_kills += 1;
            stand.start_server().await.unwrap();
        } else {
            let victim = random.random_range(0..AGENTS);
            stand.kill_agent(victim).await.unwrap();
            agent_kills += 1;
            // Sometimes nobody is there for a while, sometimes it comes back at once.
            if random.random_bool(0.5) {
                load.until_accepted(random.random_range(1..5)).await;
            }
            stand.start_agent(victim).unwrap();
        }
        stand.way().unwrap().well_again();
        read_ends(&stand, &ledger).await;
    }
    load.finish().await.unwrap();
    for name in &names {
        stand.until_online(name).await.unwrap();
    }
    while !ledger.open_measurements().is_empty() {
        read_ends(&stand, &ledger).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stand.kill_server().await.unwrap();

    let verdict = ledger.judge(&stand.database().read().await.unwrap());
    println!(
        "database={} kills={} (server {server_kills}, agent {agent_kills}) faults={faults} accepted={} ended={} lost={} double={} ends={:?}",
        kind.name(),
        server_kills + agent_kills,
        verdict.accepted,
        verdict.ended,
        verdict.lost,
        verdict.double,
        verdict.ends
    );
    assert_eq!((verdict.lost, verdict.double), (0, 0));
    assert_eq!(verdict.accepted, verdict.ended);
    let completed = verdict.ends.get("completed").copied().unwrap_or_default();
    assert!(completed > kills, "between the kills work went on: {:?}", verdict.ends);
}

/// Reads what became of the open jobs, page by page; a control plane that is just coming up is asked again next time.
async fn read_ends(stand: &Stand, ledger: &Ledger) {
    for measurement in ledger.open_measurements() {
        let Ok(found) = stand.get(&format!("/api/v1/measurements/{measurement}")).await else {
            return;
        };
        for job in jobs_of(&found) {
            ledger.seen(job, &measurement);
        }
    }
}
