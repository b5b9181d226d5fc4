//! Join tokens: made, listed, revoked.

use std::collections::BTreeMap;
use std::time::Duration;

use control_api::join_token::{CreateJoinToken, CreatedJoinToken, JoinToken};
use control_api::page::{Page, PageQuery};
use control_core::authorize::{Grant, SystemScope};
use control_store::audit;
use control_store::join_tokens::{JoinTokenRow, NewJoinToken};
use shared_protocol::id::AgentId;
use shared_protocol::spec::InvalidField;
use shared_protocol::time::UnixMicros;

use super::join_token::{self, JoinTokenText};
use super::{Identity, checked_labels, checked_name};
use crate::clock;
use crate::error::ServiceError;
use crate::jobs::read::{cut, page};

/// What join bundles say besides the token.
#[derive(Debug, Clone)]
pub(crate) struct JoinBundles {
    /// `host:port` of the agent port.
    pub(crate) address: String,
    /// Pin of the root: `sha256:` and 64 hexadecimal digits.
    pub(crate) ca_pin: String,
}

impl Identity {
    /// The tenant's join tokens, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn join_tokens(&self, grant: &Grant, query: &PageQuery) -> Result<Page<JoinToken>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<String>(query.limit, query.cursor.as_deref())?;
        if page.after.as_deref().is_some_and(|after| !join_token::is_id(after)) {
            return Err(ServiceError::invalid("cursor", "must be the next_cursor of the page before"));
        }
        let mut reader = self.store().reader().await?;
        let rows = control_store::join_tokens::list(&mut reader, scope, &page).await?;
        Ok(cut(rows.into_iter().map(|row| (row.id.clone(), to_join_token(row))).collect(), &page))
    }

    /// Makes a join token; its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the field that is not acceptable.
    pub async fn create_join_token(&self, grant: &Grant, request: CreateJoinToken) -> Result<CreatedJoinToken, ServiceError> {
        let scope = grant.scope()?;
        let purpose = TokenFor::NewAgent {
            name: request.name.as_deref().map(|name| checked_name("name", name)).transpose()?,
            labels: checked_labels(&request.labels)?,
        };
        let limit = self.limits(self.existing(scope).await?.tier).agents;
        if control_store::agents::count(&mut self.store().reader().await?, scope).await? >= u64::from(limit) {
            return Err(agents_above_tier(limit));
        }
        let at = clock::now();
        let drawn = draw_token(grant, self.bundles(), purpose, request.ttl_s, at)?;
        let (new, ttl_s) = (drawn.new, request.ttl_s.unwrap_or(TTL_DEFAULT_S));
        let record = audit::NewAudit {
            at,
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "join_token.created",
            subject: new.id.clone(),
            detail: serde_json::json!({ "ttl_s": ttl_s }),
        };
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    control_store::join_tokens::create(tx, scope, &new).await?;
                    audit::append(tx, SystemScope::for_own_work(), &record).await
                })
            })
            .await?;
        Ok(drawn.shown)
    }

    /// Revokes a join token; revoking again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such token.
    pub async fn revoke_join_token(&self, grant: &Grant, id: &str) -> Result<(), ServiceError> {
        let scope = grant.scope()?;
        if !join_token::is_id(id) {
            return Err(ServiceError::NotFound);
        }
        let at = clock::now();
        let token = id.to_owned();
        let record = audit::NewAudit {
            at,
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "join_token.revoked",
            subject: token.clone(),
            detail: serde_json::Value::Null,
        };
        let found = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let found = control_store::join_tokens::revoke(tx, scope, &token, at).await?;
                    if found {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(found)
                })
            })
            .await?;
        if found { Ok(()) } else { Err(ServiceError::NotFound) }
    }
}

/// Whom a join token is for.
pub(crate) enum TokenFor {
    /// An agent that is made when the token is used.
    NewAgent {
        /// The name it gets.
        name: Option<String>,
        /// The labels it gets.
        labels: BTreeMap<String, String>,
    },
    /// One that is there already.
    Agent {
        /// It.
        agent: AgentId,
        /// Its name.
        name: String,
    },
}

/// A token that was drawn: what is stored of it, and what is shown of it once.
pub(crate) struct DrawnToken {
    pub(crate) new: NewJoinToken,
    pub(crate) shown: CreatedJoinToken,
}

/// Draws a join token on behalf of whoever asks.
pub(crate) fn draw_token(grant: &Grant, bundles: &JoinBundles, purpose: TokenFor, ttl_s: Option<u32>, at: UnixMicros) -> Result<DrawnToken, ServiceError> {
    let ttl_s = ttl_s.unwrap_or(TTL_DEFAULT_S);
    if !(TTL_MIN_S..=TTL_MAX_S).contains(&ttl_s) {
        return Err(ServiceError::invalid("ttl_s", format!("must be {TTL_MIN_S} to {TTL_MAX_S}")));
    }
    let token = JoinTokenText::generate().map_err(|error| {
        tracing::error!(%error, "no join token can be made");
        ServiceError::Internal
    })?;
    let (name, labels, for_agent) = match purpose {
        TokenFor::NewAgent { name, labels } => (name, labels, None),
        TokenFor::Agent { agent, name } => (Some(name), BTreeMap::new(), Some(agent)),
    };
    let new = NewJoinToken {
        id: token.id().to_owned(),
        secret_sha256: token.secret_sha256(),
        name,
        labels,
        for_agent,
        created_by: grant.actor().to_owned(),
        created_at: at,
        expires_at: at.plus(Duration::from_secs(u64::from(ttl_s))),
    };
    let shown = JoinToken {
        id: new.id.clone(),
        name: new.name.clone(),
        labels: new.labels.clone(),
        agent: for_agent.map(|agent| agent.to_string()),
        created_at: at.into(),
        expires_at: new.expires_at.into(),
        used_at: None,
        revoked_at: None,
    };
    Ok(DrawnToken {
        new,
        shown: CreatedJoinToken {
            token: shown,
            bundle: token.bundle(&bundles.address, &bundles.ca_pin),
        },
    })
}

/// The tenant has as many agents as its tier includes.
pub(crate) fn agents_above_tier(limit: u32) -> ServiceError {
    let message = format!("your tier includes {limit} agents; revoke one first");
    ServiceError::TierLimit(InvalidField::new("agents", message))
}

fn to_join_token(row: JoinTokenRow) -> JoinToken {
    JoinToken {
        id: row.id,
        name: row.name,
        labels: row.labels,
        agent: row.agent.or(row.for_agent).map(|agent| agent.to_string()),
        created_at: row.created_at.into(),
        expires_at: row.expires_at.into(),
        used_at: row.used_at.map(Into::into),
        revoked_at: row.revoked_at.map(Into::into),
    }
}

const TTL_MIN_S: u32 = 60;
const TTL_DEFAULT_S: u32 = 3_600;
const TTL_MAX_S: u32 = 86_400;
