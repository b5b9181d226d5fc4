//! The same sources against the control plane itself: its admission, writer, dispatcher and ingest, with one shared agent whose jobs take half a
//! second to one and a half. What a source says of how long its jobs take is left aside.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control_api::agent::SetAgentSharing;
use control_api::key::CreateKey;
use control_api::measurement::CreateMeasurement;
use control_api::tenant::CreateTenant;
use control_api::tier::PatchTier;
use control_core::authorize::{Action, Grant, Principal, Resource, authorize};
use control_services::{Database, ServiceError, Services, clock};
use serde_json::json;
use shared_protocol::id::JobId;
use shared_protocol::tier::Tier;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{CAPACITY, Source};
use crate::arrivals::Arrivals;
use crate::fleet::{House, MadeUp, PipedAgent, Probes};
use crate::latency::Latencies;

/// What came of one source.
#[derive(Debug, Clone, Default)]
pub struct Live {
    /// How long each job waited for its start, from before it was asked for.
    pub waits: Latencies,
    /// Jobs that started once every source had work waiting.
    pub starts_under_load: u64,
    /// The longest time between two starts, or from the beginning to the first.
    pub longest_gap: Duration,
    /// Measurements that were refused, as a flood's are.
    pub refused: u64,
}

/// Runs sources against a control plane in this directory for so long. Shares are counted after a warm-up of a tenth of it.
///
/// # Errors
/// When the control plane does not start, or refuses for another reason than that there is too much work.
pub async fn run(sources: &[Source], data_dir: &Path, database: Database, lasting: Duration) -> Result<Vec<Live>> {
    let house = House::start(data_dir, database, 1).await?;
    let services = house.services.clone();
    let agent = share_agent(&house).await?;
    for tier in Tier::ALL {
        let grant = authorize(&Principal::Operator, Action::TierChange, Resource::Platform)?;
        services.subscriptions.change_tier(&grant, tier.as_str(), None, unlimited()).await?;
    }
    let (welcomed, mut arrivals) = mpsc::channel(1);
    let (telling, mut started) = mpsc::channel(STARTS);
    let stop = CancellationToken::new();
    let probes = Probes::new(SHORTEST..=LONGEST, CAPACITY, 1_024);
    let piped = PipedAgent::new(services.fleet.clone(), house.agent(0)?, MadeUp::new(probes, 0), 0).telling(telling);
    let mut working = JoinSet::new();
    working.spawn(piped.run(welcomed, stop.clone()));
    arrivals.recv().await.context("no session stands")?;

    let began = clock::monotonic();
    let mut asking = JoinSet::new();
    for (number, source) in sources.iter().enumerate() {
        let grant = tenant(&services, source).await?;
        asking.spawn(ask(services.clone(), grant, agent.clone(), *source, number, lasting));
    }
    let mut asked = HashMap::new();
    let mut outcomes = vec![Live::default(); sources.len()];
    while let Some(of_source) = asking.join_next().await {
        let Asked { source, jobs, refused } = of_source??;
        outcomes.get_mut(source).context("a source")?.refused = refused;
        asked.extend(jobs.into_iter().map(|(job, at)| (job, (source, at))));
    }
    let mut starts = Vec::new();
    while let Ok(start) = started.try_recv() {
        starts.push(start);
    }
    ensure!(starts.len() < STARTS, "starts were missed");
    tally(&mut outcomes, &asked, &starts, began, lasting);
    // The agent answers what it has in hand; what waits has nobody any more.
    working.abort_all();
    services.stop().await;
    Ok(outcomes)
}

/// What one source asked for, with when.
struct Asked {
    source: usize,
    jobs: Vec<(JobId, MonotonicMicros)>,
    refused: u64,
}

async fn ask(services: Services, grant: Grant, agent: String, source: Source, number: usize, lasting: Duration) -> Result<Asked> {
    let began = clock::monotonic();
    let seed = u64::try_from(number)?;
    let services = Arc::new(services);
    let grant = Arc::new(grant);
    let mut answers = JoinSet::new();
    for at in Arrivals::new(source.jobs_per_second, seed).take_while(|at| *at < lasting) {
        tokio::time::sleep(at.saturating_sub(clock::monotonic().since(began))).await;
        let (services, grant, agent) = (Arc::clone(&services), Arc::clone(&grant), agent.clone());
        answers.spawn(async move {
            let asked = clock::monotonic();
            match services.jobs.create(&grant, wanted(&agent)?, None).await {
                Ok(measurement) => Ok(measurement.jobs.first().map(|job| job.id.parse::<JobId>().map(|id| (id, asked))).transpose()?),
                Err(ServiceError::TooManyOpenJobs { .. } | ServiceError::CannotStartInTime { .. } | ServiceError::RateLimited { .. }) => Ok(None),
                Err(error) => Err(anyhow::Error::from(error)),
            }
        });
    }
    let (mut jobs, mut refused) = (Vec::new(), 0);
    while let Some(answer) = answers.join_next().await {
        match answer?? {
            Some(job) => jobs.push(job),
            None => refused += 1,
        }
    }
    Ok(Asked { source: number, jobs, refused })
}

fn tally(
    outcomes: &mut [Live],
    asked: &HashMap<JobId, (usize, MonotonicMicros)>,
    starts: &[(JobId, MonotonicMicros)],
    began: MonotonicMicros,
    lasting: Duration,
) {
    let mut last = vec![began; outcomes.len()];
    for (job, at) in starts {
        let Some((source, since)) = asked.get(job) else { continue };
        let (Some(outcome), Some(last)) = (outcomes.get_mut(*source), last.get_mut(*source)) else {
            continue;
        };
        outcome.waits.add(at.since(*since));
        outcome.longest_gap = outcome.longest_gap.max(at.since(*last));
        *last = *at;
        if at.since(began) >= lasting / WARM_UP_SHARE {
            outcome.starts_under_load += 1;
        }
    }
}

/// Makes a tenant of a source's tier; what its key may do.
async fn tenant(services: &Services, source: &Source) -> Result<Grant> {
    let operator = authorize(&Principal::Operator, Action::TenantCreate, Resource::Platform)?;
    let wanted = CreateTenant {
        name: format!("source-{}", source.tenant),
        tier: source.tier.as_str().to_owned(),
    };
    let tenant = services.identity.create_tenant(&operator, wanted).await?.id;
    let operator = authorize(&Principal::Operator, Action::KeyCreate, Resource::Tenant(tenant.parse()?))?;
    let wanted = CreateKey {
        name: "fair".to_owned(),
        scopes: vec!["measure".to_owned()],
        expires_in_days: None,
    };
    let key = services.identity.create_key(&operator, wanted).await?.secret;
    let principal = services.identity.authenticate(&key).await?;
    Ok(authorize(&principal, Action::MeasurementCreate, Resource::OwnTenant)?)
}

/// Lets the house's agent serve every tenant; its id.
async fn share_agent(house: &House) -> Result<String> {
    let agents = house
        .services
        .fleet
        .agents(&house.grant(Action::AgentRead).await?, &control_api::agent::AgentQuery::default())
        .await?;
    let agent = agents.items.first().context("no agent")?.id.clone();
    let operator = authorize(&Principal::Operator, Action::AgentShare, Resource::Platform)?;
    let shared = SetAgentSharing { sharing: "shared".to_owned() };
    house.services.fleet.share_agent(&operator, &agent, &shared).await?;
    Ok(agent)
}

/// Quotas would end a flood before the queue has to deal with it.
fn unlimited() -> PatchTier {
    let names = [
        "measurements_per_minute_of_key",
        "measurements_per_minute",
        "measurements_per_hour",
        "measurements_per_day",
        "measurements_per_month",
    ];
    let limits = names
        .into_iter()
        .map(|name| (name.to_owned(), json!(1_000_000_000)))
        .chain([("open_jobs".to_owned(), json!(100_000))]);
    PatchTier(limits.collect())
}

fn wanted(agent: &str) -> Result<CreateMeasurement> {
    Ok(serde_json::from_value(json!({
        "spec": {"probe": "ping", "target": "127.0.0.1", "count": 1},
        "selection": {"agents": [agent]},
    }))?)
}

/// How long a made-up job takes.
const SHORTEST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_millis(1_500);
/// Starts that can wait to be read: more than there are.
const STARTS: usize = 65_536;
/// The part of a run in which queues are still filling.
const WARM_UP_SHARE: u32 = 10;
