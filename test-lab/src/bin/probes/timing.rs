//! Whether round-trip times are true: each beside a capture in the namespace of who answers, and beside the clock of user space, on an idle
//! host and on a busy one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use test_lab::network::{Capture, Captured};
use test_lab::peer::Agent;

use crate::place::Wire;
use crate::{Extent, rounded};

/// One packet's times, microseconds.
struct Times {
    kernel: f64,
    user: f64,
    /// What the peer took to answer, as its own wire shows.
    turned: f64,
}

pub(crate) fn measure(extent: Extent) -> Result<Value> {
    let runs = if extent == Extent::Whole { 100 } else { 2 };
    let wire = Wire::build()?;
    let agent = Agent::open()?;
    let idle = times(&wire, &agent, runs)?;
    let stop = AtomicBool::new(false);
    let busy = thread::scope(|scope| {
        for _ in 0..LOOPS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let busy = times(&wire, &agent, runs.min(20));
        stop.store(true, Ordering::Relaxed);
        busy
    })?;
    Ok(json!({
        "idle": record(&idle), "goal_reported_minus_true_p99_us": 10.0,
        "busy": {"loops": LOOPS, "record": record(&busy)}, "goal_kernel_stddev_us": 5.0,
    }))
}

/// Pings one address, 100 packets a run.
fn times(wire: &Wire, agent: &Agent, runs: usize) -> Result<Vec<Times>> {
    let mut all = Vec::new();
    for _ in 0..runs {
        let capture = Capture::start(&wire.peer, 64)?;
        let spec = r#"{"probe":"ping","target":"198.18.0.1","count":100,"interval_ms":10,"wait_ms":1000}"#;
        let (report, _) = agent.document(&wire.observer, spec)?;
        let captured = capture.finish()?;
        let turned = turned(&captured);
        let packets = report
            .pointer("/findings/packets")
            .and_then(Value::as_array)
            .context("no packets in the report")?;
        for packet in packets {
            let figure = |name: &str| packet.get(name).and_then(Value::as_u64);
            let seq = figure("seq").context("a packet without a number")?;
            if let (Some(kernel), Some(user), Some(turned)) = (figure("rtt_us"), figure("user_rtt_us"), turned.get(&seq)) {
                all.push(Times {
                    kernel: f64::from(u32::try_from(kernel)?),
                    user: f64::from(u32::try_from(user)?),
                    turned: *turned,
                });
            }
        }
    }
    ensure!(!all.is_empty(), "no packet was seen by both");
    Ok(all)
}

/// Microseconds from each request's coming in to its reply's going out, by the order in which the requests came: what stands in their headers
/// is the agent's own affair.
fn turned(packets: &[Captured]) -> HashMap<u64, f64> {
    let mut asked = HashMap::new();
    let mut turned = HashMap::new();
    for packet in packets {
        // An IPv4 header of 20 bytes, then ICMP; identifier and sequence number are the same in both directions.
        let (Some(&kind), Some(numbers)) = (packet.bytes.get(20), packet.bytes.get(24..28)) else {
            continue;
        };
        match (kind, packet.outgoing) {
            (8, false) => {
                let order = u64::try_from(asked.len()).unwrap_or(u64::MAX);
                asked.entry(numbers).or_insert((order, packet.at_ns));
            }
            (0, true) => {
                if let Some((order, came)) = asked.get(numbers) {
                    let nanoseconds = u32::try_from(packet.at_ns.saturating_sub(*came)).unwrap_or(u32::MAX);
                    turned.insert(*order, f64::from(nanoseconds) / 1e3);
                }
            }
            _ => {}
        }
    }
    turned
}

fn record(times: &[Times]) -> Value {
    json!({
        "packets": times.len(),
        "reported_minus_true_us": spread(times.iter().map(|times| times.kernel - times.turned).collect()),
        "user_clock_minus_true_us": spread(times.iter().map(|times| times.user - times.turned).collect()),
        "kernel_rtt_us": spread(times.iter().map(|times| times.kernel).collect()),
        "user_rtt_us": spread(times.iter().map(|times| times.user).collect()),
    })
}

fn spread(mut figures: Vec<f64>) -> Value {
    figures.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(figures.len()).unwrap_or(u32::MAX)).max(1.0);
    let mean = figures.iter().sum::<f64>() / count;
    let deviation = (figures.iter().map(|figure| (figure - mean).powi(2)).sum::<f64>() / count).sqrt();
    let at = |per_mille: usize| figures.get((figures.len() * per_mille).div_ceil(1_000).max(1) - 1).copied().map(rounded);
    json!({"p50": at(500), "p99": at(990), "max": at(1_000), "stddev": rounded(deviation)})
}

/// Threads that do nothing but turn, on however many processors.
const LOOPS: usize = 4;
