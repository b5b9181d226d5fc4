//! How long a path takes to be seen: eight hops at 20 ms, two of them silent, and ten rounds of an mtr; beside traceroute and mtr.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use test_lab::network::Internet;
use test_lab::peer::{Agent, mtr, traceroute};

use crate::wire::micros;
use crate::{Extent, median, rounded};

pub(crate) fn measure(extent: Extent) -> Result<Value> {
    let rounds = if extent == Extent::Whole { 10 } else { 1 };
    let agent = Agent::open()?;
    Ok(json!({
        "traceroute": {
            "eight_hops": follow(&agent, &world(&[]), rounds)?, "goal_eight_hops_ms": 26,
            "two_of_them_silent": follow(&agent, &world(&[3, 4]), rounds)?, "goal_two_silent_ms": 95,
        },
        "mtr": rounds_of_mtr(&agent, rounds.min(3))?, "goal_mtr_ms": 1_200,
    }))
}

/// Seven routers and a target, each at 20 ms; some say nothing.
fn world(silent: &[u8]) -> String {
    let mut text = "[observer]\naddresses = [\"10.0.0.1\"]\n".to_owned();
    for number in 1..=7_u8 {
        let delay = if number == 1 { "link = { delay_us = 10000 }\n" } else { "" };
        let silent = silent.contains(&number);
        text += &[
            "[[node]]\nname = \"router",
            &number.to_string(),
            "\"\naddresses = [\"10.1.0.",
            &number.to_string(),
            "\"]\n",
            delay,
        ]
        .concat();
        text += if silent { "silent = true\n" } else { "" };
    }
    text + "[[node]]\nname = \"target\"\naddresses = [\"198.51.100.7\"]\n[[path]]\nhops = [\"router1..router7\", \"target\"]\n"
}

fn follow(agent: &Agent, world: &str, rounds: usize) -> Result<Value> {
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let internet = Internet::open(world)?;
        let (report, _) = agent.document(&internet.observer, r#"{"probe":"traceroute","target":"198.51.100.7","protocol":"udp"}"#)?;
        ours.push(duration_ms(&report)?);
        let (_, ran) = traceroute(&internet.observer, &[], "198.51.100.7")?;
        theirs.push(micros(ran.took) / 1e3);
    }
    Ok(json!({"runs": rounds, "agent_ms": median(ours).map(rounded), "traceroute_ms": median(theirs).map(rounded)}))
}

fn rounds_of_mtr(agent: &Agent, runs: usize) -> Result<Value> {
    let (mut ours, mut theirs, mut first_rows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut hops, mut losses) = ((0, 0), (0.0, 0.0));
    for _ in 0..runs {
        let internet = Internet::open(&world(&[]))?;
        let told = agent.documents(&internet.observer, r#"{"probe":"mtr","target":"198.51.100.7","rounds":10,"interval_ms":100}"#)?;
        let has_rows = |document: &Value| document.pointer("/event/hops").and_then(Value::as_array).is_some_and(|hops| !hops.is_empty());
        let first = told.iter().find(|(_, document)| has_rows(document)).context("no rows came")?;
        first_rows.push(micros(first.0) / 1e3);
        let report = told.last().and_then(|(_, document)| document.get("report")).context("no report came")?;
        ours.push(duration_ms(report)?);
        let found = report.pointer("/findings/hops").and_then(Value::as_array).context("no hops in the report")?;
        let lost = found.iter().filter_map(|hop| hop.get("loss").and_then(Value::as_f64));
        losses.0 += lost.sum::<f64>();
        let (hubs, ran) = mtr(&internet.observer, 10, &["-i", "0.1"], "198.51.100.7")?;
        theirs.push(micros(ran.took) / 1e3);
        losses.1 += hubs.iter().map(|hub| hub.loss_percent / 100.0).sum::<f64>();
        hops = (found.len(), hubs.len());
    }
    Ok(json!({
        "runs": runs, "rounds": 10, "interval_ms": 100, "agent_ms": median(ours).map(rounded), "mtr_ms": median(theirs).map(rounded),
        "agent_first_rows_ms": median(first_rows).map(rounded), "hops_by_agent": hops.0, "hops_by_mtr": hops.1,
        "loss_by_agent": losses.0, "loss_by_mtr": losses.1,
    }))
}

/// How long the probe itself took, as its report says.
fn duration_ms(report: &Value) -> Result<f64> {
    let micros = report.get("duration_us").and_then(Value::as_u64).context("no duration in the report")?;
    Ok(f64::from(u32::try_from(micros)?) / 1e3)
}
