//! The command line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::negatives::Detail;
use crate::openapi::Mode;
use crate::tool::Install;
use crate::{bench, deploy, deps, ebpf, exec, fuzz, kernels, lab, negatives, openapi, suite, tidy, up, workspace};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Every step that a person or continuous integration runs", version)]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Build and start a control plane and an agent here, and run a first measurement
    Up(UpArgs),
    /// Run everything that has to hold: format, tidy, deps, clippy, tests, docs, drift, negatives, `up --once`
    Test(TestArgs),
    /// Check sizes, file names, words and links
    Tidy,
    /// Check what ships: units, images, compose files, install scripts
    Deploy(DeployArgs),
    /// Check who may import whom, banned crates, sources and licences
    Deps,
    /// List the ids of docs/negative-tests.md that no test carries
    Negatives(NegativesArgs),
    /// Write docs/openapi.json from the server, or check that it is what the server says
    Openapi(OpenapiArgs),
    /// Build the programs for the kernel, or check that the committed objects are what their sources come to
    Ebpf(EbpfArgs),
    /// Run the tests of the programs for the kernel inside other kernels, emulated
    Kernels(KernelsArgs),
    /// Run a benchmark and write docs/benchmarks/<name>.json
    Bench(BenchArgs),
    /// Attack every reader of what strangers send with changed inputs of its saved corpus, in an optimised build
    Fuzz(FuzzArgs),
    /// Build a small internet of namespaces and open its observer's shell, or run one command there
    Lab(LabArgs),
    /// Become another program (used by `up`)
    #[command(hide = true)]
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Stop everything after the first measurement
    #[arg(long)]
    pub(crate) once: bool,
    /// With --once: exactly one JSON document on standard output, words on standard error
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// Put nothing on this machine: cargo may not download either
    #[arg(long)]
    pub(crate) no_install: bool,
    /// Where the state lives
    #[arg(long, default_value = "./data")]
    pub(crate) data_dir: PathBuf,
    /// Address of the HTTP API; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    /// Address agents dial; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8443")]
    pub(crate) agent_listen: SocketAddr,
}

#[derive(Debug, Args)]
pub(crate) struct TestArgs {
    /// The same tests, with more rounds where they have rounds
    #[arg(long)]
    pub(crate) long: bool,
    /// Only the tests that match this nextest filter expression, and no other step
    #[arg(long)]
    pub(crate) filter: Option<String>,
    /// Fail instead of installing cargo-nextest
    #[arg(long)]
    pub(crate) no_install: bool,
}

#[derive(Debug, Args)]
struct DeployArgs {
    /// Install both programs on a Debian booted for it instead, and use them there (some minutes, as root)
    #[arg(long)]
    boot: bool,
}

#[derive(Debug, Args)]
struct NegativesArgs {
    /// Name every id without a test
    #[arg(long)]
    list: bool,
}

#[derive(Debug, Args)]
struct OpenapiArgs {
    /// Compare instead of writing
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
struct EbpfArgs {
    /// Compare instead of writing
    #[arg(long)]
    check: bool,
}

#[derive(Debug, Args)]
struct KernelsArgs {
    /// The oldest and the newest too, not only the one that most hosts run
    #[arg(long)]
    all: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which benchmark
    pub(crate) name: bench::Name,
    /// At most a minute: repeat the record's main ratio, write nothing
    #[arg(long)]
    pub(crate) quick: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FuzzArgs {
    /// Changed inputs for each target
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) runs: u64,
    /// Only this target
    #[arg(long)]
    pub(crate) target: Option<String>,
    /// The inputs follow from it alone; another one each time where it is not given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// A topology of the list, or a file that describes a world
    pub(crate) topology: Option<String>,
    /// Say what there is
    #[arg(long)]
    pub(crate) list: bool,
    /// Where a world's truth is written when it ends, as JSON; `-` is standard output
    #[arg(long)]
    pub(crate) truth: Option<PathBuf>,
    /// Instead of a shell
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Parses the command line and does what it says.
pub(crate) fn run() -> Result<ExitCode> {
    let cli = Cli::parse();
    let root = workspace::root();
    match cli.command {
        Task::Up(arguments) => up::run(&root?, &arguments),
        Task::Test(arguments) => suite::run(&root?, &arguments),
        Task::Deploy(DeployArgs { boot: true }) => Ok(code(deploy::boot(&root?, Install::Allowed)?)),
        Task::Deploy(DeployArgs { boot: false }) => Ok(code(deploy::run(&root?, Install::Allowed)?)),
        Task::Tidy => Ok(code(tidy::run(&root?)?)),
        Task::Deps => Ok(code(deps::run(&root?)?)),
        Task::Negatives(arguments) => Ok(code(negatives::run(&root?, if arguments.list { Detail::Names } else { Detail::Counts })?)),
        Task::Openapi(arguments) => Ok(code(openapi::run(&root?, if arguments.check { Mode::Compare } else { Mode::Write })?)),
        Task::Ebpf(arguments) => {
            let mode = if arguments.check { ebpf::Mode::Compare } else { ebpf::Mode::Write };
            Ok(code(ebpf::run(&root?, mode, Install::Allowed)?))
        }
        Task::Kernels(arguments) => {
            let which = if arguments.all { kernels::Which::All } else { kernels::Which::Usual };
            Ok(code(kernels::run(&root?, which, Install::Allowed)?))
        }
        Task::Bench(arguments) => bench::run(&root?, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Fuzz(arguments) => Ok(code(fuzz::run(&root?, &arguments)?)),
        Task::Lab(arguments) => lab::run(&root?, &arguments).map(|()| ExitCode::SUCCESS),
        Task::Exec { command } => exec::run(&command).map(|()| ExitCode::SUCCESS),
    }
}

/// Whether a check found something that has to be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Clean,
    Broken,
}

fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Clean => ExitCode::SUCCESS,
        Verdict::Broken => ExitCode::FAILURE,
    }
}

/// What the flag `--no-install` says.
pub(crate) fn install(no_install: bool) -> Install {
    if no_install { Install::Refused } else { Install::Allowed }
}
