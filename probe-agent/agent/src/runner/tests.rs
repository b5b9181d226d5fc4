use std::sync::atomic::Ordering;

use shared_protocol::codec::decode_report;
use shared_protocol::end::RefuseReason;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::id::{Attempt, Sequence};
use shared_protocol::report::Report;
use shared_protocol::tier::ProbeLimits;
use shared_protocol::time::UnixMicros;

use super::stub::Stub;
use super::*;
use crate::outbox::OutboxSettings;
use crate::policy::PolicyRules;
use crate::state_dir::StateDir;

struct Bench {
    _root: tempfile::TempDir,
    outbox: Outbox,
    engine: Arc<Stub>,
    runner: Runner,
}

impl Bench {
    async fn new() -> Self {
        Self::with(PolicyRules::default(), OutboxSettings::default(), Stub::default()).await
    }

    async fn with(rules: PolicyRules, settings: OutboxSettings, engine: Stub) -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        let outbox = Outbox::open(&state, settings, clock::wall(), [1; 10]).await.unwrap();
        let engine = Arc::new(engine);
        let rules = PolicyRules { allow_loopback: true, ..rules };
        let shared: Arc<dyn ProbeEngine> = Arc::<Stub>::clone(&engine);
        let runner = Runner::new(shared, Arc::new(Policy::new(rules)), outbox.clone());
        Self {
            _root: root,
            outbox,
            engine,
            runner,
        }
    }

    /// Waits until a job has finished and returns its report.
    async fn finished(&mut self, job: JobRef) -> Report {
        while self.runner.progress().await != Progress::Finished(job) {}
        let kept = self.outbox.read_after(Sequence::ZERO, 100).await.unwrap();
        let mut of_job = kept.iter().filter(|report| report.job == job);
        let report = decode_report(&of_job.next().expect("a report is on disk").body).unwrap();
        assert!(of_job.next().is_none(), "one job has one report");
        report
    }
}

fn run(number: u8, target: &str) -> Run {
    Run {
        job: JobId::new(UnixMicros::from_micros(1_000), [number; 10]),
        attempt: Attempt(1),
        spec: serde_json::json!({"probe": "ping", "target": target, "count": 1, "wait_ms": 10}),
        cost: 1,
        remaining_ms: 60_000,
        limits: None,
    }
}

fn code(report: &Report) -> Option<ErrorCode> {
    report.error.as_ref().map(|error| error.code)
}

#[tokio::test]
async fn a_job_tells_its_findings_then_its_end_and_its_report_is_on_disk() {
    let mut bench = Bench::new().await;
    let job = bench.runner.start(run(1, "127.0.0.1")).unwrap();
    assert_eq!(bench.runner.in_hand(), [job]);
    assert!(matches!(bench.runner.progress().await, Progress::Finding(found, _) if found == job));
    assert_eq!(bench.finished(job).await.status, Status::Ok);
    assert_eq!(bench.runner.running(), 0);
}

#[tokio::test]
async fn kil_12_a_probe_that_panics_ends_its_own_job_only() {
    let mut bench = Bench::new().await;
    let broken = bench.runner.start(run(1, "127.0.0.2")).unwrap();
    let report = bench.finished(broken).await;
    assert_eq!(
        (report.status, report.fault, code(&report)),
        (Status::Failed, Fault::Agent, Some(ErrorCode::Internal))
    );
    let sound = bench.runner.start(run(2, "127.0.0.1")).unwrap();
    assert_eq!(bench.finished(sound).await.status, Status::Ok);
}

#[tokio::test]
async fn job_22_cancel_ends_a_running_job_with_a_report_and_is_harmless_otherwise() {
    let mut bench = Bench::new().await;
    let job = bench.runner.start(run(1, "127.0.0.3")).unwrap();
    assert!(matches!(bench.runner.progress().await, Progress::Finding(..)), "it runs");
    let stranger = run(9, "127.0.0.3").job;
    bench.runner.cancel(&[stranger]);
    bench.runner.cancel(&[job.job]);
    bench.runner.cancel(&[job.job, stranger]);
    assert_eq!(code(&bench.finished(job).await), Some(ErrorCode::Cancelled));
    bench.runner.cancel(&[job.job]);
    assert_eq!(bench.outbox.depth(), 1);
}

#[tokio::test]
async fn job_22_a_job_cancelled_before_its_turn_never_runs() {
    let rules = PolicyRules {
        max_concurrency: 1,
        ..PolicyRules::default()
    };
    let mut bench = Bench::with(rules, OutboxSettings::default(), Stub::default()).await;
    let first = bench.runner.start(run(1, "127.0.0.3")).unwrap();
    assert!(matches!(bench.runner.progress().await, Progress::Finding(..)), "the only slot is taken");
    let second = bench.runner.start(run(2, "127.0.0.1")).unwrap();
    bench.runner.cancel(&[second.job]);
    assert_eq!(code(&bench.finished(second).await), Some(ErrorCode::Cancelled));
    assert_eq!(bench.engine.runs.load(Ordering::SeqCst), 1);
    bench.runner.cancel(&[first.job]);
    bench.finished(first).await;
}

#[tokio::test]
async fn job_13_a_job_beyond_the_tenants_tier_is_refused_and_at_its_limit_runs() {
    let mut bench = Bench::new().await;
    let limited = |limits: ProbeLimits| Run {
        limits: Some(limits),
        ..run(1, "127.0.0.1")
    };
    let none = ProbeLimits {
        ping_packets: 0,
        ..ProbeLimits::default()
    };
    let other = ProbeLimits {
        probes: vec!["dns".to_owned()],
        ..ProbeLimits::default()
    };
    for (limits, field) in [(none, "count"), (other, "probe")] {
        let refused = bench.runner.start(limited(limits)).unwrap_err();
        assert_eq!(refused.reason, RefuseReason::CapExceeded, "{refused:?}");
        assert!(refused.message.starts_with(field), "{refused:?}");
    }
    assert_eq!((bench.runner.running(), bench.outbox.depth()), (0, 0));
    let one = ProbeLimits {
        ping_packets: 1,
        ..ProbeLimits::default()
    };
    let job = bench.runner.start(limited(one)).unwrap();
    assert_eq!(bench.finished(job).await.status, Status::Ok);
}

#[tokio::test]
async fn job_23_the_same_job_and_attempt_handed_out_twice_runs_once() {
    let mut bench = Bench::new().await;
    let job = bench.runner.start(run(1, "127.0.0.3")).unwrap();
    assert_eq!(bench.runner.start(run(1, "127.0.0.3")).unwrap(), job);
    assert!(matches!(bench.runner.progress().await, Progress::Finding(..)), "it runs");
    bench.runner.cancel(&[job.job]);
    bench.finished(job).await;
    assert_eq!(bench.engine.runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_probe_that_takes_too_long_is_stopped_and_its_report_says_so() {
    let mut bench = Bench::new().await;
    // Two seconds and ten milliseconds is what this spec may take.
    let patient = bench.runner.start(run(1, "127.0.0.3")).unwrap();
    let disobedient = bench.runner.start(run(2, "127.0.0.4")).unwrap();
    let report = bench.finished(patient).await;
    assert_eq!((report.status, code(&report)), (Status::Timeout, Some(ErrorCode::Timeout)));
    assert_eq!(code(&bench.finished(disobedient).await), Some(ErrorCode::Internal));
}

#[tokio::test]
async fn what_may_not_begin_is_refused_with_its_reason() {
    let mut bench = Bench::new().await;
    let mut changed = |number, target, change: fn(&mut Run)| {
        let mut run = run(number, target);
        change(&mut run);
        bench.runner.start(run).map_err(|refuse| refuse.reason)
    };
    assert_eq!(changed(1, "169.254.169.254", |_| ()), Err(RefuseReason::PolicyDenied));
    assert_eq!(changed(2, "10.0.0.1", |_| ()), Err(RefuseReason::PolicyDenied));
    assert_eq!(changed(3, "0x7f000001", |_| ()), Err(RefuseReason::InvalidSpec));
    assert_eq!(
        changed(4, "127.0.0.1", |run| run.spec = serde_json::json!({"probe": "shell"})),
        Err(RefuseReason::Unsupported)
    );
    assert_eq!(changed(5, "127.0.0.1", |run| run.remaining_ms = 2_009), Err(RefuseReason::Expired));
    assert_eq!(bench.outbox.depth(), 0);
    bench.runner.stop_taking();
    assert_eq!(bench.runner.start(run(6, "127.0.0.1")).unwrap_err().reason, RefuseReason::Stopping);
}

#[tokio::test]
async fn dsk_01_a_full_outbox_refuses_new_jobs() {
    let settings = OutboxSettings {
        max_bytes: 1,
        ..OutboxSettings::default()
    };
    let mut bench = Bench::with(PolicyRules::default(), settings, Stub::default()).await;
    let job = bench.runner.start(run(1, "127.0.0.1")).unwrap();
    bench.finished(job).await;
    assert_eq!(bench.runner.start(run(2, "127.0.0.1")).unwrap_err().reason, RefuseReason::OutboxFull);
    bench.outbox.acknowledged(Sequence::new(1).unwrap()).await.unwrap();
    let job = bench.runner.start(run(3, "127.0.0.1")).unwrap();
    bench.finished(job).await;
}

#[tokio::test]
async fn a_probe_that_this_host_cannot_run_is_refused_as_unsupported() {
    let stub = Stub {
        level: Some(CapabilityLevel::Unavailable),
        ..Stub::default()
    };
    let mut bench = Bench::with(PolicyRules::default(), OutboxSettings::default(), stub).await;
    assert_eq!(bench.runner.start(run(1, "127.0.0.1")).unwrap_err().reason, RefuseReason::Unsupported);
}
