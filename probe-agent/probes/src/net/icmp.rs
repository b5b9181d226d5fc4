//! ICMP stub.
use shared_protocol::frame::Capability;

/// The ICMP sockets of the process, opened once while privilege lasts.
pub struct IcmpSockets {}

impl IcmpSockets {
    /// Opens what the host lets us open; needs no runtime, never fails.
    pub fn open() -> Self {
        Self {}
    }

    /// What ping can do with these sockets, and what would mend what it cannot.
    pub fn capabilities(&self) -> Vec<Capability> {
        Vec::new()
    }
}

/// Sends and receives ICMP for every probe of the process.
pub struct IcmpEngine {}

impl IcmpEngine {
    /// Starts reading the sockets; needs a running tokio runtime. Dropping the engine ends it.
    ///
    /// # Errors
    /// Where the runtime cannot watch the sockets.
    pub fn start(_sockets: IcmpSockets) -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// What ping can do, and what would mend what it cannot.
    pub fn capabilities(&self) -> Vec<Capability> {
        Vec::new()
    }
}
