//! The programs this crate calls: cargo, and what cargo needs.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// Whether something missing may be put on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Install {
    Allowed,
    Refused,
}

/// A call of the cargo that runs this program.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    // What cargo set for this program is not meant for the crates that are built next.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR" || name == "CARGO_MANIFEST_PATH")
        {
            command.env_remove(name);
        }
    }
    command
}

/// Looks a program up as a shell would.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Fails with one line that says what is missing and how to get it.
pub(crate) fn require(program: &str, why: &str, remedy: &str) -> Result<()> {
    if find(program).is_none() {
        bail!("`{program}` is missing ({why}): {remedy}");
    }
    Ok(())
}

/// Fails with one line if what builds C is missing.
pub(crate) fn require_c() -> Result<()> {
    for (program, why) in [
        ("cc", "links, and builds the C parts of aws-lc, SQLite and jemalloc"),
        ("make", "builds jemalloc"),
    ] {
        require(program, why, "install a C compiler and make (Debian: apt install build-essential)")?;
    }
    Ok(())
}

/// Makes sure that a cargo subcommand is there, installing it from the registry if that is allowed.
pub(crate) fn ensure_cargo_subcommand(root: &Path, name: &str, install: Install) -> Result<()> {
    if find(name).is_some() || cargo_home_has(name) {
        return Ok(());
    }
    if install == Install::Refused {
        bail!("`{name}` is missing and --no-install was given: cargo install {name} --locked");
    }
    eprintln!("installing {name} (some minutes, once): cargo install {name} --locked");
    let status = cargo(root).args(["install", name, "--locked"]).status().context("calling cargo install")?;
    if !status.success() {
        bail!("cargo install {name} --locked did not succeed");
    }
    Ok(())
}

/// Fails with one line if a component of the toolchain is missing.
pub(crate) fn require_component(root: &Path, subcommand: &str, component: &str) -> Result<()> {
    let found = cargo(root).args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        bail!("`cargo {subcommand}` is missing: rustup component add {component}");
    }
    Ok(())
}

/// Builds every program of the workspace, with cargo's own progress. All at once, so that crates are built with the same features as for the tests.
pub(crate) fn build_programs(root: &Path, install: Install) -> Result<()> {
    let mut command = cargo(root);
    command.args(["build", "--locked", "--workspace", "--bins"]);
    if install == Install::Refused {
        command.arg("--offline");
    }
    let status = command.stdout(Stdio::null()).status().context("calling cargo build")?;
    if !status.success() {
        bail!("the build did not succeed: cargo's messages above say why");
    }
    Ok(())
}

/// Builds every program of the workspace as [`BUILT_TO_MEASURE`] says. The dependencies are those of every other build, so this takes
/// minutes less than a release build would.
pub(crate) fn build_programs_to_measure(root: &Path) -> Result<()> {
    let mut command = cargo(root);
    command
        .args(["build", "--locked", "--workspace", "--bins"])
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "3");
    let status = command.stdout(Stdio::null()).status().context("calling cargo build")?;
    if !status.success() {
        bail!("the build did not succeed: cargo's messages above say why");
    }
    Ok(())
}

/// How the programs of a benchmark are built; part of its record.
pub(crate) const BUILT_TO_MEASURE: &str = "own crates at opt-level 3, dependencies at 2, no link-time optimisation";

fn cargo_home_has(name: &str) -> bool {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.is_some_and(|home| home.join("bin").join(name).is_file())
}
