//! What one echo costs: thousands of answering addresses on a pair of interfaces, beside `fping -i 0`.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use test_lab::peer::{Agent, Fping};

use crate::place::{Targets, Wire, number};
use crate::{Extent, median, rounded};

/// Costs of one program: of a sweep, and of a run with one target, which is what starting it costs.
#[derive(Default)]
struct Costs {
    sweeps: Vec<f64>,
    starts: Vec<f64>,
    took_ms: Vec<f64>,
    heard: Vec<f64>,
}

impl Costs {
    /// Microseconds of processor time an echo: of the whole process, and without what it takes to start it.
    fn record(self, echoes: f64) -> (Value, Option<f64>) {
        let whole = median(self.sweeps).map(|sweep| sweep / echoes);
        let start = median(self.starts);
        let net = whole.zip(start).map(|(whole, start)| whole - start / echoes);
        let record = json!({
            "processor_us_an_echo": net.map(rounded),
            "processor_us_an_echo_with_start": whole.map(rounded),
            "processor_ms_to_start": start.map(|start| rounded(start / 1e3)),
            "took_ms": median(self.took_ms).map(rounded),
            "answered_of_all": median(self.heard).map(|heard| rounded(heard / echoes)),
        });
        (record, net)
    }
}

pub(crate) fn measure(extent: Extent) -> Result<Value> {
    let (rounds, wanted) = if extent == Extent::Whole { (7, 10_240) } else { (1, 1_024) };
    let wire = Wire::build()?;
    let targets = Targets::about(wanted);
    let count = targets.count();
    let (agent, file) = (Agent::open()?, targets.file()?);
    let path = file.path().display().to_string();
    let (mut ours, mut theirs) = (Costs::default(), Costs::default());
    let single = r#"{"probe":"ping","target":"198.18.0.1","count":1,"wait_ms":100}"#;
    for _ in 0..rounds {
        let (report, ran) = agent.document(&wire.observer, &targets.spec(ECHOES, 1_000, 500))?;
        ensure!(
            number(&report, "/findings/totals/targets")? == u64::try_from(count)?,
            "the agent asked others than it should"
        );
        ours.sweeps.push(micros(ran.processor));
        ours.took_ms.push(micros(ran.took) / 1e3);
        ours.heard.push(f64::from(u32::try_from(number(&report, "/findings/totals/received")?)?));
        ours.starts.push(micros(agent.document(&wire.observer, single)?.1.processor));

        let fping = Fping::run(&wire.observer, ECHOES, &["-i", "0", "-p", "1000", "-t", "500", "-f", &path], &[])?;
        theirs.sweeps.push(micros(fping.ran.processor));
        theirs.took_ms.push(micros(fping.ran.took) / 1e3);
        let heard: usize = fping.targets.values().map(|times| times.iter().flatten().count()).sum();
        theirs.heard.push(f64::from(u32::try_from(heard)?));
        theirs.starts.push(micros(Fping::run(&wire.observer, 1, &[], &["198.18.0.1"])?.ran.processor));
    }
    let echoes = f64::from(u32::try_from(count)?) * f64::from(ECHOES);
    let ((ours, our_cost), (theirs, their_cost)) = (ours.record(echoes), theirs.record(echoes));
    Ok(json!({
        "targets": count, "echoes_a_target": ECHOES, "rounds": rounds, "agent": ours, "fping_i_0": theirs,
        "agent_of_fping": our_cost.zip(their_cost).map(|(ours, theirs)| rounded(ours / theirs)), "goal_agent_of_fping": 0.65,
    }))
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

const ECHOES: u32 = 3;
