//! The one bus: what happens to a measurement, numbered and kept for a while, for whoever follows it.
//!
//! Each measurement with an open job has a channel: a ring of at most [`EVENT_RING_BYTES`] and a watch that tells followers there is more.
//! So has each tenant that somebody follows, for what happens in it whatever measurement it belongs to.
//! A follower keeps only its place; one that falls behind the ring is told by a fresh snapshot, so a slow reader costs nothing.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use control_api::stream::{Done, StreamEvent, TenantEvent};
use shared_protocol::id::{MeasurementId, TenantId};
use shared_protocol::limits::EVENT_RING_BYTES;
use tokio::sync::watch;

/// One event of a measurement's stream, already written out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamItem {
    /// `<boot>.<measurement>.<n>`; give it back to go on behind it.
    pub id: String,
    /// The event's name.
    pub name: &'static str,
    /// The event's data, JSON.
    pub data: Arc<str>,
}

/// Every measurement with an open job.
#[derive(Debug)]
pub(crate) struct Bus {
    boot: String,
    channels: Mutex<HashMap<MeasurementId, Arc<Channel>>>,
    tenants: Mutex<HashMap<TenantId, Arc<Channel>>>,
}

/// What happens to one measurement, or in one tenant.
#[derive(Debug)]
pub(crate) struct Channel {
    boot: String,
    subject: String,
    /// None where the jobs were loaded at start, and for tenants.
    beginning: Option<Beginning>,
    ring: Mutex<Ring>,
    latest: watch::Sender<Progress>,
}

/// A measurement as it was accepted: with every event since, that is how it stands.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Whose it is.
    pub(crate) tenant: TenantId,
    /// The measurement, JSON.
    pub(crate) measurement: Arc<str>,
}

/// How far a channel has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Number of the latest event; 0 before the first.
    pub(crate) latest: u64,
    /// Whether every job has ended and no event follows.
    pub(crate) done: bool,
}

/// What a follower gets from its place on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// The events after its place, and its new place.
    Items(Vec<StreamItem>, u64),
    /// The ring no longer holds what follows its place; a snapshot as of this place is due.
    Gap(u64),
}

#[derive(Debug, Default)]
struct Ring {
    open_jobs: usize,
    next: u64,
    bytes: usize,
    events: VecDeque<(u64, &'static str, Arc<str>)>,
}

impl Bus {
    pub(crate) fn new(boot: String) -> Self {
        Self {
            boot,
            channels: Mutex::default(),
            tenants: Mutex::default(),
        }
    }

    /// Opens a measurement's channel for jobs that were just accepted; or loaded at start, without its beginning.
    pub(crate) fn open(&self, measurement: MeasurementId, jobs: usize, beginning: Option<Beginning>) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let channel = channels
            .entry(measurement)
            .or_insert_with(|| Arc::new(Channel::new(self.boot.clone(), measurement.to_string(), beginning)));
        channel.ring.lock().unwrap_or_else(PoisonError::into_inner).open_jobs += jobs;
    }

    /// Publishes an event; without a channel nobody can be following, and it is forgotten.
    pub(crate) fn publish(&self, measurement: MeasurementId, event: &StreamEvent) {
        if let Some(channel) = self.channel(measurement) {
            channel.push(event);
        }
    }

    /// Publishes an event of a job that is at its end, on disk already. Where nobody follows and no other job is open, the event is not even made:
    /// the channel closes with that job, and who comes before it does is told by a snapshot.
    pub(crate) fn publish_at_end(&self, measurement: MeasurementId, event: impl FnOnce() -> StreamEvent) {
        let Some(channel) = self.channel(measurement) else { return };
        let followed = Arc::strong_count(&channel) > NOBODYS;
        if followed || !channel.passed_over() {
            channel.push(&event());
        }
    }

    /// Takes note that a job has its end; after the last one the channel says so and closes.
    pub(crate) fn job_ended(&self, measurement: MeasurementId) {
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(channel) = channels.get(&measurement) else { return };
        if channel.job_ended(measurement) {
            channels.remove(&measurement);
        }
    }

    /// The channel of a measurement that has an open job.
    pub(crate) fn channel(&self, measurement: MeasurementId) -> Option<Arc<Channel>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner).get(&measurement).cloned()
    }

    /// The channel of a tenant, for whoever follows it. It stays when its last follower leaves, so that one that comes back finds what it
    /// missed, until there are too many without a follower.
    pub(crate) fn tenant(&self, tenant: TenantId) -> Arc<Channel> {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        if tenants.len() >= TENANTS_MAX && !tenants.contains_key(&tenant) {
            tenants.retain(|_, channel| channel.latest.receiver_count() > 0);
        }
        let channel = tenants
            .entry(tenant)
            .or_insert_with(|| Arc::new(Channel::new(self.boot.clone(), tenant.to_string(), None)));
        Arc::clone(channel)
    }

    /// Publishes what happened in a tenant; without a channel nobody follows it.
    pub(crate) fn publish_tenant(&self, tenant: TenantId, event: &TenantEvent) {
        let channel = self.tenants.lock().unwrap_or_else(PoisonError::into_inner).get(&tenant).cloned();
        if let Some(channel) = channel {
            channel.append(event.name(), tenant_content(event));
        }
    }
}

impl Channel {
    fn new(boot: String, subject: String, beginning: Option<Beginning>) -> Self {
        Self {
            boot,
            subject,
            beginning,
            ring: Mutex::new(Ring { next: 1, ..Ring::default() }),
            latest: watch::Sender::default(),
        }
    }

    /// The measurement as it was accepted, where that is known here.
    pub(crate) const fn beginning(&self) -> Option<&Beginning> {
        self.beginning.as_ref()
    }

    /// Tells when there is more.
    pub(crate) fn watch(&self) -> watch::Receiver<Progress> {
        self.latest.subscribe()
    }

    /// The place behind an event id of this run of the server; none for an id that is not from here.
    pub(crate) fn place_after(&self, id: &str) -> Option<u64> {
        let mut parts = id.split('.');
        let (boot, subject, number) = (parts.next()?, parts.next()?, parts.next()?);
        let own = boot == self.boot && subject == self.subject && parts.next().is_none();
        let number = number.parse::<u64>().ok()?;
        let known = number < self.ring.lock().unwrap_or_else(PoisonError::into_inner).next;
        (own && known).then_some(number)
    }

    /// The id of a place, as a snapshot carries it.
    pub(crate) fn id(&self, place: u64) -> String {
        format!("{}.{}.{place}", self.boot, self.subject)
    }

    /// The events after a place.
    pub(crate) fn after(&self, place: u64) -> Batch {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let first = ring.events.front().map_or(ring.next, |(number, _, _)| *number);
        if place + 1 < first {
            return Batch::Gap(ring.behind());
        }
        let items = ring.events.iter().filter(|(number, _, _)| *number > place);
        let items = items
            .map(|(number, name, data)| StreamItem {
                id: self.id(*number),
                name,
                data: Arc::clone(data),
            })
            .collect();
        Batch::Items(items, ring.next - 1)
    }

    fn push(&self, event: &StreamEvent) {
        self.append(event.name(), content(event));
    }

    /// Leaves a gap instead of an event, where the measurement's last job is at its end; says whether it did.
    fn passed_over(&self) -> bool {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let last = ring.open_jobs <= 1;
        if last {
            ring.events.clear();
            ring.bytes = 0;
            ring.next += 1;
        }
        last
    }

    fn append(&self, name: &'static str, content: serde_json::Result<Arc<str>>) {
        let data = match content {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(%error, event = name, "an event has no JSON form");
                return;
            }
        };
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.push(name, data);
        let latest = ring.next - 1;
        drop(ring);
        self.latest.send_modify(|progress| progress.latest = latest);
    }

    /// Returns whether that was the last one.
    fn job_ended(&self, measurement: MeasurementId) -> bool {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.open_jobs = ring.open_jobs.saturating_sub(1);
        let last = ring.open_jobs == 0;
        drop(ring);
        if last {
            self.push(&StreamEvent::Done(Done {
                measurement: measurement.to_string(),
            }));
            self.latest.send_modify(|progress| progress.done = true);
        }
        last
    }
}

impl Ring {
    /// Where a follower stands that was told everything by a snapshot: that nothing more comes it is told by the event that says so.
    fn behind(&self) -> u64 {
        match self.events.back() {
            Some((number, StreamEvent::DONE, _)) => number - 1,
            Some(_) | None => self.next - 1,
        }
    }

    fn push(&mut self, name: &'static str, data: Arc<str>) {
        self.bytes += data.len() + EVENT_OVERHEAD_BYTES;
        self.events.push_back((self.next, name, data));
        self.next += 1;
        while self.bytes > EVENT_RING_BYTES.saturating_mul(self.open_jobs.clamp(1, RINGS_MAX)) && self.events.len() > 1 {
            if let Some((_, _, dropped)) = self.events.pop_front() {
                self.bytes -= dropped.len() + EVENT_OVERHEAD_BYTES;
            }
        }
    }
}

/// The content of an event, as the `data:` line carries it; the name travels beside it.
pub(crate) fn content(event: &StreamEvent) -> serde_json::Result<Arc<str>> {
    let text = match event {
        StreamEvent::Snapshot(measurement) => serde_json::to_string(measurement),
        StreamEvent::Job(change) => serde_json::to_string(change),
        StreamEvent::Finding(finding) => serde_json::to_string(finding),
        StreamEvent::Report(report) => serde_json::to_string(report),
        StreamEvent::Done(done) => serde_json::to_string(done),
    }?;
    Ok(text.into())
}

fn tenant_content(event: &TenantEvent) -> serde_json::Result<Arc<str>> {
    let text = match event {
        TenantEvent::JobEnded(ended) => serde_json::to_string(ended),
        TenantEvent::Presence(presence) => serde_json::to_string(presence),
    }?;
    Ok(text.into())
}

/// Holders of a channel that is looked at and that nobody follows: the bus, and whoever looks.
const NOBODYS: usize = 2;
/// Most tenants whose channels are kept although nobody follows them.
const TENANTS_MAX: usize = 1_000;
/// What an event costs beside its data, bytes.
const EVENT_OVERHEAD_BYTES: usize = 64;
/// A measurement on many agents keeps at most this many jobs' worth of events.
const RINGS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use control_api::stream::JobChange;
    use shared_protocol::time::UnixMicros;

    fn measurement() -> MeasurementId {
        MeasurementId::new(UnixMicros::from_micros(1_000_000), [1; 10])
    }

    fn event(text: &str) -> StreamEvent {
        StreamEvent::Job(JobChange {
            job: text.to_owned(),
            agent: String::new(),
            state: String::new(),
            reason: None,
            attempt: 1,
        })
    }

    #[test]
    fn a_follower_gets_every_event_once_and_in_order() {
        let bus = Bus::new("boot".to_owned());
        bus.open(measurement(), 1, None);
        let channel = bus.channel(measurement()).unwrap();
        bus.publish(measurement(), &event("a"));
        bus.publish(measurement(), &event("b"));
        let Batch::Items(items, place) = channel.after(0) else {
            panic!("nothing was dropped")
        };
        assert_eq!(items.iter().map(|item| item.id.rsplit('.').next().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
        bus.publish(measurement(), &event("c"));
        assert!(matches!(channel.after(place), Batch::Items(items, 3) if items.len() == 1));
        assert_eq!(channel.place_after(&items[1].id), Some(2));
    }

    #[test]
    fn a_place_of_another_run_or_measurement_or_the_future_is_not_taken() {
        let bus = Bus::new("boot".to_owned());
        bus.open(measurement(), 1, None);
        let channel = bus.channel(measurement()).unwrap();
        bus.publish(measurement(), &event("a"));
        let id = channel.id(1);
        assert_eq!(channel.place_after(&id), Some(1));
        for foreign in [
            id.replace("boot", "other"),
            channel.id(2),
            format!("{id}.1"),
            "garbage".to_owned(),
            String::new(),
            channel.id(u64::MAX),
        ] {
            assert_eq!(channel.place_after(&foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_follower_behind_the_ring_is_told_of_the_gap() {
        let bus = Bus::new("boot".to_owned());
        bus.open(measurement(), 1, None);
        let channel = bus.channel(measurement()).unwrap();
        let long = "x".repeat(EVENT_RING_BYTES / 4);
        for _ in 0..8 {
            bus.publish(measurement(), &event(&long));
        }
        assert_eq!(channel.after(0), Batch::Gap(8));
        assert!(matches!(channel.after(7), Batch::Items(items, 8) if items.len() == 1));
    }

    #[test]
    fn an_event_at_the_end_that_nobody_follows_is_a_gap_and_the_end_is_told_all_the_same() {
        let bus = Bus::new("boot".to_owned());
        bus.open(measurement(), 2, None);
        bus.publish_at_end(measurement(), || event("kept: another job is open"));
        assert!(matches!(bus.channel(measurement()).unwrap().after(0), Batch::Items(items, 1) if items.len() == 1));
        bus.job_ended(measurement());
        bus.publish_at_end(measurement(), || panic!("made for nobody"));
        let late = bus.channel(measurement()).unwrap();
        assert_eq!(late.after(0), Batch::Gap(2));
        bus.job_ended(measurement());
        assert_eq!(late.after(0), Batch::Gap(2), "what was told by a snapshot is not the end");
        assert!(matches!(late.after(2), Batch::Items(items, 3) if items[0].name == StreamEvent::DONE));

        bus.open(measurement(), 1, None);
        let followed = bus.channel(measurement()).unwrap();
        bus.publish_at_end(measurement(), || event("followed"));
        assert!(matches!(followed.after(0), Batch::Items(items, 1) if items.len() == 1));
    }

    #[test]
    fn the_channel_closes_after_the_last_job() {
        let bus = Bus::new("boot".to_owned());
        bus.open(measurement(), 2, None);
        let channel = bus.channel(measurement()).unwrap();
        bus.job_ended(measurement());
        assert!(!channel.watch().borrow().done);
        bus.job_ended(measurement());
        assert_eq!(*channel.watch().borrow(), Progress { latest: 1, done: true });
        assert!(bus.channel(measurement()).is_none());
    }
}
