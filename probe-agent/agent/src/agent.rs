//! The running agent: dials, drives a session, waits, dials again, until it is asked to stop or its identity is revoked.

use std::io;
use std::sync::Arc;

use agent_probes::net::gate::Gate;
use agent_probes::net::icmp::{IcmpEngine, IcmpSockets};
use agent_probes::net::resolver::Resolver;
use agent_probes::net::tls::TargetRoots;
use agent_probes::observe::Observer;
use agent_probes::table::{Flows, ProbeContext};
use rustls::ClientConfig;
use shared_protocol::close::{CloseReason, Disposition};
use shared_protocol::fault::ProblemCode;
use shared_protocol::frame::{Hello, HostFacts};
use shared_protocol::id::{InstanceId, JobRef, Sequence};
use shared_protocol::limits::{JOBS_IN_HAND, PROTOCOL_VERSION};
use shared_protocol::report::ClockQuality;
use shared_protocol::session::{AgentSession, Jitter};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{Config, KnownSettings, ObserveSettings, ProbeSettings};
use crate::exit::Failure;
use crate::host::facts;
use crate::host::place::InvalidPlace;
use crate::host::sampler::HostSampler;
use crate::known;
use crate::link::backoff::{Backoff, Next};
use crate::link::dial::{self, DialError, Dialled};
use crate::link::driver::{self, DRAIN, Hands, SessionEnd};
use crate::link::http::{HttpError, Refusal, come_back};
use crate::link::identity::{self, Identity, IdentityError};
use crate::outbox::{Outbox, OutboxError};
use crate::package_shelf::{PackageShelf, Plane};
use crate::policy::{LocalAddresses, Policy};
use crate::runner::{LocalProbes, ProbeEngine, Runner};
use crate::standing::Standing;
use crate::state_dir::StateDir;

/// Everything the agent is while it runs.
#[derive(Debug)]
pub struct Agent {
    identity: Identity,
    tls: Arc<ClientConfig>,
    policy: Arc<Policy>,
    engine: Arc<dyn ProbeEngine>,
    outbox: Outbox,
    runner: Runner,
    standing: Standing,
    instance: InstanceId,
    host: HostFacts,
    loads: HostSampler,
    backoff: Backoff,
    /// The session before, for what the next one takes over.
    previous: Option<AgentSession>,
    /// The report that was on its way when the control plane last called a frame of ours unreadable.
    unreadable: Option<Sequence>,
    stop: CancellationToken,
}

/// Why the agent ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is no usable identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The outbox cannot be used.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// What the probes need cannot be opened.
    #[error("cannot prepare the probes: {0}")]
    Probes(#[from] io::Error),
    /// The configured place cannot have been meant.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
    /// The host's load cannot be watched.
    #[error("cannot start the thread that reads the host's load: {0}")]
    Sampler(#[source] io::Error),
    /// The control plane revoked this agent; no attempt can succeed any more.
    #[error("this agent's identity was revoked; enrol it anew with a new join token")]
    Revoked,
}

impl AgentError {
    /// What it means for the exit code.
    pub const fn failure(&self) -> Failure {
        match self {
            Self::Identity(_) | Self::Place(_) | Self::Revoked => Failure::Misconfigured,
            Self::Outbox(error) if error.is_misconfiguration() => Failure::Misconfigured,
            Self::Outbox(_) | Self::Probes(_) | Self::Sampler(_) => Failure::Failed,
        }
    }
}

/// Sets up what the probes need, under a policy, around sockets that were opened while privilege lasted.
///
/// # Errors
/// Where the sockets' event loop or the resolver cannot be set up, or the owner's roots not be read. Missing privilege is no error: it shows in the capabilities.
pub fn open_probes(
    policy: &Arc<Policy>,
    (settings, observe, known): (&ProbeSettings, &ObserveSettings, &KnownSettings),
    plane: Option<Plane>,
    sockets: IcmpSockets,
) -> io::Result<LocalProbes> {
    policy.set_local(LocalAddresses::read());
    let loaded = known::load(known);
    loaded.log();
    let gate: Arc<dyn Gate> = Arc::<Policy>::clone(policy);
    Ok(LocalProbes::new(ProbeContext {
        engine: Arc::new(IcmpEngine::start(sockets)?),
        gate,
        resolver: Resolver::from_system().map_err(io::Error::other)?,
        roots: TargetRoots::from_system(settings.extra_roots()?)?,
        clock: ClockQuality::default(),
        observer: Arc::new(Observer::at(observe.socket.clone())),
        packages: Arc::new(PackageShelf::new(observe.packages.clone(), plane)),
        known: Arc::new(loaded.known),
        flows: Flows::nobody(),
    }))
}

impl Agent {
    /// Reads identity and outbox and opens the probes. Nothing is sent yet.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn open(state: &StateDir, config: Config, sockets: IcmpSockets, stop: CancellationToken) -> Result<Self, AgentError> {
        let (identity, key) = identity::load(state)?;
        let place = config.place.validated()?;
        let tls = identity.tls(&key)?;
        let outbox = Outbox::open(state, config.outbox, clock::wall(), clock::random_id_bytes()).await?;
        let policy = Arc::new(Policy::new(config.policy).with_observe(config.observe.clone()));
        let shelf = Plane {
            endpoint: identity.endpoint.clone(),
            tls: Arc::clone(&tls),
            state: state.clone(),
        };
        let engine: Arc<dyn ProbeEngine> = Arc::new(open_probes(&policy, (&config.probes, &config.observe, &config.known), Some(shelf), sockets)?);
        Ok(Self {
            tls,
            runner: Runner::new(Arc::clone(&engine), Arc::clone(&policy), outbox.clone()),
            standing: Standing::open(state, Arc::clone(&engine), Arc::clone(&policy), outbox.clone()),
            policy,
            engine,
            outbox,
            instance: InstanceId::new(clock::wall(), clock::random_id_bytes()),
            host: facts::read(place),
            loads: HostSampler::start().map_err(AgentError::Sampler)?,
            backoff: Backoff::new(config.link),
            previous: None,
            unreadable: None,
            stop,
            identity,
        })
    }

    /// Runs until asked to stop: then jobs in hand have [`DRAIN`] to finish.
    ///
    /// # Errors
    /// [`AgentError::Revoked`], or [`AgentError::Outbox`] where the outbox cannot go on.
    pub async fn run(mut self) -> Result<(), AgentError> {
        tracing::info!(agent_id = %self.identity.agent, endpoint = %self.identity.endpoint, version = env!("CARGO_PKG_VERSION"), "agent starts");
        let ended = Box::pin(self.keep_connected()).await;
        self.standing.stop().await;
        self.outbox.close().await;
        ended
    }

    async fn keep_connected(&mut self) -> Result<(), AgentError> {
        loop {
            let policy = Arc::clone(&self.policy);
            let dialled = tokio::select! {
                dialled = dial::dial_session(&self.identity.endpoint, Arc::clone(&self.tls), |addresses| policy.set_control_plane(addresses)) => dialled,
                () = self.stop.cancelled() => return self.drain_alone().await,
            };
            let disposition = match dialled {
                Ok(dialled) => match self.session(dialled).await? {
                    Some(disposition) => disposition,
                    None => return Ok(()),
                },
                Err(error) => {
                    tracing::warn!(%error, "the control plane cannot be reached");
                    after_dial_error(&error)
                }
            };
            let Next::Wait(delay) = self.backoff.next(disposition, rand::random(), clock::monotonic()) else {
                return Err(AgentError::Revoked);
            };
            tracing::debug!(delay_ms = delay.as_millis(), "dialling again later");
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = self.stop.cancelled() => return self.drain_alone().await,
            }
        }
    }

    /// Drives one session; `None` where the agent has stopped in order.
    async fn session(&mut self, dialled: Dialled) -> Result<Option<Disposition>, AgentError> {
        let session = self.begin_session().await?;
        let engine = Arc::clone(&self.engine);
        let hands = Hands {
            runner: &mut self.runner,
            standing: &mut self.standing,
            outbox: &self.outbox,
            loads: &mut self.loads,
            stop: &self.stop,
        };
        let ended = Box::pin(driver::drive(dialled.socket, dialled.heard, session, hands, |welcome| {
            engine.set_server_time(welcome.server_time_us);
        }))
        .await;
        if ended.session.outbox_is_behind() {
            // The host was put back to an earlier state: what its outbox numbers from here on, the control plane would take for old.
            tracing::warn!("the control plane has more of this outbox on disk than it ever held; it begins a new life");
            self.outbox.begin_new_life(clock::wall(), clock::random_id_bytes()).await?;
        }
        self.previous = Some(ended.session);
        if let Some((at, _)) = ended.welcomed {
            self.backoff.welcomed(at);
        }
        match ended.end {
            SessionEnd::ClosedByPeer(reason) => {
                tracing::info!(reason = reason.name(), "the control plane ended the session");
                if reason == CloseReason::BadEnvelope {
                    self.set_unreadable_report_aside().await?;
                }
                Ok(Some(reason.disposition()))
            }
            SessionEnd::ClosedHere(reason) => {
                tracing::warn!(reason = reason.name(), "the session was ended by this agent");
                Ok(Some(reason.disposition()))
            }
            SessionEnd::Lost(error) => {
                tracing::info!(%error, "the connection broke");
                Ok(Some(Disposition::Backoff))
            }
            SessionEnd::Drained => Ok(None),
            SessionEnd::Outbox(error) => Err(AgentError::Outbox(error)),
        }
    }

    /// Jobs that run are in hand, and so are those whose report waits in the outbox: for neither should the control plane give up.
    async fn begin_session(&mut self) -> Result<AgentSession, AgentError> {
        self.runner.settle();
        let mut in_hand = self.runner.in_hand();
        let mut answered: Vec<JobRef> = self.outbox.jobs(JOBS_IN_HAND).await?;
        answered.retain(|job| !in_hand.contains(job));
        in_hand.extend(&answered);
        in_hand.truncate(JOBS_IN_HAND);
        self.engine.look_around().await;
        let hello = Hello {
            versions: vec![PROTOCOL_VERSION],
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            instance: self.instance,
            capabilities: self.runner.capabilities(),
            host: self.host.clone(),
            outbox: self.outbox.state().await?,
            in_hand,
            standing: Some(self.standing.held()),
        };
        let mut session = AgentSession::new(hello, self.runner.capacity(), Jitter::from_seed(clock::random_seed()), clock::monotonic());
        if let Some(previous) = self.previous.take() {
            session.carry_over(previous);
        }
        for job in answered {
            session.finished(job);
        }
        Ok(session)
    }

    /// A report at which the control plane closed twice would make it do so for ever: it is set aside, and `hello` says so.
    async fn set_unreadable_report_aside(&mut self) -> Result<(), AgentError> {
        let Some(at) = self.previous.as_ref().and_then(AgentSession::report_in_flight) else {
            return Ok(());
        };
        if self.unreadable.replace(at) == Some(at) {
            self.outbox.set_aside(at).await?;
        }
        Ok(())
    }

    /// Lets jobs in hand finish without a session; their reports stay in the outbox for the next start.
    async fn drain_alone(&mut self) -> Result<(), AgentError> {
        self.runner.stop_taking();
        let finish = async {
            while self.runner.running() > 0 {
                self.runner.progress().await;
            }
        };
        if tokio::time::timeout(DRAIN, finish).await.is_err() {
            tracing::warn!(jobs = self.runner.running(), "jobs were still running when the time to stop was over");
        }
        Ok(())
    }
}

/// What follows an attempt that came to no session. Only the control plane's own words count; whoever else answers is somebody between.
fn after_dial_error(error: &DialError) -> Disposition {
    let refusal = match error {
        DialError::Http(HttpError::Refused(refusal)) => refusal,
        DialError::Http(HttpError::Broken(_) | HttpError::Request(_) | HttpError::Body | HttpError::NotWebSocket)
        | DialError::Resolve { .. }
        | DialError::Connect { .. }
        | DialError::Untrusted { .. }
        | DialError::Handshake { .. }
        | DialError::Timeout { .. } => return Disposition::Backoff,
    };
    match refusal {
        Refusal::Problem {
            code: ProblemCode::Unauthenticated | ProblemCode::Forbidden,
            ..
        } => CloseReason::Unknown.disposition(),
        Refusal::Problem { retry_after, .. } | Refusal::Intermediary { retry_after, .. } => come_back(*retry_after),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn refused(refusal: Refusal) -> Disposition {
        after_dial_error(&DialError::Http(HttpError::Refused(refusal)))
    }

    #[test]
    fn net_10_whatever_an_intermediary_answers_the_agent_goes_on_dialling() {
        for status in [200, 302, 401, 403, 407, 502] {
            let refusal = Refusal::Intermediary { status, retry_after: None };
            assert_eq!(refused(refusal), Disposition::Backoff, "{status}");
        }
    }

    #[test]
    fn the_control_planes_own_401_brings_the_agent_back_later_and_never_stops_it() {
        let problem = |code, retry_after| Refusal::Problem {
            code,
            detail: String::new(),
            retry_after,
        };
        assert_eq!(refused(problem(ProblemCode::Unauthenticated, None)), CloseReason::Unknown.disposition());
        let after = refused(problem(ProblemCode::Unavailable, Some(Duration::from_secs(8))));
        assert!(matches!(after, Disposition::After { earliest, .. } if earliest == Duration::from_secs(8)));
        assert_eq!(refused(problem(ProblemCode::Internal, None)), Disposition::Backoff);
    }
}
