use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::SinkExt;
use shared_protocol::close::CloseReason;
use shared_protocol::codec::decode_report;
use shared_protocol::fault::{ErrorCode, Status};
use shared_protocol::frame::{Goaway, HostFacts, Run};
use shared_protocol::id::{Attempt, InstanceId, JobId, JobRef};
use shared_protocol::session::{AgentSession, Jitter, ServerEffect};
use shared_protocol::time::UnixMicros;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

use super::plane::{Plane, connect};
use crate::clock;
use crate::host::sampler::HostSampler;
use crate::link::driver::{Ended, Hands, SessionEnd, drive};
use crate::outbox::{Outbox, OutboxSettings};
use crate::policy::{Policy, PolicyRules};
use crate::runner::stub::Stub;
use crate::runner::{ProbeEngine, Runner};
use crate::standing::Standing;
use crate::state_dir::StateDir;

/// An agent without a dialler.
struct Bench {
    _root: tempfile::TempDir,
    outbox: Outbox,
    runner: Runner,
    standing: Standing,
    loads: HostSampler,
    stop: CancellationToken,
    welcomes: AtomicU32,
}

impl Bench {
    async fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        let outbox = Outbox::open(&state, OutboxSettings::default(), clock::wall(), [1; 10]).await.unwrap();
        let rules = PolicyRules {
            allow_loopback: true,
            ..PolicyRules::default()
        };
        let engine: Arc<dyn ProbeEngine> = Arc::new(Stub::default());
        Self {
            _root: root,
            standing: Standing::open(&state, Arc::clone(&engine), Arc::new(Policy::new(rules.clone())), outbox.clone()),
            runner: Runner::new(engine, Arc::new(Policy::new(rules)), outbox.clone()),
            outbox,
            loads: HostSampler::silent(),
            stop: CancellationToken::new(),
            welcomes: AtomicU32::new(0),
        }
    }

    /// One connection, with the plane doing what the test says.
    async fn session<T>(&mut self, plane_does: impl AsyncFnOnce(&mut Plane) -> T) -> (Ended, T) {
        let ((socket, heard), mut plane) = connect().await;
        let hello = shared_protocol::frame::Hello {
            versions: vec![1],
            agent_version: "test".to_owned(),
            instance: InstanceId::new(UnixMicros::from_micros(1), [2; 10]),
            capabilities: self.runner.capabilities(),
            host: HostFacts::default(),
            in_hand: self.runner.in_hand(),
            standing: Some(self.standing.held()),
            outbox: self.outbox.state().await.unwrap(),
        };
        let session = AgentSession::new(hello, self.runner.capacity(), Jitter::from_seed(3), clock::monotonic());
        let hands = Hands {
            runner: &mut self.runner,
            standing: &mut self.standing,
            outbox: &self.outbox,
            loads: &mut self.loads,
            stop: &self.stop,
        };
        let welcomes = &self.welcomes;
        let agent = drive(socket, heard, session, hands, |_| {
            welcomes.fetch_add(1, Ordering::SeqCst);
        });
        let plane = async {
            let result = plane_does(&mut plane).await;
            // The connection breaks here, where the agent did not end it before.
            drop(plane);
            result
        };
        tokio::join!(agent, plane)
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

fn job(run: &Run) -> JobRef {
    JobRef {
        job: run.job,
        attempt: run.attempt,
    }
}

fn closed_here(ended: &Ended) -> CloseReason {
    let SessionEnd::ClosedHere(reason) = &ended.end else {
        panic!("not closed by the agent: {:?}", ended.end)
    };
    *reason
}

#[tokio::test]
async fn a_job_goes_from_run_to_a_report_that_is_kept_until_it_is_acknowledged() {
    let mut bench = Bench::new().await;
    let outbox = bench.outbox.clone();
    let (ended, ()) = bench
        .session(async |plane| {
            plane.welcome(0).await;
            let run = run(1, "127.0.0.1");
            plane.run(run.clone()).await;
            assert_eq!(plane.effect().await, Some(ServerEffect::Accepted(job(&run))));
            assert!(matches!(plane.effect().await, Some(ServerEffect::Finding { job: of, n: 0, .. }) if of == job(&run)));
            let (seq, of, body) = plane.report().await;
            assert_eq!((of, decode_report(&body).unwrap().status), (job(&run), Status::Ok));
            assert_eq!(outbox.depth(), 1, "it is kept");
            plane.ack(seq).await;
            // The agent hears the acknowledgement before it hears this.
            plane.socket.send(Message::Binary(Bytes::new())).await.unwrap();
            plane.closed().await;
        })
        .await;
    assert_eq!(closed_here(&ended), CloseReason::UnsupportedData);
    assert_eq!(bench.outbox.depth(), 0);
    assert_eq!(bench.welcomes.load(Ordering::SeqCst), 1);
    assert!(ended.welcomed.is_some());
}

#[tokio::test]
async fn kil_02_a_report_that_was_not_acknowledged_is_sent_again_in_the_next_session() {
    let mut bench = Bench::new().await;
    let (ended, first) = bench
        .session(async |plane| {
            plane.welcome(0).await;
            plane.run(run(1, "127.0.0.1")).await;
            plane.report().await
        })
        .await;
    assert!(matches!(ended.end, SessionEnd::Lost(_)));
    let (_, second) = bench
        .session(async |plane| {
            let hello = plane.welcome(0).await;
            assert_eq!((hello.outbox.first_seq.value(), hello.outbox.next_seq.value()), (1, 2));
            plane.report().await
        })
        .await;
    assert_eq!(first, second);
    bench
        .session(async |plane| {
            // This time the control plane knows it already.
            plane.welcome(1).await;
            plane.socket.send(Message::Binary(Bytes::new())).await.unwrap();
            plane.closed().await;
        })
        .await;
    assert_eq!(bench.outbox.depth(), 0);
}

#[tokio::test]
async fn a_job_in_hand_goes_on_while_the_connection_is_cut_and_is_named_in_hello() {
    let mut bench = Bench::new().await;
    let taken = job(&run(1, "127.0.0.3"));
    bench
        .session(async |plane| {
            plane.welcome(0).await;
            plane.run(run(1, "127.0.0.3")).await;
            while !matches!(plane.effect().await, Some(ServerEffect::Accepted(_))) {}
        })
        .await;
    assert_eq!(bench.runner.in_hand(), [taken]);
    let (_, body) = bench
        .session(async |plane| {
            assert_eq!(plane.welcome(0).await.in_hand, [taken]);
            plane.cancel(taken.job).await;
            plane.report().await.2
        })
        .await;
    assert_eq!(decode_report(&body).unwrap().error.unwrap().code, ErrorCode::Cancelled);
}

#[tokio::test]
async fn job_09_a_job_that_the_policy_denies_is_refused_on_the_wire_and_leaves_no_report() {
    let mut bench = Bench::new().await;
    let (_, refuse) = bench
        .session(async |plane| {
            plane.welcome(0).await;
            plane.run(run(1, "10.0.0.1")).await;
            loop {
                if let Some(ServerEffect::Refused(refuse)) = plane.effect().await {
                    break refuse;
                }
            }
        })
        .await;
    assert_eq!(refuse.reason.as_str(), "policy_denied");
    assert!(refuse.message.contains("allow_cidrs"));
    assert_eq!(bench.outbox.depth(), 0);
}

#[tokio::test]
async fn frm_20_a_binary_frame_ends_the_session_with_1003() {
    let (ended, frame) = Bench::new()
        .await
        .session(async |plane| {
            plane.welcome(0).await;
            plane.socket.send(Message::Binary(Bytes::from_static(b"x"))).await.unwrap();
            plane.closed().await
        })
        .await;
    assert_eq!((closed_here(&ended), u16::from(frame.code)), (CloseReason::UnsupportedData, 1003));
}

#[tokio::test]
async fn frm_08_what_is_no_frame_ends_the_session_with_4400_and_what_is_too_long_with_1009() {
    let sent = async |text: String| {
        let (ended, frame) = Bench::new()
            .await
            .session(async |plane| {
                plane.welcome(0).await;
                plane.socket.send(Message::text(text)).await.unwrap();
                plane.closed().await
            })
            .await;
        (closed_here(&ended), u16::from(frame.code))
    };
    assert_eq!(sent("{".to_owned()).await, (CloseReason::BadEnvelope, 4400));
    assert_eq!(sent("x".repeat(65 * 1024)).await, (CloseReason::TooBig, 1009));
}

#[tokio::test]
async fn a_close_frame_of_the_control_plane_is_understood() {
    for reason in [
        CloseReason::Revoked,
        CloseReason::Restart { retry_after_ms: Some(7_000) },
        CloseReason::Suspended,
    ] {
        let (ended, ()) = Bench::new()
            .await
            .session(async |plane| {
                plane.welcome(0).await;
                let frame = CloseFrame {
                    code: reason.code().into(),
                    reason: reason.text().into(),
                };
                plane.socket.close(Some(frame)).await.unwrap();
                while plane.effect().await.is_some() {}
            })
            .await;
        assert!(matches!(ended.end, SessionEnd::ClosedByPeer(found) if found == reason), "{:?}", ended.end);
    }
}

#[tokio::test]
async fn goaway_makes_the_agent_leave_and_come_back_when_it_was_told() {
    let (ended, frame) = Bench::new()
        .await
        .session(async |plane| {
            plane.welcome(0).await;
            plane.session.goaway(Goaway {
                within_ms: 1_000,
                retry_after_ms: 5_000,
            });
            plane.flush().await;
            plane.closed().await
        })
        .await;
    assert!(matches!(
        ended.end,
        SessionEnd::ClosedByPeer(CloseReason::Restart { retry_after_ms: Some(5_000) })
    ));
    assert_eq!(u16::from(frame.code), 1000);
}

#[tokio::test]
async fn kil_04_asked_to_stop_the_agent_finishes_its_jobs_sends_their_reports_and_takes_no_more() {
    let mut bench = Bench::new().await;
    let stop = bench.stop.clone();
    let (ended, frame) = bench
        .session(async |plane| {
            plane.welcome(0).await;
            let running = run(1, "127.0.0.3");
            plane.run(running.clone()).await;
            while !matches!(plane.effect().await, Some(ServerEffect::Accepted(_))) {}
            stop.cancel();
            plane.session.run(run(2, "127.0.0.1"));
            plane.flush().await;
            let refuse = loop {
                if let Some(ServerEffect::Refused(refuse)) = plane.effect().await {
                    break refuse;
                }
            };
            assert_eq!((refuse.job, refuse.reason.as_str()), (run(2, "").job, "stopping"));
            plane.cancel(running.job).await;
            let (seq, of, _) = plane.report().await;
            assert_eq!(of, job(&running));
            plane.ack(seq).await;
            plane.closed().await
        })
        .await;
    assert!(matches!(ended.end, SessionEnd::Drained));
    assert_eq!(u16::from(frame.code), 1000);
    assert_eq!((bench.runner.running(), bench.outbox.depth()), (0, 0));
}

#[tokio::test]
async fn an_outbox_put_back_to_an_earlier_state_begins_a_new_life_and_loses_nothing() {
    let mut bench = Bench::new().await;
    let kept = job(&run(7, "127.0.0.1"));
    bench.outbox.append(kept, "kept in the backup", clock::wall()).await.unwrap();
    let (ended, hello) = bench.session(async |plane| plane.welcome(5).await).await;
    assert_eq!(closed_here(&ended), CloseReason::ProtocolOrder);
    assert!(
        ended.session.outbox_is_behind(),
        "the control plane has five reports of an outbox that wrote one"
    );

    bench.outbox.begin_new_life(clock::wall(), clock::random_id_bytes()).await.unwrap();
    let (ended, (again, report)) = bench
        .session(async |plane| {
            let hello = plane.welcome(0).await;
            (hello, plane.report().await)
        })
        .await;
    assert!(!ended.session.outbox_is_behind());
    assert_ne!(again.outbox.incarnation, hello.outbox.incarnation);
    assert_eq!((report.1, report.2.as_str()), (kept, "kept in the backup"));
}
