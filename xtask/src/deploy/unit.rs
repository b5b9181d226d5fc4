//! The systemd units: how much a service that is taken over could do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// SUP-05: refuses a unit whose exposure is above 1.5 of 10.
pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let folder = root.join("deploy/systemd");
    for entry in std::fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "service") {
            continue;
        }
        let output = Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=true", "--threshold=15"])
            .arg(&path)
            .output()
            .context("calling systemd-analyze")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let score = text.lines().rev().find(|line| line.contains("Overall exposure level"));
        match score {
            Some(score) if output.status.success() => println!("{}", score.trim_start_matches(['→', ' '])),
            Some(score) => broken.push(format!("{} may do too much: {}", path.display(), score.trim())),
            None => broken.push(format!("{}: {}", path.display(), String::from_utf8_lossy(&output.stderr).trim())),
        }
    }
    Ok(broken)
}
