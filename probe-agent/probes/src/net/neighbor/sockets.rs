//! The packet sockets by which links are asked, opened while privilege lasts, and who waits for what they hear.
#![expect(unsafe_code, reason = "an address of a link is sent to by a call that has no safe wrapper")]

use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::socket::MsgFlags;
use shared_protocol::mac_address::MacAddress;
use socket2::{Domain, SockFilter, Socket, Type};
use tokio::sync::mpsc;

use super::{Heard, Message, NeighborArrival, arp, ndp};
use crate::clock;
use crate::net::filter::{self, ABOVE, AT_LEAST, EQUAL, Kept, LOAD_BYTE, LOAD_HALF, PROTOCOL_OF_PACKET, Step, TAGGED_FOR_VLAN};
use crate::net::icmp::{Family, Reader, Shared, drain, watch_for};
use crate::net::message::{Received, Way};
use crate::net::packet_listener::{PacketListener, PacketSocket};

/// What it takes, opened where the host lets us.
#[derive(Debug)]
pub(in crate::net) struct NeighborSockets {
    sender: Socket,
    arp: PacketSocket,
    ndp: PacketSocket,
}

/// The sockets, watched by the runtime, and the flows that wait for what they hear.
pub(in crate::net) struct NeighborParts {
    sender: Socket,
    arp: PacketListener,
    ndp: PacketListener,
    flows: Mutex<Flows>,
}

/// Who waits for what.
#[derive(Default)]
pub(super) struct Flows {
    opened: u64,
    waiting: Vec<Waiting>,
}

/// A flow that waits for what is said on a link about a run of addresses.
pub(super) struct Waiting {
    pub number: u64,
    pub interface: u32,
    pub mac: MacAddress,
    pub addresses: (IpAddr, IpAddr),
    pub outlet: mpsc::Sender<NeighborArrival>,
}

impl NeighborSockets {
    /// Opens them; needs the right to raw sockets.
    pub(in crate::net) fn open() -> io::Result<Self> {
        let sender = Socket::new(Domain::PACKET, Type::DGRAM, None)?;
        sender.set_nonblocking(true)?;
        Ok(Self {
            sender,
            arp: PacketSocket::open(&messages_of_arp())?,
            ndp: PacketSocket::open(&messages_of_ndp())?,
        })
    }

    pub(in crate::net) fn into_parts(self) -> io::Result<NeighborParts> {
        Ok(NeighborParts {
            sender: self.sender,
            // Packets that leave are seen by those only who look at all protocols.
            arp: PacketListener::new(self.arp, libc::ETH_P_ALL)?,
            ndp: PacketListener::new(self.ndp, libc::ETH_P_ALL)?,
            flows: Mutex::default(),
        })
    }
}

impl NeighborParts {
    pub(super) const fn listener(&self, family: Family) -> &PacketListener {
        match family {
            Family::V4 => &self.arp,
            Family::V6 => &self.ndp,
        }
    }

    pub(super) fn flows(&self) -> MutexGuard<'_, Flows> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one message to an address of a link; never waits.
    pub(super) fn send(&self, family: Family, interface: u32, to: MacAddress, message: &[u8]) -> Result<(), Errno> {
        let protocol = u16::try_from(ethernet_protocol(family)).map_err(|_| Errno::EINVAL)?;
        let mut hardware = [0; 8];
        for (place, byte) in hardware.iter_mut().zip(to.octets()) {
            *place = byte;
        }
        let address = libc::sockaddr_ll {
            sll_family: libc::c_ushort::try_from(libc::AF_PACKET).map_err(|_| Errno::EINVAL)?,
            sll_protocol: protocol.to_be(),
            sll_ifindex: libc::c_int::try_from(interface).map_err(|_| Errno::EINVAL)?,
            sll_hatype: 0,
            sll_pkttype: 0,
            sll_halen: 6,
            sll_addr: hardware,
        };
        let length = libc::socklen_t::try_from(size_of_val(&address)).map_err(|_| Errno::EINVAL)?;
        // SAFETY: the descriptor is borrowed for the call; pointers and lengths describe `message` and `address`, which the kernel only reads.
        let sent = unsafe {
            libc::sendto(
                self.sender.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                libc::MSG_DONTWAIT,
                (&raw const address).cast(),
                length,
            )
        };
        Errno::result(sent).map(drop)
    }
}

impl Flows {
    /// A number that no flow has.
    pub(super) const fn number(&mut self) -> u64 {
        self.opened = self.opened.wrapping_add(1);
        self.opened
    }

    pub(super) fn open(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
    }

    pub(super) fn close(&mut self, number: u64) {
        self.waiting.retain(|waiting| waiting.number != number);
    }

    /// Hands something to every flow that waits for it; how many do, and how many of them had no room.
    fn deliver(&self, interface: u32, asker: Option<MacAddress>, arrival: &NeighborArrival) -> (usize, usize) {
        let concerned = self.waiting.iter().filter(|waiting| {
            let (first, last) = waiting.addresses;
            waiting.interface == interface && (first..=last).contains(&arrival.address) && asker.is_none_or(|asker| asker == waiting.mac)
        });
        concerned.fold((0, 0), |(handed, full), waiting| {
            let sent = waiting.outlet.try_send(arrival.clone());
            (handed + 1, full + usize::from(matches!(sent, Err(mpsc::error::TrySendError::Full(_)))))
        })
    }
}

/// Reads what passes the interfaces about the addresses of a family, for as long as the engine lives.
pub(in crate::net) async fn read_neighbors(shared: Arc<Shared>, family: Family) {
    let Some(parts) = shared.neighbors.as_ref() else { return };
    let position = match family {
        Family::V4 => 0,
        Family::V6 => 1,
    };
    let watched = parts.listener(family).watched();
    let mut buffer = [0; MESSAGE_BYTES];
    let mut dropped = 0;
    watch_for(watched, (&shared.backlog, Reader::Neighbors(position)), || {
        drain(watched.get_ref(), &mut buffer, MsgFlags::empty(), |received| {
            shared.count_drops(&mut dropped, received.dropped);
            shared.take_neighbor(parts, family, &received);
        })
    })
    .await;
}

impl Shared {
    fn take_neighbor(&self, parts: &NeighborParts, family: Family, received: &Received<'_>) {
        let Some(seen) = received.seen else { return };
        let message = match family {
            Family::V4 => arp::read(received.bytes),
            Family::V6 => ndp::read(received.bytes),
        };
        let (address, asker, what) = match (message, seen.way) {
            (Some(Message::Question { target }), Way::Out) => (target, None, Heard::Question),
            (Some(Message::Answer { address, owner, to, router }), Way::In) => {
                let owner = owner.or(seen.sender.filter(|sender| sender.is_of_one()));
                let Some(owner) = owner else { return self.count_foreign() };
                (address, to.0, Heard::Answer { owner, to: to.1, router })
            }
            // Others ask as well; and what this host answers is not about its own questions.
            (Some(Message::Question { .. }), Way::In | Way::Past) | (Some(Message::Answer { .. }), Way::Out | Way::Past) => return,
            (None, _) => return self.count_foreign(),
        };
        let arrival = NeighborArrival {
            address,
            what,
            at_ns: received.stamped_ns,
            moment: clock::moment(),
        };
        let (handed, full) = parts.flows().deliver(seen.interface, asker, &arrival);
        if handed == 0 && what != Heard::Question {
            self.count_foreign();
        }
        (0..full).for_each(|_| self.count_full(true));
    }
}

/// Questions and answers of ARP about IPv4 on an Ethernet.
fn messages_of_arp() -> Vec<SockFilter> {
    let steps = [
        Step::Do(LOAD_HALF, PROTOCOL_OF_PACKET),
        Step::Only(EQUAL, ETHERNET_ARP),
        Step::Do(LOAD_HALF, TAGGED_FOR_VLAN),
        Step::Only(EQUAL, 0),
        Step::Do(LOAD_HALF, 2),
        Step::Only(EQUAL, ETHERNET_IPV4),
        Step::Do(LOAD_HALF, 6),
        Step::Only(AT_LEAST, 1),
        Step::Not(ABOVE, 2),
    ];
    filter::compile(&steps, KEPT)
}

/// Solicitations and advertisements that no router has forwarded.
fn messages_of_ndp() -> Vec<SockFilter> {
    let steps = [
        Step::Do(LOAD_HALF, PROTOCOL_OF_PACKET),
        Step::Only(EQUAL, ETHERNET_IPV6),
        // What belongs to a virtual network passes its own interface, untagged, as well.
        Step::Do(LOAD_HALF, TAGGED_FOR_VLAN),
        Step::Only(EQUAL, 0),
        // ICMPv6 right behind the header, and every hop that there is.
        Step::Do(LOAD_HALF, 6),
        Step::Only(EQUAL, 0x3aff),
        Step::Do(LOAD_BYTE, 40),
        Step::Only(AT_LEAST, ndp::SOLICITATION.into()),
        Step::Not(ABOVE, ndp::ADVERTISEMENT.into()),
    ];
    filter::compile(&steps, KEPT)
}

const fn ethernet_protocol(family: Family) -> i32 {
    match family {
        Family::V4 => libc::ETH_P_ARP,
        Family::V6 => libc::ETH_P_IPV6,
    }
}

const ETHERNET_ARP: u32 = 0x0806;
const ETHERNET_IPV4: u32 = 0x0800;
const ETHERNET_IPV6: u32 = 0x86dd;
/// An advertisement with every option that a host sends.
const MESSAGE_BYTES: usize = 512;
const KEPT: Kept = Kept { passing: 512, others: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    fn arrival(address: &str) -> NeighborArrival {
        NeighborArrival {
            address: address.parse().unwrap(),
            what: Heard::Question,
            at_ns: None,
            moment: clock::moment(),
        }
    }

    #[test]
    fn each_flow_is_handed_what_is_about_its_own_addresses_on_its_own_link() {
        let (own, other) = (MacAddress::new([2, 0, 0, 0, 0, 1]), MacAddress::new([2, 0, 0, 0, 0, 9]));
        let mut flows = Flows::default();
        let (outlet, mut handed) = mpsc::channel(2);
        for (interface, first, last) in [
            (7, "10.0.0.1", "10.0.0.14"),
            (7, "10.0.0.9", "10.0.0.9"),
            (8, "10.0.0.9", "10.0.0.9"),
            (7, "::1", "::ff"),
        ] {
            let number = flows.number();
            flows.open(Waiting {
                number,
                interface,
                mac: own,
                addresses: (first.parse().unwrap(), last.parse().unwrap()),
                outlet: outlet.clone(),
            });
        }
        assert_eq!(flows.deliver(7, None, &arrival("10.0.0.15")), (0, 0));
        assert_eq!(flows.deliver(7, Some(other), &arrival("10.0.0.9")), (0, 0), "said to another");
        assert_eq!(flows.deliver(9, None, &arrival("10.0.0.9")), (0, 0));
        assert_eq!(flows.deliver(7, Some(own), &arrival("10.0.0.9")), (2, 0));
        assert_eq!(flows.deliver(7, None, &arrival("10.0.0.1")), (1, 1), "a flow that does not keep up");
        assert_eq!(handed.try_recv().unwrap().address.to_string(), "10.0.0.9");
        flows.close(1);
        assert_eq!(flows.deliver(7, None, &arrival("10.0.0.1")), (0, 0));
    }
}
