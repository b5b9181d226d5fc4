//! A session's beginning: what an agent's `hello` means for older sessions, for the jobs it has and has not in hand, and for what it is answered.

use std::collections::HashSet;
use std::net::SocketAddr;

use control_core::authorize::SystemScope;
use control_core::board::Returned;
use control_core::retry::{Loss, Return, returned};
use control_store::agents::{AgentRow, HelloFacts};
use control_store::jobs::{EndedJob, OpenState, Requeue};
use control_store::{StoreError, Tx};
use shared_protocol::close::CloseReason;
use shared_protocol::end::End;
use shared_protocol::frame::{Ack, Hello, Welcome};
use shared_protocol::id::{AgentId, Epoch, InstanceId, JobId, JobRef, Sequence};
use shared_protocol::limits::PROTOCOL_VERSION;
use shared_protocol::time::UnixMicros;

use super::outlet::Outlet;
use super::registry::{Live, Rivalry};
use super::session::{STORE_RETRY_MS, Session};
use super::{AgentPrincipal, Fleet, Presence};
use crate::clock;
use crate::jobs::OpenedSession;

impl Fleet {
    /// Takes an agent's `hello`: fences older sessions, settles the jobs it has and has not in hand, and says what to answer.
    ///
    /// # Errors
    /// [`CloseReason`] with which the connection must end instead.
    pub async fn open_session(&self, peer: AgentPrincipal, address: SocketAddr, hello: Hello, commands: Outlet) -> Result<(Session, Welcome), CloseReason> {
        if !hello.versions.contains(&PROTOCOL_VERSION) {
            return Err(CloseReason::NoCommonVersion);
        }
        let (agent, tenant) = (peer.agent, peer.tenant);
        self.settle_rivalry(agent, hello.instance, address).await?;
        let instance = hello.instance;
        let incarnation = hello.outbox.incarnation;
        let standing = hello.standing.clone();
        // What the agent accepted a moment ago it may have lost since: that is judged by what is on disk.
        self.lifecycle().accepts.written().await;
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
                told: None,
                standing: None,
            },
        );
        self.directory().put(&opened.row);
        self.directory().sync_presence(agent, self.registry(), clock::monotonic());
        self.lifecycle().presence(tenant, agent, Presence::Online);
        self.metrics().sessions.set(i64::try_from(self.registry().len()).unwrap_or(i64::MAX));
        for ended in &opened.ended {
            self.lifecycle().ended(ended, None).await;
        }
        self.lifecycle()
            .dispatch
            .opened(OpenedSession {
                agent,
                epoch: opened.epoch,
                commands: commands.clone(),
                kept: opened.kept.clone(),
                returned: opened.returned.clone(),
            })
            .await;
        self.begins_with(agent, opened.epoch, standing).await;
        let welcome = Welcome {
            version: PROTOCOL_VERSION,
            server_time_us: clock::now(),
            ack: Ack {
                incarnation,
                up_to: opened.up_to,
            },
            readopted: opened.kept,
            drop: opened.drop,
            keepalive_ms: u32::try_from(self.keepalive().as_millis()).unwrap_or(u32::MAX),
        };
        tracing::info!(%agent, epoch = opened.epoch.0, readopted = welcome.readopted.len(), "session opened");
        Ok((Session::new(self.clone(), tenant, agent, opened.epoch, incarnation, commands), welcome))
    }

    /// Two instances with one identity: the newcomer waits until it is clear which of them lives.
    async fn settle_rivalry(&self, agent: AgentId, instance: InstanceId, address: SocketAddr) -> Result<(), CloseReason> {
        match self.registry().rivalry(agent, instance, clock::monotonic()) {
            Rivalry::Alone | Rivalry::Replaces => Ok(()),
            Rivalry::Unclear => Err(CloseReason::Busy {
                retry_after_ms: Some(RIVAL_RETRY_MS),
            }),
            Rivalry::Conflict => {
                let other = self.registry().close(agent, CloseReason::IdentityConflict);
                let detail = format!(
                    "sessions from {address} and {}",
                    other.map_or_else(|| "an address no longer known".to_owned(), |other| other.to_string())
                );
                self.suspend(agent, "identity_conflict", detail).await;
                Err(CloseReason::IdentityConflict)
            }
        }
    }
}

/// What a `hello` led to, on disk.
struct Opened {
    row: AgentRow,
    epoch: Epoch,
    up_to: Sequence,
    kept: Vec<JobRef>,
    drop: Vec<JobId>,
    returned: Vec<(JobRef, Returned)>,
    ended: Vec<EndedJob>,
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
    let Some(row) = control_store::agents::hello(tx, system, agent, &facts).await? else {
        return Ok(None);
    };
    let outbox = control_store::sessions::outbox(tx, system, agent).await?;
    let up_to = outbox
        .filter(|(incarnation, _)| *incarnation == hello.outbox.incarnation)
        .map_or(Sequence::ZERO, |(_, up_to)| up_to);
    let Some(adopted) = control_store::jobs::readopt(tx, system, agent, epoch, &hello.in_hand, at).await? else {
        return Ok(None);
    };
    let (mut waiting, mut lost) = (Vec::new(), Vec::new());
    for job in adopted.lost {
        let reference = JobRef {
            job: job.job,
            attempt: job.attempt,
        };
        match returned(job.retry, job.attempt, loss(job.state), job.deadline_at.since(at), clock::random_jitter()) {
            Return::Queue { after } => {
                let way = Returned::after(after, loss(job.state), at);
                waiting.push((reference, way));
            }
            Return::End => lost.push(job.job),
        }
    }
    let again = |&(job, way): &(JobRef, Returned)| Requeue {
        agent,
        job,
        not_before: way.not_before(),
    };
    let again: Vec<Requeue> = waiting.iter().map(again).collect();
    let queued = control_store::jobs::requeue(tx, system, &again).await?;
    let queued: HashSet<JobId> = queued.iter().map(|job| job.job).collect();
    waiting.retain(|(job, _)| queued.contains(&job.job));
    let mut ended = control_store::jobs::end_all(tx, system, &lost, End::Failed, Some("agent_lost"), at).await?;
    ended.extend(adopted.cancelled);
    Ok(Some(Opened {
        row,
        epoch,
        up_to,
        kept: adopted.kept,
        drop: adopted.drop,
        returned: waiting,
        ended,
    }))
}

const fn loss(state: OpenState) -> Loss {
    match state {
        OpenState::Running => Loss::AgentLost,
        OpenState::Leased | OpenState::Queued => Loss::NeverAccepted,
    }
}

/// When an agent comes back whose place another instance held a moment ago, milliseconds.
const RIVAL_RETRY_MS: u32 = 5_000;
