//! `cargo xtask openapi`: docs/openapi.json is what the server says it is.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::cli::Verdict;
use crate::tool::{self, Install};
use crate::workspace;

/// Whether the document is written or looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Compare,
}

/// Builds the control plane, asks it for its document and writes or compares it.
pub(crate) fn run(root: &Path, mode: Mode) -> Result<Verdict> {
    tool::build_programs(root, Install::Allowed)?;
    let output = Command::new(workspace::built_binary(root, "control-plane"))
        .arg("openapi")
        .stderr(Stdio::inherit())
        .output()
        .context("calling control-plane")?;
    if !output.status.success() {
        bail!("`control-plane openapi` ended with {}", output.status);
    }
    let served = String::from_utf8(output.stdout).context("the document is not UTF-8")?;
    serde_json::from_str::<serde_json::Value>(&served).context("the document is not JSON")?;
    let file = root.join(DOCUMENT);
    if mode == Mode::Write {
        std::fs::write(&file, served).with_context(|| format!("writing {DOCUMENT}"))?;
        println!("openapi: wrote {DOCUMENT}");
        return Ok(Verdict::Clean);
    }
    let committed = std::fs::read_to_string(&file).with_context(|| format!("reading {DOCUMENT}: write it with `cargo xtask openapi`"))?;
    match first_difference(&committed, &served) {
        None => {
            println!("openapi: {DOCUMENT} is what the server says");
            Ok(Verdict::Clean)
        }
        Some(line) => {
            println!("broken: {DOCUMENT}:{line}: not what the server says; write it with `cargo xtask openapi` and read the change");
            Ok(Verdict::Broken)
        }
    }
}

/// The first line, counted from one, in which two documents differ; a newline at the end does not count.
fn first_difference(one: &str, other: &str) -> Option<usize> {
    if one.trim_end() == other.trim_end() {
        return None;
    }
    let same = one.lines().zip(other.lines()).take_while(|(left, right)| left == right).count();
    Some(same.saturating_add(1))
}

const DOCUMENT: &str = "docs/openapi.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_differing_line_is_named() {
        assert_eq!(first_difference("a\nb\nc\n", "a\nb\nc"), None);
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), Some(2));
        assert_eq!(first_difference("a\nb", "a\nb\nc"), Some(3));
    }
}
