//! `exec` beside libbpf-tools' execsnoop, and beside what the test itself ran.
#![expect(clippy::disallowed_types, reason = "what is seen is that programs are run")]

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;
use crate::snoop::Snoop;

/// Runs what there is, what there is not, what fails and what is killed. Each by its whole path: looked for, each try would count.
fn run() {
    for (program, times) in [("/bin/true", 7), ("/bin/false", 3)] {
        for _ in 0..times {
            Command::new(program).arg("probeops lab").status().unwrap();
        }
    }
    for _ in 0..5 {
        Command::new("/nonexistent/probeops-lab").status().unwrap_err();
    }
    // There, but no program.
    Command::new("/etc/passwd").status().unwrap_err();
    let mut killed = Command::new("/bin/cat").arg("-").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // Before it answers, it may not be that program yet.
    killed.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    killed.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
}

async fn observed(owner: &str) -> Value {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", owner).await.unwrap();
    let own = std::process::id().to_string();
    let asked = Asked::observe(&stand, &["exec", "--from", "seen", "--for", "3s", "--top", "100", "--pid", &own]).await;
    tokio::task::spawn_blocking(run).await.unwrap();
    asked.report().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_run_is_seen_as_another_program_sees_it_with_how_it_ended() {
    let mut other = Snoop::start("execsnoop -x", "PCOMM").await;
    let report = observed("allow = [\"exec\"]\nreveal = [\"arguments\"]").await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    assert_eq!(report["findings"].get("masked"), None, "{report}");
    let seen = &report["findings"]["seen"];
    assert_eq!(seen["totals"], json!({"executions": 11, "refused": 6, "ended": 11, "failed": 4}), "{seen}");
    let own = std::process::id();
    let mut ours: Vec<(String, String)> = Vec::new();
    for one in seen["executions"].as_array().unwrap() {
        assert_eq!(one["parent"], own, "{one}");
        let end = (&one["exit_code"], &one["signal"], &one["errno"]);
        let file = one["file"].as_str().unwrap();
        let expected = match file {
            "/bin/true" => json!([0, null, null]),
            "/bin/false" => json!([1, null, null]),
            "/bin/cat" => json!([null, 9, null]),
            "/etc/passwd" => json!([null, null, 13]),
            "/nonexistent/probeops-lab" => json!([null, null, 2]),
            _ => panic!("nobody ran {one}"),
        };
        assert_eq!(json!([end.0, end.1, end.2]), expected, "{one}");
        let arguments = one["errno"].is_null().then(|| match file {
            "/bin/cat" => "/bin/cat -".to_owned(),
            file => format!("{file} probeops lab"),
        });
        assert_eq!(one["arguments"].as_str(), arguments.as_deref(), "{one}");
        ours.push((one["pid"].to_string(), one["errno"].as_i64().map_or(0, |errno| -errno).to_string()));
    }
    let own = own.to_string();
    // Tests beside this one run the same.
    let theirs = other.until(|line| line.contains("/bin/cat -") && line.contains(&own)).await;
    // PCOMM PID PPID RET ARGS; names have blanks, but not those of what was run here.
    let mut theirs: Vec<_> = theirs
        .iter()
        .filter(|words| words.len() > 4)
        .filter_map(|words| {
            let parent = words.iter().position(|word| *word == own)?;
            (parent >= 2 && words[parent + 2..].iter().any(|word| FILES.contains(&word.as_str())))
                .then(|| (words[parent - 1].clone(), words[parent + 1].clone()))
        })
        .collect();
    ours.sort();
    theirs.sort();
    assert_eq!(ours, theirs);
}

const FILES: [&str; 5] = ["/bin/true", "/bin/false", "/bin/cat", "/etc/passwd", "/nonexistent/probeops-lab"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_on_a_command_line_is_told_only_where_the_owner_reveals_it() {
    let report = observed("allow = [\"exec\"]").await;
    assert_eq!(report["findings"]["masked"], json!(["arguments"]), "{report}");
    assert_eq!(report["findings"]["seen"]["totals"]["executions"], 11, "{report}");
    assert!(!report.to_string().contains("probeops lab"), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_ran_or_dialled_what_is_nobodys_to_ask_until_the_owner_names_it() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    for audit in ["exec", "connects"] {
        is_refused(&stand, audit).await;
    }
}

async fn is_refused(stand: &Stand, audit: &str) {
    let request = json!({
        "spec": {"probe": "observe", "observation": audit, "duration_s": 1},
        "selection": {"agents": ["seen"]},
    });
    let asked = stand.post("/api/v1/measurements", &request).await.unwrap();
    let path = format!("/api/v1/measurements/{}", asked["id"].as_str().unwrap());
    let refused = async {
        loop {
            let told = stand.get(&path).await.unwrap().to_string();
            assert!(!told.contains("\"succeeded\""), "{told}");
            if told.contains("observe.allow") || told.contains("policy_denied") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), refused)
        .await
        .expect("the job is refused for what it asks");
}
