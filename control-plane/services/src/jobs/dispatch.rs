//! The way to the dispatcher: what it is told, and what it is asked. One task owns the board of jobs and sessions in memory.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use control_core::board::{AcceptedJob, AgentLoad, Returned};
use control_core::duty::Duty;
use control_store::StoreError;
use control_store::jobs::LeasedJob;
use shared_protocol::frame::Goaway;
use shared_protocol::id::{AgentId, Epoch, JobId, JobRef, TenantId};
use shared_protocol::tier::{Tier, TierTable};
use tokio::sync::{mpsc, oneshot};

use crate::fleet::Outlet;

mod dispatcher;
mod writing;

pub(crate) use dispatcher::{Dispatcher, Loaded};

/// The way to the dispatcher. Its channel holds [`COMMANDS`]; when it is full, senders wait.
#[derive(Debug, Clone)]
pub(crate) struct Dispatch {
    commands: mpsc::Sender<Command>,
}

/// A session that was just opened, and what became of the jobs its agent had.
#[derive(Debug)]
pub(crate) struct OpenedSession {
    pub(crate) agent: AgentId,
    pub(crate) epoch: Epoch,
    pub(crate) commands: Outlet,
    /// Jobs that stay the agent's.
    pub(crate) kept: Vec<JobRef>,
    /// Jobs that the agent does not have and that wait again.
    pub(crate) returned: Vec<(JobRef, Returned)>,
}

/// A job that was to be leased in the step that stores it, and what became of it.
#[derive(Debug)]
pub(crate) struct ArrivedJob {
    pub(crate) job: JobId,
    pub(crate) agent: AgentId,
    pub(crate) epoch: Epoch,
    pub(crate) came: Came,
}

/// What became of a job on its way to the disk.
#[derive(Debug)]
pub(crate) enum Came {
    Leased(LeasedJob),
    Queued,
    Refused,
}

#[derive(Debug)]
enum Command {
    Arriving(Vec<AcceptedJob>, oneshot::Sender<BTreeMap<JobId, Epoch>>),
    Arrived(Vec<ArrivedJob>),
    Accepted(Vec<AcceptedJob>),
    Opened(OpenedSession),
    Closed(AgentId, Epoch),
    Credit(AgentId, Epoch, u64),
    Leased {
        agent: AgentId,
        epoch: Epoch,
        asked: Vec<JobId>,
        result: Result<Vec<LeasedJob>, StoreError>,
    },
    Returned(AgentId, JobRef, Returned),
    Ended(JobId, Option<u32>),
    Cancel(Vec<JobId>),
    Duty(AgentId, Duty),
    Moved {
        job: JobId,
        from: AgentId,
        to: AgentId,
    },
    Load(Vec<AgentId>, Tier, oneshot::Sender<Load>),
    Tiers(Arc<TierTable>),
    Retier(TenantId, Tier),
    Goaway(Goaway),
}

impl Dispatch {
    pub(crate) fn channel() -> (Self, DispatchReceiver) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        (Self { commands }, DispatchReceiver(receiver))
    }

    /// Asks which of some jobs, about to be stored, are to be leased in the same step, and to which sessions. Each of those is told of by
    /// [`Self::arrived`], whatever became of it.
    pub(crate) async fn arriving(&self, jobs: Vec<AcceptedJob>) -> BTreeMap<JobId, Epoch> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Arriving(jobs, reply)).await;
        answer.await.unwrap_or_default()
    }

    /// What became of jobs that were to be leased in the step that stores them.
    pub(crate) async fn arrived(&self, jobs: Vec<ArrivedJob>) {
        if !jobs.is_empty() {
            self.send(Command::Arrived(jobs)).await;
        }
    }

    /// Takes jobs that are on disk.
    pub(crate) async fn accepted(&self, jobs: Vec<AcceptedJob>) {
        self.send(Command::Accepted(jobs)).await;
    }

    /// Takes a session that counts from now on.
    pub(crate) async fn opened(&self, session: OpenedSession) {
        self.send(Command::Opened(session)).await;
    }

    /// Lets go of a session.
    pub(crate) async fn closed(&self, agent: AgentId, epoch: Epoch) {
        self.send(Command::Closed(agent, epoch)).await;
    }

    /// Takes note of what an agent takes, cumulative.
    pub(crate) async fn credit(&self, agent: AgentId, epoch: Epoch, granted: u64) {
        self.send(Command::Credit(agent, epoch, granted)).await;
    }

    /// Puts a job back that its agent does not have; the store has it as queued.
    pub(crate) async fn returned(&self, agent: AgentId, job: JobRef, returned: Returned) {
        self.send(Command::Returned(agent, job, returned)).await;
    }

    /// Forgets a job that has its end.
    pub(crate) async fn ended(&self, job: JobId, actual_cost: Option<u32>) {
        self.send(Command::Ended(job, actual_cost)).await;
    }

    /// Tells the agents that jobs in flight were taken back.
    pub(crate) async fn cancel(&self, jobs: Vec<JobId>) {
        self.send(Command::Cancel(jobs)).await;
    }

    /// Takes note of whether an agent takes work: what waits for one that does not goes on waiting.
    pub(crate) async fn duty(&self, agent: AgentId, duty: Duty) {
        self.send(Command::Duty(agent, duty)).await;
    }

    /// Takes a job to another agent; the store has it there as queued.
    pub(crate) async fn moved(&self, job: JobId, from: AgentId, to: AgentId) {
        self.send(Command::Moved { job, from, to }).await;
    }

    /// How busy agents are for a new job of this tier; nothing at all once the dispatcher is gone.
    pub(crate) async fn load(&self, agents: Vec<AgentId>, tier: Tier) -> Load {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Load(agents, tier, reply)).await;
        answer.await.unwrap_or_default()
    }

    /// Whether the dispatcher does its rounds; waits for as long as it takes.
    pub(crate) async fn answers(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Load(Vec::new(), Tier::Free, reply)).await;
        answer.await.is_ok()
    }

    /// Goes by other weights and caps from now on.
    pub(crate) async fn tiers(&self, table: Arc<TierTable>) {
        self.send(Command::Tiers(table)).await;
    }

    /// Moves what a tenant has queued to another tier.
    pub(crate) async fn retier(&self, tenant: TenantId, tier: Tier) {
        self.send(Command::Retier(tenant, tier)).await;
    }

    /// Asks every session to leave and come back.
    pub(crate) async fn goaway(&self, goaway: Goaway) {
        self.send(Command::Goaway(goaway)).await;
    }

    async fn send(&self, command: Command) {
        // The dispatcher ends only with the whole control plane; what it did not hear is loaded from the store at the next start.
        let _ = self.commands.send(command).await;
    }
}

/// How busy the control plane and some of its agents are.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Jobs without an end, over all tenants.
    pub(crate) open_jobs: usize,
    pub(crate) agents: HashMap<AgentId, AgentLoad>,
}

/// The dispatcher's end of its channel.
pub(crate) struct DispatchReceiver(mpsc::Receiver<Command>);

/// Most commands waiting for the dispatcher.
const COMMANDS: usize = 4_096;
