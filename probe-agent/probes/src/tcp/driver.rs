//! Lets tries run between sockets and clock: connections, or first segments that are never followed up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::spec::TcpMode;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ended::{Ended, not_opened, opened};
use super::half_open::{self, HalfOpen, Leaving};
use crate::clock;
use crate::net::icmp::{Departure, SendError};
use crate::net::path::{PathFlow, PathProbe};
use crate::net::tcp::{Connection, Dial, DialError, Dialler, read_info};
use crate::one_address;
use crate::table::ProbeContext;
use crate::verdict::Stop;

/// What is asked of one address. Plain: time and outcomes come in as arguments.
pub(crate) trait Asking {
    /// The try that is to begin now; each is given once, and then its outcome is told.
    fn poll_start(&mut self, now: MonotonicMicros) -> Option<Ask>;

    /// How long until `poll_start` has something; `None` while only outcomes are waited for.
    fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration>;

    /// The next try that is still to begin, and never will.
    fn poll_abandoned(&mut self) -> Option<u32>;

    /// A try has its outcome; gives what is to be told of it.
    fn handle_ended(&mut self, ended: Ended) -> Option<ProbeEvent>;

    /// Whether everything has its outcome.
    fn is_finished(&self) -> bool;
}

/// A try that is to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ask {
    /// Its number.
    pub index: u32,
    /// The port that it goes to.
    pub port: u16,
}

/// What the tries of a probe need.
pub(crate) struct Driver<'a> {
    pub context: &'a ProbeContext,
    pub events: &'a mpsc::Sender<ProbeEvent>,
    pub mode: TcpMode,
}

impl Driver<'_> {
    /// Runs until everything has its outcome. `dial` says how; the port is each try's own. Ending early ends every try that is under way.
    pub(crate) async fn drive(&self, asking: &mut impl Asking, dial: Dial) -> Result<(), Stop> {
        match self.mode {
            TcpMode::Connect => self.connect(asking, dial).await,
            TcpMode::Syn => self.half_open(asking, dial).await,
        }
    }

    async fn half_open(&self, asking: &mut impl Asking, dial: Dial) -> Result<(), Stop> {
        let address = dial.endpoint.ip();
        let opened = self.context.engine.path(half_open::plan(address));
        let (flow, mut arrivals) = opened.map_err(|refusal| half_open::stop(&refusal))?;
        let mut half_open = HalfOpen::new(address, dial.wait);
        let mut sending: Option<(u32, Sending<'_>)> = None;
        loop {
            let now = clock::monotonic();
            if half_open.poll_timeout().is_some_and(|due| due <= now) {
                flow.catch_up().await;
                while let Some(arrival) = arrivals.try_recv() {
                    if let Some(ended) = half_open.handle_arrival(arrival) {
                        self.tell(asking.handle_ended(ended));
                    }
                }
            }
            while let Some(ended) = half_open.poll_expired(now) {
                self.tell(asking.handle_ended(ended));
            }
            if now >= dial.depart_by && sending.is_none() {
                while let Some(index) = asking.poll_abandoned() {
                    self.tell(asking.handle_ended(not_opened(index, &DialError::NoRoom, address)));
                }
            }
            if asking.is_finished() {
                break;
            }
            if sending.is_none()
                && let Some(ask) = asking.poll_start(now)
            {
                sending = Some((ask.index, Box::pin(self.send(&flow, ask.index, half_open::probe(dial.dscp, ask.port)))));
            }
            let next = asking.poll_timeout(now).map(|wait| now.plus(wait)).filter(|_| sending.is_none());
            let until = [half_open.poll_timeout(), next].into_iter().flatten().min().unwrap_or(dial.depart_by);
            tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => {
                    if let Some(ended) = half_open.handle_arrival(arrival) {
                        self.tell(asking.handle_ended(ended));
                    }
                }
                (index, outcome) = finish(&mut sending) => {
                    sending = None;
                    match half_open::settle(index, outcome) {
                        Leaving::Left(moment) => half_open.handle_sent(index, moment),
                        Leaving::Denied(denial) => return Err(Stop::Denied(denial)),
                        Leaving::Unsent(ended) => self.tell(asking.handle_ended(*ended)),
                    }
                }
                () = tokio::time::sleep(until.since(now)) => {}
            }
        }
        Ok(())
    }

    async fn send(&self, flow: &PathFlow, index: u32, probe: PathProbe) -> Result<Departure, SendError> {
        flow.send(index, &probe, self.context.gate.as_ref()).await
    }

    async fn connect(&self, asking: &mut impl Asking, dial: Dial) -> Result<(), Stop> {
        let dialler = Dialler::new(self.context);
        let address = dial.endpoint.ip();
        let mut attempts: JoinSet<(u32, Result<Connection, DialError>)> = JoinSet::new();
        while !asking.is_finished() {
            let now = clock::monotonic();
            if let Some(ask) = asking.poll_start(now) {
                let dialler = dialler.clone();
                let dial = Dial {
                    endpoint: SocketAddr::new(address, ask.port),
                    ..dial
                };
                attempts.spawn(async move { (ask.index, dialler.dial(dial).await) });
            }
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next() => {
                    // An attempt that panicked leaves its try open; the probe's own deadline ends it.
                    let Ok((index, outcome)) = ended else { continue };
                    self.tell(asking.handle_ended(match outcome {
                        Ok(connection) => {
                            let info = read_info(connection.stream()).inspect_err(|error| tracing::debug!(%error, "TCP_INFO cannot be read"));
                            opened(index, connection.taken, connection.local, info.ok())
                        }
                        Err(DialError::Denied(denial)) => return Err(Stop::Denied(denial)),
                        Err(error) => not_opened(index, &error, address),
                    }));
                }
                () = tokio::time::sleep(asking.poll_timeout(now).unwrap_or(dial.wait)) => {}
            }
        }
        Ok(())
    }

    fn tell(&self, event: Option<ProbeEvent>) {
        if let Some(event) = event {
            one_address::tell(self.events, event);
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
