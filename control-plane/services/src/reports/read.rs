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
        let rows = control_store::reports::of_measurement(&mut reader, scope, measurement, &page).await?;
        if rows.is_empty() && control_store::jobs::measurement(&mut reader, scope, measurement).await?.is_none() {
            return Err(ServiceError::NotFound);
        }
        let reports = rows.into_iter().filter_map(|row| Some((row.job, job_report(&row)?))).collect();
        Ok(read::cut(reports, &page))
    }

    /// Follows a measurement: a snapshot, then everything that happens, until every job has ended.
    ///
    /// A follower that gives back the id of the last item it saw goes on behind it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such measurement; that of the store where what a follower begins with cannot be read: a stream
    /// that ends before it began would look like a measurement without a story.
    pub async fn subscribe(
        &self,
        grant: &Grant,
        id: &str,
        last_event_id: Option<&str>,
    ) -> Result<impl Stream<Item = StreamItem> + Send + 'static + use<>, ServiceError> {
        let scope = grant.scope()?;
        let measurement = read::parse_id::<MeasurementId>(id)?;
        let channel = self.bus.channel(measurement);
        let place = channel.as_ref().zip(last_event_id).and_then(|(channel, id)| channel.place_after(id));
        let mut follower = Follower {
            store: self.store.clone(),
            in_flight: Arc::clone(&self.in_flight),
            scope,
            measurement,
            channel,
            place,
            finished: false,
        };
        let first = follower.first().await?;
        Ok(stream::iter(first).chain(
            stream::unfold(follower, |mut follower| async move {
                match follower.next().await {
                    Ok(items) => items.map(|items| (items, follower)),
                    Err(error) => {
                        tracing::warn!(%error, "a follower's snapshot could not be read; its stream ends, and it comes back");
                        None
                    }
                }
            })
            .flat_map(stream::iter),
        ))
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
    /// What a follower begins with, read within its tenant: nothing for one that goes on behind a place, if the measurement is its tenant's.
    async fn first(&mut self) -> Result<Vec<StreamItem>, ServiceError> {
        let Some(channel) = self.channel.clone() else {
            self.finished = true;
            return self.ended_story().await;
        };
        match channel.beginning() {
            Some(beginning) if beginning.tenant != self.scope.tenant() => return Err(ServiceError::NotFound),
            _ if self.place.is_none() => return self.begin(&channel).await,
            Some(_) => return Ok(Vec::new()),
            None => {}
        }
        let mut reader = self.store.reader().await?;
        let known = control_store::jobs::measurement(&mut reader, self.scope, self.measurement).await?;
        known.map(|_| Vec::new()).ok_or(ServiceError::NotFound)
    }

    /// What follows; none at the end.
    async fn next(&mut self) -> Result<Option<Vec<StreamItem>>, ServiceError> {
        let (Some(channel), Some(place), false) = (self.channel.clone(), self.place, self.finished) else {
            return Ok(None);
        };
        let mut watch = channel.watch();
        loop {
            let progress = *watch.borrow_and_update();
            match channel.after(place) {
                Batch::Gap(at) => return self.snapshot(&channel, at).await.map(Some),
                Batch::Items(items, at) if !items.is_empty() => {
                    self.place = Some(at);
                    self.finished = progress.done && at >= progress.latest;
                    return Ok(Some(items));
                }
                Batch::Items(..) if progress.done => return Ok(None),
                Batch::Items(..) => {}
            }
            if watch.changed().await.is_err() {
                return Ok(None);
            }
        }
    }

    /// A new follower gets the whole story where it is still kept, so that no early reply is missed.
    async fn begin(&mut self, channel: &Channel) -> Result<Vec<StreamItem>, ServiceError> {
        match channel.after(0) {
            Batch::Gap(at) => self.snapshot(channel, at).await,
            Batch::Items(items, at) => {
                self.place = Some(at);
                let progress = *channel.watch().borrow();
                self.finished = progress.done && at >= progress.latest;
                let mut story = match channel.beginning() {
                    Some(beginning) => vec![StreamItem {
                        id: channel.id(0),
                        name: StreamEvent::SNAPSHOT,
                        data: Arc::clone(&beginning.measurement),
                    }],
                    None => self.story(channel.id(0), SnapshotReports::Leave).await?,
                };
                story.extend(items);
                Ok(story)
            }
        }
    }

    /// The measurement as it stands, with every report there is: what happened up to a place.
    async fn snapshot(&mut self, channel: &Channel, at: u64) -> Result<Vec<StreamItem>, ServiceError> {
        self.place = Some(at);
        self.story(channel.id(at), SnapshotReports::Include).await
    }

    async fn ended_story(&self) -> Result<Vec<StreamItem>, ServiceError> {
        let mut story = self.story(format!("ended.{}.0", self.measurement), SnapshotReports::Include).await?;
        story.extend(item(
            String::new(),
            &StreamEvent::Done(Done {
                measurement: self.measurement.to_string(),
            }),
        ));
        Ok(story)
    }

    async fn story(&self, id: String, reports: SnapshotReports) -> Result<Vec<StreamItem>, ServiceError> {
        let mut reader = self.store.reader().await?;
        let measurement = measurement_of(&mut reader, &self.in_flight, self.scope, self.measurement).await?;
        let rows = match reports {
            SnapshotReports::Include => all_reports(&mut reader, self.scope, self.measurement).await?,
            SnapshotReports::Leave => Vec::new(),
        };
        drop(reader);
        let mut story: Vec<StreamItem> = item(id.clone(), &StreamEvent::Snapshot(measurement)).into_iter().collect();
        story.extend(
            rows.iter()
                .filter_map(job_report)
                .filter_map(|report| item(id.clone(), &StreamEvent::Report(report))),
        );
        Ok(story)
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use control_core::authorize::{Action, Principal, Resource, Scopes, authorize};
    use control_store::StoreOptions;
    use shared_protocol::id::TenantId;
    use shared_protocol::tier::Tier;
    use shared_protocol::time::UnixMicros;

    use super::super::Beginning;
    use super::*;

    fn tenant(byte: u8) -> TenantId {
        TenantId::new(UnixMicros::from_micros(1), [byte; 10])
    }

    fn grant(tenant: TenantId) -> Grant {
        let principal = Principal::Key {
            key: "k".to_owned(),
            tenant,
            tier: Tier::Free,
            scopes: Scopes::ALL,
        };
        authorize(&principal, Action::MeasurementRead, Resource::OwnTenant).unwrap()
    }

    /// A store whose only reading connection is taken, so that nothing can be read from it.
    async fn unreadable() -> (tempfile::TempDir, Store, Reader) {
        let directory = tempfile::tempdir().unwrap();
        let options = StoreOptions {
            readers: 1,
            // Long enough for a machine that is busy to open the connection, short enough to wait for its being refused.
            reader_wait: Duration::from_millis(500),
            ..StoreOptions::default()
        };
        let store = Store::open(&directory.path().join("probeops.db"), options).await.unwrap();
        let taken = store.reader().await.unwrap();
        (directory, store, taken)
    }

    #[tokio::test]
    async fn a_story_that_cannot_be_read_is_an_error_and_not_an_empty_stream() {
        let (_directory, store, taken) = unreadable().await;
        let reports = Reports::new(store, Arc::new(Bus::new("boot".to_owned())), Arc::default());
        let ended = MeasurementId::new(UnixMicros::from_micros(1), [1; 10]).to_string();
        let refused = reports.subscribe(&grant(tenant(1)), &ended, None).await.err().unwrap();
        assert!(matches!(refused, ServiceError::Unavailable { .. }), "{refused:?}");
        drop(taken);
        let unknown = reports.subscribe(&grant(tenant(1)), &ended, None).await.err().unwrap();
        assert!(matches!(unknown, ServiceError::NotFound), "{unknown:?}");
    }

    #[tokio::test]
    async fn who_comes_while_the_whole_story_is_kept_gets_it_from_memory_and_only_if_it_is_theirs() {
        let (_directory, store, _taken) = unreadable().await;
        let bus = Arc::new(Bus::new("boot".to_owned()));
        let measurement = MeasurementId::new(UnixMicros::from_micros(1), [1; 10]);
        let beginning = Beginning {
            tenant: tenant(1),
            measurement: "{}".into(),
        };
        bus.open(measurement, 1, Some(beginning));
        let reports = Reports::new(store, Arc::clone(&bus), Arc::default());
        let id = measurement.to_string();
        let first = bus.channel(measurement).unwrap().id(0);
        for place in [None, Some(first.as_str())] {
            let foreign = reports.subscribe(&grant(tenant(2)), &id, place).await.err().unwrap();
            assert!(matches!(foreign, ServiceError::NotFound), "{foreign:?}");
        }
        let new = reports.subscribe(&grant(tenant(1)), &id, None).await.unwrap();
        let back = reports.subscribe(&grant(tenant(1)), &id, Some(&first)).await.unwrap();
        bus.job_ended(measurement);
        assert_eq!(pin!(new).map(|item| item.name).collect::<Vec<_>>().await, ["snapshot", "done"]);
        assert_eq!(pin!(back).map(|item| item.name).collect::<Vec<_>>().await, ["done"]);
    }
}
