//! One subject followed: its events as messages, and how things stand where what was before is not known.

use std::pin::Pin;
use std::str::FromStr as _;

use control_api::agent::AgentQuery;
use control_api::job::JobQuery;
use control_api::stream::{AgentPresence, StreamMessage, Subject, TopicName};
use control_core::authorize::Grant;
use control_services::ServiceError;
use control_services::reports::{StreamItem, TenantItem, Topic};
use futures_util::{Stream, StreamExt};
use serde_json::Value;
use shared_protocol::id::MeasurementId;

use crate::http::state::AppState;

/// A message of a subject.
pub(super) struct Told {
    pub(super) subject: Subject,
    pub(super) number: u64,
    pub(super) message: StreamMessage,
}

/// Follows a subject; its messages carry the number given here.
pub(super) async fn follow(
    state: &AppState,
    grant: &Grant,
    subject: &Subject,
    number: u64,
    after: Option<&str>,
) -> Result<Pin<Box<dyn Stream<Item = Told> + Send>>, ServiceError> {
    let after = after.filter(|id| id.len() <= EVENT_ID_BYTES);
    let subject = subject.clone();
    match &subject {
        Subject::Measurement(id) => {
            MeasurementId::from_str(id).map_err(|_| ServiceError::NotFound)?;
            let items = state.services.reports.subscribe(grant, id, after).await?;
            Ok(Box::pin(items.map(move |item| told(&subject, number, item))))
        }
        Subject::Topic(name) => {
            let topic = match name {
                TopicName::Jobs => Topic::Jobs,
                TopicName::Agents => Topic::Agents,
            };
            let items = state.services.reports.follow_tenant(grant, topic, after)?;
            let (state, grant) = (state.clone(), grant.clone());
            Ok(Box::pin(items.then(move |item| {
                let (subject, state, grant) = (subject.clone(), state.clone(), grant.clone());
                async move {
                    match item {
                        TenantItem::Happened(item) => told(&subject, number, item),
                        TenantItem::Behind(id) => Told {
                            message: StreamMessage {
                                id: Some(id),
                                data: standing(&state, &grant, topic).await,
                                ..StreamMessage::about(&subject, "snapshot")
                            },
                            subject,
                            number,
                        },
                    }
                }
            })))
        }
    }
}

fn told(subject: &Subject, number: u64, item: StreamItem) -> Told {
    let data = serde_json::from_str(&item.data).ok();
    Told {
        message: StreamMessage {
            id: Some(item.id).filter(|id| !id.is_empty()),
            data: data.unwrap_or_default(),
            ..StreamMessage::about(subject, item.name)
        },
        subject: subject.clone(),
        number,
    }
}

/// How things stand: the presence of the tenant's newest agents, or its newest jobs; further ones are read from their lists.
async fn standing(state: &AppState, grant: &Grant, topic: Topic) -> Value {
    let value = match topic {
        Topic::Jobs => {
            let query = JobQuery {
                limit: Some(STANDING_MAX),
                ..JobQuery::default()
            };
            state.services.jobs.jobs(grant, &query).await.map(|page| serde_json::to_value(page.items))
        }
        Topic::Agents => {
            let query = AgentQuery {
                limit: Some(STANDING_MAX),
                ..AgentQuery::default()
            };
            state.services.fleet.agents(grant, &query).await.map(|page| {
                let presences = page.items.into_iter().map(|agent| AgentPresence {
                    agent: agent.id,
                    presence: agent.presence,
                });
                serde_json::to_value(presences.collect::<Vec<_>>())
            })
        }
    };
    match value {
        Ok(Ok(value)) => value,
        Ok(Err(_)) | Err(_) => Value::Null,
    }
}

/// Most items of a snapshot.
const STANDING_MAX: u32 = 200;
/// Longest id looked at, bytes.
const EVENT_ID_BYTES: usize = 255;
