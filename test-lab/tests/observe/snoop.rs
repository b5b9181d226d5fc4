//! Debian's libbpf-tools, which print a line for each thing that they see.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// One of them, running.
pub(crate) struct Snoop {
    _process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Snoop {
    /// Starts it, and waits for the head of its table. It looks for its tracepoints where tracefs is mounted, which a host need not have done.
    pub(crate) async fn start(command: &str, head: &str) -> Self {
        let script = format!("mount -t tracefs nodev /sys/kernel/tracing && exec stdbuf -oL {command}");
        let mut process = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut snoop = Self { _process: process, lines };
        snoop.until(|line| line.contains(head)).await;
        snoop
    }

    /// The lines up to the first like this, each as its words.
    pub(crate) async fn until(&mut self, last: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        let reading = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                all.push(line.split_whitespace().map(str::to_owned).collect());
                if last(&line) {
                    return;
                }
            }
            panic!("it ended early")
        };
        tokio::time::timeout(Duration::from_mins(1), reading).await.expect("the line is told");
        all
    }
}
