//! What the agent's owner allows: asked for every address before a packet leaves for it, and how fast packets may leave.

use std::net::{IpAddr, SocketAddr};

/// The owner's policy, as far as the sockets need it.
///
/// Called for every packet: an answer must come from memory.
pub trait Gate: Send + Sync {
    /// Whether packets may be sent to an address.
    ///
    /// # Errors
    /// [`Denial`] with the rule that forbids it.
    fn check_address(&self, address: IpAddr) -> Result<(), Denial>;

    /// Whether a port may be sent to.
    ///
    /// # Errors
    /// [`Denial`] with the rule that forbids it.
    fn check_port(&self, port: u16) -> Result<(), Denial>;

    /// Whether packets may be sent to an address and a port.
    ///
    /// # Errors
    /// [`Denial`] with the rule that forbids it.
    fn check_endpoint(&self, endpoint: SocketAddr) -> Result<(), Denial> {
        self.check_address(endpoint.ip())?;
        self.check_port(endpoint.port())
    }

    /// Whether packets may be sent to a name server that the host itself is set to ask.
    ///
    /// # Errors
    /// [`Denial`] with the rule that forbids it.
    fn check_resolver(&self, address: IpAddr) -> Result<(), Denial>;

    /// How fast packets may leave.
    fn pace(&self) -> Pace;
}

/// Who names an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The job.
    Named,
    /// The host's resolver configuration: the owner has chosen it.
    HostResolver,
}

/// Whether packets may be sent to an endpoint that somebody named.
pub(crate) fn check(gate: &dyn Gate, endpoint: SocketAddr, peer: Peer) -> Result<(), Denial> {
    match peer {
        Peer::Named => gate.check_endpoint(endpoint),
        Peer::HostResolver => gate.check_resolver(endpoint.ip()),
    }
}

/// Why the owner's policy says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// Name of the rule, as it stands in the report's policy verdict.
    pub rule: String,
    /// One sentence for people.
    pub message: String,
}

/// The owner's packet rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Packets a second over all targets; 0 lets none leave.
    pub max_pps: u32,
    /// Packets a second to one target; 0 lets none leave.
    pub per_target_pps: u32,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            max_pps: 2_000,
            per_target_pps: 100,
        }
    }
}
