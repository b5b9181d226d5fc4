//! `runqlat` beside the program of the same name of libbpf-tools, while more threads want to run than there are CPUs.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::time::Duration;

use test_lab::database::Kind;
use test_lab::stand::Stand;
use tokio::process::Command;

use crate::asked::Asked;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_a_cpu_are_as_long_as_another_program_sees_them() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["runqlat", "--from", "seen", "--for", "4s"]).await;
    let many = 2 * std::thread::available_parallelism().unwrap().get();
    let busy: Vec<_> = (0..many).map(|_| std::thread::spawn(|| keep_busy(Duration::from_secs(4)))).collect();
    let other = Command::new("runqlat").args(["3", "1"]).output().await.unwrap();
    let report = asked.report().await;
    for thread in busy {
        thread.join().unwrap();
    }
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let slots: Vec<u64> = seen["latencies"]["slots"]
        .as_array()
        .unwrap()
        .iter()
        .map(|slot| slot.as_u64().unwrap())
        .collect();
    assert_eq!(seen["waits"], slots.iter().sum::<u64>(), "{seen}");
    let text = String::from_utf8(other.stdout).unwrap();
    let others = slots_of(&text);
    assert!(others.iter().sum::<u64>() > 100, "{text}");
    for percent in [50, 90, 99] {
        let (ours, theirs) = (place_of(&slots, percent), place_of(&others, percent));
        assert!(ours.abs_diff(theirs) <= 1, "{percent} %: place {ours}, {theirs} in\n{text}\n{seen}");
    }
    // While one runs, another waits.
    let long: u64 = slots.iter().enumerate().map(|(place, count)| count << place).sum();
    assert!(long > 1_000_000, "{seen}");
}

/// Runs without a rest.
fn keep_busy(time: Duration) {
    let began = test_lab::clock::start();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// The counts of lines like `8 -> 15 : 42 |***  |`.
fn slots_of(text: &str) -> Vec<u64> {
    text.lines()
        .filter_map(|line| line.split_once(" -> ")?.1.split_once(':')?.1.split('|').next()?.trim().parse().ok())
        .collect()
}

/// The place up to which there are so many of a hundred.
pub(crate) fn place_of(slots: &[u64], percent: u64) -> usize {
    let wanted = slots.iter().sum::<u64>() * percent / 100;
    let mut up_to = 0;
    slots
        .iter()
        .position(|count| {
            up_to += count;
            up_to >= wanted
        })
        .unwrap()
}
