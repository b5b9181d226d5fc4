//! What happens in a tenant: ends of its jobs, agents that come and go; followed by topic, from a place or from now.

use std::sync::Arc;

use control_api::stream::TenantEvent;
use control_core::authorize::Grant;
use futures_util::{Stream, StreamExt, stream};

use super::bus::{Batch, Channel};
use super::{Reports, StreamItem};
use crate::error::ServiceError;

/// What of a tenant is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Ends of jobs.
    Jobs,
    /// Agents that come and go.
    Agents,
}

/// What a follower of a tenant gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantItem {
    /// What happened before this place is not known here: the follower reads how things stand, and goes on behind it.
    Behind(String),
    /// Something happened.
    Happened(StreamItem),
}

impl Topic {
    /// The name in requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Agents => "agents",
        }
    }

    const fn event(self) -> &'static str {
        match self {
            Self::Jobs => TenantEvent::JOB_ENDED,
            Self::Agents => TenantEvent::PRESENCE,
        }
    }
}

impl Reports {
    /// Follows a topic of the tenant, without an end. A follower that gives back the id of the last item it saw goes on behind it, as far as
    /// that is still kept; else it is told first that it is behind.
    ///
    /// # Errors
    /// [`ServiceError::Denied`] where the grant is for no tenant.
    pub fn follow_tenant(
        &self,
        grant: &Grant,
        topic: Topic,
        last_id: Option<&str>,
    ) -> Result<impl Stream<Item = TenantItem> + Send + 'static + use<>, ServiceError> {
        let channel = self.bus().tenant(grant.scope()?.tenant());
        let place = last_id.and_then(|id| channel.place_after(id));
        let follower = Follower {
            watch: channel.watch(),
            channel,
            topic,
            place,
        };
        Ok(stream::unfold(follower, |mut follower| async move { Some((follower.next().await?, follower)) }).flat_map(stream::iter))
    }
}

struct Follower {
    channel: Arc<Channel>,
    /// Held for as long as it follows, so that the channel is known to have followers.
    watch: tokio::sync::watch::Receiver<super::bus::Progress>,
    topic: Topic,
    place: Option<u64>,
}

impl Follower {
    async fn next(&mut self) -> Option<Vec<TenantItem>> {
        loop {
            let latest = self.watch.borrow_and_update().latest;
            let Some(place) = self.place else {
                return Some(vec![self.behind(latest)]);
            };
            match self.channel.after(place) {
                Batch::Gap(at) => return Some(vec![self.behind(at)]),
                Batch::Items(items, at) => {
                    self.place = Some(at);
                    let own: Vec<TenantItem> = items
                        .into_iter()
                        .filter(|item| item.name == self.topic.event())
                        .map(TenantItem::Happened)
                        .collect();
                    if !own.is_empty() {
                        return Some(own);
                    }
                }
            }
            self.watch.changed().await.ok()?;
        }
    }

    fn behind(&mut self, at: u64) -> TenantItem {
        self.place = Some(at);
        TenantItem::Behind(self.channel.id(at))
    }
}

#[cfg(test)]
mod tests {
    use control_api::stream::{AgentPresence, JobEnded};
    use control_core::authorize::{Action, Principal, Resource, Scopes, authorize};
    use shared_protocol::id::TenantId;
    use shared_protocol::tier::Tier;
    use shared_protocol::time::UnixMicros;

    use super::super::Bus;
    use super::*;

    fn tenant(seed: u8) -> TenantId {
        TenantId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn ended(job: &str) -> TenantEvent {
        TenantEvent::JobEnded(JobEnded {
            job: job.to_owned(),
            measurement: String::new(),
            agent: String::new(),
            state: "completed".to_owned(),
            reason: None,
        })
    }

    fn online() -> TenantEvent {
        TenantEvent::Presence(AgentPresence {
            agent: "a".to_owned(),
            presence: "online".to_owned(),
        })
    }

    async fn reports() -> (tempfile::TempDir, Reports, Arc<Bus>, Grant) {
        let directory = tempfile::tempdir().unwrap();
        let store = control_store::Store::open(&directory.path().join("probeops.db"), control_store::StoreOptions::default())
            .await
            .unwrap();
        let bus = Arc::new(Bus::new("boot".to_owned()));
        let principal = Principal::Key {
            key: "k".to_owned(),
            tenant: tenant(1),
            tier: Tier::Free,
            scopes: Scopes::ALL,
        };
        let grant = authorize(&principal, Action::MeasurementRead, Resource::OwnTenant).unwrap();
        (directory, Reports::new(store, Arc::clone(&bus), Arc::default()), bus, grant)
    }

    #[tokio::test]
    async fn a_topic_is_followed_from_now_and_taken_up_again_from_its_place() {
        let (_directory, reports, bus, grant) = reports().await;
        let mut jobs = Box::pin(reports.follow_tenant(&grant, Topic::Jobs, None).unwrap());
        assert!(matches!(jobs.next().await, Some(TenantItem::Behind(_))), "nothing is known of before");
        bus.publish_tenant(tenant(1), &online());
        bus.publish_tenant(tenant(1), &ended("first"));
        bus.publish_tenant(tenant(2), &ended("foreign"));
        let Some(TenantItem::Happened(first)) = jobs.next().await else { panic!() };
        assert!(first.data.contains("first"));
        drop(jobs);
        bus.publish_tenant(tenant(1), &ended("second"));
        let mut again = Box::pin(reports.follow_tenant(&grant, Topic::Jobs, Some(&first.id)).unwrap());
        let Some(TenantItem::Happened(second)) = again.next().await else { panic!() };
        assert!(second.data.contains("second"), "what happened meanwhile is still kept");
        let mut agents = Box::pin(reports.follow_tenant(&grant, Topic::Agents, Some("boot.other.0")).unwrap());
        assert!(matches!(agents.next().await, Some(TenantItem::Behind(_))));
        bus.publish_tenant(tenant(1), &online());
        assert!(matches!(agents.next().await, Some(TenantItem::Happened(item)) if item.name == "presence"));
    }
}
