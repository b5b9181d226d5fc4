//! What every test needs: an engine, a policy, a spec, and the report that comes of them.

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;

use agent_probes::net::gate::{Denial, Gate, Pace};
use agent_probes::net::icmp::{IcmpEngine, IcmpSockets};
use agent_probes::net::resolver::Resolver;
use agent_probes::net::tls::TargetRoots;
use agent_probes::observe::Observer;
use agent_probes::table::{self, Flows, ProbeContext};
use shared_protocol::event::ProbeEvent;
use shared_protocol::frame::CapabilityLevel;
use shared_protocol::report::{ClockQuality, Findings, PingFindings, Report};
use shared_protocol::spec::ProbeSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lets everything pass but what it names.
#[derive(Default)]
pub(crate) struct AllowAllBut(pub(crate) Vec<IpAddr>);

impl Gate for AllowAllBut {
    fn check_address(&self, address: IpAddr) -> Result<(), Denial> {
        if self.0.contains(&address) {
            return Err(Denial {
                rule: "deny_cidrs".to_owned(),
                message: "the address is denied".to_owned(),
            });
        }
        Ok(())
    }

    fn check_port(&self, port: u16) -> Result<(), Denial> {
        if port == DENIED_PORT {
            return Err(Denial {
                rule: "allow_ports".to_owned(),
                message: "the port is denied".to_owned(),
            });
        }
        Ok(())
    }

    fn check_resolver(&self, address: IpAddr) -> Result<(), Denial> {
        self.check_address(address)
    }

    fn pace(&self) -> Pace {
        Pace {
            max_pps: 100_000,
            per_target_pps: 10_000,
        }
    }
}

/// The port that `AllowAllBut` never lets pass.
pub(crate) const DENIED_PORT: u16 = 9;

pub(crate) fn context(sockets: IcmpSockets, gate: impl Gate + 'static) -> ProbeContext {
    ProbeContext {
        observer: Arc::new(Observer::at("/nonexistent".into())),
        packages: Arc::new(agent_probes::observe::NoPackages),
        known: Arc::default(),
        flows: Flows::nobody(),
        engine: Arc::new(IcmpEngine::start(sockets).unwrap()),
        gate: Arc::new(gate),
        resolver: Resolver::from_system().unwrap(),
        roots: TargetRoots::only(Vec::new()).unwrap(),
        clock: ClockQuality::default(),
    }
}

/// A context on raw sockets; `None`, and loudly, where the host does not give them.
pub(crate) fn raw_context(id: &str) -> Option<ProbeContext> {
    let sockets = IcmpSockets::open();
    let capability = sockets.capabilities().remove(0);
    if capability.level != CapabilityLevel::Full {
        skip(id, &capability.reason.unwrap_or_default());
        return None;
    }
    Some(context(sockets, AllowAllBut::default()))
}

pub(crate) fn spec(target: &str, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"ping","target":"{target}"{options}}}"#)).unwrap()
}

/// Runs a probe to its report and the events it told.
pub(crate) async fn run(spec: &ProbeSpec, context: &ProbeContext) -> (Report, Vec<ProbeEvent>) {
    let (sender, mut receiver) = mpsc::channel(512);
    let report = table::run(spec, context, sender, CancellationToken::new()).await;
    let mut events = Vec::new();
    while let Some(event) = receiver.recv().await {
        events.push(event);
    }
    (report, events)
}

#[track_caller]
pub(crate) fn findings(report: &Report) -> &PingFindings {
    let Some(Findings::Ping(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

/// Says loudly that a test could not run here.
pub(crate) fn skip(id: &str, reason: &str) {
    let line = format!("SKIP {id}: {reason}");
    println!("{line}");
    if let Some(path) = std::env::var_os("PROBEOPS_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(log, "{line}").unwrap();
    }
}
