//! The install scripts: read by shellcheck, and called without doing anything, with what a person and what an attacker might give them.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context as _, Result};

pub(super) fn check(root: &Path) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    let read = Command::new("shellcheck")
        .current_dir(root)
        .args(["deploy.sh", "deploy/over-ssh.sh", "deploy/install.sh"])
        .output()
        .context("calling shellcheck")?;
    if !read.status.success() {
        broken.push(format!("shellcheck:\n{}", String::from_utf8_lossy(&read.stdout).trim()));
    }
    for arguments in GOOD {
        let output = dry_run(root, arguments)?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() || !text.contains("nothing is done") || !text.contains("6. enable and start") {
            broken.push(format!("deploy.sh {arguments:?} --dry-run ended with {} and said: {text}", output.status));
        }
    }
    for arguments in HOSTILE {
        let output = dry_run(root, arguments)?;
        if output.status.code() != Some(2) || !output.stdout.is_empty() {
            broken.push(format!("deploy.sh {arguments:?} is not refused with 2: {}", output.status));
        }
    }
    Ok(broken)
}

fn dry_run(root: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new(root.join("deploy.sh"))
        .args(arguments)
        .arg("--dry-run")
        .output()
        .context("calling deploy.sh")
}

const GOOD: &[&[&str]] = &[
    &["control-plane", "host.example"],
    &["control-plane", "root@host.example", "--agent-name", "probeops.example", "--port", "2222"],
    &["probe-agent", "admin@[2001:db8::1]"],
    &["probe-agent", "192.0.2.1", "--ssh-option", "IdentityFile=key"],
];

/// SUP-01: what must not reach a shell.
const HOSTILE: &[&[&str]] = &[
    &["control-plane", "$(id)"],
    &["control-plane", "a;id"],
    &["control-plane", "a`id`"],
    &["control-plane", "a b"],
    &["control-plane", "a\nb"],
    &["control-plane", "-oProxyCommand=id"],
    &["control-plane", "user@-oProxyCommand=id"],
    &["control-plane", "'; id; '"],
    &["control-plane", "h", "--agent-name", "a\nPROBEOPS_LISTEN=0.0.0.0:80"],
    &["control-plane", "h", "--agent-name", "$(id)"],
    &["control-plane", "h", "--port", "0"],
    &["control-plane", "h", "--port", "65536"],
    &["control-plane", "h", "--port", "22 -oProxyCommand=id"],
    &["control-plane", "h", "--bundle", "/dev/null"],
    &["probe-agent", "h", "--bundle", "/dev/null"],
    &["probe-agent", "h", "--agent-name", "x"],
    &["probe-agent", "h", "another"],
    &["shell", "h"],
    &["probe-agent"],
];
