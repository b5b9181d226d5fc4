//! Programs that come as Debian packages: found, or installed where this may be done.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::tool::{self, Install};

/// A program, and how it comes onto a Debian machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Program {
    /// Its name on the search path.
    pub(crate) name: &'static str,
    /// Folders beside the search path where Debian puts it; `*` stands for one folder of any name.
    pub(crate) also_in: &'static str,
    /// The package that brings it.
    pub(crate) package: &'static str,
    /// What needs it.
    pub(crate) why: &'static str,
}

/// Makes sure that programs are there, installing what is missing in one call if that is allowed.
pub(crate) fn ensure(programs: &[Program], install: Install) -> Result<()> {
    let missing: Vec<&Program> = programs.iter().filter(|program| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    packages.sort_unstable();
    packages.dedup();
    let names: Vec<String> = missing.iter().map(|program| format!("`{}` ({})", program.name, program.why)).collect();
    let remedy = format!("apt-get install --no-install-recommends {}", packages.join(" "));
    if install == Install::Refused {
        bail!("missing: {}; --no-install was given: {remedy}", names.join(", "));
    }
    if tool::find("apt-get").is_none() {
        bail!("missing: {}; this is no Debian machine, so install them by hand", names.join(", "));
    }
    if !nix::unistd::geteuid().is_root() {
        bail!("missing: {}; as root: {remedy}", names.join(", "));
    }
    eprintln!("installing {}: {remedy}", names.join(", "));
    // The package lists of a fresh machine are empty or old.
    apt(&["update", "--quiet"])?;
    let mut arguments = vec!["install", "--yes", "--quiet", "--no-install-recommends"];
    arguments.extend(packages);
    apt(&arguments)?;
    match programs.iter().find(|program| !is_there(program)) {
        None => Ok(()),
        Some(program) => bail!("`{}` is still missing after installing {}", program.name, program.package),
    }
}

fn is_there(program: &Program) -> bool {
    tool::find(program.name).is_some() || in_folders(Path::new(program.also_in), program.name)
}

/// Looks below a path with at most one `*` among its folders.
fn in_folders(pattern: &Path, name: &str) -> bool {
    let Some((parent, rest)) = pattern.to_str().and_then(|text| text.split_once("/*/")) else {
        return pattern.join(name).is_file();
    };
    let Ok(entries) = std::fs::read_dir(parent) else { return false };
    entries.flatten().any(|entry| entry.path().join(rest).join(name).is_file())
}

fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(Stdio::null())
        .status()
        .context("calling apt-get")?;
    if !status.success() {
        bail!("apt-get {} did not succeed; its messages above say why", arguments.join(" "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_below_a_folder_of_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("15/bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("initdb"), "").unwrap();
        assert!(in_folders(&folder.path().join("*/bin"), "initdb"));
        assert!(!in_folders(&folder.path().join("*/bin"), "psql"));
        assert!(!in_folders(&folder.path().join("none/*/bin"), "initdb"));
    }

    #[test]
    fn what_is_missing_is_named_with_its_remedy_where_nothing_may_be_installed() {
        let program = Program {
            name: "no-such-program",
            also_in: "",
            package: "no-such-package",
            why: "tests",
        };
        let refused = ensure(&[program], Install::Refused).unwrap_err().to_string();
        assert!(
            refused.contains("`no-such-program` (tests)") && refused.contains("install --no-install-recommends no-such-package"),
            "{refused}"
        );
        assert!(ensure(&[], Install::Refused).is_ok());
    }
}
