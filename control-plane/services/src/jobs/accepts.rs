//! Which jobs agents accepted, written a moment later and many at once: most have ended by then, and nothing needs to be written of them.
//!
//! Only people and the next `hello` read that state. People are shown it from memory meanwhile; before a `hello` is settled, what waits here is
//! written.

use std::time::Duration;

use control_core::authorize::SystemScope;
use control_store::jobs::Running;
use shared_protocol::id::{AgentId, JobRef};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::Lifecycle;

/// The way to the task that writes them. Its channel holds [`COMMANDS`]; when it is full, senders wait.
#[derive(Debug, Clone)]
pub(crate) struct Accepts {
    commands: mpsc::Sender<Command>,
}

/// The task's end of its channel.
pub(crate) struct AcceptsReceiver(mpsc::Receiver<Command>);

#[derive(Debug)]
enum Command {
    Accepted(AgentId, JobRef),
    /// Write what waits, then say so.
    Write(oneshot::Sender<()>),
}

impl Accepts {
    pub(crate) fn channel() -> (Self, AcceptsReceiver) {
        let (commands, receiver) = mpsc::channel(COMMANDS);
        (Self { commands }, AcceptsReceiver(receiver))
    }

    /// Takes note that an agent accepted a job.
    pub(crate) async fn accepted(&self, agent: AgentId, job: JobRef) {
        self.send(Command::Accepted(agent, job)).await;
    }

    /// Returns once everything that was accepted before is on disk, or could not be written.
    pub(crate) async fn written(&self) {
        let (done, is_done) = oneshot::channel();
        self.send(Command::Write(done)).await;
        // A task that is gone writes nothing any more.
        let _ = is_done.await;
    }

    async fn send(&self, command: Command) {
        // The task ends only with the whole control plane.
        let _ = self.commands.send(command).await;
    }
}

impl AcceptsReceiver {
    /// Writes what is accepted until the control plane stops.
    pub(crate) async fn run(mut self, lifecycle: Lifecycle) {
        let mut accepted = Vec::new();
        loop {
            let first = tokio::select! {
                command = self.0.recv() => command,
                () = lifecycle.stopping.cancelled() => return,
            };
            let waits = match first {
                None => return,
                Some(Command::Write(done)) => Some(done),
                Some(Command::Accepted(agent, job)) => {
                    accepted.push((agent, job));
                    tokio::select! {
                        gathered = timeout(LINGER, self.gather(&mut accepted)) => gathered.unwrap_or(None),
                        () = lifecycle.stopping.cancelled() => None,
                    }
                }
            };
            write(&lifecycle, std::mem::take(&mut accepted)).await;
            if let Some(done) = waits {
                // Whoever waited may have gone.
                let _ = done.send(());
            }
        }
    }

    /// Gathers until somebody waits, or it is enough for one statement.
    async fn gather(&mut self, accepted: &mut Vec<(AgentId, JobRef)>) -> Option<oneshot::Sender<()>> {
        while accepted.len() < MOST {
            match self.0.recv().await? {
                Command::Accepted(agent, job) => accepted.push((agent, job)),
                Command::Write(done) => return Some(done),
            }
        }
        None
    }
}

async fn write(lifecycle: &Lifecycle, mut accepted: Vec<(AgentId, JobRef)>) {
    accepted.retain(|(agent, job)| lifecycle.in_flight.measurement(*agent, job.job).is_some());
    if accepted.is_empty() {
        return;
    }
    let jobs = accepted.len();
    let running = Running {
        scope: SystemScope::for_own_work(),
        accepted,
    };
    if let Err(error) = lifecycle.store.submit(running).await {
        tracing::warn!(%error, jobs, "the running state of jobs could not be written");
    }
}

/// How long what was accepted waits for more, and for its end.
const LINGER: Duration = Duration::from_millis(50);
/// Most jobs of one statement.
const MOST: usize = 1_000;
/// Most commands that wait for the task.
const COMMANDS: usize = 4_096;
