//! One asking of a link: what a probe holds to ask for addresses and to hear what is said about exactly these.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nix::errno::Errno;
use shared_protocol::mac_address::MacAddress;
use tokio::sync::mpsc;

use super::sockets::Waiting;
use super::{Asker, Link, NeighborArrival, arp, ndp};
use crate::clock;
use crate::net::departures::NoRoom;
use crate::net::gate::Gate;
use crate::net::icmp::{Departure, Family, IcmpEngine, SendError, Shared};

/// An asking of a link. Dropping it ends it.
pub(crate) struct NeighborFlow {
    shared: Arc<Shared>,
    number: u64,
    family: Family,
    interface: u32,
    mac: MacAddress,
    source: IpAddr,
}

impl IcmpEngine {
    /// Whether links can be asked here.
    pub(crate) fn can_ask_links(&self) -> bool {
        self.shared.neighbors.is_some()
    }

    /// Begins to ask a link about a run of addresses, from the first to the last; what is seen about them comes by the receiver.
    pub(crate) fn ask_link(&self, link: &Link, addresses: (IpAddr, IpAddr)) -> Result<(NeighborFlow, mpsc::Receiver<NeighborArrival>), SendError> {
        let shared = Arc::clone(&self.shared);
        let parts = shared.neighbors.as_ref().ok_or(SendError::NoSocket)?;
        let family = Family::of(link.source);
        let listening = parts.listener(family).listen();
        listening.map_err(|error| SendError::Kernel(Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO))))?;
        let (outlet, arrivals) = mpsc::channel(ARRIVALS_BOUND);
        let number = {
            let mut flows = parts.flows();
            let number = flows.number();
            flows.open(Waiting {
                number,
                interface: link.index,
                mac: link.mac,
                addresses,
                outlet,
            });
            number
        };
        let flow = NeighborFlow {
            number,
            family,
            interface: link.index,
            mac: link.mac,
            source: link.source,
            shared,
        };
        Ok((flow, arrivals))
    }
}

impl NeighborFlow {
    /// Waits until what stands in the sockets has been read, as whoever is about to give something up does.
    pub(crate) async fn catch_up(&self) {
        self.shared.catch_up().await;
    }

    /// Asks who has an address once the question has its place under the owner's rates, if the owner's policy lets it.
    pub(crate) async fn ask(&self, target: IpAddr, asker: Asker, gate: &dyn Gate) -> Result<Departure, SendError> {
        let place = self.shared.departures.wait(target, gate.pace()).await;
        place.map_err(|NoRoom| SendError::NoRoom)?;
        gate.check_address(target).map_err(SendError::Denied)?;
        let parts = self.shared.neighbors.as_ref().ok_or(SendError::NoSocket)?;
        let (to, question) = match (self.source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                let source = if asker == Asker::Nobody { Ipv4Addr::UNSPECIFIED } else { source };
                (EVERYBODY, arp::question(self.mac, source, target))
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                let source = if asker == Asker::Nobody { Ipv6Addr::UNSPECIFIED } else { source };
                (ndp::group(target).1, ndp::question(self.mac, source, target))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return Err(SendError::NoSocket),
        };
        let moment = clock::moment();
        parts.send(self.family, self.interface, to, &question).map_err(SendError::Kernel)?;
        Ok(Departure { moment })
    }
}

impl Drop for NeighborFlow {
    fn drop(&mut self) {
        if let Some(parts) = &self.shared.neighbors {
            parts.flows().close(self.number);
            parts.listener(self.family).leave();
        }
    }
}

/// Every interface of a link.
const EVERYBODY: MacAddress = MacAddress::new([0xff; 6]);
/// What a flow may be behind: question and answer of every address that one job asks for, several times over.
const ARRIVALS_BOUND: usize = 8_192;
