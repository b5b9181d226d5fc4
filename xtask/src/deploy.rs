//! `cargo xtask deploy`: checks what ships beside the programs, as far as a machine without a container engine can.
//!
//! `--boot` goes on to a booted systemd. Not shown: that the images build and run, for which a container engine is needed.

mod boot;
mod compose;
mod image;
mod script;
mod unit;

use std::path::Path;

use anyhow::Result;

use crate::cli::Verdict;
use crate::debian::{self, Program};
use crate::tool::Install;

/// Checks the units' exposure, the scripts, the compose files and what the images copy.
pub(crate) fn run(root: &Path, install: Install) -> Result<Verdict> {
    debian::ensure(&PROGRAMS, install)?;
    let mut broken = unit::check(root)?;
    broken.extend(script::check(root)?);
    broken.extend(compose::check(root)?);
    broken.extend(image::check(root)?);
    for finding in &broken {
        println!("broken: {finding}");
    }
    Ok(if broken.is_empty() { Verdict::Clean } else { Verdict::Broken })
}

/// Installs and uses both programs on a Debian booted for it.
pub(crate) fn boot(root: &Path, install: Install) -> Result<Verdict> {
    boot::run(root, install).map(|()| Verdict::Clean)
}

const PROGRAMS: [Program; 3] = [
    Program {
        name: "systemd-analyze",
        also_in: "",
        package: "systemd",
        why: "scores the units",
    },
    Program {
        name: "shellcheck",
        also_in: "",
        package: "shellcheck",
        why: "reads the shell scripts",
    },
    Program {
        name: "docker-compose",
        also_in: "",
        package: "docker-compose",
        why: "reads the compose files",
    },
];
