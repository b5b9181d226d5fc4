//! Observations: asked of the observer, a process of its own beside the agent, which alone may look into the kernel.
//!
//! The agent asks, makes a connection to itself by which the observer sees that its programs see, hands on what comes, and judges.

use std::io;
use std::time::Duration;

use shared_protocol::event::{ObserveEvent, ObserveWindow, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::package::{PackageDigest, PackageName, PackageTold};
use shared_protocol::report::{Findings, ObserveFindings, OverBudget, Report, Seen, SelfCheck};
use shared_protocol::spec::{ObserveSpec, ProbeSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod facts;
pub mod message;
mod observer;
mod packages;

pub(crate) use facts::Failing;
pub use observer::Observer;
pub use packages::{FoundPackage, Later, NoPackage, NoPackages, Packages};

use message::{Ask, Told};

use crate::net::observer::{Conversation, OwnConnection};
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict, error};

/// Runs an observation to its report.
pub(crate) async fn run(options: &ObserveSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let mut run = Run {
        options,
        events,
        last: None,
        level: CapabilityLevel::Full,
        missing: Vec::new(),
        findings: None,
    };
    let package = package(options, context.packages.as_ref()).await;
    let known = package.as_ref().ok().and_then(|found| found.as_ref().map(|found| found.digest));
    let outcome = match package {
        Ok(found) => run.observe(&context.observer, found.map(|found| found.text), cancel).await,
        Err(stop) => Err(stop),
    };
    let findings = run.findings.take().or_else(|| run.findings_so_far());
    let found = Found {
        resolved: Vec::new(),
        findings: findings.map(|findings| Findings::Observe(Box::new(findings))),
        completeness: Completeness::Whole,
    };
    let report = record.end(outcome, found);
    // How it does is not known of one that was not run.
    if let (Some(name), Some(sha256), false) = (options.package.clone(), known, options.try_out) {
        tell_of(name, sha256, &report, context.packages.as_ref()).await;
    }
    report
}

/// Says how a package did to whoever keeps it, unless that takes long.
async fn tell_of(name: PackageName, sha256: PackageDigest, report: &Report, packages: &dyn Packages) {
    let told = PackageTold {
        name,
        sha256,
        status: report.status,
        code: report.error.as_ref().map(|error| error.code),
        message: report.error.as_ref().map(|error| error.message.clone()),
    };
    if tokio::time::timeout(TOLD_TIME, packages.told(told)).await.is_err() {
        tracing::debug!("nobody heard in time how a package did");
    }
}

/// The package that is asked for, where one is.
async fn package(options: &ObserveSpec, packages: &dyn Packages) -> Result<Option<FoundPackage>, Stop> {
    let Some(name) = &options.package else { return Ok(None) };
    let found = tokio::time::timeout(PACKAGE_TIME, packages.find(name, options.sha256)).await;
    let found = found.unwrap_or_else(|_| Err(NoPackage(format!("the package {name} does not come in time"))));
    found.map(Some).map_err(|none| agent(ErrorCode::PackageMissing, none.to_string()))
}

/// An observation under way, with what it has so far.
struct Run<'a> {
    options: &'a ObserveSpec,
    events: &'a mpsc::Sender<ProbeEvent>,
    last: Option<ObserveWindow>,
    level: CapabilityLevel,
    missing: Vec<String>,
    findings: Option<ObserveFindings>,
}

impl Run<'_> {
    async fn observe(&mut self, observer: &Observer, package: Option<String>, cancel: &CancellationToken) -> Result<Verdict, Stop> {
        let own = OwnConnection::prepare().map_err(|cause| agent(ErrorCode::Resource, format!("no port of its own to check the programs with: {cause}")))?;
        let mut conversation = observer.converse().await.map_err(|cause| agent(ErrorCode::PermissionMissing, cause))?;
        let ask = Ask::Observe {
            spec: ProbeSpec::Observe(self.options.clone()),
            check_port: own.port(),
            package,
        };
        conversation.ask(&ask).await.map_err(|cause| gone(&cause))?;
        let mut stopping = false;
        loop {
            let told = tokio::select! {
                biased;
                () = cancel.cancelled(), if !stopping => {
                    stopping = true;
                    conversation.ask(&Ask::Stop).await.map_err(|cause| gone(&cause))?;
                    continue;
                }
                told = self.next(&mut conversation, if stopping { STOP_TIME } else { self.options.interval() + ANSWER_TIME }) => told,
            };
            match told {
                Ok(Told::Started { level, missing }) => self.started(level, missing, &own).await,
                Ok(Told::Window(window)) => self.window(window),
                Ok(Told::Ended(findings)) => {
                    let verdict = judge(&findings);
                    self.findings = Some(*findings);
                    return if stopping { Err(Stop::Cancelled) } else { Ok(verdict) };
                }
                Ok(Told::Refused { code, message }) => return Err(refused(code, message)),
                Ok(Told::Capabilities { .. } | Told::Ready | Told::Watching { .. } | Told::Facts { .. }) => {
                    return Err(agent(ErrorCode::Internal, "the observer answered something else than was asked".to_owned()));
                }
                Err(_) if stopping => return Err(Stop::Cancelled),
                Err(stop) => return Err(stop),
            }
        }
    }

    async fn next(&self, conversation: &mut Conversation, within: Duration) -> Result<Told, Stop> {
        match tokio::time::timeout(within, conversation.hear()).await {
            Ok(told) => told.map_err(|cause| gone(&cause)),
            Err(_) => Err(agent(ErrorCode::Timeout, "the observer has fallen silent".to_owned())),
        }
    }

    async fn started(&mut self, level: CapabilityLevel, missing: Vec<String>, own: &OwnConnection) {
        self.tell(ObserveEvent::Started {
            observation: self.options.observation,
            level,
            missing: missing.clone(),
        });
        (self.level, self.missing) = (level, missing);
        own.try_once().await;
    }

    fn window(&mut self, window: ObserveWindow) {
        self.last = Some(window.clone());
        self.tell(ObserveEvent::Window(Box::new(window)));
    }

    /// What the last window said, where the observer itself did not come to an end.
    fn findings_so_far(&mut self) -> Option<ObserveFindings> {
        let last = self.last.take()?;
        Some(ObserveFindings {
            level: self.level,
            missing: std::mem::take(&mut self.missing),
            self_check: SelfCheck::Failed,
            observed_us: last.at_us,
            windows: last.seq + 1,
            lost: last.lost,
            masked: Vec::new(),
            cost: None,
            over_budget: None,
            tried: None,
            seen: last.seen,
        })
    }

    /// Tells a partial finding, if the channel has room: the report holds what counts.
    fn tell(&self, event: ObserveEvent) {
        if self.events.try_send(ProbeEvent::Observe(event)).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

fn judge(findings: &ObserveFindings) -> Verdict {
    if let Some(tried) = &findings.tried {
        return tried
            .refused()
            .map_or_else(Verdict::ok, |why| Verdict::failed(Fault::Agent, ErrorCode::PackageRefused, why));
    }
    if findings.self_check == SelfCheck::Failed {
        let message = if matches!(findings.seen, Seen::Custom(_)) {
            "the package's own check counted nothing: its programs did not run, so that something was not seen means nothing"
        } else {
            "the programs did not see the connection that was made to check them: that something was not seen means nothing"
        };
        return Verdict::failed(Fault::Agent, ErrorCode::Internal, message);
    }
    if findings.self_check == SelfCheck::Unknown {
        let message = "nothing was seen, and nothing tells whether the programs ran: a package that names a `check` would say";
        return Verdict::of(Status::Degraded, Fault::Agent, error(ErrorCode::Internal, message.to_owned()));
    }
    let degraded = |code, message| Verdict::of(Status::Degraded, Fault::Agent, error(code, message));
    if findings.lost > 0 {
        return degraded(
            ErrorCode::Resource,
            format!(
                "the kernel saw {} things that it could not tell (no room, or it was at work already); they are in no number",
                findings.lost
            ),
        );
    }
    if let Some(over) = &findings.over_budget {
        return degraded(ErrorCode::Resource, eased(over, findings.observed_us));
    }
    match findings.level {
        CapabilityLevel::Full => Verdict::ok(),
        CapabilityLevel::Degraded | CapabilityLevel::Unavailable => {
            degraded(ErrorCode::PermissionMissing, format!("not seen: {}", findings.missing.join("; ")))
        }
    }
}

/// What became of an observation that cost its host too much.
fn eased(over: &OverBudget, observed_us: u64) -> String {
    let became = if over.ended {
        format!("it ended after {}.{} s", observed_us / 1_000_000, observed_us / 100_000 % 10)
    } else {
        format!("it went on without {}", over.given_up.join(", "))
    };
    format!(
        "its programs took {} of a CPU, all observations {}, and the owner allows {} (observe.max_cpu_percent): {became}",
        over.share, over.together, over.budget
    )
}

fn refused(code: ErrorCode, message: String) -> Stop {
    let fault = if code == ErrorCode::PolicyDenied { Fault::Policy } else { Fault::Agent };
    Stop::failed(fault, code, message)
}

fn agent(code: ErrorCode, message: String) -> Stop {
    Stop::failed(Fault::Agent, code, message)
}

fn gone(cause: &io::Error) -> Stop {
    if cause.kind() == io::ErrorKind::InvalidData {
        return agent(ErrorCode::Internal, format!("the observer said something that cannot be read: {cause}"));
    }
    agent(ErrorCode::ObserverLost, format!("the observer ended before the observation did: {cause}"))
}

/// How long it may take to say how a package did.
const TOLD_TIME: Duration = Duration::from_secs(2);
/// How long it may take to find a package.
const PACKAGE_TIME: Duration = Duration::from_secs(8);
/// How long the observer may take beside what it was asked to.
const ANSWER_TIME: Duration = Duration::from_secs(8);
/// How long it may take to say what it has when it is stopped.
const STOP_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use shared_protocol::report::{CpuShare, FlowsSeen, PackageTried, ProgramTried};

    use super::*;

    fn findings() -> ObserveFindings {
        ObserveFindings {
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
            seen: Seen::TcpFlows(FlowsSeen::default()),
        }
    }

    #[test]
    fn what_was_not_seen_is_never_called_nothing() {
        assert_eq!(judge(&findings()), Verdict::ok());
        let blind = ObserveFindings {
            self_check: SelfCheck::Failed,
            ..findings()
        };
        assert_eq!((judge(&blind).status, judge(&blind).fault), (Status::Failed, Fault::Agent));
        let lossy = ObserveFindings { lost: 3, ..findings() };
        assert_eq!(judge(&lossy).status, Status::Degraded);
        assert!(judge(&lossy).error.unwrap().message.contains(" 3 "));
        let partial = ObserveFindings {
            level: CapabilityLevel::Degraded,
            missing: vec!["retransmits".to_owned()],
            ..findings()
        };
        assert_eq!(judge(&partial).status, Status::Degraded);
    }

    #[test]
    fn a_package_that_was_tried_is_as_good_as_the_kernel_thinks() {
        let program = |refused: Option<&str>| ProgramTried {
            name: "run".to_owned(),
            attach: "raw_tp/sys_enter".to_owned(),
            instructions: None,
            refused: refused.map(str::to_owned),
            log: None,
        };
        let tried = |programs| ObserveFindings {
            self_check: SelfCheck::Unknown,
            tried: Some(PackageTried { memory_bytes: 1, programs }),
            ..findings()
        };
        assert_eq!(judge(&tried(vec![program(None)])), Verdict::ok());
        let verdict = judge(&tried(vec![program(None), program(Some("a loop without an end"))]));
        let error = verdict.error.unwrap();
        assert_eq!(
            (verdict.status, error.code, error.message.as_str()),
            (Status::Failed, ErrorCode::PackageRefused, "a loop without an end")
        );
    }

    #[test]
    fn what_cost_too_much_says_how_much_and_what_became_of_it() {
        let mut over = OverBudget {
            budget: CpuShare::from_millionths(10_000),
            share: CpuShare::from_millionths(32_000),
            together: CpuShare::from_millionths(40_000),
            given_up: vec!["tcp_probe".to_owned()],
            ended: false,
        };
        let message = |over: &OverBudget| {
            let verdict = judge(&ObserveFindings {
                over_budget: Some(over.clone()),
                level: CapabilityLevel::Degraded,
                observed_us: 4_050_000,
                ..findings()
            });
            assert_eq!((verdict.status, verdict.fault), (Status::Degraded, Fault::Agent));
            verdict.error.unwrap().message
        };
        let took = "its programs took 3.2 % of a CPU, all observations 4 %, and the owner allows 1 % (observe.max_cpu_percent)";
        assert_eq!(message(&over), format!("{took}: it went on without tcp_probe"));
        over.ended = true;
        assert_eq!(message(&over), format!("{took}: it ended after 4.0 s"));
    }
}
