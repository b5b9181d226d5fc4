//! The fleet: who the agents are, how they prove it, and which of them are here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use control_store::Store;

use crate::clock;
use crate::identity::JoinBundles;
use crate::jobs::Lifecycle;
use crate::metrics::Metrics;

mod agents;
mod ca;
mod changes;
mod directory;
mod enrolment;
mod identity_map;
mod opening;
mod outlet;
mod principal;
mod registry;
mod session;
mod standing;

pub use ca::{AuthorityError, TlsError};
pub use enrolment::rate::EnrolLimits;
pub use enrolment::{EnrolRequest, EnrolResponse};
pub use outlet::{Inlet, Outlet, SessionCommand, outlet};
pub use principal::{AgentPrincipal, PeerRefused};
pub use registry::Presence;
pub use session::Session;

pub(crate) use ca::Authority;
pub(crate) use directory::Directory;
pub(crate) use identity_map::IdentityMap;
pub(crate) use registry::Registry;

use enrolment::rate::EnrolRate;

/// The fleet; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Fleet {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    registry: Registry,
    directory: Directory,
    bundles: JoinBundles,
    lifecycle: Lifecycle,
    identities: Arc<IdentityMap>,
    authority: Authority,
    trust_domain: String,
    keepalive: Duration,
    enrol_rate: Mutex<EnrolRate>,
}

impl Fleet {
    pub(crate) fn new(
        lifecycle: Lifecycle,
        identities: Arc<IdentityMap>,
        authority: Authority,
        trust_domain: String,
        directory: Directory,
        bundles: JoinBundles,
        keepalive: Duration,
    ) -> Self {
        let store = lifecycle.store.clone();
        let enrol_rate = Mutex::new(EnrolRate::new(EnrolLimits::default(), clock::monotonic()));
        Self {
            inner: Arc::new(Inner {
                enrol_rate,
                store,
                registry: Registry::default(),
                directory,
                bundles,
                lifecycle,
                identities,
                authority,
                trust_domain,
                keepalive,
            }),
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.inner.directory
    }

    pub(crate) fn bundles(&self) -> &JoinBundles {
        &self.inner.bundles
    }

    pub(crate) fn lifecycle(&self) -> &Lifecycle {
        &self.inner.lifecycle
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.inner.lifecycle.metrics
    }

    pub(crate) fn identities(&self) -> &IdentityMap {
        &self.inner.identities
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    pub(crate) fn trust_domain(&self) -> &str {
        &self.inner.trust_domain
    }

    /// Time between two keepalives of a session.
    pub(crate) fn keepalive(&self) -> Duration {
        self.inner.keepalive
    }

    fn enrol_rate(&self) -> &Mutex<EnrolRate> {
        &self.inner.enrol_rate
    }
}
