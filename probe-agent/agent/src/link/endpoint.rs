//! Where the control plane is: a host and a port.

use std::fmt;
use std::str::FromStr;

use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use shared_protocol::target::Target;

/// The host and port of the agent port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    host: Target,
    port: u16,
}

impl Endpoint {
    /// The host, without brackets.
    pub fn host(&self) -> String {
        self.host.to_string()
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The name that the server's certificate must carry.
    ///
    /// # Errors
    /// [`InvalidEndpoint`] where the host is no name that a certificate can carry.
    pub fn server_name(&self) -> Result<ServerName<'static>, InvalidEndpoint> {
        match &self.host {
            Target::Address(address) => Ok(ServerName::from(*address)),
            Target::Name(name) => ServerName::try_from(name.as_str().to_owned()).map_err(|_| InvalidEndpoint),
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidEndpoint)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|inner| inner.contains(':')).ok_or(InvalidEndpoint)?,
            None if host.contains(':') => return Err(InvalidEndpoint),
            None => host,
        };
        if !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidEndpoint);
        }
        let endpoint = Self {
            host: Target::parse(host).map_err(|_| InvalidEndpoint)?,
            port: port.parse().ok().filter(|port| *port != 0).ok_or(InvalidEndpoint)?,
        };
        endpoint.server_name()?;
        Ok(endpoint)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = InvalidEndpoint;

    fn try_from(text: String) -> Result<Self, InvalidEndpoint> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Target::Address(address) => std::net::SocketAddr::new(*address, self.port).fmt(formatter),
            Target::Name(name) => write!(formatter, "{}:{}", name.as_str(), self.port),
        }
    }
}

/// The text is not `host:port`, with brackets around an IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be host:port, with brackets around an IPv6 address")]
pub struct InvalidEndpoint;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_of_each_endpoint_is_read_and_written() {
        for text in ["localhost:8443", "127.0.0.1:1", "[::1]:65535", "control.example:443"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "localhost",
            "localhost:",
            ":1",
            "localhost:0",
            "localhost:65536",
            "localhost:+1",
            "::1:80",
            "[::1]",
            "[127.0.0.1]:1",
            "a b:1",
            "http://a:1",
            "a/b:1",
            "user@a:1",
            "127.1:1",
            "a:1:2",
        ] {
            assert_eq!(text.parse::<Endpoint>(), Err(InvalidEndpoint), "{text}");
        }
    }
}
