//! `cargo xtask bench <name>`: runs a benchmark of test-lab and keeps its record.

mod machine;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;

use crate::cli::BenchArgs;
use crate::tool::{self, Install};
use crate::{debian, peer, workspace};

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
    /// The probes beside other people's programs: what an echo costs, whether loss and round-trip times are true
    Probes,
    /// What observing costs the host that is observed, beside libbpf-tools doing the same
    Ebpf,
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
            Self::Probes => "probes",
            Self::Ebpf => "ebpf",
            Self::Query => "query",
        }
    }

    /// Whether it is measured on SQLite and on PostgreSQL, in one record.
    fn has_both_databases(self) -> bool {
        matches!(self, Self::Path | Self::Queue)
    }
}

/// Runs it; the full run writes docs/benchmarks/<name>.json, the quick one prints only.
pub(crate) fn run(root: &Path, arguments: &BenchArgs) -> Result<()> {
    let program = arguments.name.program();
    if matches!(arguments.name, Name::Probes | Name::Ebpf) {
        debian::ensure(&[&peer::NETWORK[..], &peer::PEERS].concat(), Install::Allowed)?;
    }
    tool::build_programs_to_measure(root)?;
    let machine = machine::facts();
    let built = workspace::built_binary(root, program);
    let mut record = if arguments.name.has_both_databases() {
        let mut both = serde_json::Map::from_iter([("bench".to_owned(), program.into())]);
        for database in DATABASES {
            let mut more = vec!["--database".to_owned(), database.to_owned()];
            if arguments.name == Name::Queue && database == POSTGRESQL {
                more.extend(graphile_worker(root)?);
            }
            both.insert(database.to_owned(), measure(root, &built, arguments, &more)?);
        }
        serde_json::Value::Object(both)
    } else {
        measure(root, &built, arguments, &[])?
    };
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

/// One run of the program; its document.
fn measure(root: &Path, built: &Path, arguments: &BenchArgs, more: &[String]) -> Result<serde_json::Value> {
    let mut command = Command::new(built);
    command.current_dir(root).arg("--json").args(more);
    if arguments.quick {
        command.arg("--quick");
    }
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting {}", built.display()))?;
    if !output.status.success() {
        bail!("the benchmark {} ended with {}", built.display(), output.status);
    }
    serde_json::from_slice(&output.stdout).context("the benchmark did not print one JSON document")
}

/// Installs graphile-worker where it is missing, and says how the program is told; nothing where there is no npm.
fn graphile_worker(root: &Path) -> Result<Vec<String>> {
    let folder = workspace::target_dir(root).join("graphile-worker");
    if !folder.join("node_modules/graphile-worker").is_dir() {
        std::fs::create_dir_all(&folder).context("making a folder for graphile-worker")?;
        let installed = Command::new("npm")
            .current_dir(&folder)
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", ".", GRAPHILE_WORKER])
            .stdout(Stdio::null())
            .status();
        match installed {
            Ok(status) if status.success() => {}
            Ok(status) => bail!("npm ended with {status}"),
            Err(error) => {
                println!("bench: no npm ({error}), so nothing is measured beside PostgreSQL");
                return Ok(Vec::new());
            }
        }
    }
    Ok(vec!["--graphile-worker".to_owned(), folder.display().to_string()])
}

const POSTGRESQL: &str = "postgresql";
const DATABASES: [&str; 2] = ["sqlite", POSTGRESQL];
/// What the queue on PostgreSQL is measured beside (MIT); only here, so it is no dependency.
const GRAPHILE_WORKER: &str = "graphile-worker@0.17.3";
