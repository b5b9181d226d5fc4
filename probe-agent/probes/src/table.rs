//! The single match from a spec to the probe that does it.

use std::sync::Arc;

use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::{Capability, CapabilityLevel};
use shared_protocol::report::{ClockQuality, Report};
use shared_protocol::spec::{ProbeKind, ProbeSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::beside::Beside;
pub use crate::beside::Flows;
use crate::known::{Known, Lack};
use crate::net::gate::Gate;
use crate::net::icmp::IcmpEngine;
use crate::net::resolver::Resolver;
use crate::net::tls::TargetRoots;
use crate::observe::{self, Observer, Packages};
use crate::path::{self, PathRequest};
use crate::{dns, http, neighbor, ping, port, tcp, udp};

/// What every probe needs from its agent.
#[derive(Clone)]
pub struct ProbeContext {
    /// The shared ICMP sockets.
    pub engine: Arc<IcmpEngine>,
    /// The owner's policy.
    pub gate: Arc<dyn Gate>,
    /// Turns names into addresses.
    pub resolver: Resolver,
    /// What the certificates of targets are held against.
    pub roots: TargetRoots,
    /// How far the agent's wall clock can be trusted; copied into the report.
    pub clock: ClockQuality,
    /// The observer beside the agent.
    pub observer: Arc<Observer>,
    /// Where packages of observations are found.
    pub packages: Arc<dyn Packages>,
    /// What files of the owner say about addresses.
    pub known: Arc<Known>,
    /// What the observer is asked to look at of one probe; set anew for each.
    pub flows: Flows,
}

/// Runs one probe to its report. It never fails: what went wrong is in the report.
///
/// Events are best effort: one for which `events` has no room is dropped, the report holds every finding again.
/// `cancel` ends the probe at once with the error `cancelled`; the findings so far are in the report.
pub async fn run(spec: &ProbeSpec, context: &ProbeContext, events: mpsc::Sender<ProbeEvent>, cancel: CancellationToken) -> Report {
    let beside = Beside::begin(spec, &context.observer).await;
    let mut context = context.clone();
    context.flows = beside.flows();
    let report = probe(spec, &context, events, cancel).await;
    beside.end(report).await
}

async fn probe(spec: &ProbeSpec, context: &ProbeContext, events: mpsc::Sender<ProbeEvent>, cancel: CancellationToken) -> Report {
    match spec {
        ProbeSpec::Ping(options) => ping::run(options, context, &events, &cancel).await,
        ProbeSpec::Tcp(options) => tcp::run(options, context, &events, &cancel).await,
        ProbeSpec::Http(options) => http::run(options, context, &events, &cancel).await,
        ProbeSpec::Dns(options) => dns::run(options, context, &events, &cancel).await,
        ProbeSpec::Traceroute(options) => path::run(&PathRequest::traceroute(spec, options), context, &events, &cancel).await,
        ProbeSpec::Mtr(options) => path::run(&PathRequest::mtr(spec, options), context, &events, &cancel).await,
        ProbeSpec::Pmtu(options) => path::run(&PathRequest::pmtu(spec, options), context, &events, &cancel).await,
        ProbeSpec::Udp(options) => udp::run(options, context, &events, &cancel).await,
        ProbeSpec::Observe(options) => observe::run(options, context, &events, &cancel).await,
        ProbeSpec::Port(options) => port::run(options, context, &events, &cancel).await,
        ProbeSpec::Neighbor(options) => neighbor::run(options, context, &events, &cancel).await,
    }
}

/// What the probes of this build can do on this host.
pub fn capabilities(context: &ProbeContext) -> Vec<Capability> {
    let mut capabilities = context.engine.capabilities();
    // What follows a path needs the sockets that ping needs.
    let along_paths: Vec<Capability> = capabilities
        .iter()
        .filter(|capability| capability.probe == ProbeKind::Ping)
        .flat_map(|ping| [ProbeKind::Traceroute, ProbeKind::Mtr, ProbeKind::Pmtu].map(|probe| Capability { probe, ..ping.clone() }))
        .collect();
    capabilities.extend(along_paths);
    // Ports are asked as tcp asks one.
    let ports: Vec<Capability> = capabilities
        .iter()
        .filter(|capability| capability.probe == ProbeKind::Tcp)
        .map(|tcp| Capability {
            probe: ProbeKind::Port,
            ..tcp.clone()
        })
        .collect();
    capabilities.extend(ports);
    // An ordinary socket is all they take.
    capabilities.extend([ProbeKind::Http, ProbeKind::Dns, ProbeKind::Udp].map(|probe| Capability {
        probe,
        level: CapabilityLevel::Full,
        reason: None,
        remedy: None,
        observations: Vec::new(),
    }));
    capabilities.push(context.observer.capability());
    let known = &context.known;
    lack(&mut capabilities, &[ProbeKind::Traceroute, ProbeKind::Mtr], known.origins_lack.as_ref());
    lack(&mut capabilities, &[ProbeKind::Neighbor], known.vendors_lack.as_ref());
    capabilities
}

/// Says of probes what their reports lack beside what is measured: how well they can be done does not change by it.
fn lack(capabilities: &mut [Capability], probes: &[ProbeKind], lack: Option<&Lack>) {
    let Some(lack) = lack else { return };
    let with = |before: Option<String>, more: &str| Some(before.map_or_else(|| more.to_owned(), |before| format!("{before}; {more}")));
    let possible = |capability: &&mut Capability| probes.contains(&capability.probe) && capability.level != CapabilityLevel::Unavailable;
    for capability in capabilities.iter_mut().filter(possible) {
        capability.reason = with(capability.reason.take(), &lack.reason);
        capability.remedy = with(capability.remedy.take(), &lack.remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_said_beside_what_is_missing_and_makes_no_probe_worse() {
        let capability = |probe, level, reason: Option<&str>| Capability {
            probe,
            level,
            reason: reason.map(str::to_owned),
            remedy: reason.map(|_| "mend".to_owned()),
            observations: Vec::new(),
        };
        let mut all = [
            capability(ProbeKind::Traceroute, CapabilityLevel::Full, None),
            capability(ProbeKind::Mtr, CapabilityLevel::Degraded, Some("no sockets")),
            capability(ProbeKind::Mtr, CapabilityLevel::Unavailable, Some("no sockets")),
            capability(ProbeKind::Ping, CapabilityLevel::Full, None),
        ];
        let unchanged = all.clone();
        let probes = [ProbeKind::Traceroute, ProbeKind::Mtr];
        lack(&mut all, &probes, None);
        assert_eq!(all, unchanged);
        let found = Lack {
            reason: "no file".to_owned(),
            remedy: "give one".to_owned(),
        };
        lack(&mut all, &probes, Some(&found));
        assert_eq!(
            all.iter().map(|one| one.level).collect::<Vec<_>>(),
            unchanged.iter().map(|one| one.level).collect::<Vec<_>>()
        );
        let said: Vec<_> = all.iter().map(|one| (one.reason.as_deref(), one.remedy.as_deref())).collect();
        assert_eq!(
            said,
            [
                (Some("no file"), Some("give one")),
                (Some("no sockets; no file"), Some("mend; give one")),
                (Some("no sockets"), Some("mend")),
                (None, None),
            ]
        );
    }
}
