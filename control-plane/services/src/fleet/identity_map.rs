//! Who the agents are, in memory, so that a storm of reconnects reads no database. The store is the truth: every change made here follows
//! its commit. Each two seconds what changed lately is read again, for what was changed elsewhere, and once a minute everything.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use control_core::authorize::SystemScope;
use control_store::agents::{self, AgentState, ChangedIdentity, Identity};
use control_store::{Store, StoreError};
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use tokio_util::sync::CancellationToken;

use super::PeerRefused;
use super::principal::Leaf;
use crate::clock;

/// Every agent's certificates and state.
#[derive(Debug)]
pub(crate) struct IdentityMap {
    store: Store,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    agents: HashMap<AgentId, Entry>,
    read_at: MonotonicMicros,
    /// When everything was read.
    whole_at: Option<MonotonicMicros>,
    /// When the last reading began, by the clock that changes are dated by.
    read_until: UnixMicros,
    /// While the store is being read: what changed meanwhile, to be done again on what was read.
    meanwhile: Option<Vec<Change>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    tenant: TenantId,
    state: AgentState,
    certificates: Vec<(Vec<u8>, [u8; 32])>,
}

/// What was read of the store.
#[derive(Debug)]
enum Reading {
    Whole(Vec<Identity>),
    /// The agents that changed lately.
    Changed(Vec<ChangedIdentity>),
}

/// When a reading began.
#[derive(Debug, Clone, Copy)]
struct Begun {
    at: MonotonicMicros,
    wall: UnixMicros,
}

/// A change whose commit is on disk.
#[derive(Debug, Clone)]
enum Change {
    Enrolled(Identity),
    Reenrolled(Identity),
    State(AgentId, AgentState),
}

impl IdentityMap {
    /// Reads the map from the store.
    pub(crate) async fn load(store: Store) -> Result<Self, StoreError> {
        let map = Self {
            store,
            known: Mutex::default(),
        };
        map.refresh().await?;
        Ok(map)
    }

    /// Reads what changed each two seconds until the control plane stops.
    pub(crate) async fn keep_fresh(self: Arc<Self>, stopping: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(REFRESH_INTERVAL) => {}
                () = stopping.cancelled() => return,
            }
            match tokio::time::timeout(REFRESH_TIMEOUT, self.refresh()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the agents' identities could not be read again"),
                Err(_) => tracing::warn!("the agents' identities could not be read again in time"),
            }
        }
    }

    /// Whether a leaf is an active agent's own.
    pub(crate) fn check(&self, leaf: &Leaf, now: MonotonicMicros) -> Result<(), PeerRefused> {
        self.lock().check(leaf, now)
    }

    /// Takes note of an agent's certificate; after its commit.
    pub(crate) fn enrolled(&self, identity: Identity) {
        self.lock().change(Change::Enrolled(identity));
    }

    /// Takes note of an agent's new certificate, in whose favour all earlier ones were burnt; after its commit.
    pub(crate) fn reenrolled(&self, identity: Identity) {
        self.lock().change(Change::Reenrolled(identity));
    }

    /// Takes note of an agent's state; after its commit.
    pub(crate) fn set_state(&self, agent: AgentId, state: AgentState) {
        self.lock().change(Change::State(agent, state));
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let begun = Begun {
            at: clock::monotonic(),
            wall: clock::now(),
        };
        let since = {
            let mut known = self.lock();
            known.meanwhile = Some(Vec::new());
            known.changes_wanted_since(begun.at)
        };
        let read = self.read(since).await;
        let mut known = self.lock();
        let meanwhile = known.meanwhile.take().unwrap_or_default();
        known.take(read?, meanwhile, begun);
        Ok(())
    }

    async fn read(&self, since: Option<UnixMicros>) -> Result<Reading, StoreError> {
        let mut reader = self.store.reader().await?;
        let scope = SystemScope::for_own_work();
        Ok(match since {
            Some(since) => Reading::Changed(agents::changed_identities(&mut reader, scope, since).await?),
            None => Reading::Whole(agents::all_identities(&mut reader, scope).await?),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn check(&self, leaf: &Leaf, now: MonotonicMicros) -> Result<(), PeerRefused> {
        if now.since(self.read_at) > STALE {
            return Err(PeerRefused::Stale);
        }
        let entry = self.agents.get(&leaf.agent).filter(|entry| entry.tenant == leaf.tenant);
        let entry = entry.ok_or(PeerRefused::UnknownAgent)?;
        let certificate = entry.certificates.iter().find(|(serial, _)| *serial == leaf.serial);
        let (_, spki_sha256) = certificate.ok_or(PeerRefused::SerialUnknown)?;
        if *spki_sha256 != leaf.spki_sha256 {
            return Err(PeerRefused::SpkiMismatch);
        }
        match entry.state {
            AgentState::Active => Ok(()),
            AgentState::Suspended => Err(PeerRefused::Suspended),
            AgentState::Revoked => Err(PeerRefused::Revoked),
        }
    }

    fn change(&mut self, change: Change) {
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.push(change.clone());
        }
        self.apply(change);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Enrolled(identity) => self.insert(identity),
            Change::Reenrolled(identity) => {
                if self.agents.get(&identity.agent).is_none_or(|entry| entry.state != AgentState::Revoked) {
                    self.agents.remove(&identity.agent);
                    self.insert(identity);
                }
            }
            Change::State(agent, state) => {
                if let Some(entry) = self.agents.get_mut(&agent).filter(|entry| entry.state != AgentState::Revoked) {
                    entry.state = state;
                }
            }
        }
    }

    fn insert(&mut self, identity: Identity) {
        let certificate = (identity.serial, identity.spki_sha256);
        let entry = self.agents.entry(identity.agent).or_insert_with(|| Entry {
            tenant: identity.tenant,
            state: identity.state,
            certificates: Vec::with_capacity(1),
        });
        if !entry.certificates.contains(&certificate) {
            entry.certificates.push(certificate);
        }
    }

    /// The instant since which changes are to be read; none where everything is.
    fn changes_wanted_since(&self, now: MonotonicMicros) -> Option<UnixMicros> {
        let whole_at = self.whole_at.filter(|at| now.since(*at) < WHOLE_INTERVAL);
        whole_at.map(|_| self.read_until.minus(OVERLAP))
    }

    /// Takes what was read; a change committed while it was read may or may not be in it, so each is done again.
    fn take(&mut self, read: Reading, meanwhile: Vec<Change>, begun: Begun) {
        match read {
            Reading::Whole(identities) => {
                self.agents = HashMap::with_capacity(identities.len());
                self.whole_at = Some(begun.at);
                for identity in identities {
                    self.insert(identity);
                }
            }
            Reading::Changed(changed) => {
                for one in &changed {
                    self.agents.remove(&one.agent);
                }
                for identity in changed.into_iter().filter_map(|one| one.identity) {
                    self.insert(identity);
                }
            }
        }
        for change in meanwhile {
            self.apply(change);
        }
        self.read_at = begun.at;
        self.read_until = begun.wall;
    }
}

const REFRESH_INTERVAL: Duration = Duration::from_secs(2);
/// How often everything is read, whatever the instants of the changes say.
const WHOLE_INTERVAL: Duration = Duration::from_mins(1);
/// A change is dated before its commit, by a clock that may be set: it is read again for this long.
const OVERLAP: Duration = Duration::from_secs(30);
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);
/// Age beyond which the map lets nobody in.
const STALE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use shared_protocol::time::UnixMicros;

    fn agent(seed: u8) -> AgentId {
        AgentId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn tenant(seed: u8) -> TenantId {
        TenantId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn identity(seed: u8, state: AgentState) -> Identity {
        Identity {
            agent: agent(seed),
            tenant: tenant(1),
            state,
            serial: vec![seed; 16],
            spki_sha256: [seed; 32],
            not_after: UnixMicros::from_micros(i64::MAX),
        }
    }

    fn leaf(seed: u8) -> Leaf {
        Leaf {
            agent: agent(seed),
            tenant: tenant(1),
            serial: vec![seed; 16],
            spki_sha256: [seed; 32],
        }
    }

    fn known(identities: Vec<Identity>) -> Known {
        let mut known = Known::default();
        known.take(Reading::Whole(identities), Vec::new(), begun(MonotonicMicros::default()));
        known
    }

    fn begun(at: MonotonicMicros) -> Begun {
        Begun {
            at,
            wall: UnixMicros::from_micros(100_000_000),
        }
    }

    const NOW: MonotonicMicros = MonotonicMicros::from_micros(1_000_000);

    #[test]
    fn tls_17_a_leaf_must_be_the_one_on_record_in_every_part() {
        let known = known(vec![identity(1, AgentState::Active), identity(2, AgentState::Active)]);
        assert_eq!(known.check(&leaf(1), NOW), Ok(()));
        let mut other_key = leaf(1);
        other_key.spki_sha256 = [9; 32];
        assert_eq!(known.check(&other_key, NOW), Err(PeerRefused::SpkiMismatch));
        let mut other_serial = leaf(1);
        other_serial.serial = vec![2; 16];
        assert_eq!(known.check(&other_serial, NOW), Err(PeerRefused::SerialUnknown));
        let mut other_tenant = leaf(1);
        other_tenant.tenant = tenant(2);
        assert_eq!(known.check(&other_tenant, NOW), Err(PeerRefused::UnknownAgent));
        assert_eq!(known.check(&leaf(3), NOW), Err(PeerRefused::UnknownAgent));
    }

    #[test]
    fn the_state_decides_and_revoked_is_for_ever() {
        let mut known = known(vec![identity(1, AgentState::Active)]);
        known.change(Change::State(agent(1), AgentState::Suspended));
        assert_eq!(known.check(&leaf(1), NOW), Err(PeerRefused::Suspended));
        known.change(Change::State(agent(1), AgentState::Revoked));
        known.change(Change::State(agent(1), AgentState::Active));
        assert_eq!(known.check(&leaf(1), NOW), Err(PeerRefused::Revoked));
    }

    #[test]
    fn an_agent_enrolled_anew_is_known_by_its_new_key_only() {
        let mut known = known(vec![identity(1, AgentState::Active)]);
        known.change(Change::State(agent(1), AgentState::Suspended));
        let mut fresh = identity(1, AgentState::Active);
        (fresh.serial, fresh.spki_sha256) = (vec![7; 16], [7; 32]);
        known.change(Change::Reenrolled(fresh));
        assert_eq!(known.check(&leaf(1), NOW), Err(PeerRefused::SerialUnknown));
        let mut new_leaf = leaf(1);
        (new_leaf.serial, new_leaf.spki_sha256) = (vec![7; 16], [7; 32]);
        assert_eq!(known.check(&new_leaf, NOW), Ok(()));
    }

    #[test]
    fn a_revocation_while_the_store_is_read_is_not_undone_by_what_was_read_before_it() {
        let mut known = known(vec![identity(1, AgentState::Active)]);
        known.meanwhile = Some(Vec::new());
        let read_before = vec![identity(1, AgentState::Active)];
        known.change(Change::State(agent(1), AgentState::Revoked));
        known.change(Change::Enrolled(identity(2, AgentState::Active)));
        let meanwhile = known.meanwhile.take().unwrap();
        known.take(Reading::Whole(read_before), meanwhile, begun(NOW));
        assert_eq!(known.check(&leaf(1), NOW), Err(PeerRefused::Revoked));
        assert_eq!(known.check(&leaf(2), NOW), Ok(()));
    }

    #[test]
    fn a_map_that_was_not_read_for_ten_seconds_lets_nobody_in() {
        let known = known(vec![identity(1, AgentState::Active)]);
        assert_eq!(known.check(&leaf(1), MonotonicMicros::from_micros(10_000_000)), Ok(()));
        assert_eq!(known.check(&leaf(1), MonotonicMicros::from_micros(10_000_001)), Err(PeerRefused::Stale));
    }

    #[test]
    fn what_changed_is_read_for_a_while_and_everything_once_a_minute() {
        let mut known = Known::default();
        assert_eq!(known.changes_wanted_since(NOW), None, "nothing was read yet");
        known.take(Reading::Whole(Vec::new()), Vec::new(), begun(NOW));
        let soon = NOW.plus(Duration::from_secs(59));
        assert_eq!(known.changes_wanted_since(soon), Some(UnixMicros::from_micros(70_000_000)));
        known.take(Reading::Changed(Vec::new()), Vec::new(), begun(soon));
        assert_eq!(known.changes_wanted_since(NOW.plus(Duration::from_mins(1))), None);
        assert_eq!(
            known.check(&leaf(1), soon.plus(Duration::from_secs(10))),
            Err(PeerRefused::UnknownAgent),
            "read lately"
        );
    }

    #[test]
    fn an_agent_that_changed_is_what_was_read_of_it_and_the_others_stay() {
        let mut known = known(vec![
            identity(1, AgentState::Active),
            identity(2, AgentState::Active),
            identity(3, AgentState::Active),
        ]);
        let changed = |seed, identity| ChangedIdentity { agent: agent(seed), identity };
        let mut renewed = identity(2, AgentState::Active);
        (renewed.serial, renewed.spki_sha256) = (vec![7; 16], [7; 32]);
        let read = vec![
            changed(1, None),
            changed(2, Some(renewed)),
            changed(4, Some(identity(4, AgentState::Active))),
            changed(5, Some(identity(5, AgentState::Active))),
        ];
        known.take(Reading::Changed(read), vec![Change::State(agent(5), AgentState::Revoked)], begun(NOW));
        let found = [1, 2, 3, 4, 5].map(|seed| known.check(&leaf(seed), NOW));
        let (unknown, old, revoked) = (Err(PeerRefused::UnknownAgent), Err(PeerRefused::SerialUnknown), Err(PeerRefused::Revoked));
        assert_eq!(found, [unknown, old, Ok(()), Ok(()), revoked]);
    }
}
