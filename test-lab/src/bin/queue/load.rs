//! What the clients do, and what they were promised held against what stands in the database.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control_api::measurement::CreateMeasurement;
use control_core::authorize::Grant;
use control_services::metrics::EndLabel;
use control_services::{ServiceError, Services, clock};
use serde_json::{Value, json};
use shared_protocol::id::JobId;
use test_lab::arrivals::Arrivals;
use test_lab::database::Stored;
use test_lab::latency::Latencies;
use test_lab::process::processor_time;
use tokio::task::JoinSet;

use crate::fleet::Fleet;

/// One round of the queue.
pub(crate) struct Round {
    pub(crate) jobs: u64,
    pub(crate) took: Duration,
    /// Of the whole process: clients, control plane and agents.
    pub(crate) processor: Duration,
    pub(crate) acknowledged: Latencies,
}

/// The clients' side of the bench.
pub(crate) struct Bench {
    pub(crate) services: Services,
    pub(crate) grant: Grant,
    pub(crate) agents: u32,
    /// Every job that a client was promised.
    pub(crate) accepted: Arc<std::sync::Mutex<HashSet<String>>>,
}

impl Bench {
    /// Closed loop; the round ends when every job that was accepted in it has its end.
    pub(crate) async fn saturate(&self, clients: usize, lasting: Duration) -> Result<Round> {
        let before = self.ended();
        let processor = processor_time(std::process::id())?;
        let began = test_lab::clock::start();
        let over = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for client in 0..clients {
            let (services, grant, over, accepted) = (self.services.clone(), self.grant.clone(), Arc::clone(&over), Arc::clone(&self.accepted));
            let agent = u32::try_from(client)? % self.agents.max(1);
            asking.spawn(async move {
                let mut latencies = Latencies::default();
                while !over.load(Ordering::Relaxed) {
                    let asked = test_lab::clock::start();
                    match services.jobs.create(&grant, wanted(agent)?, None).await {
                        Ok(measurement) => {
                            latencies.add(asked.elapsed());
                            keep(&accepted, measurement.jobs.into_iter().map(|job| job.id));
                        }
                        Err(ServiceError::TooManyOpenJobs { .. } | ServiceError::CannotStartInTime { .. }) => tokio::time::sleep(FULL_PAUSE).await,
                        Err(error) => return Err(anyhow::Error::from(error)),
                    }
                }
                Ok(latencies)
            });
        }
        tokio::time::sleep(lasting).await;
        over.store(true, Ordering::Relaxed);
        let mut acknowledged = Latencies::default();
        while let Some(client) = asking.join_next().await {
            acknowledged.absorb(client??);
        }
        let jobs = u64::try_from(acknowledged.len())?;
        self.until_ended(before + jobs).await?;
        Ok(Round {
            jobs,
            took: began.elapsed(),
            processor: processor_time(std::process::id())?.saturating_sub(processor),
            acknowledged,
        })
    }

    /// Open loop at a rate; how long each waited for its acknowledgement.
    pub(crate) async fn paced(&self, rate: u32, lasting: Duration, seed: u64) -> Result<Latencies> {
        let before = self.ended();
        let began = test_lab::clock::start();
        let mut asking = JoinSet::new();
        for (number, at) in Arrivals::new(rate, seed).take_while(|at| *at < lasting).enumerate() {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            let (services, grant, accepted) = (self.services.clone(), self.grant.clone(), Arc::clone(&self.accepted));
            let agent = u32::try_from(number)? % self.agents.max(1);
            asking.spawn(async move {
                let asked = test_lab::clock::start();
                let measurement = services.jobs.create(&grant, wanted(agent)?, None).await?;
                let took = asked.elapsed();
                keep(&accepted, measurement.jobs.into_iter().map(|job| job.id));
                anyhow::Ok(took)
            });
        }
        let mut acknowledged = Latencies::default();
        while let Some(took) = asking.join_next().await {
            acknowledged.add(took??);
        }
        self.until_ended(before + u64::try_from(acknowledged.len())?).await?;
        Ok(acknowledged)
    }

    /// Open loop at a rate; how long until the acknowledgement, and until the agent has the job in its hands.
    pub(crate) async fn starts(&self, fleet: &mut Fleet, rate: u32, lasting: Duration, seed: u64) -> Result<(Latencies, Latencies)> {
        while fleet.started.try_recv().is_ok() {}
        let began = test_lab::clock::start();
        let mut asking = JoinSet::new();
        let (mut sent, mut acknowledged, mut starts) = (HashMap::new(), Latencies::default(), HashMap::new());
        for (number, at) in Arrivals::new(rate, seed).take_while(|at| *at < lasting).enumerate() {
            tokio::time::sleep(at.saturating_sub(began.elapsed())).await;
            let (services, grant) = (self.services.clone(), self.grant.clone());
            let agent = u32::try_from(number)? % self.agents.max(1);
            asking.spawn(async move {
                let asked = clock::monotonic();
                let measurement = services.jobs.create(&grant, wanted(agent)?, None).await?;
                anyhow::Ok((measurement, asked, clock::monotonic()))
            });
            while let Ok((job, at)) = fleet.started.try_recv() {
                starts.insert(job, at);
            }
        }
        while let Some(answer) = asking.join_next().await {
            let (measurement, asked, answered) = answer??;
            acknowledged.add(answered.since(asked));
            for job in measurement.jobs {
                sent.insert(job.id.parse::<JobId>()?, asked);
                keep(&self.accepted, [job.id]);
            }
        }
        while starts.len() < sent.len() {
            let (job, at) = tokio::time::timeout(DRAINS_WITHIN, fleet.started.recv()).await?.context("the fleet is gone")?;
            starts.insert(job, at);
        }
        let mut waited = Latencies::default();
        waited.extend(sent.iter().filter_map(|(job, asked)| Some(starts.get(job)?.since(*asked))));
        ensure!(waited.len() == sent.len(), "{} of {} jobs were begun", waited.len(), sent.len());
        Ok((acknowledged, waited))
    }

    fn ended(&self) -> u64 {
        self.services.metrics.jobs_ended.get_or_create(&EndLabel { end: "completed" }).get()
    }

    async fn until_ended(&self, jobs: u64) -> Result<()> {
        let began = test_lab::clock::start();
        while self.ended() < jobs {
            ensure!(began.elapsed() < DRAINS_WITHIN, "{} of {jobs} jobs have ended", self.ended());
            tokio::time::sleep(FULL_PAUSE).await;
        }
        Ok(())
    }
}

/// A ping whose spec has about 300 bytes on the wire and on disk.
fn wanted(agent: u32) -> Result<CreateMeasurement> {
    let label = "a".repeat(49);
    Ok(serde_json::from_value(json!({
        "spec": {"probe": "ping", "target": format!("{label}.{label}.{label}.{label}.example"), "count": 1},
        "selection": {"agents": [format!("simulated-{agent}")]},
        "deadline_s": 600,
    }))?)
}

fn keep(accepted: &std::sync::Mutex<HashSet<String>>, jobs: impl IntoIterator<Item = String>) {
    accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(jobs);
}

/// Holds what the clients were promised against what stands in the database of a control plane that is stopped.
pub(crate) fn count_back(bench: &Bench, stored: &Stored) -> Result<Value> {
    let promised: HashSet<String> = {
        let accepted = bench.accepted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        accepted.iter().map(|id| id.replace('-', "")).collect()
    };
    let completed = stored.jobs.iter().filter(|(_, end)| end.as_deref() == Some("completed"));
    let completed: HashSet<String> = completed.map(|(job, _)| job.clone()).collect();
    let reported: HashSet<String> = stored.reports.keys().cloned().collect();
    ensure!(stored.reports.values().all(|reports| *reports == 1), "a job has two reports");
    ensure!(completed == promised, "{} jobs were promised, {} completed", promised.len(), completed.len());
    ensure!(reported == promised, "{} jobs were promised, {} have a report", promised.len(), reported.len());
    Ok(json!({"promised": promised.len(), "completed": completed.len(), "reports": reported.len()}))
}

/// Rest of a client that is told to come back.
const FULL_PAUSE: Duration = Duration::from_millis(2);
/// Longest time for what was accepted to come to its end.
const DRAINS_WITHIN: Duration = Duration::from_mins(2);
