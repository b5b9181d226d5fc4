//! What files of the agent's owner say about addresses: which autonomous systems announce them, which vendors make the interfaces. They are read
//! once, when the agent starts; nothing is asked of anybody. What no file says is absent, never guessed.
//!
//! Readers take what is to be read as an argument, and open nothing themselves.

use std::net::IpAddr;

use shared_protocol::address::{AddressClass, classify};
use shared_protocol::event::{MtrEvent, NeighborEvent, ProbeEvent, TracerouteEvent};
use shared_protocol::mac_address::MacAddress;
use shared_protocol::report::{HopAddress, NeighborResult};

mod database;
mod lines;
mod origin_lines;
mod origins;
mod packed;
mod unusable;
mod vendor_lines;
mod vendors;

pub use origins::Origins;
pub use unusable::Unusable;
pub use vendors::Vendors;

/// Everything that is known from files.
#[derive(Debug, Default)]
pub struct Known {
    /// Who announces which addresses.
    pub origins: Origins,
    /// Who makes which interfaces.
    pub vendors: Vendors,
    /// Why less is known of origins than the owner wanted.
    pub origins_lack: Option<Lack>,
    /// The same of vendors.
    pub vendors_lack: Option<Lack>,
}

/// What is missing, as capabilities say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lack {
    /// What, and why.
    pub reason: String,
    /// What would mend it.
    pub remedy: String,
}

impl Known {
    /// Says of a hop's address who announces it.
    pub(crate) fn tell_origin(&self, hop: &mut HopAddress) {
        if let Some(origin) = self.origin(hop.address) {
            (hop.asn, hop.as_name, hop.prefix) = (origin.systems, origin.name, Some(origin.prefix));
        }
    }

    /// Says who announces the addresses of a partial finding.
    pub(crate) fn tell_origins(&self, event: &mut ProbeEvent) {
        match event {
            ProbeEvent::Traceroute(TracerouteEvent::Hop(hop)) => hop.addresses.iter_mut().for_each(|found| self.tell_origin(found)),
            ProbeEvent::Mtr(MtrEvent::Round { hops, .. }) => {
                for row in hops {
                    let origin = row.address.and_then(|address| self.origin(address));
                    row.asn = origin.map(|origin| origin.systems).unwrap_or_default();
                }
            }
            ProbeEvent::Traceroute(TracerouteEvent::Resolved { .. })
            | ProbeEvent::Mtr(MtrEvent::Resolved { .. })
            | ProbeEvent::Ping(_)
            | ProbeEvent::Tcp(_)
            | ProbeEvent::Http(_)
            | ProbeEvent::Dns(_)
            | ProbeEvent::Pmtu(_)
            | ProbeEvent::Udp(_)
            | ProbeEvent::Port(_)
            | ProbeEvent::Neighbor(NeighborEvent::Link { .. } | NeighborEvent::Neighbor(_))
            | ProbeEvent::Observe(_) => {}
        }
    }

    /// Says who makes the interfaces that have an address.
    pub(crate) fn tell_vendors(&self, result: &mut NeighborResult) {
        result.vendor = result.mac.and_then(|mac| self.vendor(mac));
        let others: Vec<Option<String>> = result.others.iter().map(|mac| self.vendor(*mac)).collect();
        if others.iter().any(Option::is_some) {
            result.other_vendors = others;
        }
    }

    /// Nobody announces what is not public, whatever a file says: such addresses are many people's at once.
    fn origin(&self, address: IpAddr) -> Option<origins::Origin> {
        (classify(address) == AddressClass::Public).then(|| self.origins.of(address)).flatten()
    }

    /// No registry has given away what a host made up itself, or what stands for several interfaces.
    fn vendor(&self, mac: MacAddress) -> Option<String> {
        (!mac.is_local() && mac.is_of_one()).then(|| self.vendors.of(mac)).flatten()
    }
}

/// Most characters of a name that a file gives.
const NAME_CHARACTERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Known {
        let mut known = Known::default();
        let origins = "10.0.0.0\t8\t64500\n8.0.0.0\t6\t64501\n2001:db8::\t32\t64502\n2a00::\t12\t64503\n";
        assert_eq!(known.origins.read_lines(origins.as_bytes()).unwrap(), 4);
        let vendors = "00-00-5E   (hex)\t\tICANN\n02-00-5E   (hex)\t\tNobody\n01-00-5E   (hex)\t\tNobody\n";
        assert_eq!(known.vendors.read(vendors.as_bytes()).unwrap(), 3);
        known
    }

    #[test]
    fn kno_01_what_is_not_public_is_announced_by_nobody() {
        let known = known();
        let systems = |text: &str| known.origin(text.parse().unwrap()).map(|origin| origin.systems);
        assert_eq!(systems("9.9.9.9"), Some(vec![64_501]));
        assert_eq!(systems("2a00::1"), Some(vec![64_503]));
        for text in ["10.0.0.1", "2001:db8::1", "fe80::1", "127.0.0.1", "12.0.0.1"] {
            assert_eq!(systems(text), None, "{text}");
        }
    }

    #[test]
    fn kno_02_an_address_that_a_host_made_up_has_no_vendor() {
        let known = known();
        let mut result: NeighborResult = serde_json::from_value(serde_json::json!({"address": "10.0.0.1", "state": "conflict", "tries": 1,
            "mac": "02:00:5e:00:00:01", "others": ["01:00:5e:00:00:01", "00:00:5e:00:00:01"]}))
        .unwrap();
        known.tell_vendors(&mut result);
        assert_eq!((result.vendor, result.other_vendors), (None, vec![None, Some("ICANN".to_owned())]));
    }
}
