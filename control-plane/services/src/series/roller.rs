//! The one task that adds numbers to the series: those of reports from what the store says is due, those of hosts from memory, and seals
//! the hours that are over. After a crash it finds what is due and goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use control_core::authorize::SystemScope;
use control_core::series::{Contribution, Detail, Hour, Identity};
use control_store::series::{self, DueRow, Part, Roll, SeriesKey};
use control_store::{Store, StoreError};
use shared_protocol::id::{AgentId, JobId, TenantId};
use tokio::sync::{Notify, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::metrics::Metrics;

/// What the task hears.
pub(crate) struct Inlet {
    pub(super) due: Arc<Notify>,
    pub(super) host: mpsc::Receiver<Vec<Contribution>>,
}

/// The task's state.
pub(crate) struct Roller {
    store: Store,
    metrics: Metrics,
    stopping: CancellationToken,
    keys: HashMap<Identity, SeriesKey>,
    /// Series that found no room; asked for again after a while.
    refused: HashSet<Identity>,
    /// What agents saw of their hosts and is not added yet.
    host: Vec<Contribution>,
    /// How long the writer was busy with the reports of the last round.
    busy: Duration,
}

impl Roller {
    pub(crate) fn new(store: Store, metrics: Metrics, stopping: CancellationToken) -> Self {
        Self {
            store,
            metrics,
            stopping,
            keys: HashMap::new(),
            refused: HashSet::new(),
            host: Vec::new(),
            busy: Duration::ZERO,
        }
    }

    /// Works until the control plane stops, and adds what is there then.
    pub(crate) async fn run(mut self, mut inlet: Inlet) {
        let mut often = interval(OFTEN);
        often.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut rounds = 0_u32;
        // What a crash left is due at once.
        inlet.due.notify_one();
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => break,
                () = inlet.due.notified() => {
                    self.linger(&mut inlet.host).await;
                    self.attempt(Work::Reports).await;
                }
                Some(batch) = inlet.host.recv() => self.take(batch),
                _ = often.tick() => {
                    rounds = rounds.wrapping_add(1);
                    for work in [Work::Reports, Work::Host, Work::Seal] {
                        self.attempt(work).await;
                    }
                    if rounds.is_multiple_of(ROUNDS_UNTIL_ASKED_AGAIN) {
                        self.refused.clear();
                    }
                }
            }
        }
        while let Ok(batch) = inlet.host.try_recv() {
            self.take(batch);
        }
        self.attempt(Work::Reports).await;
        self.attempt(Work::Host).await;
    }

    /// Lets more reports come, and takes what hosts say meanwhile, for which there is little room; not while the control plane stops.
    async fn linger(&mut self, host: &mut mpsc::Receiver<Vec<Contribution>>) {
        let stopping = self.stopping.clone();
        let mut over = pin!(tokio::time::sleep(rest_after(self.busy)));
        loop {
            tokio::select! {
                () = stopping.cancelled() => return,
                () = &mut over => return,
                Some(batch) = host.recv() => self.take(batch),
            }
        }
    }

    fn take(&mut self, batch: Vec<Contribution>) {
        let room = HOST_MAX.saturating_sub(self.host.len());
        if let Some(over) = batch.len().checked_sub(room).filter(|over| *over > 0) {
            self.metrics.series_dropped.inc_by(u64::try_from(over).unwrap_or(0));
        }
        self.host.extend(batch.into_iter().take(room));
    }

    /// Does one kind of work. What fails is still due, and done with the next round.
    pub(super) async fn attempt(&mut self, work: Work) {
        let done = match work {
            Work::Reports => self.reports().await,
            Work::Host => self.hosts().await,
            Work::Seal => self.seal().await,
        };
        if let Err(error) = done {
            // A number that is remembered here may have gone with its series.
            self.keys.clear();
            tracing::warn!(%error, ?work, "series could not be written; tried again soon");
        }
    }

    async fn reports(&mut self) -> Result<(), StoreError> {
        self.busy = Duration::ZERO;
        loop {
            let Due { together, all } = self.due().await?;
            let mut slice: Vec<(JobId, Roll)> = Vec::new();
            let mut touched = HashSet::new();
            for row in together.into_values().flatten() {
                let roll = self.resolved(&row.contribution);
                touched.extend(roll.parts.iter().filter(|part| part.detail == Detail::Samples).map(|part| part.series));
                slice.push((row.job, roll));
                if touched.len() >= SERIES_OF_REPORTS_PER_COMMIT || slice.len() >= REPORTS_PER_COMMIT {
                    self.roll(std::mem::take(&mut slice)).await?;
                    touched.clear();
                    tokio::time::sleep(BREATH).await;
                }
            }
            self.roll(slice).await?;
            if all {
                // What came meanwhile is for the next round, together with what comes until then.
                return Ok(());
            }
        }
    }

    /// What is due, page by page: a thread that looks through thousands of reports at once is missed by everybody else.
    async fn due(&mut self) -> Result<Due, StoreError> {
        let mut due = Due::default();
        let mut after = None;
        for _ in 0..PAGES_PER_READ {
            let page = series::due(&mut self.store.reader().await?, SystemScope::for_own_work(), after, REPORTS_PER_PAGE).await?;
            due.all = page.len() < usize::try_from(REPORTS_PER_PAGE).unwrap_or(usize::MAX);
            after = page.last().map(|row| row.job);
            let contributions: Vec<&Contribution> = page.iter().map(|row| &row.contribution).collect();
            self.register(&contributions).await?;
            for row in page {
                due.together.entry(of(&row.contribution)).or_default().push(row);
            }
            if due.all {
                break;
            }
        }
        Ok(due)
    }

    async fn roll(&mut self, slice: Vec<(JobId, Roll)>) -> Result<(), StoreError> {
        if slice.is_empty() {
            return Ok(());
        }
        let began = clock::monotonic();
        let rolled = self
            .store
            .write_series(move |tx| Box::pin(async move { series::roll(tx, SystemScope::for_own_work(), &slice).await }))
            .await?;
        self.busy += clock::monotonic().since(began);
        self.metrics.series_samples.inc_by(rolled.samples);
        Ok(())
    }

    /// Adds what agents saw of their hosts, each agent's together, so that an hour of a series is written once for several samples.
    async fn hosts(&mut self) -> Result<(), StoreError> {
        self.host.sort_by_key(|contribution| (contribution.agent, contribution.at));
        while !self.host.is_empty() {
            let mut seen = HashSet::new();
            let fitting = self.host.iter().take_while(|contribution| {
                seen.extend(contribution.readings.iter().map(|reading| (contribution.agent, reading.name.clone())));
                seen.len() <= SERIES_PER_COMMIT
            });
            let count = fitting.count().max(1);
            let slice: Vec<Contribution> = self.host.iter().take(count).cloned().collect();
            self.register(&slice.iter().collect::<Vec<_>>()).await?;
            let rolls: Vec<Roll> = slice.iter().map(|contribution| self.resolved(contribution)).collect();
            let rolled = self
                .store
                .write_series(move |tx| Box::pin(async move { series::add(tx, SystemScope::for_own_work(), &rolls).await }))
                .await?;
            self.metrics.series_samples.inc_by(rolled.samples);
            self.host.drain(..count);
        }
        Ok(())
    }

    async fn seal(&self) -> Result<(), StoreError> {
        let before = Hour::of(clock::now().minus(SEAL_AFTER));
        while !self.stopping.is_cancelled() {
            let sealed = self
                .store
                .write_series(move |tx| Box::pin(async move { series::seal(tx, SystemScope::for_own_work(), before, HOURS_PER_COMMIT).await }))
                .await?;
            if sealed < u64::from(HOURS_PER_COMMIT) {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Finds the numbers of every series that is not known yet.
    async fn register(&mut self, contributions: &[&Contribution]) -> Result<(), StoreError> {
        if self.keys.len() > KEYS_MAX {
            self.keys.clear();
        }
        if self.refused.len() > KEYS_MAX {
            self.refused.clear();
        }
        let mut seen = HashSet::new();
        let unknown: Vec<Identity> = contributions
            .iter()
            .flat_map(|contribution| contribution.parts())
            .map(|(identity, ..)| identity)
            .filter(|identity| !self.keys.contains_key(identity) && !self.refused.contains(identity) && seen.insert(identity.clone()))
            .collect();
        for slice in unknown.chunks(SERIES_PER_COMMIT) {
            let (wanted, at) = (slice.to_vec(), clock::now());
            let registered = self
                .store
                .write_series(move |tx| Box::pin(async move { series::register(tx, SystemScope::for_own_work(), &wanted, at).await }))
                .await?;
            if registered.refused > 0 {
                tracing::warn!(
                    series = registered.refused,
                    "a tenant has as many series as its tier allows; further ones are not kept"
                );
            }
            self.refused
                .extend(slice.iter().filter(|identity| !registered.keys.contains_key(identity)).cloned());
            self.keys.extend(registered.keys);
        }
        Ok(())
    }

    /// The numbers with their series; those whose series found no room are left out and counted.
    fn resolved(&self, contribution: &Contribution) -> Roll {
        let mut parts = Vec::new();
        for (identity, value, detail) in contribution.parts() {
            match self.keys.get(&identity) {
                Some(series) => parts.push(Part {
                    series: *series,
                    identity,
                    value,
                    detail,
                }),
                None => {
                    self.metrics.series_refused.inc();
                }
            }
        }
        Roll {
            at: contribution.at,
            good: contribution.good,
            parts,
        }
    }
}

/// How long the reports that come next are let come together. Each operation costs the writer a commit and the sums of every hour it touches, however
/// few reports it adds: the more the last round cost, the more should share the next.
fn rest_after(busy: Duration) -> Duration {
    busy.saturating_mul(REST).clamp(LINGER, LINGER_MAX)
}

/// Whose series a report's numbers come to: tenant, agent, probe and target.
type Of = (TenantId, AgentId, String, String);

fn of(contribution: &Contribution) -> Of {
    (contribution.tenant, contribution.agent, contribution.probe.clone(), contribution.target.clone())
}

/// Reports that are due.
#[derive(Default)]
struct Due {
    /// Those of the same series stand together, so that each is written once.
    together: BTreeMap<Of, Vec<DueRow>>,
    /// Whether there were no more.
    all: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Work {
    Reports,
    Host,
    Seal,
}

/// Reports that come together are added together: a series that many of them touch is written once. What dashboards show is that old at least.
const LINGER: Duration = Duration::from_secs(1);
/// So many times as long as the writer was busy with a round: everybody else has it for 99 % of the time.
const REST: u32 = 100;
/// What dashboards show is hardly older than that, however much there is to do.
const LINGER_MAX: Duration = Duration::from_secs(5);
/// How often what hosts say is added, hours are sealed, and what failed is tried again.
const OFTEN: Duration = Duration::from_secs(30);
/// Refused series are asked for again about each ten minutes.
const ROUNDS_UNTIL_ASKED_AGAIN: u32 = 20;
/// How long after its end an hour is sealed.
const SEAL_AFTER: Duration = Duration::from_mins(5);
/// Most reports of one page.
const REPORTS_PER_PAGE: u32 = 2_000;
/// Most pages in memory, about a kilobyte a report: what one agent says of one target is together only as far as it was read together.
const PAGES_PER_READ: u32 = 10;
/// Most series with samples that reports touch in one operation of the writer, and those of the one report that went beyond, each with the one or two
/// sums over agents and targets that it counts in: whoever waits for the writer waits that long, some milliseconds where a series has thousands of
/// samples in its hour.
const SERIES_OF_REPORTS_PER_COMMIT: usize = 16;
/// Most reports of one such operation.
const REPORTS_PER_COMMIT: usize = 128;
/// Between two such operations: who waits has to wait for one of them, not for all.
const BREATH: Duration = Duration::from_millis(3);
/// Most series of hosts, each with a few samples, in one operation; and most series registered by one.
const SERIES_PER_COMMIT: usize = 128;
/// Most hours sealed by one operation of the writer.
const HOURS_PER_COMMIT: u32 = 200;
/// Time for others between two operations that are in no hurry.
const PAUSE: Duration = Duration::from_millis(20);
/// Most series whose numbers are remembered.
const KEYS_MAX: usize = 200_000;
/// Most looks of agents at their hosts kept until they are added.
const HOST_MAX: usize = 50_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_a_round_took_the_longer_the_next_waits_within_bounds() {
        let [least, more, most] = [0, 30, 10_000].map(|busy| rest_after(Duration::from_millis(busy)));
        assert_eq!([least, more, most], [LINGER, Duration::from_secs(3), LINGER_MAX]);
    }
}
