//! Subscriptions: what each tier allows, which tier a tenant has, and what it used.

use control_api::page::Page;
use control_api::tenant::Tenant;
use control_api::tier::{PatchTier, SetTenantTier, Tier as TierView};
use control_core::authorize::{Denied, Grant, SystemScope};
use control_store::audit;
use control_store::tiers::TierRow;
use shared_protocol::id::TenantId;
use shared_protocol::tier::{Tier, UnknownTier};

use crate::clock;
use crate::error::ServiceError;
use crate::identity::{Identity, to_tenant};
use crate::jobs::Lifecycle;
use crate::jobs::read::parse_id;
use crate::tiers::limits_of;

mod usage;

/// Tiers and usage; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Subscriptions {
    lifecycle: Lifecycle,
    identity: Identity,
}

impl Subscriptions {
    pub(crate) const fn new(lifecycle: Lifecycle, identity: Identity) -> Self {
        Self { lifecycle, identity }
    }

    /// All tiers, the lowest first.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] where they cannot be read.
    pub async fn tiers(&self, _: &Grant) -> Result<Page<TierView>, ServiceError> {
        let mut rows = self.rows().await?;
        rows.sort_by_key(|row| row.tier);
        Ok(Page {
            items: rows.iter().map(to_view).collect(),
            next_cursor: None,
        })
    }

    /// One tier by its name.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is none of this name.
    pub async fn tier(&self, _: &Grant, name: &str) -> Result<TierView, ServiceError> {
        Ok(to_view(&self.row(name).await?))
    }

    /// Changes what a tier allows; it holds at once for everything that is asked, started or joined from then on. For the operator.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the value that is not acceptable; [`ServiceError::PreconditionFailed`] where another version stands than
    /// the one meant.
    pub async fn change_tier(&self, grant: &Grant, name: &str, meant: Option<i64>, patch: PatchTier) -> Result<TierView, ServiceError> {
        operator_only(grant)?;
        loop {
            let row = self.row(name).await?;
            if meant.is_some_and(|meant| meant != row.version) {
                return Err(ServiceError::PreconditionFailed);
            }
            let limits = limits_of(&row).changed(&patch.0).map_err(ServiceError::Invalid)?;
            if limits == limits_of(&row) {
                return Ok(to_view(&row));
            }
            let mut changes = row.changes.clone();
            changes.extend(patch.0.clone());
            if self.write(grant, &row, changes, &patch).await? {
                let table = self.lifecycle.tiers.set(row.tier, limits);
                self.lifecycle.dispatch.tiers(table).await;
                return self.tier(grant, name).await;
            }
            // Somebody else was faster: what is meant applies to the version that stands now, or not at all.
        }
    }

    /// Moves a tenant to another tier. Nothing is lost by it: what is queued waits on under the new caps. For the operator.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is no such tenant.
    pub async fn move_tenant(&self, grant: &Grant, tenant: &str, request: &SetTenantTier) -> Result<Tenant, ServiceError> {
        operator_only(grant)?;
        let id = parse_id::<TenantId>(tenant)?;
        let tier: Tier = request
            .tier
            .parse()
            .map_err(|error: UnknownTier| ServiceError::invalid("tier", error.to_string()))?;
        let record = audit::NewAudit {
            at: clock::now(),
            tenant: Some(id),
            actor: grant.actor().to_owned(),
            action: "tenant.tier_changed",
            subject: id.to_string(),
            detail: serde_json::json!({ "tier": tier.as_str() }),
        };
        let moved = self
            .lifecycle
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    let moved = control_store::tenants::set_tier(tx, system, id, tier).await?;
                    if moved.is_some() {
                        audit::append(tx, system, &record).await?;
                    }
                    Ok(moved)
                })
            })
            .await?
            .ok_or(ServiceError::NotFound)?;
        self.identity.tier_changed();
        self.lifecycle.dispatch.retier(id, tier).await;
        Ok(to_tenant(moved))
    }

    async fn write(&self, grant: &Grant, row: &TierRow, changes: serde_json::Map<String, serde_json::Value>, patch: &PatchTier) -> Result<bool, ServiceError> {
        let (tier, version) = (row.tier, row.version);
        let record = audit::NewAudit {
            at: clock::now(),
            tenant: None,
            actor: grant.actor().to_owned(),
            action: "tier.changed",
            subject: tier.as_str().to_owned(),
            detail: serde_json::Value::Object(patch.0.clone()),
        };
        let written = self
            .lifecycle
            .store
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    let written = control_store::tiers::change(tx, system, tier, &changes, version).await?;
                    if written {
                        audit::append(tx, system, &record).await?;
                    }
                    Ok(written)
                })
            })
            .await?;
        Ok(written)
    }

    async fn row(&self, name: &str) -> Result<TierRow, ServiceError> {
        let tier = parse_id::<Tier>(name)?;
        let rows = self.rows().await?;
        rows.into_iter().find(|row| row.tier == tier).ok_or(ServiceError::NotFound)
    }

    async fn rows(&self) -> Result<Vec<TierRow>, ServiceError> {
        let mut reader = self.lifecycle.store.reader().await?;
        Ok(control_store::tiers::list(&mut reader, SystemScope::for_own_work()).await?)
    }
}

/// A grant for the platform, which no tenant's key gets by its own scopes.
fn operator_only(grant: &Grant) -> Result<(), ServiceError> {
    if grant.scope().is_ok() {
        return Err(Denied::OperatorOnly.into());
    }
    Ok(())
}

fn to_view(row: &TierRow) -> TierView {
    TierView {
        name: row.tier.as_str().to_owned(),
        version: row.version,
        limits: limits_of(row),
    }
}
