//! The machine of any probe along a path, and the single match from a spec to it.

use std::net::IpAddr;

use shared_protocol::event::{MtrEvent, PmtuEvent, ProbeEvent, TracerouteEvent};
use shared_protocol::report::{Findings, HopAddress};
use shared_protocol::spec::ProbeSpec;
use shared_protocol::time::MonotonicMicros;

use crate::Moment;
use crate::book::{Arrival, Book, Ports, SendFailure};
use crate::mtr::{self, Mtr, MtrPlan};
use crate::plan::Departing;
use crate::pmtu::{self, Pmtu, PmtuPlan};
use crate::traceroute::{self, Traceroute, TraceroutePlan};
use crate::verdict::Verdict;

/// A probe along a path under way.
#[derive(Debug, Clone)]
pub enum Machine {
    /// Of a traceroute.
    Traceroute(Box<Traceroute>),
    /// Of an mtr.
    Mtr(Box<Mtr>),
    /// Of a search for the path MTU.
    Pmtu(Box<Pmtu>),
}

impl Machine {
    /// Begins what a spec asks for; `None` where its probe does not go along a path. `source` is the address that packets leave from.
    pub fn begin(spec: &ProbeSpec, target: IpAddr, begun: Moment, source: Option<IpAddr>) -> Option<Self> {
        match spec {
            ProbeSpec::Traceroute(spec) => Some(Self::Traceroute(Box::new(Traceroute::new(TraceroutePlan::new(target, spec), begun, source)))),
            ProbeSpec::Mtr(spec) => Some(Self::Mtr(Box::new(Mtr::new(MtrPlan::new(target, spec), begun, source)))),
            ProbeSpec::Pmtu(spec) => Some(Self::Pmtu(Box::new(Pmtu::new(PmtuPlan::new(target, spec), begun, source)))),
            ProbeSpec::Ping(_)
            | ProbeSpec::Tcp(_)
            | ProbeSpec::Http(_)
            | ProbeSpec::Dns(_)
            | ProbeSpec::Udp(_)
            | ProbeSpec::Port(_)
            | ProbeSpec::Neighbor(_)
            | ProbeSpec::Observe(_) => None,
        }
    }

    /// The packet that is to leave now; each is given once and then reported by `handle_sent` or `handle_send_failed`.
    pub fn poll_send(&mut self, now: MonotonicMicros) -> Option<Departing> {
        match self {
            Self::Traceroute(machine) => machine.poll_send(now),
            Self::Mtr(machine) => machine.poll_send(now),
            Self::Pmtu(machine) => machine.poll_send(now),
        }
    }

    /// A packet has left.
    pub fn handle_sent(&mut self, number: u32, moment: Moment, ports: Ports) {
        match self {
            Self::Traceroute(machine) => machine.handle_sent(number, moment, ports),
            Self::Mtr(machine) => machine.handle_sent(number, moment, ports),
            Self::Pmtu(machine) => machine.handle_sent(number, moment, ports),
        }
    }

    /// A packet did not leave.
    pub fn handle_send_failed(&mut self, number: u32, now: MonotonicMicros, failure: SendFailure) {
        match self {
            Self::Traceroute(machine) => machine.handle_send_failed(number, now, failure),
            Self::Mtr(machine) => machine.handle_send_failed(number, now, failure),
            Self::Pmtu(machine) => machine.handle_send_failed(number, now, failure),
        }
    }

    /// The kernel says when a packet left: wall clock, nanoseconds.
    pub fn handle_transmitted(&mut self, number: u32, at_ns: i64) {
        match self {
            Self::Traceroute(machine) => machine.handle_transmitted(number, at_ns),
            Self::Mtr(machine) => machine.handle_transmitted(number, at_ns),
            Self::Pmtu(machine) => machine.handle_transmitted(number, at_ns),
        }
    }

    /// Something came for a packet; without a number, the target answered and does not say what.
    pub fn handle_arrival(&mut self, number: Option<u32>, arrival: Arrival) {
        match self {
            Self::Traceroute(machine) => machine.handle_arrival(number, arrival),
            Self::Mtr(machine) => machine.handle_arrival(number, arrival),
            Self::Pmtu(machine) => machine.handle_arrival(number, arrival),
        }
    }

    /// Gives up what was waited for long enough.
    pub fn handle_timeout(&mut self, now: MonotonicMicros) {
        match self {
            Self::Traceroute(machine) => machine.handle_timeout(now),
            Self::Mtr(machine) => machine.handle_timeout(now),
            Self::Pmtu(machine) => machine.handle_timeout(now),
        }
    }

    /// Ends it as it stands.
    pub const fn stop(&mut self) {
        match self {
            Self::Traceroute(machine) => machine.stop(),
            Self::Mtr(machine) => machine.stop(),
            Self::Pmtu(machine) => machine.stop(),
        }
    }

    /// Notes how many replies the host has lost meanwhile.
    pub const fn note_drops(&mut self, drops: u32) {
        match self {
            Self::Traceroute(machine) => machine.note_drops(drops),
            Self::Mtr(machine) => machine.note_drops(drops),
            Self::Pmtu(machine) => machine.note_drops(drops),
        }
    }

    /// When `poll_send` or `handle_timeout` next has something to do, if nothing comes.
    pub fn poll_timeout(&self) -> Option<MonotonicMicros> {
        match self {
            Self::Traceroute(machine) => machine.poll_timeout(),
            Self::Mtr(machine) => machine.poll_timeout(),
            Self::Pmtu(machine) => machine.poll_timeout(),
        }
    }

    /// The next partial finding.
    pub fn poll_event(&mut self) -> Option<ProbeEvent> {
        match self {
            Self::Traceroute(machine) => machine.poll_event().map(|hop| ProbeEvent::Traceroute(TracerouteEvent::Hop(Box::new(hop)))),
            Self::Mtr(machine) => machine.poll_event().map(|standings| {
                let (rounds, hops) = (standings.rounds, standings.hops);
                ProbeEvent::Mtr(MtrEvent::Round { rounds, hops })
            }),
            Self::Pmtu(machine) => machine.poll_event().map(|length| ProbeEvent::Pmtu(PmtuEvent::Length(length))),
        }
    }

    /// The event that says which address the path is followed to.
    pub const fn resolved(&self, address: IpAddr) -> ProbeEvent {
        match self {
            Self::Traceroute(_) => ProbeEvent::Traceroute(TracerouteEvent::Resolved { address }),
            Self::Mtr(_) => ProbeEvent::Mtr(MtrEvent::Resolved { address }),
            Self::Pmtu(_) => ProbeEvent::Pmtu(PmtuEvent::Resolved { address }),
        }
    }

    /// Whether enough is known.
    pub fn is_finished(&self, now: MonotonicMicros) -> bool {
        match self {
            Self::Traceroute(machine) => machine.is_finished(now),
            Self::Mtr(machine) => machine.is_finished(now),
            Self::Pmtu(machine) => machine.is_finished(now),
        }
    }

    /// What was sent and what came.
    pub const fn book(&self) -> &Book {
        match self {
            Self::Traceroute(machine) => machine.book(),
            Self::Mtr(machine) => machine.book(),
            Self::Pmtu(machine) => machine.book(),
        }
    }
}

/// Everything that was found, and the verdict on it, from the book alone; `None` where the spec's probe does not go along a path.
pub fn findings(spec: &ProbeSpec, target: IpAddr, book: &Book) -> Option<(Findings, Verdict)> {
    match spec {
        ProbeSpec::Traceroute(spec) => {
            let found = traceroute::findings(&TraceroutePlan::new(target, spec), book);
            let verdict = traceroute::judge(&found, book);
            Some((Findings::Traceroute(found), verdict))
        }
        ProbeSpec::Mtr(spec) => {
            let found = mtr::findings(&MtrPlan::new(target, spec), book);
            let verdict = mtr::judge(&found, book);
            Some((Findings::Mtr(found), verdict))
        }
        ProbeSpec::Pmtu(spec) => {
            let found = pmtu::findings(&PmtuPlan::new(target, spec), book);
            let verdict = pmtu::judge(&found, book);
            Some((Findings::Pmtu(found), verdict))
        }
        ProbeSpec::Ping(_)
        | ProbeSpec::Tcp(_)
        | ProbeSpec::Http(_)
        | ProbeSpec::Dns(_)
        | ProbeSpec::Udp(_)
        | ProbeSpec::Port(_)
        | ProbeSpec::Neighbor(_)
        | ProbeSpec::Observe(_) => None,
    }
}

/// The addresses that answer for hops, whose names and networks may be asked for.
pub fn addresses_mut(findings: &mut Findings) -> Vec<&mut HopAddress> {
    match findings {
        Findings::Traceroute(found) => found.hops.iter_mut().flat_map(|hop| &mut hop.addresses).collect(),
        Findings::Mtr(found) => found.hops.iter_mut().flat_map(|hop| &mut hop.addresses).collect(),
        Findings::Pmtu(_)
        | Findings::Ping(_)
        | Findings::PingSweep(_)
        | Findings::Tcp(_)
        | Findings::Http(_)
        | Findings::Dns(_)
        | Findings::Udp(_)
        | Findings::Port(_)
        | Findings::PortSweep(_)
        | Findings::Neighbor(_)
        | Findings::Observe(_) => Vec::new(),
    }
}

/// Sums up the autonomous systems of the hops' addresses; called once they are known.
pub fn add_as_path(findings: &mut Findings) {
    match findings {
        Findings::Traceroute(found) => found.as_path = as_path(found.hops.iter().map(|hop| hop.addresses.as_slice())),
        Findings::Mtr(found) => found.as_path = as_path(found.hops.iter().map(|hop| hop.addresses.as_slice())),
        Findings::Pmtu(_)
        | Findings::Ping(_)
        | Findings::PingSweep(_)
        | Findings::Tcp(_)
        | Findings::Http(_)
        | Findings::Dns(_)
        | Findings::Udp(_)
        | Findings::Port(_)
        | Findings::PortSweep(_)
        | Findings::Neighbor(_)
        | Findings::Observe(_) => {}
    }
}

/// Of each hop the systems of the address that answered most, those that follow themselves once.
fn as_path<'a>(hops: impl Iterator<Item = &'a [HopAddress]>) -> Vec<Vec<u32>> {
    let known = hops
        .filter_map(|addresses| addresses.first())
        .map(|most| &most.asn)
        .filter(|asn| !asn.is_empty());
    let mut path: Vec<Vec<u32>> = known.cloned().collect();
    path.dedup();
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_systems_has_each_once_until_another_follows_and_passes_over_what_is_not_known() {
        let hop = |systems: &[&[u32]]| -> Vec<HopAddress> {
            let address = |asn: &&[u32]| serde_json::from_value(serde_json::json!({"address": "192.0.2.1", "answers": 1, "asn": asn})).unwrap();
            systems.iter().map(address).collect()
        };
        let hops = [
            hop(&[&[64_500]]),
            hop(&[]),
            hop(&[&[]]),
            hop(&[&[64_500], &[64_999]]),
            hop(&[&[64_501, 64_502]]),
            hop(&[&[64_501]]),
            hop(&[&[64_500]]),
        ];
        assert_eq!(
            as_path(hops.iter().map(Vec::as_slice)),
            [vec![64_500], vec![64_501, 64_502], vec![64_501], vec![64_500]]
        );
        assert_eq!(as_path(std::iter::empty()), Vec::<Vec<u32>>::new());
    }
}
