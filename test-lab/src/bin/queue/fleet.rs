//! The agents of the house, mouth to ear.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use shared_protocol::id::JobId;
use shared_protocol::time::MonotonicMicros;
use test_lab::fleet::{House, MadeUp, PipedAgent, Probes};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// All of them, and what they tell.
pub(crate) struct Fleet {
    tasks: JoinSet<Result<MadeUp>>,
    stop: CancellationToken,
    /// Jobs that an agent has in its hands, and since when.
    pub(crate) started: mpsc::Receiver<(JobId, MonotonicMicros)>,
}

impl Fleet {
    /// Brings every agent of the house into a session.
    pub(crate) async fn start(house: &House, report_bytes: usize) -> Result<Self> {
        let probes = Probes::new(Duration::ZERO..=Duration::ZERO, CAPACITY, report_bytes);
        let (welcomed, mut arrivals) = mpsc::channel(64);
        let (telling, started) = mpsc::channel(STARTS);
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for number in 0..u32::try_from(house.agents())? {
            let made_up = MadeUp::new(probes.clone(), number);
            let agent = PipedAgent::new(house.services.fleet.clone(), house.agent(number)?, made_up, number).telling(telling.clone());
            tasks.spawn(agent.run(welcomed.clone(), stop.clone()));
        }
        for _ in 0..house.agents() {
            arrivals.recv().await.context("no session stands")?;
        }
        Ok(Self { tasks, stop, started })
    }

    /// Ends the sessions; no agent may hold a report that was not acknowledged.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.stop.cancel();
        while let Some(agent) = self.tasks.join_next().await {
            let (finished, unacknowledged) = agent??.done();
            ensure!(unacknowledged == 0, "an agent that finished {finished} jobs holds {unacknowledged} reports");
        }
        Ok(())
    }
}

/// Jobs an agent takes at a time.
const CAPACITY: u32 = 64;
/// Starts that wait to be counted.
const STARTS: usize = 1 << 20;
