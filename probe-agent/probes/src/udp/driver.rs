//! Lets tries run between sockets and clock: a datagram each, from a port of its own, by which what comes back is known to be its.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{UdpOutcome, UdpTry};
use shared_protocol::spec::HexBytes;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::attempt::{Attempt, Ended, blank, failed};
use crate::asking::{Ask, Asking};
use crate::clock;
use crate::net::errno;
use crate::net::gate::Denial;
use crate::net::icmp::{Fragmentation, SendError};
use crate::net::path::{Content, PathPlan, PathProbe, PathProtocol, PathRefusal, PathShape};
use crate::one_address;
use crate::table::ProbeContext;

/// What the tries of a probe have in common.
#[derive(Clone)]
pub(crate) struct Datagrams {
    pub context: ProbeContext,
    pub target: IpAddr,
    /// Differentiated services code point.
    pub dscp: u8,
    /// What an answer has to begin with.
    pub expect: HexBytes,
    /// How long an answer is waited for.
    pub wait: Duration,
    /// When a datagram that has had no place under the owner's rates is given up.
    pub depart_by: MonotonicMicros,
}

impl Datagrams {
    /// Runs until everything has its outcome; `payload` says what goes to a port. Ending early ends every try that is under way.
    pub(crate) async fn drive(
        &self,
        asking: &mut impl Asking<Ended>,
        payload: impl Fn(u16) -> Vec<u8>,
        events: &mpsc::Sender<ProbeEvent>,
    ) -> Result<(), Denial> {
        let mut under_way: JoinSet<Result<Ended, Denial>> = JoinSet::new();
        let tell = |event: Option<ProbeEvent>| {
            if let Some(event) = event {
                one_address::tell(events, event);
            }
        };
        while !asking.is_finished() {
            let now = clock::monotonic();
            if now >= self.depart_by {
                while let Some(index) = asking.poll_abandoned() {
                    tell(asking.handle_ended(unsent(index, &SendError::NoRoom)));
                }
            }
            if let Some(ask) = asking.poll_start(now) {
                under_way.spawn(self.clone().send(ask, payload(ask.port)));
            }
            tokio::select! {
                biased;
                Some(ended) = under_way.join_next() => {
                    // A try that panicked stays open; the probe's own deadline ends it.
                    let Ok(ended) = ended else { continue };
                    tell(asking.handle_ended(ended?));
                }
                () = tokio::time::sleep(asking.poll_timeout(now).unwrap_or(IDLE)) => {}
            }
        }
        Ok(())
    }

    /// Sends one datagram and waits for what comes of it.
    async fn send(self, ask: Ask, payload: Vec<u8>) -> Result<Ended, Denial> {
        let Ask { index: seq, port } = ask;
        let plan = PathPlan {
            target: self.target,
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
            dscp: self.dscp,
            fragmentation: Fragmentation::Allowed,
            destination_port: port,
            content: Content::Payload(payload),
        };
        let gate = Arc::clone(&self.context.gate);
        let left = tokio::time::timeout(self.depart_by.since(clock::monotonic()), flow.send(0, &probe, gate.as_ref())).await;
        let sent = match left.unwrap_or(Err(SendError::NoRoom)) {
            Ok(departure) => departure.moment,
            Err(SendError::Denied(denial)) => return Err(denial),
            Err(error) => return Ok(unsent(seq, &error)),
        };
        let mut attempt = Attempt::new(seq, self.target, &self.expect, sent);
        let listening = async {
            while let Some(arrival) = arrivals.recv().await {
                if attempt.handle(arrival) {
                    return;
                }
            }
        };
        // When the time is over, what has come by then counts.
        let over = tokio::time::timeout(self.wait, listening).await;
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
