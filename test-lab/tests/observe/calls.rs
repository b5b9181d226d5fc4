//! `syscalls` beside libbpf-tools' syscount, and beside what the test itself called.

use std::time::Duration;

use nix::errno::Errno;
use nix::unistd::{Pid, getsid};
use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;
use crate::snoop::Snoop;

/// Calls that nothing else of this process makes, and some that wait.
#[expect(clippy::disallowed_methods, reason = "what is measured is how long such a call takes")]
fn call() {
    for _ in 0..137 {
        getsid(None).unwrap();
    }
    for _ in 0..11 {
        // No process has the highest number.
        assert_eq!(getsid(Some(Pid::from_raw(i32::MAX))), Err(Errno::ESRCH));
    }
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn number(value: &Value, member: &str) -> u64 {
    value[member].as_u64().unwrap_or_else(|| panic!("no number {member} in {value}"))
}

fn of<'a>(seen: &'a Value, name: &str) -> &'a Value {
    let calls = seen["calls"].as_array().unwrap();
    calls.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name} in {seen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_counted_by_their_names_as_another_program_counts_them() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "allow = [\"syscalls\"]").await.unwrap();
    let own = std::process::id().to_string();
    let asked = Asked::observe(&stand, &["syscalls", "--from", "seen", "--for", "5s", "--top", "100", "--pid", &own]).await;
    let mut other = Snoop::start(&format!("syscount -p {own} -T 400 -i 3"), "Tracing").await;
    tokio::task::spawn_blocking(call).await.unwrap();
    let theirs = other.until(|line| line.contains("getsid")).await;
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let rare = of(seen, "getsid");
    assert_eq!((number(rare, "count"), number(rare, "failed")), (148, 11), "{seen}");
    assert_eq!(theirs.last().unwrap(), &["getsid", "148"]);
    assert!(number(rare, "avg_ns") < number(of(seen, "clock_nanosleep"), "avg_ns"), "{seen}");
    let waits = of(seen, "clock_nanosleep");
    assert!(number(waits, "count") >= 3 && number(waits, "max_ns") >= 50_000_000, "{waits}");
    assert!(
        number(waits, "total_us") >= 150_000 && number(waits, "avg_ns") <= number(waits, "max_ns"),
        "{waits}"
    );
    let sums = |name: &str| seen["calls"].as_array().unwrap().iter().map(|one| number(one, name)).sum::<u64>();
    assert_eq!(
        (sums("count"), sums("failed")),
        (number(&seen["totals"], "calls"), number(&seen["totals"], "failed")),
        "{seen}"
    );
}
