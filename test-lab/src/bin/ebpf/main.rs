//! Bench: what observing costs the host that is observed. One byte goes to and fro over a TCP connection on loopback, both ends on one CPU, as
//! fast as it can: for programs on the kernel's way of a packet nothing is worse. Slices with and without observations follow each other, and
//! each is compared with the bare one of its round.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

mod observing;
mod programs;
mod traffic;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use serde_json::{Value, json};
use shared_protocol::spec::Observation;
use test_lab::database::Kind;
use test_lab::process::{processor_time, resident_kib};
use test_lab::stand::Stand;

use observing::Under;
use programs::{Counted, Programs};
use traffic::PingPong;
use work::Work;

#[derive(Parser)]
struct Arguments {
    /// Few and short slices.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

/// What is on while a slice is measured.
const SITUATIONS: [(&str, Under); 14] = [
    ("default_set", Under::Observations(&DEFAULT)),
    ("default_set_runqlat_profile", Under::Observations(&FLOWS_AND_CPU)),
    ("without_audits", Under::Observations(&WITHOUT_AUDITS)),
    ("everything", Under::Observations(&Observation::ALL)),
    ("packets", Under::Observations(&[Observation::Packets])),
    ("tcp_flows", Under::Observations(&[Observation::TcpFlows])),
    ("runqlat", Under::Observations(&[Observation::Runqlat])),
    ("offcpu", Under::Observations(&[Observation::Offcpu])),
    ("syscalls", Under::Observations(&[Observation::Syscalls])),
    ("audits", Under::Observations(&AUDITS)),
    // The same jobs, done by Debian's libbpf-tools.
    ("peer_tcplife", Under::Program("unshare", &["--mount", "sh", "-c", TCPLIFE])),
    ("peer_runqlat", Under::Program("runqlat", &["600", "1"])),
    ("peer_offcputime", Under::Program("offcputime", &["600"])),
    ("peer_syscount", Under::Program("unshare", &["--mount", "sh", "-c", SYSCOUNT])),
];
/// What does the same as ours while there is work for it.
const PEERS_AT_WORK: [(&str, Under); 3] = [
    ("biolatency", Under::Program("biolatency", &["600", "1"])),
    ("execsnoop", Under::Program("unshare", &["--mount", "sh", "-c", EXECSNOOP])),
    ("opensnoop", Under::Program("unshare", &["--mount", "sh", "-c", OPENSNOOP])),
];
/// These look for their tracepoints where tracefs is mounted, which a host need not have done.
const TCPLIFE: &str = "mount -t tracefs nodev /sys/kernel/tracing && exec tcplife";
const EXECSNOOP: &str = "mount -t tracefs nodev /sys/kernel/tracing && exec execsnoop";
const OPENSNOOP: &str = "mount -t tracefs nodev /sys/kernel/tracing && exec opensnoop";
const SYSCOUNT: &str = "mount -t tracefs nodev /sys/kernel/tracing && exec syscount -L -d 600";
/// What an owner need not name.
const WITHOUT_AUDITS: [Observation; 11] = [
    Observation::TcpFlows,
    Observation::ConnectLatency,
    Observation::Drops,
    Observation::Retransmits,
    Observation::Runqlat,
    Observation::Biolatency,
    Observation::Memory,
    Observation::Packets,
    Observation::Interface,
    Observation::UdpFlows,
    Observation::DnsLatency,
];
/// What needs no more than the two rights of the observer's unit, and is about the network.
const DEFAULT: [Observation; 4] = [Observation::TcpFlows, Observation::ConnectLatency, Observation::Drops, Observation::Retransmits];
/// What ADR 0056 takes "everything" to be: the network's flows, how long tasks wait for a CPU, and where the CPUs' time goes.
const FLOWS_AND_CPU: [Observation; 6] = [
    Observation::TcpFlows,
    Observation::ConnectLatency,
    Observation::Drops,
    Observation::Retransmits,
    Observation::Runqlat,
    Observation::Profile,
];
/// What an owner has to name; all but `connects` look at every call of the kernel.
const AUDITS: [Observation; 4] = [Observation::Exec, Observation::Files, Observation::Connects, Observation::Syscalls];

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let unnamed: Vec<_> = Observation::ALL.into_iter().filter(|observation| !observation.is_audit()).collect();
    ensure!(unnamed == WITHOUT_AUDITS, "an observation is missing here");
    let (rounds, slice) = if arguments.quick {
        (1, Duration::from_millis(300))
    } else {
        (11, Duration::from_millis(1_500))
    };
    let mut stand = Stand::start_straight(Kind::Sqlite).await?;
    let agent_alone = agent_resident_without_observer(&mut stand, arguments.quick).await?;
    // No budget: what is measured would else be what the governor has left of it.
    let every: Vec<&str> = Observation::ALL.into_iter().map(Observation::as_str).collect();
    let owner = format!("max_cpu_percent = 10000\nallow = {every:?}");
    let observer = stand.add_observed_agent("seen", &owner).await?;
    let pid = observer.pid().context("the observer is not running")?;
    let mut pair = PingPong::start()?;

    let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut costs: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut costs_at_work: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut peers_at_work: BTreeMap<&str, BTreeMap<String, Vec<f64>>> = BTreeMap::new();
    let mut work = Work::new()?;
    let mut bare_rates = Vec::new();
    for _ in 0..rounds {
        let before = pair.run(slice)?;
        let mut rates = Vec::new();
        for (name, under) in SITUATIONS {
            let on = under.begin(observer.socket()).await?;
            rates.push((name, pair.run(slice)?));
            if name == "everything" {
                // Beside what is compared: while the kernel counts, each run takes longer.
                let _counted = Counted::begin()?;
                let programs = Programs::of(pid)?;
                pair.run(slice)?;
                programs.add_costs_since(&mut costs)?;
                let programs = Programs::of(pid)?;
                work.run(slice)?;
                programs.add_costs_since(&mut costs_at_work)?;
            }
            on.end().await?;
        }
        // The machine may have become another one meanwhile: the bare rate is that before and after.
        let bare = f64::midpoint(before, pair.run(slice)?);
        bare_rates.push(bare);
        for (name, rate) in rates {
            figures.entry(name).or_default().push(rate / bare);
        }
        for (name, under) in PEERS_AT_WORK {
            let on = under.begin(observer.socket()).await?;
            let _counted = Counted::begin()?;
            let programs = Programs::of(on.process().context("no other program")?)?;
            work.run(slice)?;
            programs.add_costs_since(peers_at_work.entry(name).or_default())?;
            on.end().await?;
        }
    }
    let paced = paced(&mut pair, observer.socket(), pid, arguments.quick).await?;
    let record = json!({
        "bench": "ebpf",
        "rounds": rounds,
        "slice_ms": u64::try_from(slice.as_millis())?,
        "round_trips_a_second_bare": spread(bare_rates),
        "rate_of_bare": spreads(figures),
        // While one byte goes to and fro: programs for what hardly happens there find their own memory cold.
        "program_ns_a_run": spreads(costs),
        "program_ns_a_run_at_work": spreads(costs_at_work),
        "peers_program_ns_a_run_at_work": peers_at_work.into_iter().map(|(name, costs)| (name.to_owned(), spreads(costs).into())).collect::<serde_json::Map<_, Value>>(),
        "ten_thousand_round_trips_a_second": paced,
        "agent_resident_kib": {"without_observer": agent_alone, "beside_one": resident_kib(stand.agent_pid(1).context("no agent")?)?},
        "goals": {
            "rate_of_bare": {"default_set": 0.96, "default_set_runqlat_profile": 0.85, "without_audits": 0.85, "everything": 0.85},
            "program_ns_a_run": 500,
            "cpu_share_at_ten_thousand": 0.005,
            "observer_resident_kib": 25 * 1_024,
        },
    });
    if arguments.json {
        println!("{record}");
    } else {
        println!("{record:#}");
    }
    Ok(())
}

/// The default set at a rate that a busy server may have.
async fn paced(pair: &mut PingPong, socket: &std::path::Path, observer: u32, quick: bool) -> Result<Value> {
    let time = if quick { Duration::from_millis(500) } else { Duration::from_secs(10) };
    let on = Under::Observations(&DEFAULT).begin(socket).await?;
    let _counted = Counted::begin()?;
    let (programs, before) = (Programs::of(observer)?, processor_time(observer)?);
    let (round_trips, took) = pair.run_at(10_000, time).await?;
    let in_kernel: f64 = programs.cost_since()?.values().map(|cost| cost.run_ns).sum();
    let observer_itself = processor_time(observer)?.saturating_sub(before);
    let resident = resident_kib(observer)?;
    on.end().await?;
    Ok(json!({
        "round_trips_a_second": round_trips / took.as_secs_f64(),
        "cpu_share_of_programs": in_kernel / 1e9 / took.as_secs_f64(),
        "cpu_share_of_observer": observer_itself.as_secs_f64() / took.as_secs_f64(),
        "observer_resident_kib": resident,
    }))
}

/// What an agent holds to which no observer was ever there, after the same time.
async fn agent_resident_without_observer(stand: &mut Stand, quick: bool) -> Result<u64> {
    stand.add_agent("alone").await?;
    tokio::time::sleep(if quick { Duration::from_millis(500) } else { Duration::from_secs(10) }).await;
    resident_kib(stand.agent_pid(0).context("no agent")?)
}

fn spreads<Name: Into<String>>(figures: BTreeMap<Name, Vec<f64>>) -> serde_json::Map<String, Value> {
    figures.into_iter().map(|(name, figures)| (name.into(), spread(figures))).collect()
}

fn spread(mut figures: Vec<f64>) -> Value {
    figures.sort_by(f64::total_cmp);
    let rounded = |figure: Option<&f64>| figure.map(|figure| (figure * 1e3).round() / 1e3);
    json!({"median": rounded(figures.get(figures.len() / 2)), "least": rounded(figures.first()), "most": rounded(figures.last())})
}
