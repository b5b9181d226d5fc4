//! `cargo xtask test`: everything that has to hold, step by step, with the time of each.

mod nextest;
mod skip;
mod step;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::cli::{self, TestArgs, Verdict};
use crate::debian::{self, Program};
use crate::negatives::Detail;
use crate::openapi::Mode;
use crate::tool::{self, Install};
use crate::{deploy, deps, ebpf, kernels, negatives, openapi, peer, tidy};
use step::Steps;

/// Runs every step even if one fails, so that one run names everything that is wrong.
pub(crate) fn run(root: &Path, arguments: &TestArgs) -> Result<ExitCode> {
    prepare(root, cli::install(arguments.no_install))?;
    let mut steps = Steps::default();
    let mut tests = None;
    if arguments.filter.is_none() {
        before_the_tests(root, &mut steps, cli::install(arguments.no_install));
    }
    // Tests that start the programs themselves find them beside their own.
    steps.run("build", || tool::build_programs(root, Install::Allowed).map(|()| Verdict::Clean));
    steps.run("tests", || {
        let summary = nextest::run(root, arguments)?;
        let verdict = summary.verdict();
        tests = Some(summary);
        Ok(verdict)
    });
    if arguments.filter.is_none() {
        let which = if arguments.long { kernels::Which::All } else { kernels::Which::Usual };
        steps.run("kernels", || kernels::run(root, which, cli::install(arguments.no_install)));
        after_the_tests(root, &mut steps);
    }
    if arguments.filter.is_none() && arguments.long {
        steps.run("boot", || deploy::boot(root, cli::install(arguments.no_install)));
    }
    println!();
    if let Some(tests) = &tests {
        tests.print_skips();
    }
    steps.print();
    // Read by those who count tests: continuous integration and people.
    if let Some(tests) = &tests {
        println!("{} passed, {} failed", tests.passed, tests.failed);
    }
    Ok(if steps.all_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn prepare(root: &Path, install: Install) -> Result<()> {
    tool::require("git", "lists the files of the repository", "install git")?;
    tool::require_c()?;
    tool::require_component(root, "fmt", "rustfmt")?;
    tool::require_component(root, "clippy", "clippy")?;
    debian::ensure(&[&POSTGRESQL[..], &peer::NETWORK, &peer::PEERS].concat(), install)?;
    tool::ensure_cargo_subcommand(root, "cargo-nextest", install)
}

fn before_the_tests(root: &Path, steps: &mut Steps, install: Install) {
    steps.run("format", || cargo(root, &["fmt", "--all", "--check"]));
    steps.run("tidy", || tidy::run(root));
    steps.run("deps", || deps::run(root));
    steps.run("deploy", || deploy::run(root, install));
    steps.run("ebpf", || ebpf::run(root, ebpf::Mode::Compare, install));
    steps.run("negatives", || negatives::run(root, Detail::Counts));
    steps.run("clippy", || {
        cargo(root, &["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"])
    });
}

fn after_the_tests(root: &Path, steps: &mut Steps) {
    steps.run("doc tests", || cargo(root, &["test", "--locked", "--workspace", "--doc", "--quiet"]));
    steps.run("docs", || cargo(root, &["doc", "--locked", "--workspace", "--no-deps", "--lib", "--quiet"]));
    steps.run("openapi", || openapi::run(root, Mode::Compare));
    steps.run("up --once", || up_once(root));
}

/// The whole product once: built, started, measured with, stopped. In a folder of its own, on ports of its own.
fn up_once(root: &Path) -> Result<Verdict> {
    let data = tempfile::tempdir().context("making a folder for the state")?;
    // The link of the kernel, not our path: the build may have put a new file there.
    let program = Path::new("/proc/self/exe");
    let output = std::process::Command::new(program)
        .current_dir(root)
        .args([
            "up",
            "--once",
            "--json",
            "--listen",
            "127.0.0.1:0",
            "--agent-listen",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(data.path())
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("calling up")?;
    if !output.status.success() {
        println!("broken: `up --once --json` ended with {}", output.status);
        return Ok(Verdict::Broken);
    }
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).context("standard output of `up --once --json` is not one JSON document")?;
    match crate::up::missing_figures(&document) {
        None => Ok(Verdict::Clean),
        Some(missing) => {
            println!("broken: the document of `up --once --json` {missing}");
            Ok(Verdict::Broken)
        }
    }
}

fn cargo(root: &Path, arguments: &[&str]) -> Result<Verdict> {
    let status = tool::cargo(root).args(arguments).status().context("calling cargo")?;
    Ok(if status.success() { Verdict::Clean } else { Verdict::Broken })
}

/// PostgreSQL's own programs: the tests of the store start servers with them.
const POSTGRESQL: [Program; 2] = [
    Program {
        name: "initdb",
        also_in: "/usr/lib/postgresql/*/bin",
        package: "postgresql",
        why: "tests start PostgreSQL servers of their own",
    },
    Program {
        name: "psql",
        also_in: "/usr/lib/postgresql/*/bin",
        package: "postgresql",
        why: "tests make databases with it",
    },
];
