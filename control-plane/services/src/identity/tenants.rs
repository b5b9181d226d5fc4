//! Tenants, and the handle of this part.

use std::sync::Arc;

use control_api::tenant::{CreateTenant, Tenant};
use control_core::authorize::{Denied, Grant, SystemScope, TenantScope};
use control_store::tenants::{NewTenant, TenantRow};
use control_store::{Store, audit};
use shared_protocol::id::TenantId;
use shared_protocol::tier::{Tier, TierLimits, UnknownTier};

use super::authenticate::KnownKeys;
use super::join_tokens::JoinBundles;
use super::{Pepper, checked_name};
use crate::clock;
use crate::error::ServiceError;
use crate::tiers::Tiers;

/// Tenants, keys and join tokens; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    pepper: Pepper,
    known: KnownKeys,
    bundles: JoinBundles,
    tiers: Tiers,
}

impl Identity {
    pub(crate) fn new(store: Store, pepper: Pepper, bundles: JoinBundles, tiers: Tiers) -> Self {
        let known = KnownKeys::default();
        Self {
            inner: Arc::new(Inner {
                store,
                pepper,
                known,
                bundles,
                tiers,
            }),
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(super) fn pepper(&self) -> &Pepper {
        &self.inner.pepper
    }

    pub(super) fn known(&self) -> &KnownKeys {
        &self.inner.known
    }

    /// What a tier allows.
    pub(super) fn limits(&self, tier: Tier) -> TierLimits {
        self.inner.tiers.table().of(tier).clone()
    }

    pub(super) fn bundles(&self) -> &JoinBundles {
        &self.inner.bundles
    }

    /// The tenant that the grant is for.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where there is none.
    pub async fn tenant(&self, grant: &Grant) -> Result<Tenant, ServiceError> {
        Ok(to_tenant(self.existing(grant.scope()?).await?))
    }

    /// Makes a tenant; the operator's to do.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] names the field that is not acceptable.
    pub async fn create_tenant(&self, grant: &Grant, request: CreateTenant) -> Result<Tenant, ServiceError> {
        if grant.scope().is_ok() {
            return Err(Denied::OperatorOnly.into());
        }
        let name = checked_name("name", &request.name)?;
        let tier: Tier = request
            .tier
            .parse()
            .map_err(|error: UnknownTier| ServiceError::invalid("tier", error.to_string()))?;
        let at = clock::now();
        let id = TenantId::new(at, clock::random_id_bytes());
        let new = NewTenant {
            id,
            name: name.clone(),
            tier,
            created_at: at,
        };
        let record = audit::NewAudit {
            at,
            tenant: Some(id),
            actor: grant.actor().to_owned(),
            action: "tenant.created",
            subject: id.to_string(),
            detail: serde_json::json!({ "tier": tier.as_str() }),
        };
        self.store()
            .write(move |tx| {
                Box::pin(async move {
                    let system = SystemScope::for_own_work();
                    control_store::tenants::create(tx, system, &new).await?;
                    audit::append(tx, system, &record).await
                })
            })
            .await?;
        Ok(to_tenant(TenantRow {
            id,
            name,
            tier,
            created_at: at,
        }))
    }

    /// A tenant has another tier: its keys are read again before their next use.
    pub(crate) fn tier_changed(&self) {
        self.known().forget_all();
    }

    /// The tenant of a scope; the operator may name one that does not exist.
    pub(super) async fn existing(&self, scope: TenantScope) -> Result<TenantRow, ServiceError> {
        let mut reader = self.store().reader().await?;
        let found = control_store::tenants::find(&mut reader, SystemScope::for_own_work(), scope.tenant()).await?;
        found.ok_or(ServiceError::NotFound)
    }
}

pub(crate) fn to_tenant(row: TenantRow) -> Tenant {
    Tenant {
        id: row.id.to_string(),
        name: row.name,
        tier: row.tier.as_str().to_owned(),
        created_at: row.created_at.into(),
    }
}
