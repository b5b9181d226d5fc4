//! From a target to the address that a probe uses.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::spec::AddressFamily;
use shared_protocol::target::Target;

use crate::net::route;
use crate::table::ProbeContext;
use crate::verdict::Stop;

/// The addresses of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolution {
    /// All of the wanted family, in the order of preference.
    pub addresses: Vec<IpAddr>,
    /// The one to use.
    pub chosen: IpAddr,
}

/// Resolves a target and chooses one of its addresses. Every address of the target must be allowed, whichever is used: a name that
/// points at a forbidden address as well is not trusted with the others.
pub(crate) async fn resolve(context: &ProbeContext, target: &Target, family: AddressFamily, usable: impl Fn(IpAddr) -> bool) -> Result<Resolution, Stop> {
    let addresses = context.resolver.resolve(target).await;
    let mut addresses = addresses.map_err(|error| Stop::failed(Fault::Resolver, error.code(), error.to_string()))?;
    for address in &addresses {
        context.gate.check_address(*address).map_err(Stop::Denied)?;
    }
    addresses.retain(|address| is_of(*address, family));
    let chosen = choose(&addresses, usable);
    let chosen = chosen.ok_or_else(|| Stop::failed(Fault::Resolver, ErrorCode::DnsNoAddress, "the target has no address of the wanted family"))?;
    Ok(Resolution { addresses, chosen })
}

/// Of several, the first that the host can reach at all, as RFC 6724 has it; a single one is tried whatever the routes say.
pub(crate) fn choose(addresses: &[IpAddr], usable: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
    match addresses {
        [only] => Some(*only),
        several => {
            let reachable = several.iter().find(|address| usable(**address) && route::exists(**address));
            reachable.or_else(|| several.first()).copied()
        }
    }
}

/// Whether an address is of a wanted family.
pub(crate) const fn is_of(address: IpAddr, family: AddressFamily) -> bool {
    match family {
        AddressFamily::Auto => true,
        AddressFamily::V4 => address.is_ipv4(),
        AddressFamily::V6 => address.is_ipv6(),
    }
}
