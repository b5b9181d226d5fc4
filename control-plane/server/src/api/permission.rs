//! What each route may do, as types: a handler names one in its `Authz` and so cannot be reached without it.

use control_core::authorize::Action;

use crate::http::authenticate::Permission;

/// Reads the tenant.
pub(crate) enum ReadTenant {}
/// Reads what tiers allow.
pub(crate) enum ReadTiers {}
/// Reads what the tenant used.
pub(crate) enum ReadUsage {}
/// Changes what a tier allows.
pub(crate) enum ChangeTiers {}
/// Gives tenants another tier.
pub(crate) enum SetTenantTiers {}
/// Asks for a measurement.
pub(crate) enum CreateMeasurements {}
/// Reads measurements, jobs, reports and live events.
pub(crate) enum ReadMeasurements {}
/// Takes measurements and jobs back.
pub(crate) enum CancelMeasurements {}
/// Reads standing observations.
pub(crate) enum ReadStanding {}
/// Asks for standing observations.
pub(crate) enum CreateStanding {}
/// Changes standing observations.
pub(crate) enum UpdateStanding {}
/// Takes standing observations away.
pub(crate) enum DeleteStanding {}
/// Reads agents.
pub(crate) enum ReadAgents {}
/// Makes agents.
pub(crate) enum CreateAgents {}
/// Changes agents.
pub(crate) enum UpdateAgents {}
/// Revokes agents.
pub(crate) enum RevokeAgents {}
/// Reads join tokens.
pub(crate) enum ReadJoinTokens {}
/// Makes join tokens.
pub(crate) enum CreateJoinTokens {}
/// Revokes join tokens.
pub(crate) enum RevokeJoinTokens {}
/// Reads packages.
pub(crate) enum ReadPackages {}
/// Uploads packages.
pub(crate) enum CreatePackages {}
/// Deploys packages.
pub(crate) enum DeployPackages {}
/// Takes packages away.
pub(crate) enum DeletePackages {}
/// Reads keys.
pub(crate) enum ReadKeys {}
/// Makes keys.
pub(crate) enum CreateKeys {}
/// Revokes keys.
pub(crate) enum RevokeKeys {}

impl Permission for ReadTenant {
    const ACTION: Action = Action::TenantRead;
}
impl Permission for ReadTiers {
    const ACTION: Action = Action::TierRead;
}
impl Permission for ReadUsage {
    const ACTION: Action = Action::UsageRead;
}
impl Permission for ChangeTiers {
    const ACTION: Action = Action::TierChange;
}
impl Permission for SetTenantTiers {
    const ACTION: Action = Action::TenantSetTier;
}
impl Permission for CreateMeasurements {
    const ACTION: Action = Action::MeasurementCreate;
}
impl Permission for ReadMeasurements {
    const ACTION: Action = Action::MeasurementRead;
}
impl Permission for CancelMeasurements {
    const ACTION: Action = Action::MeasurementCancel;
}
impl Permission for ReadStanding {
    const ACTION: Action = Action::StandingRead;
}
impl Permission for CreateStanding {
    const ACTION: Action = Action::StandingCreate;
}
impl Permission for UpdateStanding {
    const ACTION: Action = Action::StandingUpdate;
}
impl Permission for DeleteStanding {
    const ACTION: Action = Action::StandingDelete;
}
impl Permission for ReadAgents {
    const ACTION: Action = Action::AgentRead;
}
impl Permission for CreateAgents {
    const ACTION: Action = Action::AgentCreate;
}
impl Permission for UpdateAgents {
    const ACTION: Action = Action::AgentUpdate;
}
impl Permission for RevokeAgents {
    const ACTION: Action = Action::AgentRevoke;
}
impl Permission for ReadJoinTokens {
    const ACTION: Action = Action::JoinTokenRead;
}
impl Permission for CreateJoinTokens {
    const ACTION: Action = Action::JoinTokenCreate;
}
impl Permission for RevokeJoinTokens {
    const ACTION: Action = Action::JoinTokenRevoke;
}
impl Permission for ReadPackages {
    const ACTION: Action = Action::PackageRead;
}
impl Permission for CreatePackages {
    const ACTION: Action = Action::PackageCreate;
}
impl Permission for DeployPackages {
    const ACTION: Action = Action::PackageDeploy;
}
impl Permission for DeletePackages {
    const ACTION: Action = Action::PackageDelete;
}
impl Permission for ReadKeys {
    const ACTION: Action = Action::KeyRead;
}
impl Permission for CreateKeys {
    const ACTION: Action = Action::KeyCreate;
}
impl Permission for RevokeKeys {
    const ACTION: Action = Action::KeyRevoke;
}
