//! The compose files, as Compose reads them with the example's settings.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for file in FILES {
        let output = Command::new("docker-compose")
            .current_dir(root)
            .args(["--file", file, "--env-file", ".env.example", "config", "--quiet"])
            .output()
            .context("calling docker-compose")?;
        if !output.status.success() {
            broken.push(format!("{file}: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
    }
    Ok(broken)
}

const FILES: [&str; 2] = ["docker-compose.yml", "docker-compose.probe.yml"];
