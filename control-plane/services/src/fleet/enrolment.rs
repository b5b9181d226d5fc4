//! Enrolment: a join token and a key of the agent's own make become an agent with a certificate, in one transaction.

pub(crate) mod rate;

use std::net::SocketAddr;
use std::sync::PoisonError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use control_core::authorize::SystemScope;
use control_store::agents::{AgentRow, AgentState, Identity, NewAgent};
use control_store::certificates::{CertificateRow, NewCertificate};
use control_store::join_tokens::{JoinTokenRow, Redeemed, Redemption};
use control_store::{StoreError, Tx, agents, audit, certificates, join_tokens};
use serde::{Deserialize, Serialize};
use shared_protocol::close::CloseReason;
use shared_protocol::host::Place;
use shared_protocol::id::{AgentId, InstanceId, TenantId};
use shared_protocol::limits::{AGENT_TEXT_BYTES, CSR_BYTES};
use shared_protocol::time::UnixMicros;

use super::ca::RequestedKey;
use super::{EnrolLimits, Fleet};
use crate::clock;
use crate::error::ServiceError;
use crate::identity::{JoinTokenText, agents_above_tier, name_from_host};
use rate::EnrolRate;

/// What an agent sends to become one.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The join token.
    pub token: String,
    /// The certificate signing request, base64 of DER. Only its public key is used.
    pub csr: String,
    /// What the host calls itself; the agent's name where the token gives none.
    pub hostname: String,
    /// Version of the agent's program.
    pub version: String,
    /// This run of the agent's process.
    pub instance: InstanceId,
}

/// What a new agent gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolResponse {
    /// Its id.
    pub agent: String,
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its certificate and the one that signed it, PEM.
    pub certificate: String,
    /// What it trusts: the root, PEM.
    pub ca_bundle: String,
    /// The trust domain of its identity.
    pub trust_domain: String,
}

impl Fleet {
    /// Redeems a join token. Once answered, the agent, its certificate and the use of the token are on disk; the same key may ask again for
    /// ten minutes, since the answer may have been lost, and gets the same certificate.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for what cannot be read, [`ServiceError::Unauthenticated`], always the same, for a token that is unknown,
    /// used, expired or revoked, [`ServiceError::KeyReuse`], [`ServiceError::RateLimited`].
    pub async fn enrol(&self, request: EnrolRequest, peer: SocketAddr) -> Result<EnrolResponse, ServiceError> {
        self.admit_enrolment(peer)?;
        let at = clock::now();
        let read = read(&request)?;
        let proposed = AgentId::new(at, clock::random_id_bytes());
        let redemption = Redemption {
            id: read.token.id().to_owned(),
            secret_sha256: read.token.secret_sha256(),
            spki_sha256: read.key.spki_sha256(),
            agent: proposed,
            at,
        };
        let enrolment = Enrolment {
            fleet: self.clone(),
            redemption,
            key: read.key,
            hostname: request.hostname,
            peer,
        };
        let outcome = self.store().write(move |tx| Box::pin(enrolment.run(tx))).await;
        match outcome {
            Ok(Outcome::Agent(enrolled)) => Ok(self.welcome(*enrolled)),
            Ok(Outcome::Refused) => Err(ServiceError::Unauthenticated),
            Ok(Outcome::AboveTier(limit)) => Err(agents_above_tier(limit)),
            Err(StoreError::Conflict(UNSIGNED)) => Err(ServiceError::Internal),
            Err(StoreError::Conflict("key_reuse")) => Err(ServiceError::KeyReuse),
            Err(error) => Err(error.into()),
        }
    }

    fn admit_enrolment(&self, peer: SocketAddr) -> Result<(), ServiceError> {
        let mut rate = self.enrol_rate().lock().unwrap_or_else(PoisonError::into_inner);
        rate.admit(peer.ip(), clock::monotonic())
            .map_err(|retry_after_s| ServiceError::RateLimited { retry_after_s })
    }

    /// Sets how many enrolments there may be.
    pub fn limit_enrolments(&self, limits: EnrolLimits) {
        *self.enrol_rate().lock().unwrap_or_else(PoisonError::into_inner) = EnrolRate::new(limits, clock::monotonic());
    }

    fn welcome(&self, enrolled: Enrolled) -> EnrolResponse {
        let authority = self.authority();
        let chain = authority.chain_pem(&enrolled.certificate.der);
        let identity = Identity {
            agent: enrolled.certificate.agent,
            tenant: enrolled.row.tenant,
            state: enrolled.row.state,
            serial: enrolled.certificate.serial,
            spki_sha256: enrolled.certificate.spki_sha256,
            not_after: enrolled.certificate.not_after,
        };
        self.directory().put(&enrolled.row);
        if enrolled.is_anew {
            // The key before is burnt: whoever holds it still is not this agent any more.
            self.identities().reenrolled(identity);
            self.registry().close(enrolled.certificate.agent, CloseReason::Revoked);
        } else {
            self.identities().enrolled(identity);
        }
        tracing::info!(agent = %enrolled.certificate.agent, tenant = %enrolled.row.tenant, "agent enrolled");
        EnrolResponse {
            agent: enrolled.certificate.agent.to_string(),
            tenant: enrolled.row.tenant.to_string(),
            name: enrolled.row.name,
            certificate: chain,
            ca_bundle: authority.root().pem.clone(),
            trust_domain: self.trust_domain().to_owned(),
        }
    }
}

struct Read {
    token: JoinTokenText,
    key: RequestedKey,
}

/// Reads everything that can be refused without asking the store.
fn read(request: &EnrolRequest) -> Result<Read, ServiceError> {
    for (field, text) in [("hostname", &request.hostname), ("version", &request.version)] {
        if text.len() > AGENT_TEXT_BYTES {
            return Err(ServiceError::invalid(field, format!("must be at most {AGENT_TEXT_BYTES} bytes")));
        }
    }
    let token = JoinTokenText::parse(&request.token).map_err(|error| ServiceError::invalid("token", error.to_string()))?;
    let refused = |message: String| ServiceError::invalid("csr", message);
    if request.csr.len() > CSR_BYTES.div_ceil(3) * 4 {
        return Err(refused(format!("must be at most {CSR_BYTES} bytes of DER")));
    }
    let der = STANDARD.decode(&request.csr).map_err(|_| refused("must be base64 of DER".to_owned()))?;
    let key = RequestedKey::from_request(&der).map_err(|error| refused(error.to_string()))?;
    Ok(Read { token, key })
}

/// One enrolment inside the write transaction.
struct Enrolment {
    fleet: Fleet,
    redemption: Redemption,
    key: RequestedKey,
    hostname: String,
    peer: SocketAddr,
}

enum Outcome {
    Agent(Box<Enrolled>),
    Refused,
    /// The tenant has as many agents as its tier includes.
    AboveTier(u32),
}

struct Enrolled {
    row: AgentRow,
    certificate: CertificateRow,
    /// It was an agent before, with another key.
    is_anew: bool,
}

impl Enrolment {
    async fn run(self, tx: &mut Tx) -> Result<Outcome, StoreError> {
        let system = SystemScope::for_own_work();
        // Before the token is used, so that it is good still once there is room.
        if let Some(tenant) = join_tokens::tenant_of_unused(tx, system, &self.redemption).await? {
            let limit = self.fleet.lifecycle().tiers.table().of(tenant.tier).agents;
            if tenant.agents >= u64::from(limit) {
                return Ok(Outcome::AboveTier(limit));
            }
        }
        match join_tokens::redeem(tx, system, &self.redemption).await? {
            Redeemed::New(token) => self.make_agent(tx, token).await,
            Redeemed::Replayed { agent } => self.again(tx, agent).await,
            Redeemed::UsedBefore { agent } => self.replayed(tx, agent).await,
            Redeemed::No => Ok(Outcome::Refused),
        }
    }

    async fn make_agent(self, tx: &mut Tx, token: JoinTokenRow) -> Result<Outcome, StoreError> {
        let system = SystemScope::for_own_work();
        let agent = token.for_agent.unwrap_or(self.redemption.agent);
        let at = self.redemption.at;
        let signed = match self.fleet.authority().sign_agent(token.tenant, agent, &self.key, at) {
            Ok(signed) => signed,
            Err(error) => {
                tracing::error!(%error, "a certificate could not be signed");
                // Undoes the whole operation: the token is good still.
                return Err(StoreError::Conflict(UNSIGNED));
            }
        };
        let is_anew = token.for_agent.is_some();
        let row = if is_anew {
            agents::enrol(tx, system, agent, at).await?
        } else {
            let wanted = token.name.clone().unwrap_or_else(|| name_from_host(&self.hostname));
            make_named(tx, &token, agent, &wanted, at).await?;
            agents::find_for_session(tx, system, agent).await?
        };
        // A revoked agent's tokens are revoked with it, so this one was taken from a backup; it is used up all the same.
        let Some(row) = row else { return Ok(Outcome::Refused) };
        certificates::burn(tx, system, agent, at).await?;
        let certificate = NewCertificate {
            agent,
            serial: signed.serial,
            spki_sha256: signed.spki_sha256,
            der: signed.der.to_vec(),
            issued_at: at,
            not_before: signed.not_before,
            not_after: signed.not_after,
        };
        certificates::insert(tx, system, &certificate).await?;
        let detail = serde_json::json!({ "token": token.id, "name": row.name, "address": self.peer.ip().to_string() });
        record(tx, token.tenant, at, agent, "agent.enrolled", detail).await?;
        Ok(Outcome::Agent(Box::new(Enrolled { row, certificate, is_anew })))
    }

    /// The answer was lost: the same one again.
    async fn again(self, tx: &mut Tx, agent: AgentId) -> Result<Outcome, StoreError> {
        let system = SystemScope::for_own_work();
        let found = agents::find_for_session(tx, system, agent).await?.filter(|row| row.state == AgentState::Active);
        let certificate = certificates::find_by_key(tx, system, &self.redemption.spki_sha256).await?;
        let (Some(row), Some(certificate)) = (found, certificate) else {
            return Ok(Outcome::Refused);
        };
        Ok(Outcome::Agent(Box::new(Enrolled {
            row,
            certificate,
            is_anew: false,
        })))
    }

    /// Somebody else has the token: the tenant must hear of it.
    async fn replayed(self, tx: &mut Tx, agent: AgentId) -> Result<Outcome, StoreError> {
        if let Some(row) = agents::find_for_session(tx, SystemScope::for_own_work(), agent).await? {
            let detail = serde_json::json!({ "token": self.redemption.id, "address": self.peer.ip().to_string() });
            record(tx, row.tenant, self.redemption.at, agent, "token_replay", detail).await?;
            tracing::warn!(%agent, tenant = %row.tenant, token = self.redemption.id, "a join token was used again with another key");
        }
        Ok(Outcome::Refused)
    }
}

/// Makes the agent under the name wanted, or the first free of `name-2`, `name-3`, …; beyond that a part of its id makes it unique.
async fn make_named(tx: &mut Tx, token: &JoinTokenRow, agent: AgentId, wanted: &str, at: UnixMicros) -> Result<(), StoreError> {
    let id = agent.uuid().simple().to_string();
    let unique = format!("{wanted}-{}", id.get(20..).unwrap_or(&id));
    let numbered = (2..=NUMBERED_NAMES).map(|number| format!("{wanted}-{number}"));
    let mut names = std::iter::once(wanted.to_owned()).chain(numbered).chain(std::iter::once(unique));
    loop {
        let name = names.next().ok_or(StoreError::Conflict("agent_name"))?;
        let new = NewAgent {
            id: agent,
            tenant: token.tenant,
            name,
            labels: token.labels.clone(),
            place: Place::default(),
            created_at: at,
            enrolled_at: Some(at),
        };
        match agents::create(tx, SystemScope::for_own_work(), &new).await {
            Ok(()) => return Ok(()),
            Err(StoreError::Conflict("agent_name")) => {}
            Err(error) => return Err(error),
        }
    }
}

async fn record(tx: &mut Tx, tenant: TenantId, at: UnixMicros, agent: AgentId, action: &'static str, detail: serde_json::Value) -> Result<(), StoreError> {
    let record = audit::NewAudit {
        at,
        tenant: Some(tenant),
        actor: "join_token".to_owned(),
        action,
        subject: agent.to_string(),
        detail,
    };
    audit::append(tx, SystemScope::for_own_work(), &record).await
}

/// Names tried with a number before the id is taken.
const NUMBERED_NAMES: u32 = 20;
/// Undoes an enrolment whose certificate could not be signed.
const UNSIGNED: &str = "unsigned";
