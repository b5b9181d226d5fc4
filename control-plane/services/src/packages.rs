//! Packages: observations of tenants' own. They are looked at when they come, by the code that observers use too, and given to the tenant's own
//! agents. Whether one is run is for the owner of each host to say.

use control_api::package::{
    Package as ShownPackage, PackageActed, PackageAction, PackageActionKind, PackageDetail, PackageHealth, PackageOnAgent, PackageSelection,
};
use control_api::page::{Page, PageQuery};
use control_core::authorize::{Grant, SystemScope, TenantScope};
use control_core::selection::{Conditions, Filter};
use control_store::audit::{self, NewAudit};
use control_store::packages::{self, Heard, OnAgentRow, PackageRow};
use control_store::{Store, StoreError};
use ebpf_package::{Package, Refusal};
use shared_protocol::fault::Status;
use shared_protocol::id::AgentId;
use shared_protocol::limits::AGENT_TEXT_BYTES;
use shared_protocol::package::{PackageDigest, PackageName};
use shared_protocol::spec::{InvalidField, ProbeKind};

use crate::clock;
use crate::error::ServiceError;
use crate::fleet::{AgentPrincipal, Fleet};
use crate::identity::checked_labels;
use crate::jobs::read::{cut, page, parse_id};
use crate::tiers::Tiers;

/// The packages of all tenants; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Packages {
    store: Store,
    tiers: Tiers,
    fleet: Fleet,
}

/// What an agent says its observer made of a package.
#[derive(Debug, Clone)]
pub struct Told {
    /// The package's name.
    pub name: PackageName,
    /// Which one it was.
    pub digest: PackageDigest,
    /// How it went.
    pub status: Status,
    /// Why not, as a code.
    pub code: Option<String>,
    /// Why not, as a sentence.
    pub message: Option<String>,
}

impl Packages {
    pub(crate) const fn new(store: Store, tiers: Tiers, fleet: Fleet) -> Self {
        Self { store, tiers, fleet }
    }

    /// Keeps a package that is one: manifest and object say the same, it does nothing that is not allowed, and its signature is of the key
    /// that it names. The same once more changes nothing.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] with what is wrong, [`ServiceError::TierLimit`], [`ServiceError::Conflict`] where another package has its version.
    pub async fn upload(&self, grant: &Grant, text: &[u8]) -> Result<ShownPackage, ServiceError> {
        let scope = grant.scope()?;
        self.check_tier(grant)?;
        let refused = |refusal: Refusal| ServiceError::invalid("package", refusal.to_string());
        let package = Package::parse(text).map_err(refused)?;
        let signer = package.signer().map_err(refused)?;
        let checked = package.check().map_err(refused)?;
        let row = PackageRow {
            digest: package.digest(),
            name: checked.manifest.name,
            version: checked.manifest.version,
            summary: checked.manifest.summary,
            signer: signer.to_string(),
            created_by: grant.actor().to_owned(),
            created_at: clock::now(),
        };
        let mut reader = self.store.reader().await?;
        if let Some(known) = packages::find(&mut reader, scope, row.digest).await? {
            return Ok(shown(known));
        }
        if packages::count(&mut reader, scope).await? >= PACKAGES {
            let message = format!("a tenant has at most {PACKAGES} packages; delete one first");
            return Err(ServiceError::TierLimit(InvalidField::new("package", message)));
        }
        drop(reader);
        let (kept, body) = (row.clone(), package.to_text());
        let detail = serde_json::json!({ "name": row.name, "version": row.version, "signer": row.signer });
        let record = self.record(grant, scope, "package.uploaded", row.digest, detail);
        let write = self.store.write(move |tx| {
            Box::pin(async move {
                packages::keep(tx, scope, &kept, &body).await?;
                audit::append(tx, SystemScope::for_own_work(), &record).await
            })
        });
        match write.await {
            Ok(()) => Ok(shown(row)),
            Err(StoreError::Conflict(_)) => Err(ServiceError::Conflict("another package has this name and version; give it a new version")),
            Err(error) => Err(error.into()),
        }
    }

    /// The tenant's packages, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn list(&self, grant: &Grant, query: &PageQuery) -> Result<Page<ShownPackage>, ServiceError> {
        let scope = grant.scope()?;
        let page = page::<PackageDigest>(query.limit, query.cursor.as_deref())?;
        let rows = packages::list(&mut self.store.reader().await?, scope, &page).await?;
        Ok(cut(rows.into_iter().map(|row| (row.digest, shown(row))).collect(), &page))
    }

    /// A package, where it is, and how it does there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn detail(&self, grant: &Grant, id: &str) -> Result<PackageDetail, ServiceError> {
        let scope = grant.scope()?;
        let digest: PackageDigest = parse_id(id)?;
        let mut reader = self.store.reader().await?;
        let row = packages::find(&mut reader, scope, digest).await?.ok_or(ServiceError::NotFound)?;
        let body = packages::body(&mut reader, scope, digest).await?.ok_or(ServiceError::NotFound)?;
        let agents = packages::on_agents(&mut reader, scope, &row.name, ON_AGENTS).await?;
        let package = Package::parse(body.as_bytes()).map_err(|error| {
            tracing::error!(%error, "a stored package cannot be read");
            ServiceError::Internal
        })?;
        Ok(PackageDetail {
            package: shown(row),
            manifest: package.manifest_text().to_owned(),
            agents: agents.into_iter().map(on_agent).collect(),
        })
    }

    /// Takes a package away.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Conflict`] where an agent is to have it.
    pub async fn delete(&self, grant: &Grant, id: &str) -> Result<(), ServiceError> {
        let scope = grant.scope()?;
        let digest: PackageDigest = parse_id(id)?;
        let record = self.record(grant, scope, "package.deleted", digest, serde_json::Value::Null);
        let gone = self.store.write(move |tx| {
            Box::pin(async move {
                let gone = packages::delete(tx, scope, digest).await?;
                if gone {
                    audit::append(tx, SystemScope::for_own_work(), &record).await?;
                }
                Ok(gone)
            })
        });
        if gone.await? {
            return Ok(());
        }
        match packages::find(&mut self.store.reader().await?, scope, digest).await? {
            Some(_) => Err(ServiceError::Conflict(
                "the package is deployed to agents; deploy another one to them, or roll it back, first",
            )),
            None => Err(ServiceError::NotFound),
        }
    }

    /// Says what a package's name means on some agents: this package, or the one before.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::NoAgentMatches`], [`ServiceError::Invalid`] for a bad selection.
    pub async fn act(&self, grant: &Grant, id: &str, request: &PackageAction) -> Result<PackageActed, ServiceError> {
        let scope = grant.scope()?;
        let row = packages::find(&mut self.store.reader().await?, scope, parse_id(id)?).await?;
        let row = row.ok_or(ServiceError::NotFound)?;
        let agents = self.selected(scope, &request.selection)?;
        let (kind, by, at) = (request.action, grant.actor().to_owned(), clock::now());
        let action = match kind {
            PackageActionKind::Deploy => "package.deployed",
            PackageActionKind::RollBack => "package.rolled_back",
        };
        let record = self.record(grant, scope, action, row.digest, serde_json::json!({ "agents": agents.len() }));
        let chosen = agents.clone();
        let write = self.store.write(move |tx| {
            Box::pin(async move {
                let mut done = Vec::new();
                for agent in chosen {
                    let changed = match kind {
                        PackageActionKind::Deploy => packages::deploy(tx, scope, agent, &row, (&by, at)).await.map(|()| true)?,
                        PackageActionKind::RollBack => packages::roll_back(tx, scope, agent, &row, (&by, at)).await?,
                    };
                    if changed {
                        done.push(agent);
                    }
                }
                audit::append(tx, SystemScope::for_own_work(), &record).await?;
                Ok(done)
            })
        });
        let done = write.await?;
        let unchanged: Vec<AgentId> = agents.into_iter().filter(|agent| !done.contains(agent)).collect();
        Ok(PackageActed {
            agents: self.names(scope, &done),
            unchanged: self.names(scope, &unchanged),
        })
    }

    /// The text of the package that a name means on an agent, or of exactly one; only of the agent's own tenant.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`].
    pub async fn for_agent(&self, peer: &AgentPrincipal, name: &PackageName, digest: Option<PackageDigest>) -> Result<String, ServiceError> {
        let mut reader = self.store.reader().await?;
        let found = packages::meant(&mut reader, SystemScope::for_own_work(), (peer.tenant, peer.agent), name, digest).await?;
        found.ok_or(ServiceError::NotFound)
    }

    /// Keeps what an agent's observer made of a package.
    ///
    /// # Errors
    /// Where nothing can be stored.
    pub async fn hear(&self, peer: &AgentPrincipal, told: Told) -> Result<(), ServiceError> {
        let whom = (peer.tenant, peer.agent);
        let heard = Heard {
            digest: told.digest,
            status: told.status.as_str().to_owned(),
            code: told.code.map(|code| bounded(&code)),
            message: told.message.map(|message| bounded(&message)),
            at: clock::now(),
        };
        let write = self
            .store
            .write(move |tx| Box::pin(async move { packages::heard(tx, SystemScope::for_own_work(), whom, &told.name, &heard).await }));
        Ok(write.await?)
    }

    /// Whoever cannot observe has no use for a package.
    fn check_tier(&self, grant: &Grant) -> Result<(), ServiceError> {
        let Some(tier) = grant.tier() else { return Ok(()) };
        let table = self.tiers.table();
        table.of(tier).probe.includes(ProbeKind::Observe).map_err(ServiceError::TierLimit)
    }

    /// The tenant's own agents that a selection means.
    fn selected(&self, scope: TenantScope, selection: &PackageSelection) -> Result<Vec<AgentId>, ServiceError> {
        let invalid = |message: &str| ServiceError::invalid("selection", message);
        if selection.agents.is_empty() && selection.labels.is_empty() && !selection.all {
            return Err(invalid("name agents, labels, or all"));
        }
        checked_labels(&selection.labels)?;
        let filter = Filter {
            conditions: Conditions {
                labels: Some(&selection.labels),
                ..Conditions::default()
            },
            ..Filter::default()
        };
        let mut fitting = self.fleet.directory().list(scope, &filter);
        fitting.retain(|agent| self.fleet.directory().owns(scope, *agent));
        if !selection.agents.is_empty() {
            let names = self.fleet.directory().names(scope, &fitting);
            let is_named = |agent: &AgentId, wanted: &String| agent.to_string() == *wanted || names.get(agent) == Some(wanted);
            let unknown = selection.agents.iter().find(|wanted| !fitting.iter().any(|agent| is_named(agent, wanted)));
            if let Some(unknown) = unknown {
                let unknown: String = unknown.chars().take(64).collect();
                return Err(ServiceError::invalid(
                    "selection.agents",
                    format!("{unknown:?} is no agent of yours that the labels fit"),
                ));
            }
            fitting.retain(|agent| selection.agents.iter().any(|wanted| is_named(agent, wanted)));
        }
        if fitting.is_empty() {
            return Err(ServiceError::NoAgentMatches);
        }
        if fitting.len() > SELECTED {
            return Err(invalid(&format!("means more than {SELECTED} agents; deploy to fewer at a time")));
        }
        Ok(fitting)
    }

    fn names(&self, scope: TenantScope, agents: &[AgentId]) -> Vec<String> {
        let mut names: Vec<String> = self.fleet.directory().names(scope, agents).into_values().collect();
        names.sort_unstable();
        names
    }

    #[expect(clippy::unused_self, reason = "it reads as what the packages write down")]
    fn record(&self, grant: &Grant, scope: TenantScope, action: &'static str, digest: PackageDigest, detail: serde_json::Value) -> NewAudit {
        NewAudit {
            at: clock::now(),
            tenant: Some(scope.tenant()),
            actor: grant.actor().to_owned(),
            action,
            subject: digest.to_string(),
            detail,
        }
    }
}

/// What an agent says becomes no control character in a log or on a terminal, and is no longer than an agent's texts may be.
fn bounded(text: &str) -> String {
    let plain: String = text.chars().filter(|character| !character.is_control()).collect();
    let end = plain.floor_char_boundary(AGENT_TEXT_BYTES);
    plain.get(..end).unwrap_or_default().to_owned()
}

fn shown(row: PackageRow) -> ShownPackage {
    ShownPackage {
        sha256: row.digest.to_string(),
        name: row.name.to_string(),
        version: row.version.to_string(),
        summary: row.summary,
        signed_by: row.signer,
        created_by: row.created_by,
        created_at: row.created_at.into(),
    }
}

fn on_agent(row: OnAgentRow) -> PackageOnAgent {
    PackageOnAgent {
        agent: row.agent.to_string(),
        agent_name: row.agent_name,
        sha256: row.digest.map(|digest| digest.to_string()),
        previous: row.previous.map(|digest| digest.to_string()),
        deployed_at: row.deployed_at.map(Into::into),
        health: row.heard.map(|heard| PackageHealth {
            sha256: heard.digest.to_string(),
            status: heard.status,
            code: heard.code,
            message: heard.message,
            at: heard.at.into(),
        }),
    }
}

/// Most packages of a tenant.
const PACKAGES: u64 = 64;
/// Most agents that are told of at once.
const ON_AGENTS: u32 = 1_000;
/// Most agents that something is done with at once.
const SELECTED: usize = 1_000;
