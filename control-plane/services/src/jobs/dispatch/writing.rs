//! What the dispatcher has the store write, off its own task.

use control_core::authorize::SystemScope;
use control_store::jobs::Lease;
use shared_protocol::id::{AgentId, Epoch, JobId};

use super::Command;
use crate::clock;
use crate::jobs::lifecycle::Lifecycle;

/// Leases jobs to a session, and says what came of it.
pub(super) async fn lease(lifecycle: &Lifecycle, agent: AgentId, epoch: Epoch, asked: Vec<JobId>) {
    let lease = Lease {
        scope: SystemScope::for_own_work(),
        agent,
        epoch,
        jobs: asked.clone(),
        at: clock::now(),
    };
    let result = lifecycle.store.submit(lease).await;
    lifecycle.dispatch.send(Command::Leased { agent, epoch, asked, result }).await;
}
