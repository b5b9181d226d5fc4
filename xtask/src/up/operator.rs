//! The operator's commands of the control plane: tenant, key, join token.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::child;
use super::data::DataDir;
use super::signal::Signals;

/// Calls `control-plane` beside its running server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator<'a> {
    pub(super) program: &'a Path,
    pub(super) data: &'a DataDir,
    pub(super) signals: &'a Signals,
}

impl Operator<'_> {
    /// Makes a tenant of the highest tier and says its id.
    pub(super) fn create_tenant(self) -> Result<String> {
        text(&self.call("tenant", &["--name", "local", "--tier", "enterprise"])?, "id")
    }

    /// Makes an API key that may do everything in its tenant, and says the key.
    pub(super) fn create_key(self, tenant: &str) -> Result<String> {
        text(
            &self.call("key", &["--tenant", tenant, "--name", "up", "--scope", "measure,read,admin"])?,
            "key",
        )
    }

    /// Makes a join token for the local agent and says its bundle.
    pub(super) fn create_join_token(self, tenant: &str) -> Result<String> {
        text(
            &self.call(
                "join-token",
                &["--tenant", tenant, "--name", super::agent::NAME, "--label", super::agent::LABEL],
            )?,
            "bundle",
        )
    }

    fn call(self, noun: &str, arguments: &[&str]) -> Result<Value> {
        let mut all = vec![
            noun.to_owned(),
            "create".to_owned(),
            "--data-dir".to_owned(),
            self.data.path().display().to_string(),
        ];
        all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let ended = child::run(self.program, &all, None, self.signals).with_context(|| format!("calling control-plane {noun} create"))?;
        if !ended.status.success() {
            bail!("control-plane {noun} create: {}", ended.stderr.trim());
        }
        serde_json::from_str(&ended.stdout).with_context(|| format!("control-plane {noun} create did not print JSON"))
    }
}

fn text(document: &Value, field: &str) -> Result<String> {
    document
        .get(field)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .with_context(|| format!("`{field}` is missing in what the control plane printed"))
}
