//! ICMP echo: resolve, put every address to the owner's policy, exchange requests and replies with one of them, judge.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, PingFindings, Report};
use shared_protocol::spec::PingSpec;
use shared_protocol::target::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod exchange;
mod sweep;
mod sweeping;
mod verdict;

use exchange::{Exchange, Plan, SendFailure};

use crate::clock;
use crate::net::icmp::{Arrival, Departure, EchoRequest, Family, Fragmentation, IcmpFlow, SendError};
use crate::record::{Completeness, Found, Record};
use crate::resolution;
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a ping to its report.
pub(crate) async fn run(spec: &PingSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let Some(target) = spec.target.one() else {
        return sweeping::run(spec, context, events, cancel).await;
    };
    let record = Record::begin(context.clock);
    let mut run = Run {
        target,
        spec,
        context,
        events,
        resolved: Vec::new(),
        findings: None,
        left_out: 0,
    };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        outcome = run.resolve() => outcome,
    };
    let outcome = match outcome {
        Ok(address) => run.exchange(address, cancel).await,
        Err(stop) => Err(stop),
    };
    let found = Found {
        resolved: run.resolved,
        findings: run.findings.map(Findings::Ping),
        completeness: if run.left_out > 0 { Completeness::Truncated } else { Completeness::Whole },
    };
    record.end(outcome, found)
}

/// A ping under way, with what it has so far.
struct Run<'a> {
    target: &'a Target,
    spec: &'a PingSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    resolved: Vec<IpAddr>,
    findings: Option<PingFindings>,
    left_out: u32,
}

impl Run<'_> {
    /// Finds the address to ping.
    async fn resolve(&mut self) -> Result<IpAddr, Stop> {
        let engine = &self.context.engine;
        let usable = |address| engine.socket(Family::of(address)).is_some();
        let resolution = resolution::resolve(self.context, self.target, self.spec.af, usable).await?;
        self.resolved = resolution.addresses;
        self.tell(PingEvent::Resolved { address: resolution.chosen });
        Ok(resolution.chosen)
    }

    async fn exchange(&mut self, address: IpAddr, cancel: &CancellationToken) -> Result<Verdict, Stop> {
        let engine = &self.context.engine;
        let Some(socket) = engine.socket(Family::of(address)) else {
            return Err(Stop::failed(
                Fault::Agent,
                ErrorCode::PermissionMissing,
                "the agent has no ICMP socket for this address family",
            ));
        };
        let drops_before = engine.drops();
        let request = request(self.spec).ok_or_else(|| Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds"))?;
        let (flow, mut arrivals) = engine.flow(address, rand::random(), request);
        let now = clock::monotonic();
        let mut exchange = Exchange::new(
            Plan {
                target: address,
                count: self.spec.count,
                interval: Duration::from_millis(self.spec.interval_ms.into()),
                wait: Duration::from_millis(self.spec.wait_ms.into()),
                deadline: now.plus(self.spec.timeout()),
            },
            now,
        );
        let stop = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(Stop::Cancelled),
            driven = self.drive(&mut exchange, &flow, &mut arrivals) => driven.err(),
        };
        let findings = PingFindings {
            address,
            socket,
            packets: exchange.packets(),
            statistics: exchange.statistics(),
            agent_drops: u32::try_from(engine.drops().saturating_sub(drops_before)).unwrap_or(u32::MAX),
        };
        let verdict = verdict::judge(&findings, exchange.unsent(), self.spec.count);
        self.left_out = exchange.left_out();
        self.findings = Some(findings);
        stop.map_or(Ok(verdict), Err)
    }

    /// Lets the exchange run between socket and clock until it is over.
    async fn drive(&self, exchange: &mut Exchange, flow: &IcmpFlow, arrivals: &mut mpsc::Receiver<Arrival>) -> Result<(), Stop> {
        let mut sending: Option<(u32, Sending<'_>)> = None;
        loop {
            let now = clock::monotonic();
            if exchange.gives_up(now) {
                flow.catch_up().await;
            }
            // Whatever came up to `now` is taken before anything is given up at it.
            while let Ok(arrival) = arrivals.try_recv() {
                exchange.handle_answer(arrival.index, arrival.what);
            }
            exchange.handle_timeout(now);
            while let Some(packet) = exchange.poll_event() {
                self.tell(PingEvent::Packet(packet));
            }
            if exchange.is_finished() {
                return Ok(());
            }
            if sending.is_none()
                && let Some(index) = exchange.poll_send(now)
            {
                sending = Some((index, Box::pin(flow.send(index, self.context.gate.as_ref()))));
            }
            tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => exchange.handle_answer(arrival.index, arrival.what),
                (index, outcome) = finish(&mut sending) => {
                    sending = None;
                    settle_send(exchange, index, outcome)?;
                }
                () = tokio::time::sleep(exchange.poll_timeout().since(now)) => {}
            }
        }
    }

    /// Tells a partial finding, if the channel has room: the report holds it again.
    fn tell(&self, event: PingEvent) {
        if self.events.try_send(ProbeEvent::Ping(event)).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Departure, SendError>> + Send + 'a>>;

/// Waits for the request that is leaving; for ever when none is.
async fn finish(sending: &mut Option<(u32, Sending<'_>)>) -> (u32, Result<Departure, SendError>) {
    match sending {
        Some((index, sending)) => (*index, sending.await),
        None => std::future::pending().await,
    }
}

fn settle_send(exchange: &mut Exchange, index: u32, outcome: Result<Departure, SendError>) -> Result<(), Stop> {
    let failure = match outcome {
        Ok(departure) => {
            exchange.handle_sent(index, departure.moment);
            return Ok(());
        }
        Err(SendError::Denied(denial)) => return Err(Stop::Denied(denial)),
        Err(SendError::Kernel(errno)) => SendFailure::Kernel(std::io::Error::from(errno).raw_os_error().unwrap_or_default()),
        Err(SendError::NoRoom) => SendFailure::NoRoom,
        Err(SendError::NoSocket | SendError::NumbersExhausted) => SendFailure::NoSocket,
    };
    exchange.handle_send_failed(index, failure);
    Ok(())
}

fn request(spec: &PingSpec) -> Option<EchoRequest> {
    Some(EchoRequest {
        payload_bytes: usize::try_from(spec.payload_bytes).ok()?,
        ttl: u8::try_from(spec.ttl).ok()?,
        dscp: u8::try_from(spec.dscp).ok()?,
        fragmentation: if spec.df { Fragmentation::Forbidden } else { Fragmentation::Allowed },
        first: rand::random(),
    })
}
