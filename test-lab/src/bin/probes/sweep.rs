//! Whether reported loss is the true loss of every target, at 20 ms and one packet in a hundred lost, and what that costs; beside fping at
//! full speed, which invents loss, and at the first pace at which it does not.

use std::collections::HashMap;
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_lab::network::{Internet, Outcome};
use test_lab::peer::{Agent, Fping, Ran};

use crate::place::{Targets, number};
use crate::wire::micros;
use crate::{Extent, median, rounded};

/// One run over one world of its own.
struct Run {
    /// Targets of which other losses were reported than there were.
    wrong: usize,
    /// Packets reported lost, less those that were.
    invented: i64,
    sent: u64,
    truly_lost: u64,
    processor_us: f64,
    took_ms: f64,
    /// Microseconds by which the world's relay was late at most: what it adds to round-trip times, and to no loss.
    late_us: f64,
}

pub(crate) fn measure(extent: Extent) -> Result<Value> {
    let (rounds, wanted) = if extent == Extent::Whole { (10, 10_240) } else { (1, 1_024) };
    let agent = Agent::open()?;
    let targets = Targets::about(wanted);
    let mut ours = Vec::new();
    let mut fast = Vec::new();
    let mut tried = Vec::new();
    let mut paces = PACES.into_iter();
    let mut exact = exact_pace(&targets, &mut paces, &mut tried)?;
    for number in 0..rounds {
        ours.push(by_agent(&agent, &targets)?);
        fast.push(by_fping(&targets, "0")?);
        if let Some((pace, runs)) = exact.as_mut().filter(|_| number < EXACT_RUNS) {
            let run = by_fping(&targets, pace)?;
            if run.wrong == 0 {
                runs.push(run);
            } else {
                tried.push(trial(pace, &run));
                exact = exact_pace(&targets, &mut paces, &mut tried)?;
            }
        }
    }
    let mut record = json!({
        "targets": targets.count(), "echoes_a_target": ECHOES, "rounds": rounds, "delay_ms": 20, "loss": 0.01,
        "agent": summary(&ours), "fping_i_0": summary(&fast), "fping_paces_tried": tried,
        "fping_exact": exact.as_ref().map(|(pace, runs)| json!({"i_ms": pace, "runs": summary(runs)})),
        "agent_of_fping_exact": exact.as_ref().and_then(|(_, runs)| Some(rounded(cost(&ours)? / cost(runs)?))), "goal_agent_of_fping_exact": 0.2,
    });
    if extent == Extent::Whole {
        let many = Targets::about(65_536);
        let runs = (0..3).map(|_| by_agent(&agent, &many)).collect::<Result<Vec<_>>>()?;
        let record = record.as_object_mut().context("the record is an object")?;
        record.insert(
            "many".to_owned(),
            json!({"targets": many.count(), "rounds": runs.len(), "agent": summary(&runs)}),
        );
    }
    Ok(record)
}

/// The first of these paces at which fping is exact time after time, and its runs: at full speed it is by chance every other time.
fn exact_pace<'a>(targets: &Targets, paces: &mut impl Iterator<Item = &'a str>, tried: &mut Vec<Value>) -> Result<Option<(&'a str, Vec<Run>)>> {
    for pace in paces {
        let mut runs = Vec::new();
        while runs.len() < RUNS_TO_BE_EXACT {
            let run = by_fping(targets, pace)?;
            tried.push(trial(pace, &run));
            if run.wrong > 0 {
                break;
            }
            runs.push(run);
        }
        if runs.len() == RUNS_TO_BE_EXACT {
            return Ok(Some((pace, runs)));
        }
    }
    Ok(None)
}

fn trial(pace: &str, run: &Run) -> Value {
    json!({"i_ms": pace, "invented_share": share(run), "wrong_targets": run.wrong, "processor_us_an_echo": rounded(run.processor_us / echoes(run))})
}

fn by_agent(agent: &Agent, targets: &Targets) -> Result<Run> {
    let internet = Internet::open(WORLD)?;
    let (report, ran) = agent.document(&internet.observer, &targets.spec(ECHOES, 1_000, 1_000))?;
    let outcome = internet.finish()?;
    let column = report
        .pointer("/findings/columns/received")
        .and_then(Value::as_array)
        .context("no column of answers")?;
    ensure!(column.len() == targets.count(), "the agent asked others than it should");
    let received = column.iter().filter_map(Value::as_u64);
    let heard = targets.addresses().zip(received).collect();
    ensure!(
        number(&report, "/findings/totals/sent")? == outcome.truth.flows.iter().map(|flow| flow.sent).sum::<u64>(),
        "what was sent is not what came in"
    );
    judge(&heard, &outcome, &ran)
}

fn by_fping(targets: &Targets, pace: &str) -> Result<Run> {
    let internet = Internet::open(WORLD)?;
    let file = targets.file()?;
    let path = file.path().display().to_string();
    let fping = Fping::run(&internet.observer, ECHOES, &["-i", pace, "-p", "1000", "-t", "1000", "-f", &path], &[])?;
    let outcome = internet.finish()?;
    let heard = targets
        .addresses()
        .map(|address| (address, u64::try_from(fping.answered(address)).unwrap_or(0)))
        .collect();
    judge(&heard, &outcome, &fping.ran)
}

/// Compares what was heard of each target with the truth.
fn judge(heard: &HashMap<IpAddr, u64>, outcome: &Outcome, ran: &Ran) -> Result<Run> {
    ensure!(
        outcome.relay.lost_before == 0 && outcome.relay.refused == 0,
        "the relay itself lost packets: {:?}",
        outcome.relay
    );
    let (mut wrong, mut sent, mut answered, mut counted) = (0, 0, 0, 0);
    for flow in &outcome.truth.flows {
        let told = heard.get(&flow.destination).copied().unwrap_or(0);
        wrong += usize::from(told != flow.answered);
        sent += flow.sent;
        answered += flow.answered;
        counted += told;
    }
    Ok(Run {
        wrong,
        invented: i64::try_from(answered)? - i64::try_from(counted)?,
        sent,
        truly_lost: sent - answered,
        processor_us: micros(ran.processor),
        took_ms: micros(ran.took) / 1e3,
        late_us: f64::from(u32::try_from(outcome.relay.late_most_ns / 1_000)?),
    })
}

fn summary(runs: &[Run]) -> Value {
    let middle = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect()).map(rounded);
    json!({
        "runs": runs.len(),
        "exact_runs": runs.iter().filter(|run| run.wrong == 0).count(),
        "wrong_targets_at_most": runs.iter().map(|run| run.wrong).max(),
        "invented_share": middle(share),
        "true_loss": middle(|run| f64::from(u32::try_from(run.truly_lost).unwrap_or(u32::MAX)) / echoes(run)),
        "processor_us_an_echo": cost(runs).map(rounded),
        "took_ms": middle(|run| run.took_ms),
        "relay_late_us_at_most": middle(|run| run.late_us),
    })
}

fn cost(runs: &[Run]) -> Option<f64> {
    median(runs.iter().map(|run| run.processor_us / echoes(run)).collect())
}

fn echoes(run: &Run) -> f64 {
    f64::from(u32::try_from(run.sent).unwrap_or(u32::MAX))
}

/// Of all packets, those that were called lost and were not.
fn share(run: &Run) -> f64 {
    rounded(f64::from(i32::try_from(run.invented).unwrap_or(i32::MAX)) / echoes(run))
}

const ECHOES: u32 = 3;
/// Runs of fping at its exact pace beside the others, which take long.
const EXACT_RUNS: usize = 3;
/// Runs without a mistake, one after the other, after which a pace is taken to be exact.
const RUNS_TO_BE_EXACT: usize = 4;
/// Milliseconds between two packets of fping, from the fastest.
const PACES: [&str; 7] = ["0", "0.01", "0.02", "0.03", "0.05", "0.1", "0.2"];
const WORLD: &str = r#"
seed = 20261126
[observer]
addresses = ["10.0.0.1"]
[[node]]
name = "router"
addresses = ["10.1.0.1"]
link = { delay_us = 10000, loss = 0.01, back = { delay_us = 10000 } }
[[node]]
name = "everybody"
addresses = ["198.18.0.0/16"]
[[path]]
hops = ["router", "everybody"]
"#;
