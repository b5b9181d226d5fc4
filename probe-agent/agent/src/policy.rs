//! What the host's owner allows: the last word, which no control plane can override.
//!
//! [`Policy`] is asked before a job (the probe, its caps, an address it names) and, as the sockets' [`Gate`], again for every address
//! before a packet leaves. Addresses that are never a target stand in `shared_protocol::address` and cannot be allowed.

mod local;
mod rules;
mod verdict;

pub use local::LocalAddresses;
pub use rules::{AllowPorts, ByteCount, InvalidPolicy, PolicyRules};
pub use verdict::{AddressRules, Refused};

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock};

use agent_probes::net::gate::{Denial, Gate, Pace};
use shared_protocol::spec::ProbeSpec;

use crate::config::ObserveSettings;

/// The owner's rules, together with what they need to know of this host at the moment.
#[derive(Debug, Default)]
pub struct Policy {
    rules: PolicyRules,
    observe: ObserveSettings,
    surroundings: RwLock<Surroundings>,
}

/// What the rules need to know of this host.
#[derive(Debug, Default)]
struct Surroundings {
    local: LocalAddresses,
    control_plane: Vec<IpAddr>,
}

impl Policy {
    /// A policy of these rules. Its knowledge of the host's own addresses comes with [`Policy::set_local`].
    pub fn new(rules: PolicyRules) -> Self {
        Self {
            rules,
            observe: ObserveSettings::default(),
            surroundings: RwLock::default(),
        }
    }

    /// The same with what the owner wrote about observations.
    #[must_use]
    pub fn with_observe(self, observe: ObserveSettings) -> Self {
        Self { observe, ..self }
    }

    /// The rules as the owner wrote them.
    pub const fn rules(&self) -> &PolicyRules {
        &self.rules
    }

    /// Replaces what is known of the host's own addresses; called before each job, because they change.
    pub fn set_local(&self, local: LocalAddresses) {
        self.surroundings.write().unwrap_or_else(PoisonError::into_inner).local = local;
    }

    /// Replaces the control plane's addresses; called with each dial's resolution, before the first packet to them.
    pub fn set_control_plane(&self, addresses: &[IpAddr]) {
        addresses.clone_into(&mut self.surroundings.write().unwrap_or_else(PoisonError::into_inner).control_plane);
    }

    /// Whether a job may begin. A name's addresses are checked when it is resolved.
    ///
    /// # Errors
    /// [`Refused`] with the rule.
    pub fn check_spec(&self, spec: &ProbeSpec) -> Result<(), Refused> {
        let surroundings = self.surroundings.read().unwrap_or_else(PoisonError::into_inner);
        verdict::check_spec(&self.rules, &surroundings.address_rules(&self.rules), spec)?;
        if let ProbeSpec::Observe(observe) = spec {
            self.observe.check(observe)?;
        }
        Ok(())
    }
}

impl Policy {
    /// Whether work that goes on until it is taken back may be done at all; what each window does is asked for beside that.
    ///
    /// # Errors
    /// [`Refused`] with the rule.
    pub fn check_standing(&self) -> Result<(), Refused> {
        self.observe.check_standing()
    }
}

impl Gate for Policy {
    fn check_address(&self, address: IpAddr) -> Result<(), Denial> {
        let surroundings = self.surroundings.read().unwrap_or_else(PoisonError::into_inner);
        surroundings.address_rules(&self.rules).check(address).map_err(|rule| Denial {
            message: verdict::sentence(rule),
            rule: rule.to_owned(),
        })
    }

    fn check_port(&self, port: u16) -> Result<(), Denial> {
        verdict::check_port(&self.rules, port).map_err(|rule| Denial {
            message: verdict::sentence(rule),
            rule: rule.to_owned(),
        })
    }

    fn check_resolver(&self, address: IpAddr) -> Result<(), Denial> {
        let surroundings = self.surroundings.read().unwrap_or_else(PoisonError::into_inner);
        surroundings.address_rules(&self.rules).check_resolver(address).map_err(|rule| Denial {
            message: verdict::sentence(rule),
            rule: rule.to_owned(),
        })
    }

    fn pace(&self) -> Pace {
        Pace {
            max_pps: self.rules.max_pps,
            per_target_pps: self.rules.per_target_pps,
        }
    }
}

impl Surroundings {
    const fn address_rules<'a>(&'a self, rules: &'a PolicyRules) -> AddressRules<'a> {
        AddressRules {
            rules,
            local: &self.local,
            control_plane: self.control_plane.as_slice(),
        }
    }
}
