//! A scan of ports: resolve, put the address and every port to the owner's policy, ask each of them, again where it keeps silent, judge.

use std::net::{IpAddr, SocketAddr};

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use shared_protocol::event::{PortEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, PortFindings, Report};
use shared_protocol::spec::{PortOrder, PortSpec};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod scan;
mod verdict;

use scan::{Plan, Scan};

use crate::clock;
use crate::net::gate::Peer;
use crate::net::tcp::Dial;
use crate::one_address::{self, Aim};
use crate::table::ProbeContext;
use crate::tcp::Driver;
use crate::verdict::{Stop, Verdict};

/// Runs a scan to its report.
pub(crate) async fn run(spec: &PortSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let aim = Aim {
        target: &spec.target,
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
    let plan = Plan {
        ports: in_order(spec),
        tries: spec.tries,
        interval: spec.interval(),
    };
    let mut scan = Scan::new(plan, now);
    let driver = Driver {
        context: aim.context,
        events: aim.events,
        mode: spec.mode,
    };
    let asked = async {
        let dscp = u8::try_from(spec.dscp).map_err(|_| Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds"))?;
        let dial = Dial {
            endpoint: SocketAddr::new(address, 0),
            peer: Peer::Named,
            dscp,
            wait: spec.wait(),
            depart_by: now.plus(spec.timeout()),
        };
        driver.drive(&mut scan, dial).await
    };
    let stop = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Some(Stop::Cancelled),
        asked = asked => asked.err(),
    };
    let findings = PortFindings {
        address,
        ports: scan.results(),
        statistics: scan.statistics(),
    };
    let verdict = verdict::judge(&findings.statistics, scan.first_error());
    (Findings::Port(findings), stop.map_or(Ok(verdict), Err))
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
