//! Packages: observations of tenants' own by their hash, which of them each agent is to have, and what its observer said last.

use control_core::authorize::{SystemScope, TenantScope};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::package::{PackageDigest, PackageName, PackageVersion};
use shared_protocol::time::UnixMicros;

use crate::error::StoreError;
use crate::page::Page;
use crate::row::{Row, RowError};
use crate::statement::Statement;
use crate::tx::{self, Read, Tx};

/// A package without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageRow {
    /// By what it is known.
    pub digest: PackageDigest,
    /// Its name.
    pub name: PackageName,
    /// Which one of that name.
    pub version: PackageVersion,
    /// What it is for.
    pub summary: String,
    /// The key that signed it.
    pub signer: String,
    /// Who uploaded it.
    pub created_by: String,
    /// When.
    pub created_at: UnixMicros,
}

/// What an agent has to do with a package of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnAgentRow {
    /// The agent.
    pub agent: AgentId,
    /// Its name.
    pub agent_name: String,
    /// The package that it is to have, where one was deployed.
    pub digest: Option<PackageDigest>,
    /// The one before, to which it can be rolled back.
    pub previous: Option<PackageDigest>,
    /// When it was deployed.
    pub deployed_at: Option<UnixMicros>,
    /// What its observer said last of a package of that name.
    pub heard: Option<Heard>,
}

/// What an observer said of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Which one.
    pub digest: PackageDigest,
    /// How it went, as reports say it.
    pub status: String,
    /// Why not, as a code.
    pub code: Option<String>,
    /// Why not, as a sentence.
    pub message: Option<String>,
    /// When.
    pub at: UnixMicros,
}

/// Keeps a package; says whether it is new. The same once more changes nothing.
///
/// # Errors
/// [`StoreError::Conflict`] `package_version` where another one has this name and version.
pub async fn keep(tx: &mut Tx, scope: TenantScope, package: &PackageRow, body: &str) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, KEEP)
        .bind(scope.tenant().uuid())
        .bind(package.digest.as_bytes().to_vec())
        .bind(package.name.to_string())
        .bind(package.version.to_string())
        .bind(package.summary.clone())
        .bind(package.signer.clone())
        .bind(body.to_owned())
        .bind(package.created_by.clone())
        .bind(package.created_at.micros());
    if tx::execute(tx, statement).await? > 0 {
        return Ok(true);
    }
    let statement = Statement::of(scope, FIND).bind(scope.tenant().uuid()).bind(package.digest.as_bytes().to_vec());
    match tx::optional(tx, statement, read).await? {
        Some(_) => Ok(false),
        None => Err(StoreError::Conflict("package_version")),
    }
}

/// How many packages the tenant has.
pub async fn count(on: &mut impl Read, scope: TenantScope) -> Result<u64, StoreError> {
    let statement = Statement::of(scope, COUNT).bind(scope.tenant().uuid());
    Ok(tx::optional(on, statement, |row| row.number("n")).await?.unwrap_or(0))
}

/// The tenant's packages, newest first.
pub async fn list(on: &mut impl Read, scope: TenantScope, page: &Page<PackageDigest>) -> Result<Vec<PackageRow>, StoreError> {
    let first = |text| Statement::of(scope, text).bind(scope.tenant().uuid()).bind(page.limit);
    let statement = match &page.after {
        None => first(LIST_FIRST),
        Some(after) => first(LIST_AFTER).bind(after.as_bytes().to_vec()),
    };
    tx::all(on, statement, read).await
}

/// A package of the tenant.
pub async fn find(on: &mut impl Read, scope: TenantScope, digest: PackageDigest) -> Result<Option<PackageRow>, StoreError> {
    let statement = Statement::of(scope, FIND).bind(scope.tenant().uuid()).bind(digest.as_bytes().to_vec());
    tx::optional(on, statement, read).await
}

/// A package's text as it was uploaded.
pub async fn body(on: &mut impl Read, scope: TenantScope, digest: PackageDigest) -> Result<Option<String>, StoreError> {
    let statement = Statement::of(scope, BODY).bind(scope.tenant().uuid()).bind(digest.as_bytes().to_vec());
    tx::optional(on, statement, |row| row.text("body")).await
}

/// Takes a package away, unless an agent is to have it; says whether it was there and is not any more.
pub async fn delete(tx: &mut Tx, scope: TenantScope, digest: PackageDigest) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, DELETE).bind(scope.tenant().uuid()).bind(digest.as_bytes().to_vec());
    if tx::execute(tx, statement).await? == 0 {
        return Ok(false);
    }
    let statement = Statement::of(scope, FORGET).bind(scope.tenant().uuid()).bind(digest.as_bytes().to_vec());
    tx::execute(tx, statement).await?;
    Ok(true)
}

/// What agents have to do with packages of a name, by agent.
pub async fn on_agents(on: &mut impl Read, scope: TenantScope, name: &PackageName, limit: u32) -> Result<Vec<OnAgentRow>, StoreError> {
    let statement = Statement::of(scope, ON_AGENTS)
        .bind(scope.tenant().uuid())
        .bind(name.to_string())
        .bind(i64::from(limit));
    tx::all(on, statement, read_on_agent).await
}

/// From here on an agent is to have this package; the one before is kept for the way back.
pub async fn deploy(tx: &mut Tx, scope: TenantScope, agent: AgentId, package: &PackageRow, (by, at): (&str, UnixMicros)) -> Result<(), StoreError> {
    let statement = Statement::of(scope, DEPLOY)
        .bind(scope.tenant().uuid())
        .bind(agent.uuid())
        .bind(package.name.to_string())
        .bind(package.digest.as_bytes().to_vec())
        .bind(by.to_owned())
        .bind(at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

/// An agent that is to have this package goes back to the one before; says whether it had one.
pub async fn roll_back(tx: &mut Tx, scope: TenantScope, agent: AgentId, package: &PackageRow, (by, at): (&str, UnixMicros)) -> Result<bool, StoreError> {
    let statement = Statement::of(scope, ROLL_BACK)
        .bind(scope.tenant().uuid())
        .bind(agent.uuid())
        .bind(package.name.to_string())
        .bind(package.digest.as_bytes().to_vec())
        .bind(by.to_owned())
        .bind(at.micros());
    Ok(tx::execute(tx, statement).await? > 0)
}

/// The text of the package that an agent of this tenant is to have under a name: the one deployed to it, else the newest; or exactly the one
/// with this hash.
pub async fn meant(
    on: &mut impl Read,
    _: SystemScope,
    (tenant, agent): (TenantId, AgentId),
    name: &PackageName,
    digest: Option<PackageDigest>,
) -> Result<Option<String>, StoreError> {
    let statement = match digest {
        Some(digest) => Statement::own(EXACTLY)
            .bind(tenant.uuid())
            .bind(name.to_string())
            .bind(digest.as_bytes().to_vec()),
        None => Statement::own(MEANT).bind(tenant.uuid()).bind(name.to_string()).bind(agent.uuid()),
    };
    tx::optional(on, statement, |row| row.text("body")).await
}

/// What an agent's observer said of a package. Nothing is kept of one that the tenant does not have.
pub async fn heard(tx: &mut Tx, _: SystemScope, (tenant, agent): (TenantId, AgentId), name: &PackageName, heard: &Heard) -> Result<(), StoreError> {
    let statement = Statement::own(HEARD)
        .bind(tenant.uuid())
        .bind(agent.uuid())
        .bind(name.to_string())
        .bind(heard.digest.as_bytes().to_vec())
        .bind(heard.status.clone())
        .bind(heard.code.clone())
        .bind(heard.message.clone())
        .bind(heard.at.micros());
    tx::execute(tx, statement).await?;
    Ok(())
}

fn read(row: &Row) -> Result<PackageRow, RowError> {
    Ok(PackageRow {
        digest: PackageDigest::from_bytes(row.digest("sha256")?),
        name: row.known("name")?,
        version: row.known("version")?,
        summary: row.text("summary")?,
        signer: row.text("signer")?,
        created_by: row.text("created_by")?,
        created_at: row.instant("created_at")?,
    })
}

fn read_on_agent(row: &Row) -> Result<OnAgentRow, RowError> {
    let digest = |column| -> Result<Option<PackageDigest>, RowError> {
        let bytes: Option<Vec<u8>> = row.bytes_or_none(column)?;
        Ok(bytes.and_then(|bytes| bytes.try_into().ok()).map(PackageDigest::from_bytes))
    };
    let heard = match (digest("heard_sha256")?, row.text_or_none("heard_status")?, row.instant_or_none("heard_at")?) {
        (Some(digest), Some(status), Some(at)) => Some(Heard {
            digest,
            status,
            code: row.text_or_none("heard_code")?,
            message: row.text_or_none("heard_message")?,
            at,
        }),
        _ => None,
    };
    Ok(OnAgentRow {
        agent: AgentId::from_uuid(row.uuid("agent")?),
        agent_name: row.text("agent_name")?,
        digest: digest("sha256")?,
        previous: digest("previous")?,
        deployed_at: row.instant_or_none("deployed_at")?,
        heard,
    })
}

const KEEP: &str = "INSERT INTO package (tenant, sha256, name, version, summary, signer, body, created_by, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING";
const COUNT: &str = "SELECT COUNT(*) AS n FROM package WHERE tenant = $1";
const LIST_FIRST: &str = "SELECT sha256, name, version, summary, signer, created_by, created_at FROM package
WHERE tenant = $1 ORDER BY created_at DESC, sha256 DESC LIMIT $2";
const LIST_AFTER: &str = "SELECT sha256, name, version, summary, signer, created_by, created_at FROM package
WHERE tenant = $1 AND (created_at, sha256) < (SELECT l.created_at, l.sha256 FROM package l WHERE l.tenant = $1 AND l.sha256 = $3)
ORDER BY created_at DESC, sha256 DESC LIMIT $2";
const FIND: &str = "SELECT sha256, name, version, summary, signer, created_by, created_at FROM package WHERE tenant = $1 AND sha256 = $2";
const BODY: &str = "SELECT body FROM package WHERE tenant = $1 AND sha256 = $2";
const DELETE: &str = "DELETE FROM package WHERE tenant = $1 AND sha256 = $2
AND NOT EXISTS (SELECT 1 FROM package_on_agent o WHERE o.tenant = $1 AND o.sha256 = $2)";
/// Nobody goes back to what is not there.
const FORGET: &str = "UPDATE package_on_agent SET previous = NULL WHERE tenant = $1 AND previous = $2";
const ON_AGENTS: &str = "SELECT o.agent, a.name AS agent_name, o.sha256, o.previous, o.deployed_at, o.heard_sha256, o.heard_status, o.heard_code,
o.heard_message, o.heard_at FROM package_on_agent o JOIN agent a ON a.id = o.agent WHERE o.tenant = $1 AND o.name = $2 ORDER BY o.agent LIMIT $3";
const DEPLOY: &str = "INSERT INTO package_on_agent (tenant, agent, name, sha256, deployed_by, deployed_at) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (tenant, agent, name) DO UPDATE SET
previous = CASE WHEN package_on_agent.sha256 = excluded.sha256 THEN package_on_agent.previous ELSE package_on_agent.sha256 END,
sha256 = excluded.sha256, deployed_by = excluded.deployed_by, deployed_at = excluded.deployed_at";
const ROLL_BACK: &str = "UPDATE package_on_agent SET sha256 = previous, previous = sha256, deployed_by = $5, deployed_at = $6
WHERE tenant = $1 AND agent = $2 AND name = $3 AND sha256 = $4 AND previous IS NOT NULL";
const EXACTLY: &str = "SELECT body FROM package WHERE tenant = $1 AND name = $2 AND sha256 = $3";
const MEANT: &str = "SELECT body FROM package p WHERE p.tenant = $1 AND p.name = $2
AND p.sha256 = COALESCE(
    (SELECT o.sha256 FROM package_on_agent o WHERE o.tenant = $1 AND o.agent = $3 AND o.name = $2),
    (SELECT n.sha256 FROM package n WHERE n.tenant = $1 AND n.name = $2 ORDER BY n.created_at DESC, n.sha256 DESC LIMIT 1))";
const HEARD: &str = "INSERT INTO package_on_agent (tenant, agent, name, heard_sha256, heard_status, heard_code, heard_message, heard_at)
SELECT p.tenant, $2, p.name, p.sha256, $5, $6, $7, $8 FROM package p WHERE p.tenant = $1 AND p.name = $3 AND p.sha256 = $4
ON CONFLICT (tenant, agent, name) DO UPDATE SET heard_sha256 = excluded.heard_sha256, heard_status = excluded.heard_status,
heard_code = excluded.heard_code, heard_message = excluded.heard_message, heard_at = excluded.heard_at";

/// Every statement of this file, for the test that prepares them all.
#[cfg(test)]
pub(crate) const STATEMENTS: &[&str] = &[
    KEEP, COUNT, LIST_FIRST, LIST_AFTER, FIND, BODY, DELETE, FORGET, ON_AGENTS, DEPLOY, ROLL_BACK, EXACTLY, MEANT, HEARD,
];
