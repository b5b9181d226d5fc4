//! `memory` beside a control group at its limit: what the group's own counters say, and who was killed in it.
#![expect(clippy::disallowed_types, reason = "what is seen is what becomes of a program")]

use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// A control group with room for 16 MiB, gone with its value.
struct Group {
    path: PathBuf,
    files: &'static Files,
}

/// What its files are called, by version of control groups.
struct Files {
    root: &'static str,
    limit: &'static str,
    /// Where a line `oom_kill N` stands.
    kills: &'static str,
}

const FIRST: Files = Files {
    root: "/sys/fs/cgroup/memory",
    limit: "memory.limit_in_bytes",
    kills: "memory.oom_control",
};
const SECOND: Files = Files {
    root: "/sys/fs/cgroup",
    limit: "memory.max",
    kills: "memory.events",
};

impl Group {
    fn new() -> Self {
        let files = if Path::new(FIRST.root).is_dir() { &FIRST } else { &SECOND };
        let path = Path::new(files.root).join(format!("probeops-lab-{}", std::process::id()));
        fs::create_dir(&path).unwrap();
        let group = Self { path, files };
        fs::write(group.path.join(files.limit), (16 << 20).to_string()).unwrap();
        group
    }

    /// A program in it.
    fn run(&self, program: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        let procs = self.path.join("cgroup.procs");
        command.arg("-c").arg(format!("echo $$ > {} && exec {program}", procs.display()));
        command
    }

    fn kills(&self) -> u64 {
        let text = fs::read_to_string(self.path.join(self.files.kills)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap();
        line.parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _left_behind = fs::remove_dir(&self.path);
    }
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("no number {member} in {value}"))
}

/// What was told of a process.
fn of(seen: &Value, pid: u32) -> &Value {
    let users = seen["users"].as_array().unwrap();
    users
        .iter()
        .find(|one| one["pid"] == pid && one["command"] != "sh")
        .unwrap_or_else(|| panic!("no {pid} in {seen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reaches_the_limit_of_a_group_frees_pages_and_is_killed_when_none_are_left() {
    let group = Group::new();
    let folder = tempfile::tempdir().unwrap();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["memory", "--from", "seen", "--for", "5s", "--top", "100"]).await;
    let (writer, holder) = tokio::task::spawn_blocking({
        let file = folder.path().join("zeros");
        move || {
            // The pages of a file that is written can be freed.
            let mut writer = group.run(&format!("head -c 64M /dev/zero > {}", file.display())).spawn().unwrap();
            assert!(writer.wait().unwrap().success());
            assert_eq!(group.kills(), 0);
            // What a program holds cannot.
            let mut holder = group.run("tail -c 64M").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
            let mut input = holder.stdin.take().unwrap();
            // Four times as much as it would have to hold.
            for _ in 0..16_384 {
                if input.write_all(&[1; 16_384]).is_err() {
                    break;
                }
            }
            drop(input);
            assert_eq!(holder.wait().unwrap().signal(), Some(9));
            assert_eq!(group.kills(), 1);
            (writer.id(), holder.id())
        }
    })
    .await
    .unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    // 64 MiB went through room for 16: what came after the first 16 had to be made room for, by whoever wrote it or, in larger pieces, by others.
    let freed = of(seen, writer);
    assert!(number(freed, "reclaims") > 0 && number(freed, "reclaimed_pages") > 0, "{freed}");
    assert!(number(freed, "reclaim_us") >= number(freed, "reclaim_max_us"), "{freed}");
    let held = of(seen, holder);
    assert!(number(held, "faults") > 0 && number(held, "reclaims") > 0, "{held}");
    let ours: Vec<_> = seen["killed"].as_array().unwrap().iter().filter(|one| one["pid"] == holder).collect();
    assert_eq!(ours.len(), 1, "{seen}");
    assert!(number(&seen["totals"], "killed") >= 1, "{seen}");
}
