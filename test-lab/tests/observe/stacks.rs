//! `profile` and `offcpu` beside threads of the test whose functions it knows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// What a report has for stacks of this process: all, that with a function of this name as the innermost, and that with it anywhere.
fn own(seen: &Value, function: &str) -> [u64; 3] {
    let names: Vec<&str> = seen["functions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut counted = [0; 3];
    for stack in seen["stacks"].as_array().unwrap() {
        if stack["pid"] != std::process::id() {
            continue;
        }
        let frames = stack["frames"].as_array().unwrap();
        let is_it = |frame: &Value| names[usize::try_from(frame.as_u64().unwrap()).unwrap()].contains(function);
        let value = stack["value"].as_u64().unwrap();
        counted[0] += value;
        counted[1] += if frames.last().is_some_and(is_it) { value } else { 0 };
        counted[2] += if frames.iter().any(is_it) { value } else { 0 };
    }
    counted
}

/// Ends, and calls nothing meanwhile, however it was built.
#[inline(never)]
fn a_function_known_to_be_hot(ended: &AtomicBool) -> u64 {
    let mut number = 1_u64;
    while !ended.load(Ordering::Relaxed) {
        let mut rounds = 0;
        while rounds < 1_000_000 {
            number = number * 3 % 1_000_003;
            rounds += 1;
        }
    }
    number
}

fn assert_whole(report: &Value) {
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let told: u64 = seen["stacks"].as_array().unwrap().iter().map(|stack| stack["value"].as_u64().unwrap()).sum();
    assert_eq!(told + seen["others"].as_u64().unwrap(), seen["total"].as_u64().unwrap(), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_function_that_never_rests_has_the_time_of_its_process_by_name() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "allow = [\"profile\"]").await.unwrap();
    let ended = Arc::new(AtomicBool::new(false));
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name).to_str().unwrap().to_owned();
    let (folded, drawn) = (file("folded.txt"), file("drawn.svg"));
    let files = ["--folded", &folded, "--flame-graph", &drawn];
    let asked = Asked::observe(&stand, &[&["profile", "--from", "seen", "--for", "4s", "--top", "100"][..], &files].concat()).await;
    let busy = std::thread::spawn({
        let ended = Arc::clone(&ended);
        move || std::hint::black_box(a_function_known_to_be_hot(&ended))
    });
    let report = asked.report().await;
    ended.store(true, Ordering::Relaxed);
    busy.join().unwrap();
    assert_whole(&report);
    let seen = &report["findings"]["seen"];
    let [all, hot, _] = own(seen, "a_function_known_to_be_hot");
    println!(
        "{hot} of {all} samples of this process, {} of all; cost {}",
        seen["total"], report["findings"]["cost"]
    );
    assert!(all >= 30 && hot * 10 >= all * 8, "{hot} of {all} in {seen}");
    let first = seen["hottest"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["function"].as_str().unwrap().contains("known_to_be_hot"));
    assert!(first.unwrap()["own"].as_u64().unwrap() >= hot, "{}", seen["hottest"]);
    let folded = std::fs::read_to_string(folded).unwrap();
    let values = folded.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    assert_eq!(values.sum::<u64>(), seen["total"].as_u64().unwrap(), "{folded}");
    assert!(folded.lines().any(|line| line.contains("known_to_be_hot ")), "{folded}");
    let drawn = std::fs::read_to_string(drawn).unwrap();
    assert!(drawn.contains("known_to_be_hot (") && drawn.ends_with("</svg>\n"), "{drawn}");
    // A CPU that works is looked at as often as is said; one that rests all the time may be left alone by the kernel.
    let looks = seen["total"].as_u64().unwrap() + seen["idle"].as_u64().unwrap();
    let cpus = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let expected = report["findings"]["observed_us"].as_u64().unwrap() * seen["hz"].as_u64().unwrap() / 1_000_000;
    assert!(
        all.abs_diff(expected) <= expected / 5,
        "{all} looks at a CPU that never rests, {expected} expected"
    );
    assert!(looks <= expected * cpus * 6 / 5, "{looks} looks at {cpus} CPUs, {expected} expected at each");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thread_that_sleeps_is_told_with_where_and_how_long() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "allow = [\"offcpu\"]\nmax_cpu_percent = 50").await.unwrap();
    let asked = Asked::observe(&stand, &["offcpu", "--from", "seen", "--for", "5s", "--top", "100"]).await;
    let sleeping = std::thread::spawn(|| {
        for _ in 0..30 {
            #[expect(clippy::disallowed_methods, reason = "how long this thread sleeps is what is looked for")]
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let report = asked.report().await;
    sleeping.join().unwrap();
    assert_whole(&report);
    let [_, _, slept_us] = own(&report["findings"]["seen"], "nanosleep");
    println!("slept {slept_us} us; cost {}", report["findings"]["cost"]);
    // Nothing else of this process sleeps by that call. On its way to sleep a thread may have to wait for a CPU, which is no sleep.
    assert!((2_700_000..3_600_000).contains(&slept_us), "{slept_us} us");
}
