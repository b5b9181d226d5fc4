//! A probe of one address of its target: what is the same before and after what it does.

use std::net::IpAddr;

use shared_protocol::event::ProbeEvent;
use shared_protocol::report::{Findings, Report};
use shared_protocol::spec::AddressFamily;
use shared_protocol::target::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::record::{Completeness, Found, Record};
use crate::resolution;
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// What is aimed at, and with what.
#[derive(Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub target: &'a Target,
    pub af: AddressFamily,
    pub context: &'a ProbeContext,
    pub events: &'a mpsc::Sender<ProbeEvent>,
    pub cancel: &'a CancellationToken,
}

/// Resolves the target, lets every address be asked for by the owner's policy, tells the one that is used, does what the probe does with it,
/// and makes the report.
pub(crate) async fn run(
    aim: Aim<'_>,
    resolved: impl FnOnce(IpAddr) -> ProbeEvent,
    probe: impl AsyncFnOnce(IpAddr) -> (Findings, Result<Verdict, Stop>),
) -> Report {
    let record = Record::begin(aim.context.clock);
    let resolution = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Err(Stop::Cancelled),
        resolution = resolution::resolve(aim.context, aim.target, aim.af, |_| true) => resolution,
    };
    let (resolved, findings, outcome) = match resolution {
        Err(stop) => (Vec::new(), None, Err(stop)),
        Ok(resolution) => {
            tell(aim.events, resolved(resolution.chosen));
            let (findings, outcome) = probe(resolution.chosen).await;
            (resolution.addresses, Some(findings), outcome)
        }
    };
    let found = Found {
        resolved,
        findings,
        completeness: Completeness::Whole,
    };
    record.end(outcome, found)
}

/// Tells a partial finding, if the channel has room: the report holds it again.
pub(crate) fn tell(events: &mpsc::Sender<ProbeEvent>, event: ProbeEvent) {
    if events.try_send(event).is_err() {
        tracing::trace!("event dropped: the channel is full or closed");
    }
}
