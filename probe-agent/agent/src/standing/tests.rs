use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use shared_protocol::codec::decode_report;
use shared_protocol::end::RefuseReason;
use shared_protocol::id::{Attempt, JobId, JobRef, Sequence};
use shared_protocol::standing::StandingState;
use shared_protocol::time::UnixMicros;

use super::*;
use crate::clock;
use crate::config::ObserveSettings;
use crate::outbox::{OutboxSettings, Room};
use crate::policy::PolicyRules;
use crate::runner::stub::Stub;

struct Bench {
    _root: tempfile::TempDir,
    state: StateDir,
    outbox: Outbox,
    policy: Arc<Policy>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(OutboxSettings::default(), true).await
    }

    async fn with(settings: OutboxSettings, allow_standing: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        let outbox = Outbox::open(&state, settings, clock::wall(), [1; 10]).await.unwrap();
        let mut rules = PolicyRules::default();
        rules.allow_probes.insert("observe".to_owned());
        let observe = ObserveSettings {
            allow_standing,
            ..ObserveSettings::default()
        };
        Self {
            _root: root,
            state,
            outbox,
            policy: Arc::new(Policy::new(rules).with_observe(observe)),
        }
    }

    fn open(&self) -> Standing {
        Standing::open(&self.state, Arc::new(Stub::default()), Arc::clone(&self.policy), self.outbox.clone())
    }

    /// Waits until so many windows are in the outbox, and says of which revisions they are.
    async fn windows(&self, count: usize) -> Vec<u32> {
        loop {
            let kept = self.outbox.read_after(Sequence::ZERO, 100).await.unwrap();
            if kept.len() >= count {
                assert!(kept.iter().all(|window| window.job.attempt == work::WINDOW));
                let of = |body: &str| decode_report(body).unwrap().standing.unwrap().revision;
                return kept.iter().map(|window| of(&window.body)).collect();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn id(number: u8) -> StandingId {
    StandingId::new(UnixMicros::from_micros(1_000), [number; 10])
}

fn item(number: u8, revision: u32, spec: Value) -> StandingItem {
    StandingItem {
        id: id(number),
        revision,
        mark: "m".to_owned(),
        spec,
        limits: None,
    }
}

fn drops(number: u8, revision: u32) -> StandingItem {
    item(number, revision, json!({"probe": "observe", "observation": "drops", "duration_s": 1}))
}

fn comes(item: StandingItem) -> Configure {
    Configure {
        items: vec![item],
        removed: Vec::new(),
    }
}

async fn until(standing: &mut Standing, state: StandingState) -> StandingHeld {
    loop {
        if let Some(held) = standing.held().into_iter().find(|held| held.state == state) {
            return held;
        }
        standing.changed().await;
    }
}

#[tokio::test]
async fn window_follows_window_each_with_a_report_of_its_own_and_none_of_them_is_a_job() {
    let bench = Bench::new().await;
    let mut standing = bench.open();
    standing.configure(comes(drops(1, 1)));
    assert_eq!(bench.windows(2).await, [1, 1]);
    assert_eq!(until(&mut standing, StandingState::Running).await.id, id(1));
    assert_eq!(bench.outbox.jobs(9).await.unwrap(), [], "nothing is in hand");
    assert_eq!((bench.outbox.depth(), bench.outbox.is_empty()), (0, false));
    standing.stop().await;
}

#[tokio::test]
async fn it_goes_on_after_a_restart_without_being_told_and_a_change_is_made_under_its_own_revision() {
    let bench = Bench::new().await;
    let mut standing = bench.open();
    standing.configure(comes(drops(1, 1)));
    standing.stop().await;
    standing.configure(comes(drops(2, 1)));
    assert_eq!(standing.running.len(), 0, "what comes while it stops is kept, and not begun");
    drop(standing);
    let mut standing = bench.open();
    assert_eq!(standing.held().len(), 2);
    bench.windows(1).await;
    standing.configure(Configure {
        items: vec![drops(1, 2)],
        removed: vec![id(2), id(9)],
    });
    assert_eq!(standing.held().iter().map(|held| (held.id, held.revision)).collect::<Vec<_>>(), [(id(1), 2)]);
    while !bench.windows(1).await.contains(&2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    standing.stop().await;
}

#[tokio::test]
async fn stw_06_what_may_not_be_done_is_said_with_its_reason_and_leaves_no_report() {
    let bench = Bench::with(OutboxSettings::default(), false).await;
    let mut standing = bench.open();
    standing.configure(comes(drops(1, 1)));
    let refused = until(&mut standing, StandingState::Refused).await;
    assert_eq!(refused.reason, Some(RefuseReason::PolicyDenied));
    assert!(refused.message.unwrap().contains("observe.allow_standing"));
    standing.stop().await;

    let bench = Bench::new().await;
    for (spec, state, reason) in [
        (
            json!({"probe": "observe", "observation": "exec", "duration_s": 1}),
            StandingState::Refused,
            RefuseReason::PolicyDenied,
        ),
        (
            json!({"probe": "observe", "observation": "drops", "duration_s": 301}),
            StandingState::Refused,
            RefuseReason::CapExceeded,
        ),
    ] {
        let standing = bench.open();
        let work = Work {
            item: item(1, 1, spec),
            workshop: standing.workshop.clone(),
            cancel: CancellationToken::new(),
        };
        let fare = work.window().await;
        assert_eq!((fare.state, fare.reason), (state, Some(reason)));
    }
    for spec in [
        json!({"probe": "ping", "target": "example.test"}),
        json!({"probe": "shell"}),
        json!({"probe": "observe", "observation": "everything"}),
        json!(null),
    ] {
        let standing = bench.open();
        let work = Work {
            item: item(1, 1, spec.clone()),
            workshop: standing.workshop.clone(),
            cancel: CancellationToken::new(),
        };
        assert_eq!(work.window().await.state, StandingState::Unsupported, "{spec}");
    }
    assert!(bench.outbox.is_empty());
}

#[tokio::test]
async fn stw_10_the_oldest_windows_are_given_up_and_counted_and_no_report_of_a_job() {
    let settings = OutboxSettings {
        max_window_bytes: 1_000,
        ..OutboxSettings::default()
    };
    let bench = Bench::with(settings, true).await;
    let job = JobRef {
        job: JobId::new(clock::wall(), [7; 10]),
        attempt: Attempt(1),
    };
    bench.outbox.append(job, &"x".repeat(5_000), clock::wall()).await.unwrap();
    let mut standing = bench.open();
    standing.configure(comes(drops(1, 1)));
    while standing.held()[0].lost == 0 {
        standing.changed().await;
    }
    standing.stop().await;
    let kept = bench.outbox.read_after(Sequence::ZERO, 100).await.unwrap();
    assert_eq!(kept[0].job, job);
    let windows: usize = kept[1..].iter().map(|window| window.body.len()).sum();
    assert!((1..=1_000).contains(&windows), "{windows} bytes of windows");
    assert_eq!(bench.outbox.room(clock::wall()), Room::Free);
    let lost = standing.held()[0].lost;
    drop(standing);
    assert_eq!(bench.open().held()[0].lost, lost, "it is known after a restart");
}

#[tokio::test]
async fn stw_11_a_file_that_cannot_be_read_counts_as_nothing_and_is_written_anew() {
    let bench = Bench::new().await;
    let mut standing = bench.open();
    standing.configure(comes(drops(1, 1)));
    standing.stop().await;
    drop(standing);
    let path = bench.state.file(file::FILE);
    let good = fs::read_to_string(&path).unwrap();
    for bad in [
        "",
        "{",
        "[]",
        &good[..good.len() / 2],
        &good.replace("\"format\":1", "\"format\":2"),
        &good.replace("\"revision\":1", "\"revision\":-1"),
    ] {
        fs::write(&path, bad).unwrap();
        let mut standing = bench.open();
        assert_eq!(standing.held(), [], "{bad}");
        standing.configure(comes(drops(3, 1)));
        standing.stop().await;
        assert_eq!(bench.open().held().len(), 1);
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert_eq!(bench.open().held(), []);
}
