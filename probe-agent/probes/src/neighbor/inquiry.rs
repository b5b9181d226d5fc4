//! The state of asking a link: which address is to be asked for when, what each answer says. Pure: time and what is seen come in as arguments.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use agent_paths::statistics;
use shared_protocol::fault::ErrorCode;
use shared_protocol::mac_address::MacAddress;
use shared_protocol::report::{AddressRun, NeighborResult, NeighborState, NeighborStatistics};
use shared_protocol::time::MonotonicMicros;

use crate::clock::Moment;
use crate::net::neighbor::{Asker, Heard, NeighborArrival};
use crate::round_trip;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// The addresses in the order in which they are asked for, and whose they are.
    pub addresses: Vec<(IpAddr, Whose)>,
    /// How often one for which nobody answers is asked for.
    pub tries: u32,
    /// Time from one question to the next.
    pub interval: Duration,
    /// How long answers are waited for after a question.
    pub wait: Duration,
    /// The interface's address on the link.
    pub mac: MacAddress,
    /// Its address in whose name is asked.
    pub source: IpAddr,
}

/// Whose an address is, as far as this host knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// Not ours.
    Anybodys,
    /// Ours; others are asked whether they have it too.
    Ours,
    /// Ours, and no packet may leave for it.
    OursUnasked,
}

/// An asking under way. An address is called by its place in the plan.
#[derive(Debug)]
pub(super) struct Inquiry {
    plan: Plan,
    asked: Vec<Asked>,
    places: HashMap<IpAddr, usize>,
    due: MonotonicMicros,
    waiting: VecDeque<usize>,
    /// Addresses that have been asked for, with the ends of their waits, in order.
    pending: VecDeque<(MonotonicMicros, usize)>,
    events: VecDeque<NeighborResult>,
    /// Places in the order of their first answers.
    order: Vec<usize>,
    sent: u32,
}

/// One address.
#[derive(Debug, Default)]
struct Asked {
    tries: u32,
    /// When the last question was handed to the kernel.
    left: Option<Moment>,
    /// When the last one passed the interface: wall clock, nanoseconds.
    passed_ns: Option<i64>,
    owners: Vec<MacAddress>,
    rtt_us: Option<u64>,
    user_rtt_us: Option<u64>,
    router: bool,
    unsent: Option<Unsent>,
    /// Its last wait is over.
    waited: bool,
}

/// Why a question did not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unsent {
    pub code: ErrorCode,
    pub errno: Option<i32>,
}

/// A question that is to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ask {
    pub place: usize,
    pub address: IpAddr,
    pub asker: Asker,
}

impl Inquiry {
    pub(super) fn new(plan: Plan, now: MonotonicMicros) -> Self {
        let asked = plan.addresses.iter().map(|_| Asked::default()).collect();
        let is_asked = |(_, (_, whose)): &(usize, &(IpAddr, Whose))| *whose != Whose::OursUnasked;
        Self {
            asked,
            places: plan.addresses.iter().enumerate().map(|(place, (address, _))| (*address, place)).collect(),
            due: now,
            waiting: plan.addresses.iter().enumerate().filter(is_asked).map(|(place, _)| place).collect(),
            plan,
            pending: VecDeque::new(),
            events: VecDeque::new(),
            order: Vec::new(),
            sent: 0,
        }
    }

    /// The question that is to leave now; each is given once, and then told of by `handle_sent` or `handle_unsent`.
    pub(super) fn poll_ask(&mut self, now: MonotonicMicros) -> Option<Ask> {
        if now < self.due {
            return None;
        }
        let place = self.waiting.pop_front()?;
        // After a delay of more than an interval the rest moves back: questions never leave in a burst.
        let planned = self.due.plus(self.plan.interval);
        self.due = if planned > now { planned } else { now.plus(self.plan.interval) };
        let (address, whose) = *self.plan.addresses.get(place)?;
        let asker = match whose {
            Whose::Anybodys => Asker::Interface,
            Whose::Ours | Whose::OursUnasked => Asker::Nobody,
        };
        Some(Ask { place, address, asker })
    }

    /// The next address that is still to be asked for, and never will be.
    pub(super) fn poll_abandoned(&mut self) -> Option<usize> {
        self.waiting.pop_front()
    }

    /// The next thing to tell.
    pub(super) fn poll_event(&mut self) -> Option<NeighborResult> {
        self.events.pop_front()
    }

    /// How long until there is something to do; `None` while what is leaving is all that is waited for.
    pub(super) fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        let next = (!self.waiting.is_empty()).then_some(self.due);
        let first = [next, self.poll_end()].into_iter().flatten().min()?;
        Some(first.since(now))
    }

    /// When the next wait is over.
    pub(super) fn poll_end(&self) -> Option<MonotonicMicros> {
        self.pending.front().map(|(end, _)| *end)
    }

    /// Whether a wait is over, so that something is about to be given up.
    pub(super) fn gives_up(&self, now: MonotonicMicros) -> bool {
        self.pending.front().is_some_and(|(end, _)| *end <= now)
    }

    /// A question has left.
    pub(super) fn handle_sent(&mut self, place: usize, moment: Moment) {
        let Some(asked) = self.asked.get_mut(place) else { return };
        asked.tries += 1;
        asked.left = Some(moment);
        asked.passed_ns = None;
        self.sent = self.sent.saturating_add(1);
        self.pending.push_back((moment.monotonic.plus(self.plan.wait), place));
    }

    /// A question did not leave.
    pub(super) fn handle_unsent(&mut self, place: usize, unsent: Unsent) {
        let Some(asked) = self.asked.get_mut(place) else { return };
        asked.unsent = asked.unsent.or(Some(unsent));
        // What cannot be asked again keeps what its silence said.
        asked.waited = asked.tries > 0;
    }

    /// Something was seen at the interface.
    pub(super) fn handle_arrival(&mut self, arrival: &NeighborArrival) {
        let Some(place) = self.places.get(&arrival.address).copied() else { return };
        let Some((_, whose)) = self.plan.addresses.get(place) else { return };
        let Some(asked) = self.asked.get_mut(place) else { return };
        match arrival.what {
            Heard::Question => asked.passed_ns = arrival.at_ns,
            Heard::Answer { owner, to, router } => {
                let is_ours = *whose != Whose::Anybodys;
                let is_to_us = if is_ours { is_to_nobody(to) } else { to == self.plan.source };
                let is_known = asked.owners.contains(&owner) || is_ours && owner == self.plan.mac;
                if asked.tries == 0 || !is_to_us || is_known || asked.owners.len() > OTHERS {
                    return;
                }
                if asked.owners.is_empty() {
                    asked.time(arrival);
                    self.order.push(place);
                }
                asked.owners.push(owner);
                asked.router |= router;
                self.events.extend(self.result(place));
            }
        }
    }

    /// Time has passed.
    pub(super) fn handle_timeout(&mut self, now: MonotonicMicros) {
        while let Some((_, place)) = self.pending.pop_front_if(|(end, _)| *end <= now) {
            let Some(asked) = self.asked.get_mut(place) else { continue };
            if asked.owners.is_empty() && asked.tries < self.plan.tries && asked.unsent.is_none() {
                self.waiting.push_back(place);
            } else {
                asked.waited = true;
            }
        }
    }

    /// Whether everything has been asked for and waited for.
    pub(super) fn is_finished(&self) -> bool {
        self.waiting.is_empty() && self.pending.is_empty()
    }

    /// What is known of each address that is not silent, in order.
    pub(super) fn results(&self) -> Vec<NeighborResult> {
        (0..self.asked.len()).filter_map(|place| self.result(place)).collect()
    }

    /// Addresses for which nobody answered.
    pub(super) fn silent(&self) -> Vec<AddressRun> {
        let all = self.plan.addresses.iter().zip(&self.asked);
        AddressRun::of(all.filter(|((_, whose), asked)| asked.is_silent(*whose)).map(|((address, _), _)| *address))
    }

    /// The numbers over all addresses.
    pub(super) fn statistics(&self) -> NeighborStatistics {
        let results = self.results();
        let of = |state| count(results.iter().filter(|result| result.state == state).count());
        let times = |time: fn(&Asked) -> Option<u64>| -> Vec<(u32, u64)> {
            let answered = self.order.iter().filter_map(|place| self.asked.get(*place));
            (0..).zip(answered.filter_map(time)).collect()
        };
        NeighborStatistics {
            addresses: count(self.asked.len()),
            present: of(NeighborState::Present),
            conflicts: of(NeighborState::Conflict),
            silent: count(self.asked.len() - results.len()),
            own: of(NeighborState::Own),
            unknown: of(NeighborState::Unknown),
            sent: self.sent,
            rtt: statistics::round_trips(&times(|asked| asked.rtt_us)),
            user_rtt: statistics::round_trips(&times(|asked| asked.user_rtt_us)),
        }
    }

    /// What kept the first address from being asked for.
    pub(super) fn first_unsent(&self) -> Option<(IpAddr, Unsent)> {
        let mut all = self.plan.addresses.iter().zip(&self.asked);
        all.find_map(|((address, _), asked)| Some((*address, asked.unsent.filter(|_| asked.tries == 0)?)))
    }

    fn result(&self, place: usize) -> Option<NeighborResult> {
        let (address, whose) = *self.plan.addresses.get(place)?;
        let asked = self.asked.get(place).filter(|asked| !asked.is_silent(whose))?;
        let mut owners = asked.owners.clone();
        if whose != Whose::Anybodys {
            owners.insert(0, self.plan.mac);
        }
        let state = match owners.len() {
            0 => NeighborState::Unknown,
            1 if whose == Whose::Anybodys => NeighborState::Present,
            1 => NeighborState::Own,
            _ => NeighborState::Conflict,
        };
        let unsent = asked.unsent.filter(|_| asked.tries == 0);
        let mut owners = owners.into_iter();
        Some(NeighborResult {
            address,
            state,
            mac: owners.next(),
            others: owners.collect(),
            vendor: None,
            other_vendors: Vec::new(),
            tries: asked.tries,
            rtt_us: asked.rtt_us,
            user_rtt_us: asked.user_rtt_us,
            router: asked.router,
            code: unsent.map(|unsent| unsent.code),
            errno: unsent.and_then(|unsent| unsent.errno),
        })
    }
}

impl Asked {
    /// Takes the time from the last question to the first answer, by both clocks.
    fn time(&mut self, answer: &NeighborArrival) {
        let Some(left) = self.left else { return };
        let user = answer.moment.monotonic.since(left.monotonic);
        self.user_rtt_us = u64::try_from(user.as_micros()).ok();
        self.rtt_us = round_trip::by_kernel((&left, self.passed_ns), (&answer.moment, answer.at_ns), user);
    }

    /// Whether all was asked and nobody answered; that nobody else has what is ours is no silence.
    fn is_silent(&self, whose: Whose) -> bool {
        whose == Whose::Anybodys && self.waited && self.tries > 0 && self.owners.is_empty()
    }
}

/// Whether an answer goes where those to nobody's questions go: to 0.0.0.0 (RFC 5227), or to all (RFC 4861 section 7.2.4).
fn is_to_nobody(to: IpAddr) -> bool {
    to == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || to == IpAddr::V6(ALL_NODES)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Owners of an address beside the first that are told of.
const OTHERS: usize = 8;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

#[cfg(test)]
mod tests;
