//! Who is asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::target::Target;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NameServer {
    /// The name servers of the agent's host, in their order.
    System,
    /// The server at this address; always a [`Target::Address`].
    At(Target),
}

impl fmt::Display for NameServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => formatter.write_str("system"),
            Self::At(address) => address.fmt(formatter),
        }
    }
}

impl Serialize for NameServer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A server as it may be written: `system`, an address, or an address with its port.
pub(super) struct ServerText(NameServer, Option<u16>);

impl ServerText {
    pub(super) fn into_parts(self) -> (NameServer, Option<u16>) {
        (self.0, self.1)
    }
}

impl FromStr for ServerText {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let at = |address: IpAddr| NameServer::At(Target::Address(address));
        if text == "system" {
            Ok(Self(NameServer::System, None))
        } else if let Ok(address) = text.parse::<IpAddr>() {
            Ok(Self(at(address), None))
        } else {
            let endpoint: SocketAddr = text.parse().map_err(|_| InvalidServer)?;
            let plain = !matches!(endpoint, SocketAddr::V6(v6) if v6.scope_id() != 0) && endpoint.port() != 0;
            if plain {
                Ok(Self(at(endpoint.ip()), Some(endpoint.port())))
            } else {
                Err(InvalidServer)
            }
        }
    }
}

/// The text names no server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be \"system\", an IP address, or an IP address with a port as 192.0.2.1:53 or [2001:db8::1]:53")]
pub(super) struct InvalidServer;
