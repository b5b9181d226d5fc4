//! Reports as tenants read them: in pages, and live.

use std::sync::Arc;

use control_api::measurement::JobReport;
use control_api::page::{Page, PageQuery};
use control_api::stream::{Done, StreamEvent};
use control_core::authorize::{Grant, TenantScope};
use control_store::reports::ReportRow;
use control_store::{Page as StorePage, Reader, Store};
use futures_util::{Stream, StreamExt, stream};
use shared_protocol::codec::decode_report;
use shared_protocol::id::{JobId, MeasurementId};

use super::bus::{Batch, Channel, content};
use super::{Bus, StreamItem};
use crate::error::ServiceError;
use crate::jobs::InFlight;
use crate::jobs::read::{self, measurement_of};

/// Reports; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Reports {
    store: Store,
    bus: Arc<Bus>,
    in_flight: Arc<InFlight>,
}

impl Reports {
    pub(crate) const fn new(store: Store, bus: Arc<Bus>, in_flight: Arc<InFlight>) -> Self {
        Self { store, bus, in_flight }
    }

    pub(super) const fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn bus(&self) -> &Bus {
        &self.bus
    }

    /// The reports of a measurement, by job.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement; [`ServiceError::Invalid`] for a bad page.
    pub async fn of_measurement(&self, grant: &Grant, id: &str, query: &PageQuery) -> Result<Page<JobReport>, ServiceError> {
        let scope = grant.scope()?;
        let measurement = read::parse_id::<MeasurementId>(id)?;
        let page = read::page::<JobId>(query.limit, query.cursor.as_deref())?;
        let mut reader = self.store.reader().await?;
        if control_store::jobs::measurement(&mut reader, scope, measurement).await?.is_none() {
            return Err(ServiceError::NotFound);
        }
        let rows = control_store::reports::of_measurement(&mut reader, scope, measurement, &page).await?;
        let reports = rows.into_iter().filter_map(|row| Some((row.job, job_report(&row)?))).collect();
        Ok(read::cut(reports, &page))
    }

    /// Follows a measurement: a snapshot, then everything that happens, until every job has ended.
    ///
    /// A follower that gives back the id of the last item it saw goes on behind it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement.
    pub async fn subscribe(
        &self,
        grant: &Grant,
        id: &str,
        last_event_id: Option<&str>,
    ) -> Result<impl Stream<Item = StreamItem> + Send + 'static + use<>, ServiceError> {
        let scope = grant.scope()?;
        let measurement = read::parse_id::<MeasurementId>(id)?;
        let mut reader = self.store.reader().await?;
        if control_store::jobs::measurement(&mut reader, scope, measurement).await?.is_none() {
            return Err(ServiceError::NotFound);
        }
        drop(reader);
        let follower = Follower {
            store: self.store.clone(),
            in_flight: Arc::clone(&self.in_flight),
            scope,
            measurement,
            channel: self.bus.channel(measurement),
            place: None,
            finished: false,
        };
        let place = follower.channel.as_ref().zip(last_event_id).and_then(|(channel, id)| channel.place_after(id));
        Ok(stream::unfold(Follower { place, ..follower }, |mut follower| async move {
            follower.next().await.map(|items| (items, follower))
        })
        .flat_map(stream::iter))
    }
}

/// One follower of one measurement: all it holds is its place.
struct Follower {
    store: Store,
    in_flight: Arc<InFlight>,
    scope: TenantScope,
    measurement: MeasurementId,
    channel: Option<Arc<Channel>>,
    /// The last event it has; none before the snapshot.
    place: Option<u64>,
    finished: bool,
}

impl Follower {
    /// What follows; none at the end.
    async fn next(&mut self) -> Option<Vec<StreamItem>> {
        if self.finished {
            return None;
        }
        let Some(channel) = self.channel.clone() else {
            self.finished = true;
            return self.ended_story().await;
        };
        let Some(place) = self.place else {
            return self.begin(&channel).await;
        };
        let mut watch = channel.watch();
        loop {
            let progress = *watch.borrow_and_update();
            match channel.after(place) {
                Batch::Gap(at) => return self.snapshot(&channel, at).await,
                Batch::Items(items, at) if !items.is_empty() => {
                    self.place = Some(at);
                    self.finished = progress.done && at >= progress.latest;
                    return Some(items);
                }
                Batch::Items(..) if progress.done => return None,
                Batch::Items(..) => {}
            }
            watch.changed().await.ok()?;
        }
    }

    /// A new follower gets the whole story where it is still kept, so that no early reply is missed.
    async fn begin(&mut self, channel: &Channel) -> Option<Vec<StreamItem>> {
        match channel.after(0) {
            Batch::Gap(at) => self.snapshot(channel, at).await,
            Batch::Items(items, at) => {
                self.place = Some(at);
                let progress = *channel.watch().borrow();
                self.finished = progress.done && at >= progress.latest;
                let mut story = self.story(channel.id(0), SnapshotReports::Leave).await?;
                story.extend(items);
                Some(story)
            }
        }
    }

    /// The measurement as it stands, with every report there is: what happened up to a place.
    async fn snapshot(&mut self, channel: &Channel, at: u64) -> Option<Vec<StreamItem>> {
        self.place = Some(at);
        self.story(channel.id(at), SnapshotReports::Include).await
    }

    async fn ended_story(&self) -> Option<Vec<StreamItem>> {
        let mut story = self.story(format!("ended.{}.0", self.measurement), SnapshotReports::Include).await?;
        story.extend(item(
            String::new(),
            &StreamEvent::Done(Done {
                measurement: self.measurement.to_string(),
            }),
        ));
        Some(story)
    }

    async fn story(&self, id: String, reports: SnapshotReports) -> Option<Vec<StreamItem>> {
        let read = async {
            let mut reader = self.store.reader().await?;
            let measurement = measurement_of(&mut reader, &self.in_flight, self.scope, self.measurement).await?;
            let rows = match reports {
                SnapshotReports::Include => all_reports(&mut reader, self.scope, self.measurement).await?,
                SnapshotReports::Leave => Vec::new(),
            };
            Ok::<_, ServiceError>((measurement, rows))
        };
        match read.await {
            Ok((measurement, rows)) => {
                let mut story: Vec<StreamItem> = item(id.clone(), &StreamEvent::Snapshot(measurement)).into_iter().collect();
                story.extend(
                    rows.iter()
                        .filter_map(job_report)
                        .filter_map(|report| item(id.clone(), &StreamEvent::Report(report))),
                );
                Some(story)
            }
            Err(error) => {
                tracing::warn!(%error, "a follower's snapshot could not be read; its stream ends, and it comes back");
                None
            }
        }
    }
}

/// Whether a snapshot carries the reports as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SnapshotReports {
    Include,
    Leave,
}

async fn all_reports(reader: &mut Reader, scope: TenantScope, measurement: MeasurementId) -> Result<Vec<ReportRow>, ServiceError> {
    let mut rows: Vec<ReportRow> = Vec::new();
    loop {
        let next = StorePage {
            after: rows.last().map(|row| row.job),
            limit: REPORTS_PER_READ,
        };
        let page = control_store::reports::of_measurement(reader, scope, measurement, &next).await?;
        let last = u32::try_from(page.len()).is_ok_and(|read| read < REPORTS_PER_READ);
        rows.extend(page);
        if last {
            return Ok(rows);
        }
    }
}

fn item(id: String, event: &StreamEvent) -> Option<StreamItem> {
    Some(StreamItem {
        id,
        name: event.name(),
        data: content(event).ok()?,
    })
}

pub(super) fn job_report(row: &ReportRow) -> Option<JobReport> {
    match decode_report(row.body.get()) {
        Ok(report) => Some(JobReport {
            job: row.job.to_string(),
            measurement: row.measurement.to_string(),
            agent: row.agent.to_string(),
            received_at: row.received_at.into(),
            started_at: row.started_at.into(),
            late: row.late,
            cached: row.cached,
            report,
        }),
        Err(error) => {
            tracing::warn!(%error, job_id = %row.job, "a stored report cannot be read by this version; left out");
            None
        }
    }
}

/// Reports read at a time for a snapshot.
const REPORTS_PER_READ: u32 = 200;
