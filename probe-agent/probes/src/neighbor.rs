//! Who on a link has which address: find the link, put every address to the owner's policy, ask for each, again where nobody answers, judge.

use std::net::IpAddr;
use std::pin::Pin;

use nix::errno::Errno;
use shared_protocol::event::{NeighborEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, NeighborFindings, Report};
use shared_protocol::spec::{InterfaceName, NeighborSpec, SweepTarget};
use shared_protocol::target::Target;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod inquiry;
mod verdict;

use inquiry::{Ask, Inquiry, Plan, Unsent, Whose};

use crate::net::gate::Denial;
use crate::net::icmp::{Departure, SendError};
use crate::net::neighbor::{Link, NeighborArrival, NeighborFlow};
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};
use crate::{clock, denied, one_address};

/// Asks a link and makes the report.
pub(crate) async fn run(spec: &NeighborSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let asking = Asking { spec, context, events };
    let (findings, outcome) = match asking.aim() {
        Ok(aim) => asking.ask_all(aim, cancel).await,
        Err(stop) => (None, Err(stop)),
    };
    let found = Found {
        resolved: Vec::new(),
        findings: findings.map(Findings::Neighbor),
        completeness: Completeness::Whole,
    };
    record.end(outcome, found)
}

/// What is asked, and with what.
struct Asking<'a> {
    spec: &'a NeighborSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
}

/// The link that is asked, and for which addresses.
struct Aim {
    link: Link,
    ends: (IpAddr, IpAddr),
    addresses: Vec<(IpAddr, Whose)>,
    denied: Vec<(IpAddr, Denial)>,
}

impl Asking<'_> {
    /// Finds the link and the addresses on it that the owner allows. Nothing is sent.
    fn aim(&self) -> Result<Aim, Stop> {
        let (ends, wanted) = wanted(&self.spec.target)?;
        if !self.context.engine.can_ask_links() {
            return Err(no_socket());
        }
        let named = self.spec.interface.as_ref().map(InterfaceName::as_str);
        let link = Link::find(ends, named).map_err(|none| Stop::failed(none.fault(), none.code(), none.to_string()))?;
        let mut aim = Aim {
            addresses: Vec::with_capacity(wanted.len()),
            denied: Vec::new(),
            link,
            ends,
        };
        for address in wanted {
            let is_ours = aim.link.own.contains(&address);
            match self.context.gate.check_address(address) {
                Ok(()) => aim.addresses.push((address, if is_ours { Whose::Ours } else { Whose::Anybodys })),
                // What is ours is known without a packet.
                Err(_) if is_ours => aim.addresses.push((address, Whose::OursUnasked)),
                Err(denial) => aim.denied.push((address, denial)),
            }
        }
        match aim.denied.first() {
            Some((_, denial)) if aim.addresses.iter().all(|(_, whose)| *whose == Whose::OursUnasked) => Err(Stop::Denied(denial.clone())),
            Some(_) | None => Ok(aim),
        }
    }

    async fn ask_all(&self, aim: Aim, cancel: &CancellationToken) -> (Option<NeighborFindings>, Result<Verdict, Stop>) {
        let engine = &self.context.engine;
        let drops_before = engine.drops();
        let Ok((flow, mut arrivals)) = engine.ask_link(&aim.link, aim.ends) else {
            return (None, Err(no_socket()));
        };
        let link = &aim.link;
        self.tell(NeighborEvent::Link {
            interface: link.interface.clone(),
            address: link.source,
            mac: link.mac,
        });
        let now = clock::monotonic();
        let plan = Plan {
            addresses: aim.addresses,
            tries: self.spec.tries,
            interval: self.spec.interval(),
            wait: self.spec.wait(),
            mac: link.mac,
            source: link.source,
        };
        let mut inquiry = Inquiry::new(plan, now);
        let depart_by = now.plus(self.spec.timeout().saturating_sub(self.spec.wait()));
        let stop = tokio::select! {
            biased;
            () = cancel.cancelled() => Some(Stop::Cancelled),
            asked = self.drive(&mut inquiry, &flow, &mut arrivals, depart_by) => asked.err(),
        };
        let mut neighbors = inquiry.results();
        for result in &mut neighbors {
            self.context.known.tell_vendors(result);
        }
        let findings = NeighborFindings {
            interface: link.interface.clone(),
            address: link.source,
            mac: link.mac,
            neighbors,
            silent: inquiry.silent(),
            denied: denied::runs(&aim.denied),
            statistics: inquiry.statistics(),
            agent_drops: u32::try_from(engine.drops().saturating_sub(drops_before)).unwrap_or(u32::MAX),
        };
        let verdict = verdict::judge(&findings, inquiry.first_unsent());
        (Some(findings), stop.map_or(Ok(verdict), Err))
    }

    /// Lets the inquiry run between sockets and clock until it is over.
    async fn drive(
        &self,
        inquiry: &mut Inquiry,
        flow: &NeighborFlow,
        arrivals: &mut mpsc::Receiver<NeighborArrival>,
        depart_by: MonotonicMicros,
    ) -> Result<(), Stop> {
        let mut sending: Option<(Ask, Sending<'_>)> = None;
        loop {
            let now = clock::monotonic();
            if inquiry.gives_up(now) {
                flow.catch_up().await;
            }
            // Whatever came up to `now` is taken before anything is given up at it.
            while let Ok(arrival) = arrivals.try_recv() {
                inquiry.handle_arrival(&arrival);
            }
            inquiry.handle_timeout(now);
            if now >= depart_by {
                let leaving = sending.take().map(|(ask, _)| ask.place);
                for place in leaving.into_iter().chain(std::iter::from_fn(|| inquiry.poll_abandoned())).collect::<Vec<_>>() {
                    inquiry.handle_unsent(place, NO_ROOM);
                }
            }
            while let Some(mut result) = inquiry.poll_event() {
                self.context.known.tell_vendors(&mut result);
                self.tell(NeighborEvent::Neighbor(Box::new(result)));
            }
            if sending.is_none() && inquiry.is_finished() {
                return Ok(());
            }
            if sending.is_none()
                && let Some(ask) = inquiry.poll_ask(now)
            {
                sending = Some((ask, Box::pin(flow.ask(ask.address, ask.asker, self.context.gate.as_ref()))));
            }
            let next = inquiry.poll_timeout(now).map(|wait| now.plus(wait));
            let next = if sending.is_some() { inquiry.poll_end() } else { next };
            let until = next.into_iter().chain(Some(depart_by).filter(|by| *by > now)).min().unwrap_or(now);
            tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => inquiry.handle_arrival(&arrival),
                (ask, outcome) = finish(&mut sending) => {
                    sending = None;
                    settle(inquiry, ask, outcome)?;
                }
                () = tokio::time::sleep(until.since(now)) => {}
            }
        }
    }

    fn tell(&self, event: NeighborEvent) {
        one_address::tell(self.events, ProbeEvent::Neighbor(event));
    }
}

type Sending<'a> = Pin<Box<dyn Future<Output = Result<Departure, SendError>> + Send + 'a>>;

/// Waits for the question that is leaving; for ever when none is.
async fn finish(sending: &mut Option<(Ask, Sending<'_>)>) -> (Ask, Result<Departure, SendError>) {
    match sending {
        Some((ask, sending)) => (*ask, sending.await),
        None => std::future::pending().await,
    }
}

fn settle(inquiry: &mut Inquiry, ask: Ask, outcome: Result<Departure, SendError>) -> Result<(), Stop> {
    let unsent = match outcome {
        Ok(departure) => {
            inquiry.handle_sent(ask.place, departure.moment);
            return Ok(());
        }
        Err(SendError::Denied(denial)) => return Err(Stop::Denied(denial)),
        Err(SendError::Kernel(errno)) => Unsent {
            code: if matches!(errno, Errno::ENETDOWN | Errno::ENXIO | Errno::ENODEV) {
                ErrorCode::LinkDown
            } else {
                ErrorCode::Resource
            },
            errno: std::io::Error::from(errno).raw_os_error(),
        },
        Err(SendError::NoRoom | SendError::NumbersExhausted | SendError::NoSocket) => NO_ROOM,
    };
    inquiry.handle_unsent(ask.place, unsent);
    Ok(())
}

/// The addresses of a target in order, and their ends.
fn wanted(target: &SweepTarget) -> Result<((IpAddr, IpAddr), Vec<IpAddr>), Stop> {
    match target {
        SweepTarget::One(Target::Address(address)) => Ok(((*address, *address), vec![*address])),
        SweepTarget::Block(block) => Ok((block.ends(), block.addresses().collect())),
        SweepTarget::One(Target::Name(_)) => Err(Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds")),
    }
}

fn no_socket() -> Stop {
    Stop::failed(
        Fault::Agent,
        ErrorCode::PermissionMissing,
        "the agent has no packet sockets, by which links are asked",
    )
}

/// The owner's rates left no room for a question in time.
const NO_ROOM: Unsent = Unsent {
    code: ErrorCode::Resource,
    errno: None,
};
