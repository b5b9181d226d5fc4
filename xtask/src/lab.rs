//! `cargo xtask lab <topology>`: a person in a small internet; the program `internet` of test-lab does it.

use std::ffi::OsString;
use std::path::Path;

use anyhow::Result;

use crate::cli::LabArgs;
use crate::tool::{self, Install};
use crate::{debian, exec, peer, workspace};

/// Builds the program and becomes it.
pub(crate) fn run(root: &Path, arguments: &LabArgs) -> Result<()> {
    debian::ensure(&peer::NETWORK, Install::Allowed)?;
    tool::build_programs(root, Install::Allowed)?;
    let mut command: Vec<OsString> = vec![workspace::built_binary(root, "internet").into()];
    command.extend(arguments.topology.iter().map(OsString::from));
    if arguments.list {
        command.push("--list".into());
    }
    if let Some(file) = &arguments.truth {
        command.extend(["--truth".into(), file.into()]);
    }
    if !arguments.command.is_empty() {
        command.push("--".into());
        command.extend(arguments.command.iter().cloned());
    }
    exec::run(&command)
}
