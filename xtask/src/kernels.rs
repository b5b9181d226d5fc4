//! `cargo xtask kernels`: the tests of `ebpf-probes`, as they are here, inside other kernels that an emulator boots for them.
//!
//! Debian's kernels for virtual machines carry their types and need no modules for what the tests do. No accelerator is needed: a kernel
//! takes some five seconds from power to the last test.

mod guest;
mod image;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::cli::Verdict;
use crate::debian::{self, Program};
use crate::tool::{self, Install};
use crate::workspace;

/// Which kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    /// The one that most hosts run.
    Usual,
    /// The oldest that is served, the usual one, and the newest.
    All,
}

/// Boots each kernel and prints what the tests said there.
pub(crate) fn run(root: &Path, which: Which, install: Install) -> Result<Verdict> {
    debian::ensure(&PROGRAMS, install)?;
    let folder = workspace::target_dir(root).join("kernels");
    std::fs::create_dir_all(&folder).context("making a folder for kernels")?;
    let memory = guest::memory(&test_program(root)?)?;
    let mut verdict = Verdict::Clean;
    for (release, version) in RELEASES {
        if which == Which::Usual && version != USUAL {
            continue;
        }
        let image = image::of(&folder, release, version, install)?;
        let ran = guest::boot(&image, &memory)?;
        println!("kernels: {version} (Debian {release}): {}", ran.summary);
        if !ran.passed {
            println!("{}", ran.console);
            verdict = Verdict::Broken;
        }
    }
    Ok(verdict)
}

/// Builds the test, and says where it lies.
fn test_program(root: &Path) -> Result<PathBuf> {
    let output = tool::cargo(root)
        .args([
            "test",
            "--locked",
            "--workspace",
            "--test",
            TEST,
            "--no-run",
            "--quiet",
            "--message-format",
            "json",
        ])
        .output()
        .context("calling cargo test")?;
    ensure!(output.status.success(), "the test cannot be built: {}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).context("what cargo says is not UTF-8")?;
    messages.lines().find_map(executable).with_context(|| format!("cargo built no test `{TEST}`"))
}

fn executable(message: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let ours = message.pointer("/target/name").and_then(Value::as_str) == Some(TEST);
    message.get("executable").and_then(Value::as_str).filter(|_| ours).map(PathBuf::from)
}

/// Debian's releases and the version of their kernel.
const RELEASES: [(&str, &str); 3] = [("bullseye", "5.10"), ("bookworm", USUAL), ("trixie", "6.12")];
const USUAL: &str = "6.1";
/// The test of `ebpf-probes` that needs nothing but a kernel.
const TEST: &str = "kernel";
const PROGRAMS: [Program; 2] = [
    Program {
        name: "qemu-system-x86_64",
        also_in: "",
        package: "qemu-system-x86",
        why: "boots other kernels",
    },
    Program {
        name: "busybox",
        also_in: "",
        package: "busybox-static",
        why: "is everything else that runs in them",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_is_found_among_what_cargo_built() {
        let message = |name: &str, executable: &str| format!(r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":{executable}}}"#);
        assert_eq!(executable(&message("kernel", r#""/a/kernel-1""#)), Some(PathBuf::from("/a/kernel-1")));
        for other in [message("other", r#""/a/other-1""#), message("kernel", "null"), "no JSON".to_owned()] {
            assert_eq!(executable(&other), None);
        }
    }
}
