//! Join tokens: the hash of a single-use secret, what its agent will be, and who used it.

use std::collections::BTreeMap;

use control_core::authorize::{SystemScope, TenantScope};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::tier::Tier;
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::page::Page;
use crate::row::{self, Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A join token to be made.
#[derive(Debug, Clone)]
pub struct NewJoinToken {
    /// Its public part.
    pub id: String,
    /// SHA-256 of its secret.
    pub secret_sha256: [u8; 32],
    /// The name the agent gets, where one was chosen.
    pub name: Option<String>,
    /// The labels the agent gets.
    pub labels: BTreeMap<String, String>,
    /// The agent it is for, where that is there already: made ahead, or to be enrolled anew.
    pub for_agent: Option<AgentId>,
    /// Who made it: `operator`, or `key:<id>`. A token stops working when the key that made it is revoked.
    pub created_by: String,
    /// When it is made.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: UnixMicros,
}

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinTokenRow {
    /// Its public part.
    pub id: String,
    /// The tenant that the agent will belong to.
    pub tenant: TenantId,
    /// The name the agent gets, where one was chosen.
    pub name: Option<String>,
    /// The labels the agent gets.
    pub labels: BTreeMap<String, String>,
    /// The agent it is for, where that was there already.
    pub for_agent: Option<AgentId>,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: UnixMicros,
    /// When it stops working.
    pub expires_at: UnixMicros,
    /// When it was revoked, where it was.
    pub revoked_at: Option<UnixMicros>,
    /// When it was used, where it was.
    pub used_at: Option<UnixMicros>,
    /// The agent that used it.
    pub agent: Option<AgentId>,
}

/// Somebody shows a join token.
#[derive(Debug, Clone)]
pub struct Redemption {
    /// The token's public part.
    pub id: String,
    /// SHA-256 of the secret shown.
    pub secret_sha256: [u8; 32],
    /// SHA-256 of the public key that asks for a certificate.
    pub spki_sha256: [u8; 32],
    /// The id that the agent gets if the token is good.
    pub agent: AgentId,
    /// Now.
    pub at: UnixMicros,
}

/// What came of showing a join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redeemed {
    /// It was good and is used up by this very operation.
    New(JoinTokenRow),
    /// The same key used it less than ten minutes ago: its answer was lost.
    Replayed {
        /// The agent it made.
        agent: AgentId,
    },
    /// Another key used it before, or the same one too long ago: somebody has a copy of the token.
    UsedBefore {
        /// The agent it made.
        agent: AgentId,
    },
    /// There is no such token, or it is expired or revoked.
    No,
}

/// Makes a join token of the tenant.
///
/// # Errors
/// [`StoreError::Conflict`] `token_id` where the id is taken.
pub async fn create(tx: &mut Tx, scope: TenantScope, new: &NewJoinToken) -> Result<(), StoreError> {
    let statement = Statement::of(scope, CREATE)
        .bind(new.id.clone())
        .bind(scope.tenant().uuid())
        .bind(new.secret_sha256.to_vec())
        .bind(new.name.clone())
        .bind(row::json(&new.labels)?)
        .bind(new.created_by.clone())
        .bind(new.created_at.micros())
        .bind(new.expires_at.micros())
        .bind(new.for_agent.map(AgentId::uuid));
    if tx::execute(tx, statement).await? == 0 {
        return Err(StoreError::Conflict("token_id"));
    }
    Ok(())
}

/// Lists the tenant's join tokens, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<String>) -> Result<Vec<JoinTokenRow>, StoreError> {
    let statement = match &page.after {
        None => Statement::of(scope, LIST_FIRST).bind(scope.tenant().uuid()).bind(page.limit),
        Some(after) => Statement::of(scope, LIST_AFTER)
            .bind(scope.tenant().uuid())
            .bind(page.limit)
            .bind(after.clone()),
    };
    tx::all(on, statement, token).await
}

/// Revokes a join token of the tenant; says whether there is one. Revoking again changes nothing.
pub async fn revoke(tx: &mut Tx, scope: TenantScope, id: &str, at: UnixMicros) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, REVOKE).bind(id.to_owned()).bind(scope.tenant().uuid()).bind(at.micros());
    Ok(tx::execute(tx, statement).await? > 0)
}

/// Revokes the unused tokens for an agent that is there already: another one takes their place, or none.
pub async fn revoke_for(tx: &mut Tx, scope: TenantScope, agent: AgentId, at: UnixMicros) -> Result<(), StoreError> {
    let statement = Statement::of(scope, REVOKE_FOR)
        .bind(agent.uuid())
        .bind(scope.tenant().uuid())
        .bind(at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// The tenant of a join token that is not used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTenant {
    /// Its subscription.
    pub tier: Tier,
    /// How many agents it has that are not revoked.
    pub agents: u64,
}

/// Whose agent a join token would make, where it is genuine and not used yet.
pub async fn tenant_of_unused(tx: &mut Tx, _: SystemScope, shown: &Redemption) -> Result<Option<TokenTenant>, StoreError> {
    let statement = Statement::own(TENANT_OF_UNUSED).bind(shown.id.clone()).bind(shown.secret_sha256.to_vec());
    tx::optional(tx, statement, token_tenant).await
}

/// Uses a join token up, if it is good; belongs in the transaction that makes the agent.
pub async fn redeem(tx: &mut Tx, _: SystemScope, shown: &Redemption) -> Result<Redeemed, StoreError> {
    let statement = Statement::own(REDEEM)
        .bind(shown.id.clone())
        .bind(shown.secret_sha256.to_vec())
        .bind(shown.spki_sha256.to_vec())
        .bind(shown.agent.uuid())
        .bind(shown.at.micros());
    if let Some(token) = tx::optional(tx, statement, token).await? {
        return Ok(Redeemed::New(token));
    }
    let statement = Statement::own(FIND_USED).bind(shown.id.clone()).bind(shown.secret_sha256.to_vec());
    let Some(used) = tx::optional(tx, statement, used).await? else {
        let statement = Statement::own(BURY_EXPIRED)
            .bind(shown.id.clone())
            .bind(shown.secret_sha256.to_vec())
            .bind(shown.at.micros());
        tx::execute(tx, statement).await?;
        return Ok(Redeemed::No);
    };
    let same_key = used.spki_sha256 == shown.spki_sha256;
    if same_key && shown.at.since(used.at) < REPLAY_WINDOW {
        return Ok(Redeemed::Replayed { agent: used.agent });
    }
    Ok(Redeemed::UsedBefore { agent: used.agent })
}

fn token_tenant(row: &Row) -> Result<TokenTenant, RowError> {
    Ok(TokenTenant {
        tier: row.known("tier")?,
        agents: row.number("agents")?,
    })
}

struct Used {
    agent: AgentId,
    spki_sha256: [u8; 32],
    at: UnixMicros,
}

fn used(row: &Row) -> Result<Used, RowError> {
    Ok(Used {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        spki_sha256: row.digest("spki_sha256")?,
        at: row.instant("used_at")?,
    })
}

fn token(row: &Row) -> Result<JoinTokenRow, RowError> {
    Ok(JoinTokenRow {
        id: row.text("id")?,
        tenant: TenantId::from_uuid(row.uuid("tenant")?),
        name: row.text_or_none("name")?,
        labels: row.document("labels")?,
        for_agent: row.uuid_or_none("for_agent")?.map(AgentId::from_uuid),
        created_by: row.text("created_by")?,
        created_at: row.instant("created_at")?,
        expires_at: row.instant("expires_at")?,
        revoked_at: row.instant_or_none("revoked_at")?,
        used_at: row.instant_or_none("used_at")?,
        agent: row.uuid_or_none("agent")?.map(AgentId::from_uuid),
    })
}

/// How long the same key may ask again for the certificate whose delivery failed.
const REPLAY_WINDOW: std::time::Duration = std::time::Duration::from_mins(10);

const CREATE: &str = "INSERT INTO join_token (id, tenant, secret_sha256, name, labels, created_by, created_at, expires_at, for_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO NOTHING";
const LIST_FIRST: &str = "SELECT id, tenant, name, labels, created_by, created_at, expires_at, revoked_at, used_at, agent, for_agent
FROM join_token WHERE tenant = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
const LIST_AFTER: &str = "SELECT id, tenant, name, labels, created_by, created_at, expires_at, revoked_at, used_at, agent, for_agent FROM join_token
WHERE tenant = $1 AND (created_at, id) < (SELECT l.created_at, l.id FROM join_token l WHERE l.id = $3 AND l.tenant = $1)
ORDER BY created_at DESC, id DESC LIMIT $2";
const REVOKE: &str = "UPDATE join_token SET revoked_at = COALESCE(revoked_at, $3) WHERE id = $1 AND tenant = $2";
const REVOKE_FOR: &str = "UPDATE join_token SET revoked_at = $3 WHERE for_agent = $1 AND tenant = $2 AND used_at IS NULL AND revoked_at IS NULL";
const TENANT_OF_UNUSED: &str = "SELECT t.tier, (SELECT COUNT(*) FROM agent a WHERE a.tenant = t.id AND a.state <> 'revoked') AS agents
FROM join_token k JOIN tenant t ON t.id = k.tenant WHERE k.id = $1 AND k.secret_sha256 = $2 AND k.used_at IS NULL AND k.for_agent IS NULL";
const REDEEM: &str = "UPDATE join_token SET used_at = $5, spki_sha256 = $3, agent = COALESCE(for_agent, $4)
WHERE id = $1 AND secret_sha256 = $2 AND used_at IS NULL AND revoked_at IS NULL AND expires_at > $5
AND (created_by NOT LIKE 'key:%' OR EXISTS (
    SELECT 1 FROM api_key k WHERE k.id = substr(join_token.created_by, 5) AND k.tenant = join_token.tenant AND k.revoked_at IS NULL))
RETURNING id, tenant, name, labels, created_by, created_at, expires_at, revoked_at, used_at, agent, for_agent";
const FIND_USED: &str = "SELECT agent, spki_sha256, used_at FROM join_token WHERE id = $1 AND secret_sha256 = $2 AND used_at IS NOT NULL";
/// A token once seen to be expired stays so, even if the clock goes back.
const BURY_EXPIRED: &str = "UPDATE join_token SET revoked_at = $3 WHERE id = $1 AND secret_sha256 = $2 AND expires_at <= $3 AND revoked_at IS NULL";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    CREATE,
    LIST_FIRST,
    LIST_AFTER,
    REVOKE,
    REVOKE_FOR,
    TENANT_OF_UNUSED,
    REDEEM,
    FIND_USED,
    BURY_EXPIRED,
];
