//! Drives the session machine over a WebSocket: texts in and out, time, the runner's progress, and reports from the outbox.

use std::time::Duration;

use shared_protocol::close::CloseReason;
use shared_protocol::frame::{Goaway, Welcome};
use shared_protocol::session::{AgentEffect, AgentSession};
use shared_protocol::time::MonotonicMicros;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::heard::LastByte;
use super::wire::{Wire, WireEvent};
use crate::clock;
use crate::host::sampler::HostSampler;
use crate::outbox::{Outbox, OutboxError};
use crate::runner::{Progress, Runner};
use crate::standing::Standing;

/// What a session works with, and what outlives it.
#[derive(Debug)]
pub struct Hands<'a> {
    /// The jobs.
    pub runner: &'a mut Runner,
    /// What is done whether there is a session or not.
    pub standing: &'a mut Standing,
    /// The reports.
    pub outbox: &'a Outbox,
    /// How busy the host is.
    pub loads: &'a mut HostSampler,
    /// Asks the agent to stop.
    pub stop: &'a CancellationToken,
}

/// How a session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// The control plane ended it.
    ClosedByPeer(CloseReason),
    /// This side ended it.
    ClosedHere(CloseReason),
    /// The connection broke.
    Lost(Error),
    /// The agent was asked to stop, and there is nothing left to do, or no time.
    Drained,
    /// The outbox cannot go on.
    Outbox(OutboxError),
}

/// A session that ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub end: SessionEnd,
    /// When the control plane welcomed it, and with what; `None` where it never did.
    pub welcomed: Option<(MonotonicMicros, Welcome)>,
    /// The machine, for what the next session takes over.
    pub session: AgentSession,
}

/// Drives one session to its end. `hear_welcome` is called once, as soon as the control plane has taken the session.
pub async fn drive<S>(socket: WebSocketStream<S>, heard: LastByte, session: AgentSession, hands: Hands<'_>, hear_welcome: impl Fn(&Welcome)) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut driver = Driver {
        wire: Wire::new(socket),
        heard,
        session,
        hands,
        welcomed: None,
        blocked_since: None,
        drain_until: None,
    };
    let end = loop {
        if let Some(end) = driver.turn(&hear_welcome).await {
            break end;
        }
    };
    driver.close(&end).await;
    Ended {
        end,
        welcomed: driver.welcomed,
        session: driver.session,
    }
}

struct Driver<'a, S> {
    wire: Wire<S>,
    heard: LastByte,
    session: AgentSession,
    hands: Hands<'a>,
    welcomed: Option<(MonotonicMicros, Welcome)>,
    blocked_since: Option<MonotonicMicros>,
    drain_until: Option<MonotonicMicros>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<'_, S> {
    /// Does what is due, then waits for the next thing to happen.
    async fn turn(&mut self, hear_welcome: &impl Fn(&Welcome)) -> Option<SessionEnd> {
        if self.drain_until.is_none() && self.hands.stop.is_cancelled() {
            tracing::info!("asked to stop: no further jobs are taken");
            self.hands.runner.stop_taking();
            self.hands.standing.stop().await;
            self.drain_until = Some(clock::monotonic().plus(DRAIN));
        }
        if let Some(end) = self.effects(hear_welcome).await {
            return Some(end);
        }
        if let Err(error) = self.feed_reports().await {
            return Some(SessionEnd::Outbox(error));
        }
        if self.is_drained() {
            return Some(SessionEnd::Drained);
        }
        self.session.set_load(self.hands.runner.running(), self.hands.outbox.depth());
        let now = clock::monotonic();
        if self.wire.is_free()
            && let Some(text) = self.session.poll_transmit(now)
        {
            self.wire.send(text);
            self.blocked_since = Some(now);
        }
        let deadline = self.deadline();
        tokio::select! {
            event = self.wire.next() => self.handle_wire(event),
            progress = self.hands.runner.progress() => {
                self.handle_progress(progress);
                None
            }
            held = self.hands.standing.changed() => {
                self.session.standing(held);
                None
            }
            load = self.hands.loads.next() => {
                self.session.set_host_load(load);
                None
            }
            () = wait_until(deadline) => self.handle_timeout(),
            // Acted upon by the next turn, before it takes another job.
            () = self.hands.stop.cancelled(), if self.drain_until.is_none() => None,
        }
    }

    async fn effects(&mut self, hear_welcome: &impl Fn(&Welcome)) -> Option<SessionEnd> {
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                AgentEffect::Welcomed(welcome) => {
                    tracing::info!(readopted = welcome.readopted.len(), dropped = welcome.drop.len(), "the session stands");
                    hear_welcome(&welcome);
                    self.welcomed = Some((clock::monotonic(), welcome));
                }
                AgentEffect::Run(run) => match self.hands.runner.start(run) {
                    Ok(job) => self.session.accept(job),
                    Err(refuse) => self.session.refuse(refuse),
                },
                AgentEffect::Cancel(jobs) => self.hands.runner.cancel(&jobs),
                AgentEffect::Acked { up_to } => {
                    // What cannot be forgotten now is sent again later, and known there.
                    if let Err(error) = self.hands.outbox.acknowledged(up_to).await {
                        tracing::warn!(%error, "acknowledged reports could not be forgotten");
                    }
                }
                AgentEffect::Configure(configure) => self.hands.standing.configure(configure),
                AgentEffect::Goaway(goaway) => return Some(SessionEnd::ClosedByPeer(leave(goaway))),
                AgentEffect::Close(reason) => return Some(SessionEnd::ClosedHere(reason)),
            }
        }
        None
    }

    /// Gives the session reports while it has room for them.
    async fn feed_reports(&mut self) -> Result<(), OutboxError> {
        while let Some(after) = self.session.wants_reports_after()
            && self.hands.outbox.last() > after
        {
            for report in self.hands.outbox.read_after(after, READ_AHEAD).await? {
                self.session.report(report.seq, report.job, report.body);
            }
            if self.session.wants_reports_after() == Some(after) {
                break;
            }
        }
        Ok(())
    }

    fn handle_wire(&mut self, event: WireEvent) -> Option<SessionEnd> {
        self.note_heard();
        match event {
            WireEvent::Sent => {
                self.blocked_since = None;
                None
            }
            WireEvent::Received(Some(Ok(message))) => self.handle_message(message),
            WireEvent::Received(Some(Err(Error::Capacity(_)))) => Some(SessionEnd::ClosedHere(CloseReason::TooBig)),
            WireEvent::Received(Some(Err(error))) | WireEvent::Failed(error) => Some(SessionEnd::Lost(error)),
            WireEvent::Received(None) => Some(SessionEnd::Lost(Error::ConnectionClosed)),
        }
    }

    fn handle_message(&mut self, message: Message) -> Option<SessionEnd> {
        match message {
            Message::Text(text) => {
                self.session.handle_text(&text, clock::monotonic());
                None
            }
            Message::Binary(_) => Some(SessionEnd::ClosedHere(CloseReason::UnsupportedData)),
            Message::Close(Some(frame)) => Some(SessionEnd::ClosedByPeer(CloseReason::from_close_frame(frame.code.into(), &frame.reason))),
            Message::Close(None) => Some(SessionEnd::ClosedByPeer(CloseReason::GoingAway)),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => None,
        }
    }

    fn handle_progress(&mut self, progress: Progress) {
        match progress {
            Progress::Finding(job, finding) => self.session.event(job, finding, clock::monotonic()),
            Progress::Finished(job) => self.session.finished(job),
        }
    }

    fn handle_timeout(&mut self) -> Option<SessionEnd> {
        self.note_heard();
        let now = clock::monotonic();
        self.session.handle_timeout(now);
        let is_blocked = self.blocked_since.is_some_and(|since| now.since(since) >= WRITE_TIMEOUT);
        is_blocked.then_some(SessionEnd::ClosedHere(CloseReason::Busy { retry_after_ms: None }))
    }

    fn note_heard(&mut self) {
        self.session.handle_received(self.heard.at());
    }

    fn deadline(&self) -> Option<MonotonicMicros> {
        let blocked = self.blocked_since.map(|since| since.plus(WRITE_TIMEOUT));
        [self.session.poll_timeout(), blocked, self.drain_until].into_iter().flatten().min()
    }

    fn is_drained(&self) -> bool {
        let is_idle = self.hands.runner.running() == 0 && self.hands.outbox.is_empty();
        self.drain_until.is_some_and(|until| is_idle || clock::monotonic() >= until)
    }

    /// Says goodbye where somebody is there to hear it.
    async fn close(&mut self, end: &SessionEnd) {
        let reason = match end {
            SessionEnd::ClosedHere(reason) => *reason,
            SessionEnd::ClosedByPeer(_) | SessionEnd::Drained => CloseReason::Done,
            SessionEnd::Outbox(_) => CloseReason::GoingAway,
            SessionEnd::Lost(_) => return,
        };
        let frame = CloseFrame {
            code: CloseCode::from(reason.code()),
            reason: reason.text().into(),
        };
        // The peer may be gone or deaf; it then finds out by itself.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, self.wire.socket_mut().close(Some(frame))).await;
    }
}

const fn leave(goaway: Goaway) -> CloseReason {
    CloseReason::Restart {
        retry_after_ms: Some(goaway.retry_after_ms),
    }
}

async fn wait_until(deadline: Option<MonotonicMicros>) {
    match deadline {
        Some(at) => clock::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Longest time a frame may take to leave.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long jobs may take to finish after the agent was asked to stop.
pub const DRAIN: Duration = Duration::from_secs(30);
/// Reports read from the outbox at a time.
const READ_AHEAD: u32 = 8;
