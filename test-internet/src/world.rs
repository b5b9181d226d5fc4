//! The world: packets in, packets out, and the truth.

use std::net::IpAddr;
use std::time::Duration;

use crate::answer::{self, Reaction};
use crate::chance::Chance;
use crate::description::{Description, InvalidWorld, Restores};
use crate::flight::{Flight, Place, Schedule};
use crate::header::{self, Header};
use crate::icmp::{self, Complaint};
use crate::link::Crossing;
use crate::node::Station;
use crate::plan::{self, Plan};
use crate::truth::{Cause, Fate, LinkTruth, PacketTruth, Truth};

/// A small internet around one observer.
#[derive(Debug)]
pub struct World {
    observer: Vec<IpAddr>,
    stations: Vec<Station>,
    plan: Plan,
    chance: Chance,
    schedule: Schedule,
    /// Packets that move on without waiting for their time.
    moving: Vec<(u64, Flight)>,
    now: u64,
    packets: Vec<PacketTruth>,
    unasking: u64,
    unreadable: u64,
}

impl World {
    /// Reads a world.
    ///
    /// # Errors
    /// [`InvalidWorld`] says what is wrong with the text.
    pub fn from_toml(text: &str) -> Result<Self, InvalidWorld> {
        let description: Description = toml::from_str(text)?;
        let (seed, observer) = (description.seed, description.observer.addresses.clone());
        let (stations, plan) = plan::build(description)?;
        Ok(Self {
            observer,
            stations,
            plan,
            chance: Chance::new(seed),
            schedule: Schedule::default(),
            moving: Vec::new(),
            now: 0,
            packets: Vec::new(),
            unasking: 0,
            unreadable: 0,
        })
    }

    /// The addresses that the observer has, as the world's author wrote them.
    pub fn observer(&self) -> &[IpAddr] {
        &self.observer
    }

    /// Takes an IP packet of the observer. Anything else is counted and forgotten.
    pub fn handle(&mut self, packet: &[u8], now: Duration) {
        self.now = self.now.max(nanoseconds(now));
        let Some(header) = Header::read(packet) else {
            self.unreadable += 1;
            return;
        };
        if !answer::asks(&header, packet) || header.destination.is_multicast() {
            self.unasking += 1;
            return;
        }
        let number = self.packets.len();
        self.packets.push(PacketTruth {
            destination: header.destination,
            protocol: header.protocol.0,
            ttl: header.ttl,
            at: self.now,
            fate: Fate::UnderWay,
            answers: 0,
        });
        let Some(way) = self.plan.way(&header, packet, self.now) else {
            return self.drop(number, Cause::NoRoute);
        };
        let flight = Flight {
            packet: number,
            bytes: packet.to_vec(),
            header,
            known_as: None,
            way,
            hop: 0,
            ttl: header.ttl,
            place: Place::LinkThere,
        };
        self.moving.push((self.now, flight));
        self.move_on();
    }

    /// When something happens next: a packet comes out, or moves on inside.
    pub fn next_at(&self) -> Option<Duration> {
        self.schedule.next_at().map(Duration::from_nanos)
    }

    /// The next packet for the observer whose time has come.
    pub fn poll(&mut self, now: Duration) -> Option<Vec<u8>> {
        let now = nanoseconds(now);
        while let Some((at, flight)) = self.schedule.due(now) {
            self.now = self.now.max(at);
            if flight.place == Place::Home {
                return Some(self.deliver(at, flight));
            }
            self.moving.push((at, flight));
            self.move_on();
        }
        None
    }

    /// What has become of everything so far.
    pub fn truth(&self) -> Truth {
        let links = self.stations.iter().map(|station| LinkTruth {
            node: station.node.name.clone(),
            there: station.there.truth(),
            back: station.back.truth(),
            answers: station.answers,
        });
        Truth {
            flows: Truth::of(self.packets.iter().copied()),
            links: links.collect(),
            unasking: self.unasking,
            unreadable: self.unreadable,
        }
    }

    /// What has become of each packet that asked for an answer, in the order in which they came.
    pub fn packets(&self) -> &[PacketTruth] {
        &self.packets
    }

    fn deliver(&mut self, at: u64, flight: Flight) -> Vec<u8> {
        if let Some(packet) = self.packets.get_mut(flight.packet) {
            packet.answers += 1;
            if !matches!(packet.fate, Fate::Answered(..)) {
                packet.fate = Fate::Answered(at.saturating_sub(packet.at), flight.header.source);
            }
        }
        let mut bytes = flight.bytes;
        header::set_ttl(&mut bytes, flight.ttl);
        bytes
    }

    fn drop(&mut self, packet: usize, cause: Cause) {
        if let Some(packet) = self.packets.get_mut(packet)
            && packet.fate == Fate::UnderWay
        {
            packet.fate = Fate::Dropped(cause);
        }
    }

    fn move_on(&mut self) {
        while let Some((at, flight)) = self.moving.pop() {
            match flight.place {
                Place::LinkThere | Place::LinkBack => self.cross(at, flight),
                Place::Node => self.arrive(at, flight),
                Place::NodeBack => self.pass_back(at, flight),
                Place::Home => self.schedule.add(at, flight),
            }
        }
    }

    fn cross(&mut self, at: u64, mut flight: Flight) {
        let is_there = flight.place == Place::LinkThere;
        let Some(station) = station(&mut self.stations, &flight) else { return };
        let lane = if is_there { &mut station.there } else { &mut station.back };
        if lane.keeps_order() && at > self.now {
            return self.schedule.add(at, flight);
        }
        // What a router would have fragmented passes whole: nobody looks at the pieces.
        let is_too_big = lane.mtu().is_some_and(|mtu| flight.bytes.len() > usize::from(mtu));
        if is_too_big && (flight.header.whole || !is_there) {
            return self.drop(flight.packet, if is_there { Cause::TooBig } else { Cause::AnswerLost });
        }
        match lane.cross(at, flight.bytes.len(), &mut self.chance) {
            Crossing::Lost(cause) => self.drop(flight.packet, if is_there { cause } else { Cause::AnswerLost }),
            Crossing::Arrives(arrival, copy) => {
                flight.place = match (is_there, flight.hop.checked_sub(1)) {
                    (true, _) => Place::Node,
                    (false, None) => Place::Home,
                    (false, Some(before)) => {
                        flight.hop = before;
                        Place::NodeBack
                    }
                };
                if let Some(later) = copy {
                    self.moving.push((later, flight.clone()));
                }
                self.moving.push((arrival, flight));
            }
        }
    }

    fn pass_back(&mut self, at: u64, mut flight: Flight) {
        let Some(left) = flight.ttl.checked_sub(1).filter(|left| *left > 0) else {
            return self.drop(flight.packet, Cause::AnswerExpired);
        };
        flight.ttl = left;
        flight.place = Place::LinkBack;
        self.moving.push((at, flight));
    }

    fn arrive(&mut self, at: u64, mut flight: Flight) {
        let Some(station) = station(&mut self.stations, &flight) else { return };
        if station.keeps_order() && at > self.now {
            return self.schedule.add(at, flight);
        }
        let is_last = flight.hop + 1 == flight.way.hops.len() && !flight.way.endless;
        if is_last {
            let (header, packet) = known(&flight);
            return match answer::host(&station.node, &header, packet, at) {
                Reaction::Answer(answer) => self.answer(at, flight, answer),
                Reaction::Complains(complaint) => self.complain(at, flight, complaint),
                Reaction::Nothing(cause) => self.drop(flight.packet, cause),
            };
        }
        if flight.ttl <= 1 {
            return self.complain(at, flight, Complaint::TimeExceeded);
        }
        flight.ttl -= 1;
        if let Some(rule) = station.forbids(&flight.header, &flight.bytes) {
            return match rule.says {
                Some(numbers) => self.complain(at, flight, Complaint::Said(numbers)),
                None => self.drop(flight.packet, Cause::Firewall),
            };
        }
        rewrite(station, &mut flight);
        let (hides, claims) = (station.node.hides_mtu, station.node.claims_mtu);
        let next = flight.way.hops.get(flight.hop + 1).and_then(|next| self.stations.get(*next));
        if let Some(mtu) = next.and_then(|next| next.there.mtu()).filter(|mtu| flight.bytes.len() > usize::from(*mtu))
            && flight.header.whole
        {
            if hides {
                self.drop(flight.packet, Cause::TooBig);
            } else {
                self.complain(at, flight, Complaint::TooBig(claims.unwrap_or(mtu)));
            }
            return;
        }
        flight.hop += 1;
        flight.place = Place::LinkThere;
        self.moving.push((at, flight));
    }

    /// The node where a packet is sends an ICMP error about it, if it does such a thing.
    fn complain(&mut self, at: u64, flight: Flight, complaint: Complaint) {
        let Some(station) = station(&mut self.stations, &flight) else { return };
        let is_last = flight.hop + 1 == flight.way.hops.len() && !flight.way.endless;
        let own = station.speaks_from(flight.header.is_v4());
        // A host speaks from the address that it was sent to, whichever of its network that is.
        let is_asked = is_last && station.node.answers_from.is_empty();
        let (asked, _) = known(&flight);
        let from = if is_asked { Some(asked.destination) } else { own };
        let Some(from) = from.filter(|_| !station.node.silent) else {
            return self.drop(flight.packet, Cause::Silent);
        };
        if !station.may_complain(at) {
            return self.drop(flight.packet, Cause::RateLimited);
        }
        let quoted = quoted(&flight);
        match icmp::error(station, complaint, from, asked.source, &quoted) {
            Some(error) => self.answer(at, flight, error),
            None => self.drop(flight.packet, Cause::Silent),
        }
    }

    /// Sends an answer on its way back.
    fn answer(&mut self, at: u64, flight: Flight, mut bytes: Vec<u8>) {
        let Some(station) = station(&mut self.stations, &flight) else { return };
        if let Some(how) = station.node.mangles {
            answer::mangle(&mut bytes, how, &mut self.chance);
        }
        let Some(header) = Header::read(&bytes) else {
            return self.drop(flight.packet, Cause::AnswerLost);
        };
        // The hops that it passes are counted off on the way.
        let passed = u8::try_from(flight.hop).unwrap_or(u8::MAX);
        let ttl = station.node.return_hops.map_or(station.node.initial_ttl, |hops| {
            station.node.initial_ttl.saturating_sub(hops).saturating_add(passed)
        });
        let back = Flight {
            bytes,
            header,
            known_as: None,
            ttl,
            place: Place::LinkBack,
            ..flight
        };
        let copies = station.node.copies;
        station.answers += u64::from(copies);
        let leaves = at.saturating_add(station.node.takes_us.saturating_mul(1_000));
        for _ in 1..copies {
            self.moving.push((leaves, back.clone()));
        }
        if copies > 0 {
            self.moving.push((leaves, back));
        }
    }
}

/// The node that a flight is at, or on the link of.
fn station<'a>(stations: &'a mut [Station], flight: &Flight) -> Option<&'a mut Station> {
    stations.get_mut(*flight.way.hops.get(flight.hop)?)
}

/// A packet as the observer knows it, to whom its answer has to make sense.
fn known(flight: &Flight) -> (Header, &[u8]) {
    let known = flight.known_as.as_ref().and_then(|(bytes, _)| Some((Header::read(bytes)?, bytes.as_slice())));
    known.unwrap_or((flight.header, flight.bytes.as_slice()))
}

/// A packet as it comes back inside an error: the NAT on the way treats it with its own care.
fn quoted(flight: &Flight) -> Vec<u8> {
    let mut quoted = match &flight.known_as {
        None | Some((_, Restores::Nothing)) => flight.bytes.clone(),
        Some((known, Restores::Everything)) => known.clone(),
        Some((known, Restores::Addresses)) => {
            let mut quoted = known.clone();
            let place = Header::read(known).and_then(|header| Some(header.bytes + icmp::checksum_offset(&header)?));
            if let Some(place) = place
                && let (Some(to), Some(from)) = (quoted.get_mut(place..place + 2), flight.bytes.get(place..place + 2))
            {
                to.copy_from_slice(from);
            }
            quoted
        }
    };
    header::set_ttl(&mut quoted, flight.ttl);
    quoted
}

/// What a router changes in a packet that it forwards.
fn rewrite(station: &Station, flight: &mut Flight) {
    let marks = &station.node.marks;
    if marks.dscp.is_some() || marks.ecn.is_some() {
        header::set_marks(&mut flight.bytes, marks.dscp, marks.ecn);
        if let Some((known, _)) = &mut flight.known_as {
            header::set_marks(known, marks.dscp, marks.ecn);
        }
    }
    if let Some(nat) = &station.node.nat {
        let before = flight.known_as.take().map_or_else(|| flight.bytes.clone(), |(known, _)| known);
        flight.known_as = Some((before, nat.restores));
        header::set_addresses(&mut flight.bytes, nat.source, nat.destination);
        if let Some(port) = nat.source_port.filter(|_| icmp::has_ports(&flight.header))
            && let Some(place) = flight.bytes.get_mut(flight.header.bytes..flight.header.bytes + 2)
        {
            place.copy_from_slice(&port.to_be_bytes());
        }
        header::sum_transport(&mut flight.bytes);
        flight.header = Header::read(&flight.bytes).unwrap_or(flight.header);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
