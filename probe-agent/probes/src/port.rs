//! A scan of ports: resolve, put every address and every port to the owner's policy, ask each of them, again where it keeps silent, judge.

use std::net::{IpAddr, SocketAddr};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, PortFindings, Report};
use shared_protocol::spec::{GREETING_BYTES, GREETING_TIME, HexBytes, PortMode, PortOrder, PortSpec, TcpMode};
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod payload;
mod scan;
mod sweep;
mod turns;
mod verdict;

pub use payload::datagram_bytes;
use scan::{Plan, Scan, Telling};
use turns::Turns;

use crate::clock;
use crate::net::gate::Peer;
use crate::net::tcp::Dial;
use crate::one_address::{self, Aim};
use crate::table::ProbeContext;
use crate::tcp::{Driver, Listening};
use crate::udp::Datagrams;
use crate::verdict::{Stop, Verdict};

/// Runs a scan to its report.
pub(crate) async fn run(spec: &PortSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let Some(target) = spec.target.one() else {
        return sweep::run(spec, context, events, cancel).await;
    };
    let aim = Aim {
        target,
        af: spec.af,
        context,
        events,
        cancel,
    };
    let resolved = |address| ProbeEvent::Port(PortEvent::Resolved { address });
    one_address::run(aim, resolved, async |address| scan(spec, aim, address).await).await
}

async fn scan(spec: &PortSpec, aim: Aim<'_>, address: IpAddr) -> (Findings, Result<Verdict, Stop>) {
    let now = clock::monotonic();
    let mut scan = Scan::new(plan(spec, &Turns::new(spec.interval(), now), Telling::Each), now);
    let asker = Asker {
        spec,
        context: aim.context,
        events: aim.events,
        depart_by: now.plus(spec.timeout()),
    };
    let stop = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Some(Stop::Cancelled),
        outcome = asker.ask(&mut scan, address) => outcome.err(),
    };
    let findings = PortFindings {
        address,
        ports: scan.results(),
        statistics: scan.statistics(),
    };
    let verdict = verdict::judge(&findings.statistics, scan.first_error());
    (Findings::Port(findings), stop.map_or(Ok(verdict), Err))
}

fn plan(spec: &PortSpec, turns: &Turns, telling: Telling) -> Plan {
    Plan {
        ports: in_order(spec),
        tries: spec.tries,
        interval: spec.target_interval(),
        repeat: spec.repeat_interval(),
        turns: turns.clone(),
        telling,
    }
}

/// What asks the ports of a target, in whichever way.
#[derive(Clone, Copy)]
struct Asker<'a> {
    spec: &'a PortSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    depart_by: MonotonicMicros,
}

impl Asker<'_> {
    /// Runs a scan until every port has its state.
    async fn ask(&self, scan: &mut Scan, address: IpAddr) -> Result<(), Stop> {
        let spec = self.spec;
        let dscp = u8::try_from(spec.dscp).map_err(|_| Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds"))?;
        let mode = match spec.mode {
            PortMode::Connect => TcpMode::Connect,
            PortMode::Syn => TcpMode::Syn,
            PortMode::Udp => {
                let datagrams = Datagrams {
                    context: self.context.clone(),
                    target: address,
                    dscp,
                    expect: HexBytes::default(),
                    wait: spec.wait(),
                    depart_by: self.depart_by,
                };
                return datagrams.drive(scan, payload::of, self.events).await.map_err(Stop::Denied);
            }
        };
        let driver = Driver {
            context: self.context,
            events: self.events,
            mode,
            listening: spec.banner.then_some(Listening {
                time: GREETING_TIME,
                bytes: GREETING_BYTES,
            }),
        };
        let dial = Dial {
            endpoint: SocketAddr::new(address, 0),
            peer: Peer::Named,
            dscp,
            wait: spec.wait(),
            depart_by: self.depart_by,
        };
        driver.drive(scan, dial).await
    }
}

fn in_order(spec: &PortSpec) -> Vec<u16> {
    let mut ports = spec.ports.as_slice().to_vec();
    match spec.order {
        PortOrder::Ascending => {}
        PortOrder::Descending => ports.reverse(),
        PortOrder::Random => ports.shuffle(&mut StdRng::from_seed(rand::random())),
    }
    ports
}
