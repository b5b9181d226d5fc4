//! One live session as the services see it: what each thing the agent says leads to.

use std::sync::Arc;

use control_api::stream::{Finding, StreamEvent};
use control_core::authorize::SystemScope;
use control_core::board::Returned;
use control_core::host_load;
use control_core::retry::{Loss, Return, returned};
use control_store::StoreError;
use control_store::jobs::{EndedJob, Requeue};
use shared_protocol::close::CloseReason;
use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::{Ack, AgentKeepalive, Refuse};
use shared_protocol::id::{AgentId, Epoch, IncarnationId, JobRef, Sequence, TenantId};
use shared_protocol::session::ServerEffect;

use super::outlet::{Outlet, SessionCommand};
use super::{Fleet, Presence};
use crate::clock;
use crate::jobs::Lifecycle;
use crate::metrics::ReasonLabel;
use crate::reports::{Ingested, Intake};
use crate::series::HostSample;

/// A session that counts.
pub struct Session {
    fleet: Fleet,
    tenant: TenantId,
    agent: AgentId,
    epoch: Epoch,
    incarnation: IncarnationId,
    commands: Outlet,
    intake: Arc<Intake>,
}

impl Session {
    pub(super) fn new(fleet: Fleet, tenant: TenantId, agent: AgentId, epoch: Epoch, incarnation: IncarnationId, commands: Outlet) -> Self {
        Self {
            intake: Intake::new(fleet.lifecycle().clone(), agent, epoch, incarnation),
            fleet,
            tenant,
            agent,
            epoch,
            incarnation,
            commands,
        }
    }

    /// Does what one thing that the agent said asks for. `Hello` and `Close` are the edge's own matter.
    pub async fn handle(&self, effect: ServerEffect) {
        self.fleet.registry().heard(self.agent, self.epoch, clock::monotonic());
        match effect {
            ServerEffect::Credit { granted } => self.lifecycle().dispatch.credit(self.agent, self.epoch, granted).await,
            ServerEffect::Accepted(job) => self.accepted(job).await,
            ServerEffect::Refused(refuse) => self.refused(refuse).await,
            ServerEffect::Finding { job, n, findings } => self.found(job, n, findings),
            ServerEffect::Report { seq, job, body } => self.report(seq, job, body).await,
            ServerEffect::Keepalive(keepalive) => self.told(keepalive),
            ServerEffect::Configured(configured) => self.fleet.holds(self.agent, self.epoch, configured.items).await,
            ServerEffect::Hello(_) | ServerEffect::Close(_) => {}
        }
    }

    /// Lets go of the session; the agent keeps what it has, and says so when it comes back.
    pub async fn closed(self, reason: CloseReason) {
        self.fleet.registry().remove(self.agent, self.epoch);
        self.fleet.directory().sync_presence(self.agent, self.fleet.registry(), clock::monotonic());
        if self.fleet.registry().presence(self.agent, clock::monotonic()) == Presence::Offline {
            self.lifecycle().presence(self.tenant, self.agent, Presence::Offline);
        }
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

    /// Keeps what a keepalive told; what it told of its host goes to the series.
    fn told(&self, keepalive: AgentKeepalive) {
        let news = self.fleet.registry().told(self.agent, self.epoch, keepalive, clock::monotonic());
        let Some((before, told)) = news else { return };
        let Some(load) = &told.host else { return };
        let at = clock::now();
        let sample = |number: host_load::Number| HostSample {
            tenant: self.tenant,
            agent: self.agent,
            metric: number.name.into(),
            at,
            value: number.value,
        };
        let numbers = host_load::numbers(before.as_ref(), load);
        self.lifecycle().series.ingest_samples(numbers.into_iter().map(sample).collect());
    }

    async fn accepted(&self, job: JobRef) {
        let lifecycle = self.lifecycle();
        let Some(measurement) = lifecycle.in_flight.accept(self.agent, job) else {
            return;
        };
        lifecycle.publish(measurement, job.job, self.agent, "running", None, job.attempt);
        lifecycle.accepts.accepted(self.agent, job).await;
    }

    async fn refused(&self, refuse: Refuse) {
        let job = JobRef {
            job: refuse.job,
            attempt: refuse.attempt,
        };
        tracing::info!(agent = %self.agent, job_id = %job.job, reason = refuse.reason.as_str(), "job refused");
        let agent = self.agent;
        let (at, jitter) = (clock::now(), clock::random_jitter());
        let reason = refuse.reason;
        let settled = self
            .fleet
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    let Some(open) = control_store::jobs::handed_out(tx, system, agent, job).await? else {
                        return Ok(Settled::Nothing);
                    };
                    let left = open.deadline_at.since(at);
                    let loss = Loss::Refused(reason);
                    if let Return::Queue { after } = returned(open.retry, job.attempt, loss, left, jitter) {
                        let again = Returned::after(after, loss, at);
                        let not_before = again.not_before();
                        if !control_store::jobs::requeue(tx, system, &[Requeue { agent, job, not_before }])
                            .await?
                            .is_empty()
                        {
                            return Ok(Settled::Queued(again));
                        }
                    }
                    // What was taken back meanwhile is not queued again: its agent's refusal is its end.
                    let ended = control_store::jobs::refuse(tx, system, agent, job, reason, at).await?;
                    Ok(ended.map_or(Settled::Nothing, |ended| Settled::Ended(Box::new(ended))))
                })
            })
            .await;
        match settled {
            Ok(Settled::Ended(ended)) => self.lifecycle().ended(&ended, None).await,
            Ok(Settled::Queued(returned)) => self.lifecycle().dispatch.returned(agent, job, returned).await,
            Ok(Settled::Nothing) => {}
            Err(error) => self.tell(store_failed(agent, &error)),
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
        let (agent, incarnation, commands) = (self.agent, self.incarnation, self.commands.clone());
        let told = move |ingested| {
            let command = match ingested {
                Ingested::UpTo(up_to) => SessionCommand::Ack(Ack { incarnation, up_to }),
                Ingested::Fenced => SessionCommand::Close(CloseReason::Replaced),
                Ingested::Failed(error) => store_failed(agent, &error),
            };
            tell(agent, &commands, command);
        };
        self.intake.take(seq, job, body, told).await;
    }

    fn tell(&self, command: SessionCommand) {
        tell(self.agent, &self.commands, command);
    }
}

/// Nothing is acknowledged that is not on disk: the session ends, and the agent sends again when it comes back.
fn store_failed(agent: AgentId, error: &StoreError) -> SessionCommand {
    tracing::warn!(%error, %agent, "the store is not available to a session");
    SessionCommand::Close(CloseReason::Busy {
        retry_after_ms: Some(STORE_RETRY_MS),
    })
}

fn tell(agent: AgentId, commands: &Outlet, command: SessionCommand) {
    if commands.tell(command).is_err() {
        tracing::warn!(%agent, "the session does not keep up, and is cut");
    }
}

/// What a refusal led to, on disk.
enum Settled {
    Ended(Box<EndedJob>),
    Queued(Returned),
    Nothing,
}

/// When an agent comes back after the store was not available, milliseconds.
pub(super) const STORE_RETRY_MS: u32 = 2_000;
