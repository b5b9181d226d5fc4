//! `probectl observe` as a process, read while it runs.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::process::Stdio;

use serde_json::Value;
use test_lab::stand::Stand;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A question that is being answered.
pub(crate) struct Asked {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Asked {
    /// Asks, and waits until the programs are in the kernel.
    pub(crate) async fn observe(stand: &Stand, arguments: &[&str]) -> Self {
        let mut asked = Self::begin(stand, arguments);
        asked.until("started").await;
        asked
    }

    /// Asks.
    pub(crate) fn begin(stand: &Stand, arguments: &[&str]) -> Self {
        Self::probe(stand, "observe", arguments)
    }

    /// Asks for another probe.
    pub(crate) fn probe(stand: &Stand, probe: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(stand.program("probectl"))
            .args(["--url", &stand.url(""), "-o", "ndjson", probe])
            .args(arguments)
            .env("PROBEOPS_TOKEN", &stand.key)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        Self { process, lines }
    }

    /// The next finding of this kind.
    pub(crate) async fn until(&mut self, kind: &str) -> Value {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            let document: Value = serde_json::from_str(&line).unwrap();
            if let Some(found) = find(&document, "kind", kind) {
                return found.clone();
            }
        }
        panic!("nothing of the kind {kind} was told")
    }

    /// The report.
    pub(crate) async fn report(mut self) -> Value {
        let mut report = None;
        while let Some(line) = self.lines.next_line().await.unwrap() {
            let document: Value = serde_json::from_str(&line).unwrap();
            report = find(&document, "schema_version", "").cloned().or(report);
        }
        self.process.wait().await.unwrap();
        report.expect("a report")
    }
}

/// The first object within a document that has this member, with this text where there is one.
fn find<'a>(document: &'a Value, member: &str, text: &str) -> Option<&'a Value> {
    match document {
        Value::Object(members) => {
            let here = members.get(member).is_some_and(|value| text.is_empty() || value == text);
            if here {
                return Some(document);
            }
            members.values().find_map(|value| find(value, member, text))
        }
        Value::Array(items) => items.iter().find_map(|item| find(item, member, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
