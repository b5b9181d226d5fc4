//! Lets tries run between sockets and clock: connections, or first segments that are never followed up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::report::TcpInfo;
use shared_protocol::spec::TcpMode;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::ended::{Ended, not_opened, opened};
use super::half_open::{self, HalfOpen, Leaving};
use crate::asking::Asking;
use crate::clock;
use crate::net::icmp::{Departure, SendError};
use crate::net::path::{PathFlow, PathProbe};
use crate::net::tcp::{Dial, DialError, Dialler, read_info};
use crate::one_address;
use crate::table::ProbeContext;
use crate::verdict::Stop;

/// How far to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listening {
    pub time: Duration,
    pub bytes: usize,
}

/// What the tries of a probe need.
pub(crate) struct Driver<'a> {
    pub context: &'a ProbeContext,
    pub events: &'a mpsc::Sender<ProbeEvent>,
    pub mode: TcpMode,
    /// Whether it is listened to what the other end of a connection says first; nothing is ever said to it.
    pub listening: Option<Listening>,
}

impl Driver<'_> {
    /// Runs until everything has its outcome. `dial` says how; the port is each try's own. Ending early ends every try that is under way.
    pub(crate) async fn drive(&self, asking: &mut impl Asking<Ended>, dial: Dial) -> Result<(), Stop> {
        match self.mode {
            TcpMode::Connect => self.connect(asking, dial).await,
            TcpMode::Syn => self.half_open(asking, dial).await,
        }
    }

    async fn half_open(&self, asking: &mut impl Asking<Ended>, dial: Dial) -> Result<(), Stop> {
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

    async fn connect(&self, asking: &mut impl Asking<Ended>, dial: Dial) -> Result<(), Stop> {
        let dialler = Dialler::new(self.context);
        let address = dial.endpoint.ip();
        let listening = self.listening;
        let mut attempts: JoinSet<(u32, Result<Stood, DialError>)> = JoinSet::new();
        while !asking.is_finished() {
            let now = clock::monotonic();
            if let Some(ask) = asking.poll_start(now) {
                let dialler = dialler.clone();
                let dial = Dial {
                    endpoint: SocketAddr::new(address, ask.port),
                    ..dial
                };
                attempts.spawn(async move { (ask.index, stand(&dialler, dial, listening).await) });
            }
            tokio::select! {
                biased;
                Some(ended) = attempts.join_next() => {
                    // An attempt that panicked leaves its try open; the probe's own deadline ends it.
                    let Ok((index, outcome)) = ended else { continue };
                    self.tell(match outcome {
                        Ok(stood) => {
                            if !stood.greeting.is_empty() {
                                asking.handle_greeting(index, &stood.greeting);
                            }
                            asking.handle_ended(opened(index, stood.taken, stood.local, stood.info))
                        }
                        Err(DialError::Denied(denial)) => return Err(Stop::Denied(denial)),
                        Err(error) => asking.handle_ended(not_opened(index, &error, address)),
                    });
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

/// A connection that stood, and is reset by now.
struct Stood {
    taken: Duration,
    local: SocketAddr,
    info: Option<TcpInfo>,
    greeting: Vec<u8>,
}

/// Lets a connection stand for as long as is to be listened to it.
async fn stand(dialler: &Dialler, dial: Dial, listening: Option<Listening>) -> Result<Stood, DialError> {
    let connection = dialler.dial(dial).await?;
    // Before anything was said: the first segment is all that the kernel has measured.
    let info = read_info(connection.stream()).inspect_err(|error| tracing::debug!(%error, "TCP_INFO cannot be read"));
    let (taken, local) = (connection.taken, connection.local);
    let greeting = match listening {
        Some(Listening { time, bytes }) => connection.listen(time, bytes).await,
        None => Vec::new(),
    };
    Ok(Stood {
        taken,
        local,
        info: info.ok(),
        greeting,
    })
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Departure, SendError>> + Send + 'a>>;

/// Waits for the segment that is leaving; for ever when none is.
async fn finish(sending: &mut Option<(u32, Sending<'_>)>) -> (u32, Result<Departure, SendError>) {
    match sending {
        Some((index, sending)) => (*index, sending.await),
        None => std::future::pending().await,
    }
}
