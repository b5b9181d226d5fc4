//! What the programs of a process have cost, as the kernel counts it.
#![expect(clippy::disallowed_types, reason = "bpftool says what a program has cost")]

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// What a program did.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) runs: f64,
    pub(crate) run_ns: f64,
}

/// The kernel counts what every program of this host costs as long as this lives; then it is as it was.
pub(crate) struct Counted {
    before: String,
}

impl Counted {
    pub(crate) fn begin() -> Result<Self> {
        let before = std::fs::read_to_string(COUNTS).with_context(|| format!("reading {COUNTS}"))?;
        std::fs::write(COUNTS, "1").with_context(|| format!("letting the kernel count by {COUNTS}"))?;
        Ok(Self { before })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // What could be written a moment ago can be written again.
        let _ = std::fs::write(COUNTS, &self.before);
    }
}

const COUNTS: &str = "/proc/sys/kernel/bpf_stats_enabled";

/// The programs that a process had at some moment, and what they had cost by then.
pub(crate) struct Programs(BTreeMap<u32, Shown>);

#[derive(Debug, Deserialize)]
struct Shown {
    id: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    run_time_ns: u64,
    #[serde(default)]
    run_cnt: u64,
}

impl Programs {
    pub(crate) fn of(process: u32) -> Result<Self> {
        let mut programs = BTreeMap::new();
        let folder = format!("/proc/{process}/fdinfo");
        for file in std::fs::read_dir(&folder).with_context(|| format!("reading {folder}"))? {
            // A descriptor may be closed meanwhile.
            let text = std::fs::read_to_string(file?.path()).unwrap_or_default();
            if let Some(id) = text.lines().find_map(|line| line.strip_prefix("prog_id:")) {
                let shown = show(id.trim().parse().context("the number of a program")?)?;
                programs.insert(shown.id, shown);
            }
        }
        Ok(Self(programs))
    }

    /// What each has cost since, by name.
    pub(crate) fn cost_since(&self) -> Result<BTreeMap<String, Cost>> {
        let mut costs: BTreeMap<String, Cost> = BTreeMap::new();
        for (id, before) in &self.0 {
            let after = show(*id)?;
            let cost = costs.entry(before.name.clone()).or_default();
            cost.runs += float(after.run_cnt.saturating_sub(before.run_cnt));
            cost.run_ns += float(after.run_time_ns.saturating_sub(before.run_time_ns));
        }
        costs.retain(|_, cost| cost.runs > 0.0);
        Ok(costs)
    }

    /// Adds what a run of each has cost since, nanoseconds; a program that never ran is left out.
    pub(crate) fn add_costs_since(&self, costs: &mut BTreeMap<String, Vec<f64>>) -> Result<()> {
        for (program, cost) in self.cost_since()? {
            costs.entry(program).or_default().push(cost.run_ns / cost.runs.max(1.0));
        }
        Ok(())
    }
}

fn show(id: u32) -> Result<Shown> {
    let output = Command::new("bpftool")
        .args(["--json", "prog", "show", "id", &id.to_string()])
        .output()
        .context("calling bpftool")?;
    ensure!(output.status.success(), "bpftool knows no program {id}");
    serde_json::from_slice(&output.stdout).context("what bpftool says of a program")
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "counts of a few seconds are far below what a float holds"
)]
fn float(count: u64) -> f64 {
    count as f64
}
