//! `cargo xtask bench <name>`: runs a benchmark of test-lab and keeps its record.

mod machine;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::cli::BenchArgs;
use crate::tool;
use crate::workspace;

/// The benchmarks there are. Each is a program of test-lab of the same name that prints one JSON document when given `--json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// What 1,000 idle agent sessions over TLS cost the server
    Sessions,
    /// What an idle agent process takes
    Idle,
    /// How long it takes to find agents by labels among 100,000
    Select,
    /// How long a tenant waits, from its request to the first finding and to the report
    Path,
    /// What the queue carries, beside the least that durable acknowledgements cost
    Queue,
    /// What it costs to know who asks
    Auth,
    /// Whether the queue is fair, simulated beside first come, first served and strict priority
    Fair,
    /// 10,000 simulated agents: memory, idle cost, and the storm after a crash
    Fleet,
    /// How long dashboards wait for 30 days of 10,000 series
    Query,
}

impl Name {
    fn program(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Idle => "idle",
            Self::Select => "select",
            Self::Path => "path",
            Self::Queue => "queue",
            Self::Auth => "auth",
            Self::Fair => "fair",
            Self::Fleet => "fleet",
            Self::Query => "query",
        }
    }
}

/// Runs it; the full run writes docs/benchmarks/<name>.json, the quick one prints only.
pub(crate) fn run(root: &Path, arguments: &BenchArgs) -> Result<()> {
    let program = arguments.name.program();
    tool::build_programs_to_measure(root)?;
    let machine = machine::facts();
    let built = workspace::built_binary(root, program);
    let mut command = Command::new(&built);
    command.current_dir(root).arg("--json");
    if arguments.quick {
        command.arg("--quick");
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", built.display()))?;
    if !output.status.success() {
        bail!("the benchmark `{program}` ended with {}", output.status);
    }
    let mut record: serde_json::Value = serde_json::from_slice(&output.stdout).context("the benchmark did not print one JSON document")?;
    let members = record.as_object_mut().context("the benchmark's document is not an object")?;
    members.insert("built".to_owned(), tool::BUILT_TO_MEASURE.into());
    members.insert("machine".to_owned(), machine);
    let text = format!("{}\n", serde_json::to_string_pretty(&record)?);
    print!("{text}");
    if !arguments.quick {
        let folder = root.join("docs/benchmarks");
        std::fs::create_dir_all(&folder).context("making docs/benchmarks")?;
        std::fs::write(folder.join(format!("{program}.json")), text).context("writing the record")?;
        println!("bench: wrote docs/benchmarks/{program}.json");
    }
    Ok(())
}
