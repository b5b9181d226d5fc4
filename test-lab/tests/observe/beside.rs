//! What the agent's host says beside its own probes: the cause of what went wrong, in the report.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// Busy loops on the first processor, until dropped.
struct Crowd {
    ends: Arc<AtomicBool>,
}

impl Crowd {
    fn gather(loops: u32) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        for _ in 0..loops {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || {
                to_first_processor(Pid::from_raw(0));
                while !ends.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self { ends }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
    }
}

fn to_first_processor(thread: Pid) {
    let mut first = CpuSet::new();
    first.set(0).unwrap();
    sched_setaffinity(thread, &first).unwrap();
}

/// Puts all threads of a process onto the first processor, behind everybody else.
fn put_last(process: u32) {
    for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        let thread = task.unwrap().file_name().into_string().unwrap();
        to_first_processor(Pid::from_raw(thread.parse().unwrap()));
        assert!(Command::new("renice").args(["-n", "19", "-p", &thread]).output().unwrap().status.success());
    }
}

fn causes(report: &Value) -> &Value {
    &report["evidence"]["causes"]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_starved_is_named_as_the_cause_of_what_comes_too_late() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    stand.add_agent("seen").await.unwrap();
    // Takes connections, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let arguments = [url.as_str(), "--from", "seen", "--max-time-ms", "500"];
    put_last(stand.agent_pid(0).unwrap());
    let crowd = Crowd::gather(4);
    let report = Asked::probe(&stand, "http", &arguments).report().await;
    drop(crowd);
    assert_eq!((&report["status"], &report["fault"]), (&"timeout".into(), &"agent".into()), "{report}");
    assert_eq!(causes(&report), &json!(["starved"]), "{report}");
    let message = report["error"]["message"].as_str().unwrap();
    assert!(message.contains("; the agent waited for a processor "), "{message}");
    let processor = &report["evidence"]["processor"];
    let number = |name: &str| processor[name].as_u64().unwrap();
    assert!(number("waited_us") >= number("longest_us") && number("longest_us") >= 100_000, "{report}");
}
