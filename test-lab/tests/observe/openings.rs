//! `files` beside libbpf-tools' opensnoop, and beside what the test itself opened.

use std::fs::File;

use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::Stand;

use crate::asked::Asked;
use crate::snoop::Snoop;

/// Opens what is there, to read and to write, and what is not.
fn open(folder: &std::path::Path) {
    for place in 0..7 {
        drop(File::create(folder.join(format!("written-{place}"))).unwrap());
    }
    for _ in 0..5 {
        drop(File::open(folder.join("written-0")).unwrap());
    }
    for _ in 0..3 {
        File::open(folder.join("not-there")).unwrap_err();
    }
}

async fn observed(owner: &str, folder: &std::path::Path) -> Value {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", owner).await.unwrap();
    let own = std::process::id().to_string();
    let asked = Asked::observe(&stand, &["files", "--from", "seen", "--for", "3s", "--top", "100", "--pid", &own]).await;
    let folder = folder.to_owned();
    tokio::task::spawn_blocking(move || open(&folder)).await.unwrap();
    asked.report().await
}

/// A file of the folder, the error's number, and whether it was to be written, where that is known.
type Opened = (String, i64, Option<bool>);

/// How often each was opened.
fn counted(openings: impl Iterator<Item = Opened>) -> Vec<(Opened, usize)> {
    let mut all: Vec<_> = openings.collect();
    all.sort();
    all.chunk_by(|one, other| one == other).map(|same| (same[0].clone(), same.len())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_opened_is_seen_as_another_program_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let within = folder.path().to_str().unwrap().to_owned();
    let own = std::process::id();
    let mut other = Snoop::start(&format!("opensnoop -p {own}"), "PATH").await;
    let report = observed("allow = [\"files\"]\nreveal = [\"files\"]", folder.path()).await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let openings = seen["openings"].as_array().unwrap();
    assert!(openings.iter().all(|one| one["pid"] == own), "{seen}");
    // The process opens other files beside those, of its own threads and libraries.
    let (opened, failed) = (seen["totals"]["opened"].as_u64().unwrap(), seen["totals"]["failed"].as_u64().unwrap());
    assert_eq!(usize::try_from(opened + failed).unwrap(), openings.len(), "{seen}");
    let sums = |name: &str| seen["openers"].as_array().unwrap().iter().map(|one| one[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sums("opened"), sums("failed")), (opened, failed), "{seen}");
    let here = |file: &str| file.strip_prefix(&within).map(str::to_owned);
    let ours = counted(openings.iter().filter_map(|one| {
        let errno = one["errno"].as_i64().unwrap_or(0);
        Some((here(one["file"].as_str().unwrap())?, errno, one["writes"].as_bool()))
    }));
    let mut expected: Vec<_> = (0..7).map(|place| ((format!("/written-{place}"), 0, Some(true)), 1)).collect();
    expected.extend([(("/written-0".to_owned(), 0, Some(false)), 5), (("/not-there".to_owned(), 2, Some(false)), 3)]);
    expected.sort();
    assert_eq!(ours, expected);
    let mut missing = 0;
    // PID COMM FD ERR PATH; the last is the third that was not there.
    let mut theirs = Vec::new();
    while missing < 3 {
        theirs.extend(other.until(|line| line.contains("/not-there")).await);
        missing += 1;
    }
    let theirs = counted(theirs.iter().filter_map(|words| {
        let [.., errno, file] = words.as_slice() else { return None };
        Some((here(file)?, errno.parse().unwrap(), None))
    }));
    let unspecific = counted(
        ours.into_iter()
            .flat_map(|((file, errno, _), times)| std::iter::repeat_n((file, errno, None), times)),
    );
    assert_eq!(unspecific, theirs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_a_file_is_called_is_told_only_where_the_owner_reveals_it() {
    let folder = tempfile::tempdir().unwrap();
    let report = observed("allow = [\"files\"]", folder.path()).await;
    assert_eq!(
        (&report["status"], &report["findings"]["masked"]),
        (&"ok".into(), &json!(["files"])),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    assert!(
        seen["totals"]["opened"].as_u64().unwrap() >= 12 && seen["totals"]["failed"].as_u64().unwrap() >= 3,
        "{seen}"
    );
    assert!(!report.to_string().contains(folder.path().to_str().unwrap()), "{report}");
}
