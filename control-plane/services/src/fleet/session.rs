//! One live session as the services see it: what its `hello` means, and what each thing the agent says leads to.

use std::net::SocketAddr;

use control_api::stream::{Finding, StreamEvent};
use control_core::authorize::SystemScope;
use control_core::lease::{self, HandedOut, Return};
use control_store::agents::HelloFacts;
use control_store::jobs::{EndedJob, OpenState};
use control_store::{StoreError, Tx};
use shared_protocol::close::CloseReason;
use shared_protocol::end::End;
use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::{Ack, Hello, Refuse, Welcome};
use shared_protocol::id::{AgentId, Epoch, IncarnationId, JobId, JobRef, Sequence};
use shared_protocol::limits::{KEEPALIVE_INTERVAL, PROTOCOL_VERSION};
use shared_protocol::session::ServerEffect;
use shared_protocol::time::UnixMicros;

use super::outlet::{Outlet, SessionCommand};
use super::registry::{Live, Rivalry};
use super::{AgentPrincipal, Fleet};
use crate::clock;
use crate::jobs::{Lifecycle, OpenedSession};
use crate::metrics::ReasonLabel;
use crate::reports::{Ingested, Ingestion};

/// A session that counts.
pub struct Session {
    fleet: Fleet,
    agent: AgentId,
    epoch: Epoch,
    incarnation: IncarnationId,
    commands: Outlet,
}

impl Fleet {
    /// Takes an agent's `hello`: fences older sessions, settles the jobs it has and has not in hand, and says what to answer.
    ///
    /// # Errors
    /// [`CloseReason`] with which the connection must end instead.
    pub async fn open_session(&self, peer: AgentPrincipal, address: SocketAddr, hello: Hello, commands: Outlet) -> Result<(Session, Welcome), CloseReason> {
        if !hello.versions.contains(&PROTOCOL_VERSION) {
            return Err(CloseReason::NoCommonVersion);
        }
        let agent = peer.agent;
        match self.registry().rivalry(agent, hello.instance, clock::monotonic()) {
            Rivalry::Alone | Rivalry::Replaces => {}
            Rivalry::Unclear => {
                return Err(CloseReason::Busy {
                    retry_after_ms: Some(RIVAL_RETRY_MS),
                });
            }
            Rivalry::Conflict => {
                let other = self.registry().close(agent, CloseReason::IdentityConflict);
                let detail = format!(
                    "sessions from {address} and {}",
                    other.map_or_else(|| "an address no longer known".to_owned(), |other| other.to_string())
                );
                self.suspend(agent, "identity_conflict", detail).await;
                return Err(CloseReason::IdentityConflict);
            }
        }
        let instance = hello.instance;
        let incarnation = hello.outbox.incarnation;
        let opening = self.store().write(move |tx| Box::pin(settle(tx, agent, hello, clock::now()))).await;
        let opened = match opening {
            Ok(Some(opened)) => opened,
            Ok(None) => return Err(CloseReason::Suspended),
            Err(error) => {
                tracing::warn!(%error, %agent, "a session could not be opened");
                return Err(CloseReason::Busy {
                    retry_after_ms: Some(STORE_RETRY_MS),
                });
            }
        };
        self.registry().insert(
            agent,
            Live {
                epoch: opened.epoch,
                instance,
                address,
                commands: commands.clone(),
                heard: clock::monotonic(),
                rival: None,
            },
        );
        self.metrics().sessions.set(i64::try_from(self.registry().len()).unwrap_or(i64::MAX));
        for ended in &opened.ended {
            self.lifecycle().ended(ended, None).await;
        }
        let requeued = opened.requeued.clone();
        self.lifecycle()
            .dispatch
            .opened(OpenedSession {
                agent,
                epoch: opened.epoch,
                commands: commands.clone(),
                kept: opened.kept.clone(),
                requeued,
            })
            .await;
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            server_time_us: clock::now(),
            ack: Ack {
                incarnation,
                up_to: opened.up_to,
            },
            readopted: opened.kept,
            drop: opened.drop,
            keepalive_ms: u32::try_from(KEEPALIVE_INTERVAL.as_millis()).unwrap_or(u32::MAX),
        };
        tracing::info!(%agent, epoch = opened.epoch.0, readopted = welcome.readopted.len(), "session opened");
        Ok((
            Session {
                fleet: self.clone(),
                agent,
                epoch: opened.epoch,
                incarnation,
                commands,
            },
            welcome,
        ))
    }
}

impl Session {
    /// Does what one thing that the agent said asks for. `Hello` and `Close` are the edge's own matter.
    pub async fn handle(&self, effect: ServerEffect) {
        self.fleet.registry().heard(self.agent, self.epoch, clock::monotonic());
        match effect {
            ServerEffect::Credit { granted } => self.lifecycle().dispatch.credit(self.agent, self.epoch, granted).await,
            ServerEffect::Accepted(job) => self.accepted(job),
            ServerEffect::Refused(refuse) => self.refused(refuse).await,
            ServerEffect::Finding { job, n, findings } => self.found(job, n, findings),
            ServerEffect::Report { seq, job, body } => self.report(seq, job, body).await,
            ServerEffect::Hello(_) | ServerEffect::Keepalive(_) | ServerEffect::Close(_) => {}
        }
    }

    /// Lets go of the session; the agent keeps what it has, and says so when it comes back.
    pub async fn closed(self, reason: CloseReason) {
        self.fleet.registry().remove(self.agent, self.epoch);
        let metrics = self.fleet.metrics();
        metrics.sessions.set(i64::try_from(self.fleet.registry().len()).unwrap_or(i64::MAX));
        metrics.sessions_closed.get_or_create(&ReasonLabel { reason: reason.name() }).inc();
        self.lifecycle().dispatch.closed(self.agent, self.epoch).await;
        self.note_seen().await;
        tracing::info!(agent = %self.agent, epoch = self.epoch.0, reason = reason.name(), "session closed");
    }

    /// The agent.
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    fn lifecycle(&self) -> &Lifecycle {
        self.fleet.lifecycle()
    }

    /// Keeps when the agent was last here, for people.
    async fn note_seen(&self) {
        let (agent, at) = (self.agent, clock::now());
        let written = self
            .fleet
            .store()
            .write(move |tx| Box::pin(async move { control_store::agents::seen(tx, SystemScope::for_own_work(), &[(agent, at)]).await }))
            .await;
        if let Err(error) = written {
            tracing::debug!(%error, %agent, "when the agent was last seen could not be written");
        }
    }

    fn accepted(&self, job: JobRef) {
        let Some(measurement) = self.lifecycle().in_flight.measurement(self.agent, job.job) else {
            return;
        };
        self.lifecycle().publish(measurement, job.job, self.agent, "running", None, job.attempt);
        let store = self.fleet.store().clone();
        let agent = self.agent;
        // Only people read this state; what an agent has in hand it says itself at its next hello.
        self.lifecycle().tasks.spawn(async move {
            let written = store
                .write(move |tx| Box::pin(async move { control_store::jobs::running(tx, SystemScope::for_own_work(), agent, &[job]).await }))
                .await;
            if let Err(error) = written {
                tracing::warn!(%error, job_id = %job.job, "a job's running state could not be written");
            }
        });
    }

    async fn refused(&self, refuse: Refuse) {
        let job = JobRef {
            job: refuse.job,
            attempt: refuse.attempt,
        };
        tracing::info!(agent = %self.agent, job_id = %job.job, reason = refuse.reason.as_str(), "job refused");
        let agent = self.agent;
        let again = lease::refused(refuse.reason, job.attempt) == Return::Queue;
        let at = clock::now();
        let reason = refuse.reason;
        let settled = self
            .fleet
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    if again && !control_store::jobs::requeue(tx, system, agent, &[job], None).await?.is_empty() {
                        return Ok(Settled::Queued);
                    }
                    // What was taken back meanwhile is not queued again: its agent's refusal is its end.
                    let ended = control_store::jobs::refuse(tx, system, agent, job, reason, at).await?;
                    Ok(ended.map_or(Settled::Nothing, |ended| Settled::Ended(Box::new(ended))))
                })
            })
            .await;
        match settled {
            Ok(Settled::Ended(ended)) => self.lifecycle().ended(&ended, None).await,
            Ok(Settled::Queued) => self.lifecycle().dispatch.requeued(job).await,
            Ok(Settled::Nothing) => {}
            Err(error) => self.store_failed(&error),
        }
    }

    fn found(&self, job: JobRef, n: u64, findings: Vec<ProbeEvent>) {
        let Some(measurement) = self.lifecycle().in_flight.measurement(self.agent, job.job) else {
            return;
        };
        for (n, finding) in (n..).zip(findings) {
            let finding = Finding {
                job: job.job.to_string(),
                agent: self.agent.to_string(),
                n,
                finding,
            };
            self.lifecycle().bus.publish(measurement, &StreamEvent::Finding(finding));
        }
    }

    async fn report(&self, seq: Sequence, job: JobRef, body: String) {
        let ingestion = Ingestion {
            agent: self.agent,
            epoch: self.epoch,
            incarnation: self.incarnation,
            seq,
            job,
            body,
        };
        match ingestion.run(self.lifecycle()).await {
            Ok(Ingested::UpTo(up_to)) => self.tell(SessionCommand::Ack(Ack {
                incarnation: self.incarnation,
                up_to,
            })),
            Ok(Ingested::Fenced) => self.tell(SessionCommand::Close(CloseReason::Replaced)),
            Err(error) => self.store_failed(&error),
        }
    }

    /// Nothing is acknowledged that is not on disk: the session ends, and the agent sends again when it comes back.
    fn store_failed(&self, error: &StoreError) {
        tracing::warn!(%error, agent = %self.agent, "the store is not available to a session");
        self.tell(SessionCommand::Close(CloseReason::Busy {
            retry_after_ms: Some(STORE_RETRY_MS),
        }));
    }

    fn tell(&self, command: SessionCommand) {
        if self.commands.tell(command).is_err() {
            tracing::warn!(agent = %self.agent, "the session does not keep up, and is cut");
        }
    }
}

/// What a `hello` led to, on disk.
struct Opened {
    epoch: Epoch,
    up_to: Sequence,
    kept: Vec<JobRef>,
    drop: Vec<JobId>,
    requeued: Vec<JobId>,
    ended: Vec<EndedJob>,
}

/// What a refusal led to, on disk.
enum Settled {
    Ended(Box<EndedJob>),
    Queued,
    Nothing,
}

/// Everything that a `hello` changes, in one transaction; nothing where the agent may not work.
async fn settle(tx: &mut Tx, agent: AgentId, hello: Hello, at: UnixMicros) -> Result<Option<Opened>, StoreError> {
    let system = SystemScope::for_own_work();
    let Some(epoch) = control_store::sessions::begin(tx, system, agent, hello.instance, at).await? else {
        return Ok(None);
    };
    let facts = HelloFacts {
        version: hello.agent_version,
        capabilities: hello.capabilities,
        host: hello.host,
        at,
    };
    control_store::agents::hello(tx, system, agent, &facts).await?;
    let outbox = control_store::sessions::outbox(tx, system, agent).await?;
    let up_to = outbox
        .filter(|(incarnation, _)| *incarnation == hello.outbox.incarnation)
        .map_or(Sequence::ZERO, |(_, up_to)| up_to);
    let Some(adopted) = control_store::jobs::readopt(tx, system, agent, epoch, &hello.in_hand, at).await? else {
        return Ok(None);
    };
    let (again, lost): (Vec<_>, Vec<_>) = adopted
        .lost
        .into_iter()
        .partition(|job| lease::lost(handed_out(job.state), job.attempt) == Return::Queue);
    let again: Vec<JobRef> = again
        .into_iter()
        .map(|job| JobRef {
            job: job.job,
            attempt: job.attempt,
        })
        .collect();
    let requeued = control_store::jobs::requeue(tx, system, agent, &again, None)
        .await?
        .into_iter()
        .map(|job| job.job)
        .collect();
    let lost: Vec<JobId> = lost.into_iter().map(|job| job.job).collect();
    let mut ended = control_store::jobs::end_all(tx, system, &lost, End::Failed, Some("agent_lost"), at).await?;
    ended.extend(adopted.cancelled);
    Ok(Some(Opened {
        epoch,
        up_to,
        kept: adopted.kept,
        drop: adopted.drop,
        requeued,
        ended,
    }))
}

const fn handed_out(state: OpenState) -> HandedOut {
    match state {
        OpenState::Running => HandedOut::Accepted,
        OpenState::Leased | OpenState::Queued => HandedOut::Unaccepted,
    }
}

/// When an agent comes back whose place another instance held a moment ago, milliseconds.
const RIVAL_RETRY_MS: u32 = 5_000;
/// When an agent comes back after the store was not available, milliseconds.
const STORE_RETRY_MS: u32 = 2_000;
