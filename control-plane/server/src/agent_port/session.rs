//! A session's edge: drives the protocol's machine over the WebSocket, and carries what it asks for to the services and back.

mod closing;
mod socket;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use control_services::clock;
use control_services::fleet::{AgentPrincipal, Inlet, Session, SessionCommand, outlet};
use shared_protocol::close::CloseReason;
use shared_protocol::frame::Hello;
use shared_protocol::session::{Jitter, ServerEffect, ServerSession};
use shared_protocol::time::MonotonicMicros;

use super::Edge;
use super::upgrade::Upgraded;
use closing::Ending;
use socket::{Event, Socket};

/// A session on its connection.
pub(super) struct Driver {
    edge: Arc<Edge>,
    machine: ServerSession,
    socket: Socket,
    principal: AgentPrincipal,
    peer: SocketAddr,
    /// From `hello` on.
    session: Option<Session>,
    /// From `hello` on.
    commands: Option<Inlet>,
    /// When it was last asked whether the agent may stay.
    checked: MonotonicMicros,
}

/// What the driver woke up for.
enum Woken {
    Socket(Event),
    Command(SessionCommand),
    Timeout,
    Leaving,
}

impl Driver {
    /// Takes an upgraded connection over; none where its agent may not stay, which it is told.
    pub(super) async fn begin(edge: Arc<Edge>, upgraded: Upgraded, peer: SocketAddr) -> Option<Box<Self>> {
        let Upgraded { stream, early, admission } = upgraded;
        let socket = Socket::new(stream, &early, clock::monotonic()).await;
        let principal = match admission {
            Ok(principal) => principal,
            Err(reason) => {
                closing::close(socket, Ending::Reason(reason)).await;
                return None;
            }
        };
        edge.sessions.fetch_add(1, Ordering::Relaxed);
        Some(Box::new(Self {
            machine: ServerSession::new(Jitter::from_seed(rand::random()), clock::monotonic()),
            edge,
            socket,
            principal,
            peer,
            session: None,
            commands: None,
            checked: clock::monotonic(),
        }))
    }

    /// Runs the session until it ends, and tells services and peer why.
    pub(super) async fn run(mut self: Box<Self>) {
        let ending = self.drive().await;
        Box::pin(self.finish(ending)).await;
    }

    async fn finish(self: Box<Self>, ending: Ending) {
        self.edge.sessions.fetch_sub(1, Ordering::Relaxed);
        let Self { socket, session, .. } = *self;
        if let Some(session) = session {
            session.closed(ending.reason()).await;
        }
        closing::close(socket, ending).await;
    }

    async fn drive(&mut self) -> Ending {
        loop {
            if let Err(ending) = self.send_what_waits() {
                return ending;
            }
            let woken = self.wait().await;
            let now = clock::monotonic();
            if self.socket.heard_anything() {
                self.machine.handle_received(now);
            }
            match woken {
                Woken::Socket(Event::Text(text)) => self.machine.handle_text(&text, now),
                Woken::Socket(Event::Progress) => {}
                Woken::Socket(Event::Ended(ending)) => return ending,
                Woken::Command(command) => self.command(command),
                Woken::Timeout if self.socket.is_blocked(now) => return Ending::Blocked,
                Woken::Timeout => self.machine.handle_timeout(now),
                Woken::Leaving => return self.leave().await,
            }
            if let Err(ending) = self.do_effects().await {
                return ending;
            }
            if let Err(reason) = self.check_stay(now) {
                return Ending::Reason(reason);
            }
        }
    }

    /// One text at a time; the next when the socket has taken the one before, so that what is urgent can still overtake.
    fn send_what_waits(&mut self) -> Result<(), Ending> {
        let now = clock::monotonic();
        if self.socket.is_free()
            && let Some(text) = self.machine.poll_transmit(now)
        {
            self.socket.send(text, now)?;
        }
        Ok(())
    }

    async fn wait(&mut self) -> Woken {
        let now = clock::monotonic();
        let due = self.machine.poll_timeout().into_iter().chain(self.socket.blocked_at()).min();
        let pause = due.map_or(IDLE_MAX, |due| due.since(now).min(IDLE_MAX));
        let commands = &mut self.commands;
        tokio::select! {
            biased;
            () = self.edge.leaving.cancelled() => Woken::Leaving,
            command = next(commands) => Woken::Command(command),
            event = self.socket.event() => Woken::Socket(event),
            () = tokio::time::sleep(pause) => Woken::Timeout,
        }
    }

    fn command(&mut self, command: SessionCommand) {
        match command {
            SessionCommand::Run(run) => self.machine.run(*run),
            SessionCommand::Cancel(jobs) => self.machine.cancel(jobs),
            SessionCommand::Ack(ack) => self.machine.ack(ack),
            SessionCommand::Configure(configure) => self.machine.configure(*configure),
            SessionCommand::Goaway(goaway) => self.machine.goaway(goaway),
            SessionCommand::Close(reason) => self.machine.close(reason),
        }
    }

    async fn do_effects(&mut self) -> Result<(), Ending> {
        while let Some(effect) = self.machine.poll_effect() {
            match effect {
                ServerEffect::Close(reason) => return Err(Ending::Reason(reason)),
                ServerEffect::Hello(hello) => Box::pin(self.open(*hello)).await,
                effect @ (ServerEffect::Credit { .. }
                | ServerEffect::Accepted(_)
                | ServerEffect::Refused(_)
                | ServerEffect::Finding { .. }
                | ServerEffect::Report { .. }
                | ServerEffect::Keepalive(_)
                | ServerEffect::Configured(_)) => {
                    if let Some(session) = &mut self.session {
                        Box::pin(session.handle(effect)).await;
                    }
                }
            }
        }
        Ok(())
    }

    async fn open(&mut self, hello: Hello) {
        let (sender, receiver) = outlet();
        let opened = self.edge.fleet.open_session(self.principal.clone(), self.peer, hello, sender).await;
        match opened {
            Ok((session, welcome)) => {
                self.machine.welcome(welcome, clock::monotonic());
                self.session = Some(session);
                self.commands = Some(receiver);
                // It may have been revoked between its handshake and this moment, when there was no session yet to be cut.
                self.checked = MonotonicMicros::default();
            }
            Err(reason) => self.machine.close(reason),
        }
    }

    /// A revoked agent's session is closed by command; this finds what no command could tell.
    fn check_stay(&mut self, now: MonotonicMicros) -> Result<(), CloseReason> {
        if now.since(self.checked) < STAY_INTERVAL {
            return Ok(());
        }
        self.checked = now;
        self.edge.fleet.may_stay(&self.principal)
    }

    /// Sends what the services still had to say, then leaves.
    async fn leave(&mut self) -> Ending {
        while let Some(command) = self.commands.as_mut().and_then(Inlet::try_next) {
            self.command(command);
        }
        let last_words = async {
            while self.send_what_waits().is_ok() && !self.socket.is_free() {
                if let Event::Ended(ending) = self.socket.event().await {
                    return Some(ending);
                }
            }
            None
        };
        let ended = tokio::time::timeout(LAST_WORDS_TIMEOUT, last_words).await.ok().flatten();
        ended.unwrap_or(Ending::Reason(CloseReason::Restart {
            retry_after_ms: Some(self.edge.retry_after_ms()),
        }))
    }
}

/// The next command; never, before there is a session.
async fn next(commands: &mut Option<Inlet>) -> SessionCommand {
    match commands {
        Some(commands) => commands.next().await,
        None => std::future::pending().await,
    }
}

/// Longest pause where nothing is due.
const IDLE_MAX: Duration = Duration::from_mins(1);
/// How often it is asked, at most, whether the agent may stay.
const STAY_INTERVAL: Duration = Duration::from_secs(1);
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);
