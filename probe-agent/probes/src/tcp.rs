//! TCP connections: resolve, put every address to the owner's policy, try to connect to one of them several times, judge.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use shared_protocol::event::{ProbeEvent, TcpEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, Report, TcpFindings};
use shared_protocol::spec::{TcpMode, TcpSpec};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod half_open;
mod tries;
mod verdict;

use half_open::{HalfOpen, Leaving};
use tries::{Plan, Tries};

use crate::clock;
use crate::net::gate::{Denial, Peer};
use crate::net::icmp::{Departure, SendError};
use crate::net::tcp::{Connection, Dial, DialError, Dialler, read_info};
use crate::record::{Completeness, Found, Record};
use crate::resolution;
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a TCP probe to its report.
pub(crate) async fn run(spec: &TcpSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let mut run = Run {
        spec,
        context,
        events,
        resolved: Vec::new(),
        findings: None,
    };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        outcome = run.resolve() => outcome,
    };
    let outcome = match outcome {
        Ok(address) => run.try_all(address, cancel).await,
        Err(stop) => Err(stop),
    };
    let found = Found {
        resolved: run.resolved,
        findings: run.findings.map(Findings::Tcp),
        completeness: Completeness::Whole,
    };
    record.end(outcome, found)
}

/// A TCP probe under way, with what it has so far.
struct Run<'a> {
    spec: &'a TcpSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    resolved: Vec<IpAddr>,
    findings: Option<TcpFindings>,
}

/// One try that is over.
struct Tried {
    index: u32,
    outcome: Result<Connection, DialError>,
}

impl Run<'_> {
    async fn resolve(&mut self) -> Result<IpAddr, Stop> {
        let resolution = resolution::resolve(self.context, &self.spec.target, self.spec.af, |_| true).await?;
        self.resolved = resolution.addresses;
        self.tell(TcpEvent::Resolved { address: resolution.chosen });
        Ok(resolution.chosen)
    }

    async fn try_all(&mut self, address: IpAddr, cancel: &CancellationToken) -> Result<Verdict, Stop> {
        let now = clock::monotonic();
        let mut tries = Tries::new(
            Plan {
                count: self.spec.count,
                interval: Duration::from_millis(self.spec.interval_ms.into()),
            },
            now,
        );
        let dscp = u8::try_from(self.spec.dscp).map_err(|_| Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds"))?;
        let dial = Dial {
            endpoint: SocketAddr::new(address, self.spec.port),
            peer: Peer::Named,
            dscp,
            wait: Duration::from_millis(self.spec.wait_ms.into()),
            depart_by: now.plus(self.spec.timeout()),
        };
        let stop = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(Stop::Cancelled),
            driven = self.drive_mode(&mut tries, dial) => driven.err(),
        };
        let findings = TcpFindings {
            address,
            port: self.spec.port,
            tries: tries.settled(),
            statistics: tries.statistics(),
        };
        let verdict = verdict::judge(&findings, tries.first_error(), self.spec.count);
        self.findings = Some(findings);
        stop.map_or(Ok(verdict), Err)
    }

    async fn drive_mode(&self, tries: &mut Tries, dial: Dial) -> Result<(), Stop> {
        match self.spec.mode {
            TcpMode::Connect => self.drive(tries, dial).await.map_err(Stop::Denied),
            TcpMode::Syn => self.drive_half_open(tries, dial).await,
        }
    }

    /// Lets half-open tries run between socket and clock until the last is over.
    async fn drive_half_open(&self, tries: &mut Tries, dial: Dial) -> Result<(), Stop> {
        let address = dial.endpoint.ip();
        let (flow, mut arrivals) = self
            .context
            .engine
            .path(half_open::plan(address))
            .map_err(|refusal| half_open::stop(&refusal))?;
        let probe = half_open::probe(&dial);
        let mut half_open = HalfOpen::new(address, dial.wait);
        let mut sending: Option<(u32, Sending<'_>)> = None;
        while !tries.is_finished() {
            let now = clock::monotonic();
            while let Some(ended) = half_open.poll_expired(now) {
                self.tell(TcpEvent::Try(Box::new(tries.handle_ended(ended))));
            }
            if now >= dial.depart_by && sending.is_none() {
                for tried in tries.give_up(&DialError::NoRoom, address) {
                    self.tell(TcpEvent::Try(Box::new(tried)));
                }
            }
            if sending.is_none()
                && let Some(index) = tries.poll_start(now)
            {
                sending = Some((index, Box::pin(flow.send(index, &probe, self.context.gate.as_ref()))));
            }
            let next = tries.poll_timeout(now).map(|wait| now.plus(wait));
            let until = [half_open.poll_timeout(), next].into_iter().flatten().min().unwrap_or(dial.depart_by);
            tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => {
                    if let Some(ended) = half_open.handle_arrival(arrival) {
                        self.tell(TcpEvent::Try(Box::new(tries.handle_ended(ended))));
                    }
                }
                (index, outcome) = finish(&mut sending) => {
                    sending = None;
                    match half_open::settle(index, outcome) {
                        Leaving::Left(moment) => half_open.handle_sent(index, moment),
                        Leaving::Denied(denial) => return Err(Stop::Denied(denial)),
                        Leaving::Unsent(ended) => self.tell(TcpEvent::Try(Box::new(tries.handle_ended(*ended)))),
                    }
                }
                () = tokio::time::sleep(until.since(now)) => {}
            }
        }
        Ok(())
    }

    /// Lets the tries run between sockets and clock until the last is over. Ending early ends every attempt that is under way.
    async fn drive(&self, tries: &mut Tries, dial: Dial) -> Result<(), Denial> {
        let dialler = Dialler::new(self.context);
        let mut attempts: JoinSet<Tried> = JoinSet::new();
        while !tries.is_finished() {
            let now = clock::monotonic();
            if let Some(index) = tries.poll_start(now) {
                let dialler = dialler.clone();
                attempts.spawn(async move {
                    Tried {
                        index,
                        outcome: dialler.dial(dial).await,
                    }
                });
            }
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next() => {
                    // An attempt that panicked leaves its try open; the probe's own deadline ends it.
                    let Ok(ended) = ended else { continue };
                    self.settle(tries, ended, dial.endpoint)?;
                }
                () = tokio::time::sleep(tries.poll_timeout(now).unwrap_or(dial.wait)) => {}
            }
        }
        Ok(())
    }

    fn settle(&self, tries: &mut Tries, ended: Tried, endpoint: SocketAddr) -> Result<(), Denial> {
        let finding = match ended.outcome {
            Ok(connection) => {
                let info = read_info(connection.stream()).inspect_err(|error| tracing::debug!(%error, "TCP_INFO cannot be read"));
                tries.handle_open(ended.index, connection.taken, connection.local, info.ok())
            }
            Err(DialError::Denied(denial)) => return Err(denial),
            Err(error) => tries.handle_error(ended.index, &error, endpoint.ip()),
        };
        self.tell(TcpEvent::Try(Box::new(finding)));
        Ok(())
    }

    /// Tells a partial finding, if the channel has room: the report holds it again.
    fn tell(&self, event: TcpEvent) {
        if self.events.try_send(ProbeEvent::Tcp(event)).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Departure, SendError>> + Send + 'a>>;

/// Waits for the segment that is leaving; for ever when none is.
async fn finish(sending: &mut Option<(u32, Sending<'_>)>) -> (u32, Result<Departure, SendError>) {
    match sending {
        Some((index, sending)) => (*index, sending.await),
        None => std::future::pending().await,
    }
}
