//! API keys: made, listed, revoked.

use std::time::Duration;

use control_api::key::{CreateKey, CreatedKey, Key};
use control_api::page::{Page, PageQuery};
use control_core::authorize::{Grant, Scope, Scopes, SystemScope, UnknownScope};
use control_store::keys::{KeyRow, NewKey};
use control_store::{StoreError, audit};

use shared_protocol::spec::InvalidField;

use super::api_key::{self, ApiKey};
use super::{Identity, checked_name};
use crate::clock;
use crate::error::ServiceError;
use crate::jobs::read::{cut, page};

impl Identity {
    /// The tenant's keys, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn keys(&self, grant: &Grant, query: &PageQuery) -> Result<Page<Key>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<String>(query.limit, query.cursor.as_deref())?;
        if page.after.as_deref().is_some_and(|after| !api_key::is_id(after)) {
            return Err(ServiceError::invalid("cursor", "must be the next_cursor of the page before"));
        }
        let mut reader = self.store().reader().await?;
        let rows = control_store::keys::list(&mut reader, scope, &page).await?;
        Ok(cut(rows.into_iter().map(|row| (row.id.clone(), to_key(row))).collect(), &page))
    }

    /// Makes a key; its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the field that is not acceptable, as a scope beyond the caller's own.
    pub async fn create_key(&self, grant: &Grant, request: CreateKey) -> Result<CreatedKey, ServiceError> {
        let scope = grant.scope()?;
        let name = checked_name("name", &request.name)?;
        let scopes = checked_scopes(&request.scopes, grant.scopes())?;
        let days = request.expires_in_days.unwrap_or(DAYS_DEFAULT);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(ServiceError::invalid("expires_in_days", format!("must be 1 to {DAYS_MAX}")));
        }
        let limit = self.limits(self.existing(scope).await?.tier).keys;
        let at = clock::now();
        let key = ApiKey::generate().map_err(|error| {
            tracing::error!(%error, "no key can be made");
            ServiceError::Internal
        })?;
        let new = NewKey {
            id: key.id().to_owned(),
            name,
            scopes,
            mac: key.mac(self.pepper()),
            created_at: at,
            expires_at: at.plus(DAY * days),
        };
        let row = KeyRow {
            id: new.id.clone(),
            tenant: scope.tenant(),
            tier: shared_protocol::tier::Tier::Free,
            name: new.name.clone(),
            scopes,
            mac: new.mac,
            created_at: at,
            expires_at: new.expires_at,
            revoked_at: None,
            last_used_at: None,
        };
        let record = audit::NewAudit {
            at,
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "key.created",
            subject: new.id.clone(),
            detail: serde_json::json!({ "scopes": scopes.to_text(), "days": days }),
        };
        let written = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    if control_store::keys::count(tx, scope, at).await? >= u64::from(limit) {
                        return Err(StoreError::Conflict(TOO_MANY));
                    }
                    control_store::keys::create(tx, scope, &new).await?;
                    audit::append(tx, SystemScope::for_own_work(), &record).await
                })
            })
            .await;
        if matches!(written, Err(StoreError::Conflict(TOO_MANY))) {
            let message = format!("your tier includes {limit} keys that work; revoke one first");
            return Err(ServiceError::TierLimit(InvalidField::new("keys", message)));
        }
        written?;
        Ok(CreatedKey {
            key: to_key(row),
            secret: key.reveal(),
        })
    }

    /// Revokes a key; revoking again changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has no such key.
    pub async fn revoke_key(&self, grant: &Grant, id: &str) -> Result<(), ServiceError> {
        let scope = grant.scope()?;
        if !api_key::is_id(id) {
            return Err(ServiceError::NotFound);
        }
        let at = clock::now();
        let key = id.to_owned();
        let record = audit::NewAudit {
            at,
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action: "key.revoked",
            subject: key.clone(),
            detail: serde_json::Value::Null,
        };
        let found = self
            .store()
            .write(move |tx| {
                Box::pin(async move {
                    let found = control_store::keys::revoke(tx, scope, &key, at).await?;
                    if found {
                        audit::append(tx, SystemScope::for_own_work(), &record).await?;
                    }
                    Ok(found)
                })
            })
            .await?;
        self.known().forget(id);
        if found { Ok(()) } else { Err(ServiceError::NotFound) }
    }
}

fn checked_scopes(names: &[String], own: Scopes) -> Result<Scopes, ServiceError> {
    let parsed = names
        .iter()
        .map(|name| name.parse::<Scope>())
        .try_fold(Scopes::NONE, |scopes, scope| Ok(scopes.with(scope?)))
        .map_err(|error: UnknownScope| ServiceError::invalid("scopes", error.to_string()))?;
    if parsed == Scopes::NONE || names.len() > Scope::ALL.len() {
        return Err(ServiceError::invalid("scopes", "must be one or more of measure, read, admin, each once"));
    }
    if !own.covers(parsed) {
        return Err(ServiceError::invalid("scopes", "must be scopes that the key that asks has itself"));
    }
    Ok(parsed)
}

fn to_key(row: KeyRow) -> Key {
    Key {
        id: row.id,
        name: row.name,
        scopes: row.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        created_at: row.created_at.into(),
        expires_at: row.expires_at.into(),
        revoked_at: row.revoked_at.map(Into::into),
        last_used_at: row.last_used_at.map(Into::into),
    }
}

/// Undoes the making of a key above the tier.
const TOO_MANY: &str = "keys_above_tier";
const DAY: Duration = Duration::from_hours(24);
const DAYS_DEFAULT: u32 = 90;
const DAYS_MAX: u32 = 365;
