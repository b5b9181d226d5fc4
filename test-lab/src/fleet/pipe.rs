//! An agent's session machine and the control plane's, mouth to ear: every frame is written and read as on the wire, and no socket is there.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, bail};
use control_services::clock;
use control_services::fleet::{AgentPrincipal, Fleet, Inlet, Session, SessionCommand, outlet};
use shared_protocol::id::JobId;
use shared_protocol::session::{AgentEffect, AgentSession, Jitter, ServerEffect, ServerSession};
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::MadeUp;

/// One such agent.
pub struct PipedAgent {
    fleet: Fleet,
    principal: AgentPrincipal,
    probes: MadeUp,
    agent: AgentSession,
    server: ServerSession,
    session: Option<(Session, Inlet)>,
    /// Hears when a job is begun.
    started: Option<mpsc::Sender<(JobId, MonotonicMicros)>>,
}

impl PipedAgent {
    /// An agent that is about to say hello.
    pub fn new(fleet: Fleet, principal: AgentPrincipal, probes: MadeUp, number: u32) -> Self {
        let now = clock::monotonic();
        let jitter = || Jitter::from_seed(u64::from(number));
        Self {
            agent: AgentSession::new(probes.hello(), probes.capacity(), jitter(), now),
            server: ServerSession::new(jitter(), now),
            fleet,
            principal,
            probes,
            session: None,
            started: None,
        }
    }

    /// Says when each job is begun, on the clock of the services.
    #[must_use]
    pub fn telling(self, started: mpsc::Sender<(JobId, MonotonicMicros)>) -> Self {
        Self {
            started: Some(started),
            ..self
        }
    }

    /// Works until told to stop and every report is acknowledged; `welcomed` hears once the session stands. Gives back what its probes did.
    ///
    /// # Errors
    /// When the session ends by itself.
    pub async fn run(mut self, welcomed: mpsc::Sender<()>, stop: CancellationToken) -> Result<MadeUp> {
        let mut stopping = false;
        loop {
            self.probes.advance(Some(&mut self.agent), clock::monotonic(), clock::now());
            while self.exchange(&welcomed).await? {}
            let (_, unacknowledged) = self.probes.done();
            if stopping && unacknowledged == 0 {
                break;
            }
            let now = clock::monotonic();
            let due = [self.agent.poll_timeout(), self.server.poll_timeout(), self.probes.deadline()];
            let pause = due.into_iter().flatten().min().map_or(Duration::from_secs(1), |at| at.since(now));
            tokio::select! {
                () = stop.cancelled(), if !stopping => stopping = true,
                command = next(&mut self.session) => self.command(command),
                () = tokio::time::sleep(pause) => {
                    let now = clock::monotonic();
                    self.agent.handle_timeout(now);
                    self.server.handle_timeout(now);
                }
            }
        }
        if let Some((session, _)) = self.session {
            session.closed(shared_protocol::close::CloseReason::Done).await;
        }
        Ok(self.probes)
    }

    /// Carries what either has to say to the other; says whether there was anything.
    async fn exchange(&mut self, welcomed: &mpsc::Sender<()>) -> Result<bool> {
        let mut moved = false;
        self.probes.feed(&mut self.agent);
        while let Some(text) = self.agent.poll_transmit(clock::monotonic()) {
            self.server.handle_text(&text, clock::monotonic());
            moved = true;
        }
        while let Some(effect) = self.server.poll_effect() {
            self.serve(effect).await?;
            moved = true;
        }
        while let Some(text) = self.server.poll_transmit(clock::monotonic()) {
            self.agent.handle_text(&text, clock::monotonic());
            moved = true;
        }
        while let Some(effect) = self.agent.poll_effect() {
            match effect {
                AgentEffect::Welcomed(_) => welcomed.send(()).await?,
                AgentEffect::Run(run) => {
                    if let Some(started) = &self.started {
                        // Whoever does not keep up misses some.
                        let _ = started.try_send((run.job, clock::monotonic()));
                    }
                    self.probes.run(&run, &mut self.agent, clock::monotonic());
                }
                AgentEffect::Cancel(jobs) => self.probes.cancel(&jobs),
                AgentEffect::Acked { up_to } => self.probes.acknowledged(up_to),
                // Simulated agents say that they know no standing work.
                AgentEffect::Goaway(_) | AgentEffect::Configure(_) => {}
                AgentEffect::Close(reason) => bail!("the agent ended its session: {}", reason.name()),
            }
            moved = true;
        }
        // A probe that takes no time is done as soon as it is begun.
        self.probes.advance(Some(&mut self.agent), clock::monotonic(), clock::now());
        Ok(moved)
    }

    async fn serve(&mut self, effect: ServerEffect) -> Result<()> {
        match effect {
            ServerEffect::Close(reason) => bail!("the control plane ended the session: {}", reason.name()),
            ServerEffect::Hello(hello) => {
                let (sender, receiver) = outlet();
                let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
                match self.fleet.open_session(self.principal.clone(), peer, *hello, sender).await {
                    Ok((session, welcome)) => {
                        self.server.welcome(welcome, clock::monotonic());
                        self.session = Some((session, receiver));
                    }
                    Err(reason) => bail!("the session was not opened: {}", reason.name()),
                }
            }
            effect @ (ServerEffect::Credit { .. }
            | ServerEffect::Accepted(_)
            | ServerEffect::Refused(_)
            | ServerEffect::Finding { .. }
            | ServerEffect::Report { .. }
            | ServerEffect::Keepalive(_)
            | ServerEffect::Configured(_)) => {
                if let Some((session, _)) = &mut self.session {
                    session.handle(effect).await;
                }
            }
        }
        Ok(())
    }

    fn command(&mut self, command: SessionCommand) {
        match command {
            SessionCommand::Run(run) => self.server.run(*run),
            SessionCommand::Cancel(jobs) => self.server.cancel(jobs),
            SessionCommand::Ack(ack) => self.server.ack(ack),
            SessionCommand::Configure(configure) => self.server.configure(*configure),
            SessionCommand::Goaway(goaway) => self.server.goaway(goaway),
            SessionCommand::Close(reason) => self.server.close(reason),
        }
    }
}

async fn next(session: &mut Option<(Session, Inlet)>) -> SessionCommand {
    match session {
        Some((_, commands)) => commands.next().await,
        None => std::future::pending().await,
    }
}
