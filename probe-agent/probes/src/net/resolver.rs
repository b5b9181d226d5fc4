//! Turns names into addresses: the host's own resolver configuration, a bounded answer, a time limit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::{TokioResolver, system_conf};
use shared_protocol::fault::ErrorCode;
use shared_protocol::target::Target;

/// Resolves targets; cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    names: TokioResolver,
    servers: Arc<[IpAddr]>,
    limit: Duration,
}

/// Why a target has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The host's resolver configuration cannot be used.
    #[error("the host's resolver configuration cannot be used: {0}")]
    Configuration(String),
    /// The name does not exist.
    #[error("the name does not exist")]
    NoSuchName,
    /// The resolver answered with a failure.
    #[error("the resolver failed: {0}")]
    ServerFailure(String),
    /// The resolver did not answer in time.
    #[error("the resolver did not answer in time")]
    Timeout,
    /// The name exists without an address of the wanted family.
    #[error("there is no address of the wanted family")]
    NoAddress,
}

impl ResolveError {
    /// The stable code of the error in a report.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoSuchName => ErrorCode::DnsNxdomain,
            Self::ServerFailure(_) | Self::Configuration(_) => ErrorCode::DnsServfail,
            Self::Timeout => ErrorCode::DnsTimeout,
            Self::NoAddress => ErrorCode::DnsNoAddress,
        }
    }
}

impl Resolver {
    /// A resolver by the host's own configuration: name servers and search list of resolv.conf, and the hosts file.
    ///
    /// # Errors
    /// [`ResolveError::Configuration`] where the host's configuration cannot be read.
    pub fn from_system() -> Result<Self, ResolveError> {
        let (config, options) = system_conf::read_system_conf().map_err(|error| ResolveError::Configuration(error.to_string()))?;
        Self::build(config, options)
    }

    /// A resolver that asks one address, for tests of what it is used for.
    #[cfg(test)]
    pub(crate) fn asking(address: IpAddr) -> Self {
        use hickory_resolver::config::NameServerConfig;
        let servers = vec![NameServerConfig::udp(address)];
        Self::build(ResolverConfig::from_name_servers(servers), ResolverOpts::default()).unwrap()
    }

    fn build(config: ResolverConfig, options: ResolverOpts) -> Result<Self, ResolveError> {
        let servers = config.name_servers().iter().map(|server| server.ip).take(SERVERS_MAX).collect();
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options;
        let options = builder.options_mut();
        options.timeout = ATTEMPT_LIMIT;
        options.attempts = 1;
        // A measurement tells what a name has at this moment.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
        let names = builder.build().map_err(|error| ResolveError::Configuration(error.to_string()))?;
        Ok(Self { names, servers, limit: LIMIT })
    }

    /// The name servers that the host is set to ask, in their order.
    pub(crate) fn name_servers(&self) -> &[IpAddr] {
        &self.servers
    }

    /// Every address of a target, whatever its family: IPv6 first, at most 64 of them.
    ///
    /// # Errors
    /// [`ResolveError`] tells why there is none.
    pub async fn resolve(&self, target: &Target) -> Result<Vec<IpAddr>, ResolveError> {
        match target {
            Target::Address(address) => Ok(vec![*address]),
            Target::Name(name) if is_loopback_name(name.as_str()) => Ok(vec![Ipv6Addr::LOCALHOST.into(), Ipv4Addr::LOCALHOST.into()]),
            Target::Name(name) => self.look_up(name.as_str()).await,
        }
    }

    /// The name of an address, where the host's resolver knows one (PTR, RFC 1035 section 3.5).
    pub(crate) async fn name_of(&self, address: IpAddr) -> Option<String> {
        let answer = tokio::time::timeout(self.limit, self.names.reverse_lookup(address)).await.ok()?.ok()?;
        #[expect(clippy::wildcard_enum_match_arm, reason = "another crate's records, of which one kind is wanted")]
        let name = answer.answers().iter().find_map(|record| match &record.data {
            RData::PTR(name) => Some(name.to_string()),
            _ => None,
        })?;
        // What stands there is anybody's text: a name that could not be a host's is none.
        let name = name.trim_end_matches('.');
        matches!(Target::parse(name), Ok(Target::Name(_))).then(|| name.to_owned())
    }

    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let answer = tokio::time::timeout(self.limit, self.names.lookup_ip(name))
            .await
            .map_err(|_| ResolveError::Timeout)?
            .map_err(|error| ResolveError::from(&error))?;
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv4);
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(ResolveError::NoAddress);
        }
        Ok(addresses)
    }
}

impl From<&NetError> for ResolveError {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "another crate's errors, marked as growing; what is not known is a failure"
    )]
    fn from(error: &NetError) -> Self {
        match error {
            NetError::Timeout => Self::Timeout,
            NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
                ResponseCode::NXDomain => Self::NoSuchName,
                ResponseCode::NoError => Self::NoAddress,
                code => Self::ServerFailure(code.to_string()),
            },
            other => Self::ServerFailure(other.to_string()),
        }
    }
}

/// RFC 6761 section 6.3: names of loopback are never asked of the network.
fn is_loopback_name(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Name servers that are asked: as many as the C library looks at.
const SERVERS_MAX: usize = 3;
/// Addresses of one name that are kept.
const ADDRESSES_MAX: usize = 64;
/// Longest a name is waited for; a spec's own time limit has room for it.
const LIMIT: Duration = Duration::from_secs(2);
/// Longest one question is waited for, before it is asked once more.
const ATTEMPT_LIMIT: Duration = Duration::from_millis(900);

#[cfg(test)]
mod tests;
