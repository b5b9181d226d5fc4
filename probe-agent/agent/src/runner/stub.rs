//! Probes of the tests: they do as the target's last octet tells them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::frame::{Capability, CapabilityLevel};
use shared_protocol::report::{DropsSeen, Findings, ObserveFindings, Report, Seen, SelfCheck};
use shared_protocol::spec::{ProbeKind, ProbeSpec};
use shared_protocol::time::UnixMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::engine::ProbeEngine;
use super::verdict;
use crate::clock;

/// A window in which nothing is seen: it takes its time, and breaks off when it is told to.
async fn window(duration: Duration, cancel: &CancellationToken) -> Report {
    let began = clock::wall();
    tokio::select! {
        () = cancel.cancelled() => {}
        () = tokio::time::sleep(duration / 100) => {}
    }
    let mut report = verdict::without_findings(Status::Ok, ErrorCode::Internal, "", began);
    report.error = None;
    report.fault = Fault::None;
    report.findings = Some(Findings::Observe(Box::new(ObserveFindings {
        level: CapabilityLevel::Full,
        missing: Vec::new(),
        self_check: SelfCheck::Passed,
        observed_us: 1,
        windows: 1,
        lost: 0,
        masked: Vec::new(),
        cost: None,
        over_budget: None,
        tried: None,
        seen: Seen::Drops(DropsSeen::default()),
    })));
    report
}

/// Does what the last octet of the target says: 1 answers, 2 panics, 3 waits to be cancelled, 4 disobeys.
#[derive(Debug, Default)]
pub(crate) struct Stub {
    pub(crate) runs: AtomicU32,
    pub(crate) level: Option<CapabilityLevel>,
}

impl ProbeEngine for Stub {
    fn run<'a>(&'a self, spec: &'a ProbeSpec, events: mpsc::Sender<ProbeEvent>, cancel: CancellationToken) -> BoxFuture<'a, Report> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            if let ProbeSpec::Observe(observe) = spec {
                return window(observe.duration(), &cancel).await;
            }
            let target = spec.target().unwrap().to_string();
            let address = target.parse().unwrap();
            events.try_send(ProbeEvent::Ping(PingEvent::Resolved { address })).unwrap();
            let now = UnixMicros::from_micros(1);
            match target.rsplit('.').next().unwrap() {
                "2" => panic!("as told"),
                "3" => {
                    cancel.cancelled().await;
                    verdict::without_findings(Status::Failed, ErrorCode::Cancelled, "stopped", now)
                }
                "4" => std::future::pending().await,
                _ => {
                    let mut report = verdict::without_findings(Status::Ok, ErrorCode::Internal, "", now);
                    report.error = None;
                    report.fault = Fault::None;
                    report
                }
            }
        })
    }

    fn capabilities(&self) -> Vec<Capability> {
        vec![Capability {
            probe: ProbeKind::Ping,
            level: self.level.unwrap_or(CapabilityLevel::Full),
            reason: None,
            remedy: None,
            observations: Vec::new(),
        }]
    }

    fn look_around(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn set_server_time(&self, _: UnixMicros) {}
}
