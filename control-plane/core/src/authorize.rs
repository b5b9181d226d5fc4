//! The one decision who may do what. Every route asks it, and what it grants is the only way to a tenant's data.

use std::str::FromStr;

use shared_protocol::id::TenantId;
use shared_protocol::tier::Tier;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Nobody who could be known.
    Anonymous,
    /// A tenant's API key.
    Key {
        /// The public part of the key.
        key: String,
        /// The tenant it belongs to.
        tenant: TenantId,
        /// The tenant's tier.
        tier: Tier,
        /// What the key may do.
        scopes: Scopes,
    },
    /// The operator of the control plane, by the administration socket that only root can open.
    Operator,
}

/// What a key may do, one of the four.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Ask for measurements and take them back.
    Measure,
    /// Read what the tenant has.
    Read,
    /// Manage agents, join tokens and keys.
    Admin,
    /// Do what is the operator's: tiers, and which one a tenant has. Only the administration socket gives it.
    Operator,
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Scopes(u8);

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read the tenant itself.
    TenantRead,
    /// Make a tenant.
    TenantCreate,
    /// Give a tenant another tier.
    TenantSetTier,
    /// Read what the tiers allow.
    TierRead,
    /// Change what a tier allows.
    TierChange,
    /// Read what the tenant used.
    UsageRead,
    /// Ask for a measurement.
    MeasurementCreate,
    /// Read measurements, jobs, reports and their live events.
    MeasurementRead,
    /// Take a measurement or a job back.
    MeasurementCancel,
    /// Read standing observations, how they fare and what they saw.
    StandingRead,
    /// Ask for a standing observation.
    StandingCreate,
    /// Change, stop or start a standing observation.
    StandingUpdate,
    /// Take a standing observation away.
    StandingDelete,
    /// Read agents.
    AgentRead,
    /// Make an agent ahead of its enrolment.
    AgentCreate,
    /// Change an agent's name, labels, place or duty, or have it enrolled anew.
    AgentUpdate,
    /// Revoke an agent's identity.
    AgentRevoke,
    /// Say whom an agent serves.
    AgentShare,
    /// Read join tokens.
    JoinTokenRead,
    /// Make a join token.
    JoinTokenCreate,
    /// Revoke a join token.
    JoinTokenRevoke,
    /// Read packages, and how they do on agents.
    PackageRead,
    /// Upload a package.
    PackageCreate,
    /// Say on which agents a package's name means it.
    PackageDeploy,
    /// Take a package away.
    PackageDelete,
    /// Read keys.
    KeyRead,
    /// Make a key.
    KeyCreate,
    /// Revoke a key.
    KeyRevoke,
}

/// On what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// The tenant of the principal, whichever that is: what a route asks for.
    OwnTenant,
    /// A named tenant: what the operator asks for.
    Tenant(TenantId),
    /// The platform itself.
    Platform,
}

/// Proof that [`authorize`] said yes. It cannot be made elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    action: Action,
    tenant: Option<TenantId>,
    tier: Option<Tier>,
    scopes: Scopes,
    actor: String,
}

/// The tenant whose data may be touched. Every store function of a tenant's data needs one; only a [`Grant`] gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantScope(TenantId);

/// Stands for the control plane's own work, which crosses tenants: dispatch, ingest, enrolment, retention.
/// Never made on behalf of a request's sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SystemScope(());

/// Why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody asked whom we know.
    #[error("no valid API key came with the request")]
    Unauthenticated,
    /// The principal is known and may not.
    #[error("the API key does not have the scope `{0}` that this needs")]
    MissingScope(&'static str),
    /// Only the operator may.
    #[error("this is for the operator of the control plane")]
    OperatorOnly,
    /// The resource is not of the principal's tenant; answered as if it did not exist.
    #[error("no such thing")]
    ForeignTenant,
}

/// Decides whether a principal may do something. Everything that is not granted here is denied.
///
/// # Errors
/// [`Denied`] says why not.
pub fn authorize(principal: &Principal, action: Action, resource: Resource) -> Result<Grant, Denied> {
    match principal {
        Principal::Anonymous => Err(Denied::Unauthenticated),
        Principal::Operator => {
            let tenant = match resource {
                Resource::Platform => None,
                Resource::Tenant(tenant) => Some(tenant),
                Resource::OwnTenant => return Err(Denied::ForeignTenant),
            };
            Ok(Grant {
                action,
                tenant,
                tier: None,
                scopes: Scopes::ALL.with(Scope::Operator),
                actor: "operator".to_owned(),
            })
        }
        Principal::Key { key, tenant, tier, scopes } => {
            let actor = format!("key:{key}");
            let needed = match action.needs() {
                Needs::Scope(scope) => scope,
                Needs::Operator if scopes.contains(Scope::Operator) => return Ok(Grant::for_platform(action, actor)),
                Needs::Operator => return Err(Denied::OperatorOnly),
            };
            match resource {
                Resource::OwnTenant => {}
                Resource::Tenant(asked) if asked == *tenant => {}
                Resource::Tenant(_) | Resource::Platform => return Err(Denied::ForeignTenant),
            }
            if !scopes.contains(needed) {
                return Err(Denied::MissingScope(needed.as_str()));
            }
            Ok(Grant {
                action,
                tenant: Some(*tenant),
                tier: Some(*tier),
                // What the operator alone gives is not passed on.
                scopes: scopes.within_tenant(),
                actor,
            })
        }
    }
}

impl Grant {
    /// For what crosses tenants: it opens no tenant's data.
    const fn for_platform(action: Action, actor: String) -> Self {
        Self {
            action,
            tenant: None,
            tier: None,
            scopes: Scopes::NONE,
            actor,
        }
    }

    /// What was granted.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The tenant whose data may be touched.
    ///
    /// # Errors
    /// [`Denied::ForeignTenant`] where the grant is for the platform.
    pub fn scope(&self) -> Result<TenantScope, Denied> {
        self.tenant.map(TenantScope).ok_or(Denied::ForeignTenant)
    }

    /// The tier of the key's tenant; absent for the operator.
    pub const fn tier(&self) -> Option<Tier> {
        self.tier
    }

    /// The scopes of whoever asked: nobody gives away more than that.
    pub const fn scopes(&self) -> Scopes {
        self.scopes
    }

    /// Who asked, as the audit log names it: `key:<id>` or `operator`.
    pub fn actor(&self) -> &str {
        &self.actor
    }
}

impl TenantScope {
    /// The tenant.
    pub const fn tenant(self) -> TenantId {
        self.0
    }
}

impl SystemScope {
    /// For the control plane's own tasks only, where no request's sender is involved.
    pub const fn for_own_work() -> Self {
        Self(())
    }

    /// The scope of the tenant for whom the control plane goes on with what it was asked before.
    pub const fn of_tenant(self, tenant: TenantId) -> TenantScope {
        TenantScope(tenant)
    }
}

impl Scope {
    /// All scopes.
    pub const ALL: [Self; 4] = [Self::Measure, Self::Read, Self::Admin, Self::Operator];

    /// The name in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Measure => "measure",
            Self::Read => "read",
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Measure => 1,
            Self::Read => 2,
            Self::Admin => 4,
            Self::Operator => 8,
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// The text names no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be any of measure, read, admin, operator")]
pub struct UnknownScope;

impl Scopes {
    /// Every scope that a tenant can give.
    pub const ALL: Self = Self(7);
    /// No scope.
    pub const NONE: Self = Self(0);

    /// This set with one more.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// This set without what only the operator gives.
    const fn within_tenant(self) -> Self {
        Self(self.0 & Self::ALL.0)
    }

    /// Whether the scope is in the set.
    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Whether every scope of the other set is in this one.
    pub const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The scopes in the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }

    /// Reads the database's form: names joined by commas.
    ///
    /// # Errors
    /// [`UnknownScope`] for a name that is none.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        text.split(',')
            .filter(|name| !name.is_empty())
            .try_fold(Self::NONE, |scopes, name| Ok(scopes.with(name.parse()?)))
    }

    /// The database's form: names joined by commas.
    pub fn to_text(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(",")
    }
}

enum Needs {
    Scope(Scope),
    Operator,
}

impl Action {
    const fn needs(self) -> Needs {
        match self {
            Self::TenantCreate | Self::TenantSetTier | Self::TierChange | Self::AgentShare => Needs::Operator,
            Self::TenantRead | Self::TierRead | Self::UsageRead | Self::MeasurementRead | Self::StandingRead | Self::AgentRead | Self::PackageRead => {
                Needs::Scope(Scope::Read)
            }
            Self::MeasurementCreate | Self::MeasurementCancel | Self::StandingCreate | Self::StandingUpdate | Self::StandingDelete => {
                Needs::Scope(Scope::Measure)
            }
            Self::AgentCreate
            | Self::AgentUpdate
            | Self::AgentRevoke
            | Self::JoinTokenRead
            | Self::JoinTokenCreate
            | Self::JoinTokenRevoke
            | Self::PackageCreate
            | Self::PackageDeploy
            | Self::PackageDelete
            | Self::KeyRead
            | Self::KeyCreate
            | Self::KeyRevoke => Needs::Scope(Scope::Admin),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    fn key(scopes: Scopes) -> Principal {
        Principal::Key {
            key: "k".to_owned(),
            tenant: tenant(1),
            tier: Tier::Free,
            scopes,
        }
    }

    fn tenant(seed: u8) -> TenantId {
        TenantId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    #[test]
    fn aut_01_each_scope_opens_its_own_actions_only() {
        for (action, scope) in [
            (Action::TenantRead, Scope::Read),
            (Action::MeasurementRead, Scope::Read),
            (Action::AgentRead, Scope::Read),
            (Action::MeasurementCreate, Scope::Measure),
            (Action::MeasurementCancel, Scope::Measure),
            (Action::StandingRead, Scope::Read),
            (Action::StandingCreate, Scope::Measure),
            (Action::StandingUpdate, Scope::Measure),
            (Action::StandingDelete, Scope::Measure),
            (Action::AgentCreate, Scope::Admin),
            (Action::AgentUpdate, Scope::Admin),
            (Action::AgentRevoke, Scope::Admin),
            (Action::JoinTokenCreate, Scope::Admin),
            (Action::KeyCreate, Scope::Admin),
            (Action::PackageRead, Scope::Read),
            (Action::PackageCreate, Scope::Admin),
            (Action::PackageDeploy, Scope::Admin),
            (Action::PackageDelete, Scope::Admin),
        ] {
            for own in Scope::ALL {
                let granted = authorize(&key(Scopes::NONE.with(own)), action, Resource::OwnTenant);
                assert_eq!(granted.is_ok(), own == scope, "{action:?} with {own:?}");
            }
        }
    }

    #[test]
    fn aut_02_another_tenant_is_denied_whatever_the_scopes() {
        assert_eq!(
            authorize(&key(Scopes::ALL), Action::AgentRead, Resource::Tenant(tenant(2))),
            Err(Denied::ForeignTenant)
        );
        assert_eq!(authorize(&key(Scopes::ALL), Action::AgentRead, Resource::Platform), Err(Denied::ForeignTenant));
        let own = authorize(&key(Scopes::ALL), Action::AgentRead, Resource::Tenant(tenant(1))).unwrap();
        assert_eq!(own.scope().unwrap().tenant(), tenant(1));
    }

    #[test]
    fn nobody_known_is_denied_and_only_the_operator_makes_tenants() {
        assert_eq!(
            authorize(&Principal::Anonymous, Action::TenantRead, Resource::OwnTenant),
            Err(Denied::Unauthenticated)
        );
        assert_eq!(
            authorize(&key(Scopes::ALL), Action::TenantCreate, Resource::Platform),
            Err(Denied::OperatorOnly)
        );
        let grant = authorize(&Principal::Operator, Action::TenantCreate, Resource::Platform).unwrap();
        assert!(grant.scope().is_err(), "a grant for the platform opens no tenant's data");
    }

    #[test]
    fn aut_01_the_operators_scope_opens_the_platform_and_no_tenants_data_and_is_not_passed_on() {
        let operator = key(Scopes::NONE.with(Scope::Operator).with(Scope::Admin));
        for action in [Action::TierChange, Action::TenantSetTier, Action::AgentShare] {
            assert_eq!(authorize(&key(Scopes::ALL), action, Resource::OwnTenant), Err(Denied::OperatorOnly));
            let grant = authorize(&operator, action, Resource::OwnTenant).unwrap();
            assert!(grant.scope().is_err() && grant.actor() == "key:k");
        }
        let own = authorize(&operator, Action::KeyCreate, Resource::OwnTenant).unwrap();
        assert!(!own.scopes().contains(Scope::Operator) && own.scopes().contains(Scope::Admin));
        let socket = authorize(&Principal::Operator, Action::KeyCreate, Resource::Tenant(tenant(1))).unwrap();
        assert!(socket.scopes().contains(Scope::Operator));
    }

    #[test]
    fn scopes_read_back_as_written() {
        let scopes = Scopes::NONE.with(Scope::Measure).with(Scope::Read);
        assert_eq!(scopes.to_text(), "measure,read");
        assert_eq!(Scopes::parse("measure,read"), Ok(scopes));
        assert_eq!(Scopes::parse("root"), Err(UnknownScope));
        assert!(Scopes::ALL.covers(scopes) && !scopes.covers(Scopes::ALL));
    }
}
