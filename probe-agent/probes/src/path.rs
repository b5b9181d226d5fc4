//! Traceroute, mtr and the search for the path MTU: resolve, put every address to the owner's policy, let the machine of `agent-paths` run between
//! sockets and clock, judge.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, Report};
use shared_protocol::spec::{AddressFamily, MtrSpec, PathOptions, PathProtocol, PmtuSpec, ProbeSpec, TracerouteSpec};
use shared_protocol::target::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod driver;
mod names;
mod packet;

use agent_paths::Book;
use agent_paths::machine::{self, Machine};
use driver::Driver;
use packet::Packets;

use crate::clock;
use crate::net::path::PathRefusal;
use crate::record::{Completeness, Found, Record};
use crate::resolution::{self, Resolution};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// What the three probes have in common.
pub(crate) struct PathRequest<'a> {
    /// The probe with all its options.
    pub(crate) spec: &'a ProbeSpec,
    pub(crate) target: &'a Target,
    pub(crate) af: AddressFamily,
    pub(crate) protocol: PathProtocol,
    pub(crate) names: Names,
    pub(crate) origins: Origins,
    pub(crate) raw: Raw,
}

/// Whether the names of hops are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    Asked,
    Unasked,
}

/// Whether the report says who announces the addresses of hops, as far as that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origins {
    Told,
    Untold,
}

/// Whether the report keeps what was sent and what came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raw {
    Kept,
    Dropped,
}

impl<'a> PathRequest<'a> {
    pub(crate) const fn traceroute(spec: &'a ProbeSpec, own: &'a TracerouteSpec) -> Self {
        Self::with_options(spec, (&own.target, own.af), &own.path)
    }

    pub(crate) const fn mtr(spec: &'a ProbeSpec, own: &'a MtrSpec) -> Self {
        Self::with_options(spec, (&own.target, own.af), &own.path)
    }

    pub(crate) const fn pmtu(spec: &'a ProbeSpec, own: &'a PmtuSpec) -> Self {
        Self {
            spec,
            target: &own.target,
            af: own.af,
            protocol: own.protocol,
            names: Names::Unasked,
            origins: Origins::Untold,
            raw: if own.raw { Raw::Kept } else { Raw::Dropped },
        }
    }

    const fn with_options(spec: &'a ProbeSpec, (target, af): (&'a Target, AddressFamily), options: &PathOptions) -> Self {
        Self {
            spec,
            target,
            af,
            protocol: options.protocol,
            names: if options.ptr { Names::Asked } else { Names::Unasked },
            origins: if options.asn { Origins::Told } else { Origins::Untold },
            raw: if options.raw { Raw::Kept } else { Raw::Dropped },
        }
    }
}

/// Runs a probe along a path to its report.
pub(crate) async fn run(request: &PathRequest<'_>, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let resolution = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        resolution = resolve(request, context) => resolution,
    };
    let (resolved, outcome) = match resolution {
        Ok(resolution) => (resolution.addresses, follow(request, resolution.chosen, context, events, cancel).await),
        Err(stop) => (Vec::new(), Err(stop)),
    };
    let (outcome, followed) = match outcome {
        Ok(followed) => (followed.stop.map_or(Ok(followed.verdict), Err), Some((followed.findings, followed.book))),
        Err(stop) => (Err(stop), None),
    };
    let (findings, book) = followed.unzip();
    let found = Found {
        resolved,
        findings,
        completeness: Completeness::Whole,
    };
    let mut report = record.end(outcome, found);
    report.raw = book.filter(|_| request.raw == Raw::Kept).map(|book| book.log());
    report
}

async fn resolve(request: &PathRequest<'_>, context: &ProbeContext) -> Result<Resolution, Stop> {
    resolution::resolve(context, request.target, request.af, |_| true).await
}

/// A path that has been followed, to its end or not.
struct Followed {
    findings: Findings,
    verdict: Verdict,
    book: Book,
    stop: Option<Stop>,
}

async fn follow(
    request: &PathRequest<'_>,
    target: IpAddr,
    context: &ProbeContext,
    events: &mpsc::Sender<ProbeEvent>,
    cancel: &CancellationToken,
) -> Result<Followed, Stop> {
    let packets = Packets::of(request.spec);
    let internal = || Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds");
    let opened = context.engine.path(packets.plan(target, request.protocol)).map_err(|refusal| refused(&refusal));
    let (flow, arrivals) = opened?;
    let source = flow.source();
    let machine = Machine::begin(request.spec, target, clock::moment(), source.map(|source| source.ip())).ok_or_else(internal)?;
    // Nobody may listen any more: the report holds it again.
    let _ = events.try_send(machine.resolved(target));
    // The target's name has been found, and those of the hops come afterwards: the rest is the path's.
    let naming = if request.names == Names::Asked { NAMING * 2 } else { NAMING };
    let deadline = clock::monotonic().plus(request.spec.timeout().saturating_sub(naming));
    let known = (request.origins == Origins::Told).then(|| context.known.as_ref());
    let mut driver = Driver {
        machine,
        known,
        flow: &flow,
        arrivals,
        packets,
        target,
        source,
        context,
        events,
        deadline,
    };
    let drops_before = context.engine.drops();
    let stop = tokio::select! {
        biased;
        () = cancel.cancelled() => Some(Stop::Cancelled),
        outcome = driver.run() => outcome.err(),
    };
    let mut machine = driver.machine;
    if stop.is_some() {
        machine.stop();
    }
    machine.note_drops(u32::try_from(context.engine.drops().saturating_sub(drops_before)).unwrap_or(u32::MAX));
    let (mut findings, verdict) = machine::findings(request.spec, target, machine.book()).ok_or_else(internal)?;
    if request.names == Names::Asked && stop.is_none() {
        names::add(&mut findings, &context.resolver, cancel).await;
    }
    if let Some(known) = known {
        for found in machine::addresses_mut(&mut findings) {
            known.tell_origin(found);
        }
        machine::add_as_path(&mut findings);
    }
    Ok(Followed {
        findings,
        verdict,
        book: machine.book().clone(),
        stop,
    })
}

fn refused(refusal: &PathRefusal) -> Stop {
    let (fault, code) = match refusal {
        PathRefusal::NoSocket => (Fault::Agent, ErrorCode::PermissionMissing),
        PathRefusal::NoRoute(_) => (Fault::Path, ErrorCode::UnreachableNet),
        PathRefusal::Port(_) => (Fault::Agent, ErrorCode::Resource),
    };
    Stop::failed(fault, code, refusal.to_string())
}

/// Room in a spec's time limit for a name.
const NAMING: Duration = Duration::from_secs(2);
