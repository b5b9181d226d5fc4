//! Bench: how long it takes to find the agents of a selection among very many. The index alone, as admission asks it: 100,000 agents of one
//! tenant, all online, each with five labels and a place.
#![expect(clippy::print_stdout, reason = "a bench prints its result")]

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Parser;
use control_core::duty::Duty;
use control_core::selection::{AgentCard, AgentIndex, Choice, Conditions, Here, Standing, Waiting, Wanted, spread};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::spec::ProbeKind;
use shared_protocol::time::UnixMicros;
use test_lab::clock;
use test_lab::process::resident_kib;

#[derive(Parser)]
struct Arguments {
    /// Fewer selections.
    #[arg(long)]
    quick: bool,
    /// Prints one JSON document.
    #[arg(long)]
    json: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let selections = if arguments.quick { SELECTIONS / 10 } else { SELECTIONS };
    let mut random = rand::rngs::StdRng::seed_from_u64(7);
    let tenant = TenantId::new(UnixMicros::from_micros(1), [1; 10]);
    let began = clock::start();
    let mut index = AgentIndex::default();
    for number in 0..AGENTS {
        let card = card(tenant, number, &mut random);
        let agent = card.id;
        index.put(card);
        index.set_here(agent, Here::Yes);
    }
    let filled = began.elapsed();
    let mut found = BTreeMap::new();
    for (name, count) in [("three_labels_count_10", 10), ("three_labels_count_1000", 1_000)] {
        let mut micros = Vec::with_capacity(selections);
        for _ in 0..selections {
            let labels = labels([
                ("site", random.random_range(0..20)),
                ("kind", random.random_range(0..3)),
                ("rack", random.random_range(0..5)),
            ]);
            let wanted = wanted(
                Conditions {
                    labels: Some(&labels),
                    ..Conditions::default()
                },
                count,
            );
            micros.push(choose(&index, tenant, &wanted, random.random())?);
        }
        found.insert(name, summary(micros));
    }
    let mut everybody = Vec::with_capacity(selections);
    for _ in 0..selections {
        everybody.push(choose(&index, tenant, &wanted(Conditions::default(), 1), random.random())?);
    }
    found.insert("no_condition_count_1", summary(everybody));
    let record = json!({
        "bench": "select", "agents": AGENTS, "filled_ms": filled.as_millis(), "selections": selections, "found": found,
        "process_resident_kib": resident_kib(std::process::id())?,
    });
    if arguments.json {
        println!("{record}");
    } else {
        println!("{record:#}");
    }
    Ok(())
}

fn card(tenant: TenantId, number: u32, random: &mut rand::rngs::StdRng) -> AgentCard {
    let mut bytes = [0; 10];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    AgentCard {
        id: AgentId::new(UnixMicros::from_micros(1_000), bytes),
        tenant,
        sharing: control_core::sharing::Sharing::Own,
        name: format!("agent-{number}"),
        labels: labels([
            ("site", random.random_range(0..20)),
            ("kind", random.random_range(0..3)),
            ("rack", random.random_range(0..5)),
        ])
        .into_iter()
        .chain(labels([("owner", random.random_range(0..1_000)), ("stage", random.random_range(0..2))]))
        .collect(),
        region: Some(format!("region-{}", random.random_range(0..12))),
        zone: None,
        network: Some(format!("AS{}", 64_496 + random.random_range(0..16))),
        standing: Standing::Active,
        duty: Duty::Working,
        probes: vec![ProbeKind::Ping],
        revision: 1,
    }
}

fn labels<const N: usize>(pairs: [(&str, u32); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), format!("{key}-{value}"))).collect()
}

const fn wanted(conditions: Conditions<'_>, count: u32) -> Wanted<'_> {
    Wanted {
        agents: &[],
        same_as: None,
        conditions,
        probe: ProbeKind::Ping,
        count: Some(count),
        limit: 1_000,
    }
}

/// One selection from asking the index to the agents chosen, all of them idle; microseconds.
fn choose(index: &AgentIndex, tenant: TenantId, wanted: &Wanted<'_>, seed: u64) -> Result<u128> {
    let began = clock::start();
    let Choice::Among { candidates, count } = index.choose(tenant, wanted, seed).context("nobody fits")? else {
        anyhow::bail!("somebody was named");
    };
    let waiting = candidates.into_iter().map(|candidate| Waiting {
        agent: candidate.agent,
        region: candidate.region,
        wait: std::time::Duration::ZERO,
    });
    let chosen = spread(waiting.collect(), count);
    anyhow::ensure!(!chosen.is_empty(), "nobody was chosen");
    Ok(began.elapsed().as_micros())
}

fn summary(mut micros: Vec<u128>) -> serde_json::Value {
    micros.sort_unstable();
    let at = |part: usize| micros.get(micros.len() * part / 100).copied();
    json!({ "p50_us": at(50), "p99_us": at(99), "max_us": micros.last() })
}

const AGENTS: u32 = 100_000;
const SELECTIONS: usize = 2_000;
