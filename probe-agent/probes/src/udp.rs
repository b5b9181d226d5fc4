//! Datagrams: resolve, put every address to the owner's policy, send several to one of them from a port each, hear what comes back, judge.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shared_protocol::event::{ProbeEvent, UdpEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, Report, UdpFindings, UdpOutcome, UdpTry};
use shared_protocol::spec::UdpSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod attempt;
mod tries;

use attempt::{Attempt, Ended, blank, failed};
use tries::Tries;

use crate::clock;
use crate::net::errno;
use crate::net::gate::Denial;
use crate::net::icmp::{Fragmentation, SendError};
use crate::net::path::{Content, PathPlan, PathProbe, PathProtocol, PathRefusal, PathShape};
use crate::one_address::{self, Aim};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a UDP probe to its report.
pub(crate) async fn run(spec: &UdpSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let aim = Aim {
        target: &spec.target,
        af: spec.af,
        context,
        events,
        cancel,
    };
    let resolved = |address| ProbeEvent::Udp(UdpEvent::Resolved { address });
    one_address::run(aim, resolved, async |address| try_all(spec, aim, address).await).await
}

async fn try_all(spec: &UdpSpec, aim: Aim<'_>, address: IpAddr) -> (Findings, Result<Verdict, Stop>) {
    let now = clock::monotonic();
    let mut tries = Tries::new(spec.count, Duration::from_millis(spec.interval_ms.into()), now);
    let datagram = Datagram {
        spec: spec.clone(),
        context: aim.context.clone(),
        endpoint: SocketAddr::new(address, spec.port),
        depart_by: now.plus(spec.timeout()),
    };
    let stop = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Some(Stop::Cancelled),
        driven = drive(&mut tries, &datagram, aim.events) => driven.err().map(Stop::Denied),
    };
    let findings = UdpFindings {
        address,
        port: spec.port,
        tries: tries.settled(),
        statistics: tries.statistics(),
    };
    let verdict = tries.judge(&findings);
    (Findings::Udp(findings), stop.map_or(Ok(verdict), Err))
}

/// Lets the tries run until the last is over. Ending early ends every one that is under way.
async fn drive(tries: &mut Tries, datagram: &Datagram, events: &mpsc::Sender<ProbeEvent>) -> Result<(), Denial> {
    let mut under_way: JoinSet<Result<Ended, Denial>> = JoinSet::new();
    while !tries.is_finished() {
        let now = clock::monotonic();
        if let Some(index) = tries.poll_start(now) {
            under_way.spawn(datagram.clone().send(index));
        }
        tokio::select! {
            biased;
            Some(ended) = under_way.join_next() => {
                // A try that panicked stays open; the probe's own deadline ends it.
                let Ok(ended) = ended else { continue };
                one_address::tell(events, ProbeEvent::Udp(UdpEvent::Try(Box::new(tries.handle_ended(ended?)))));
            }
            () = tokio::time::sleep(tries.poll_timeout(now).unwrap_or(IDLE)) => {}
        }
    }
    Ok(())
}

/// What one try needs; each has a port of its own, by which what comes back is known to be its.
#[derive(Clone)]
struct Datagram {
    spec: UdpSpec,
    context: ProbeContext,
    endpoint: SocketAddr,
    depart_by: MonotonicMicros,
}

impl Datagram {
    /// Sends one datagram and waits for what comes of it.
    async fn send(self, seq: u32) -> Result<Ended, Denial> {
        let target = self.endpoint.ip();
        let plan = PathPlan {
            target,
            protocol: PathProtocol::Udp,
            source_port: None,
            shape: PathShape::Constant,
        };
        let (flow, mut arrivals) = match self.context.engine.path(plan) {
            Ok(opened) => opened,
            Err(refusal) => return Ok(refused(seq, &refusal)),
        };
        let probe = PathProbe {
            ttl: TTL,
            dscp: u8::try_from(self.spec.dscp).unwrap_or_default(),
            fragmentation: Fragmentation::Allowed,
            destination_port: self.endpoint.port(),
            content: Content::Payload(self.spec.payload.as_slice().to_vec()),
        };
        let gate = Arc::clone(&self.context.gate);
        let left = tokio::time::timeout(self.depart_by.since(clock::monotonic()), flow.send(0, &probe, gate.as_ref())).await;
        let sent = match left.unwrap_or(Err(SendError::NoRoom)) {
            Ok(departure) => departure.moment,
            Err(SendError::Denied(denial)) => return Err(denial),
            Err(error) => return Ok(unsent(seq, &error)),
        };
        let mut attempt = Attempt::new(seq, target, &self.spec.expect, sent);
        let listening = async {
            while let Some(arrival) = arrivals.recv().await {
                if attempt.handle(arrival) {
                    return;
                }
            }
        };
        // When the time is over, what has come by then counts.
        let over = tokio::time::timeout(Duration::from_millis(self.spec.wait_ms.into()), listening).await;
        if over.is_err() {
            flow.catch_up().await;
            while let Some(arrival) = arrivals.try_recv() {
                attempt.handle(arrival);
            }
        }
        Ok(attempt.end())
    }
}

fn refused(seq: u32, refusal: &PathRefusal) -> Ended {
    let (fault, code, errno) = match refusal {
        PathRefusal::NoSocket => (Fault::Agent, ErrorCode::PermissionMissing, None),
        PathRefusal::Port(cause) => (Fault::Agent, ErrorCode::Resource, cause.raw_os_error()),
        PathRefusal::NoRoute(cause) => {
            let (fault, code) = errno::judge(cause.raw_os_error().unwrap_or_default());
            (fault, code, cause.raw_os_error())
        }
    };
    let tried = UdpTry {
        errno,
        ..blank(seq, UdpOutcome::Unsent)
    };
    failed(tried, fault, code, refusal.to_string())
}

fn unsent(seq: u32, error: &SendError) -> Ended {
    let (fault, code, errno) = match error {
        SendError::Kernel(cause) => {
            let errno = std::io::Error::from(*cause).raw_os_error();
            let (fault, code) = errno::judge(errno.unwrap_or_default());
            (fault, code, errno)
        }
        SendError::NoRoom | SendError::NumbersExhausted | SendError::Denied(_) => (Fault::Agent, ErrorCode::Resource, None),
        SendError::NoSocket => (Fault::Agent, ErrorCode::PermissionMissing, None),
    };
    let tried = UdpTry {
        errno,
        ..blank(seq, UdpOutcome::Unsent)
    };
    failed(tried, fault, code, error.to_string())
}

/// What an ordinary host sends with.
const TTL: u8 = 64;
/// Longest time between two looks when every try has begun.
const IDLE: Duration = Duration::from_secs(1);
