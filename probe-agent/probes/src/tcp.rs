//! TCP connections: resolve, put every address to the owner's policy, try to connect to one of them several times, judge.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use shared_protocol::event::{ProbeEvent, TcpEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{Findings, Report, TcpFindings};
use shared_protocol::spec::TcpSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod driver;
mod ended;
mod half_open;
mod tries;
mod verdict;

pub(crate) use driver::{Driver, Listening};
pub(crate) use ended::Ended;
#[cfg(test)]
pub(crate) use ended::blank;
use tries::{Plan, Tries};

use crate::asking::{Ask, Asking, Schedule};
use crate::clock;
use crate::net::gate::Peer;
use crate::net::tcp::Dial;
use crate::one_address::{self, Aim};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a TCP probe to its report.
pub(crate) async fn run(spec: &TcpSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let aim = Aim {
        target: &spec.target,
        af: spec.af,
        context,
        events,
        cancel,
    };
    let resolved = |address| ProbeEvent::Tcp(TcpEvent::Resolved { address });
    one_address::run(aim, resolved, async |address| try_all(spec, aim, address).await).await
}

async fn try_all(spec: &TcpSpec, aim: Aim<'_>, address: IpAddr) -> (Findings, Result<Verdict, Stop>) {
    let now = clock::monotonic();
    let plan = Plan {
        count: spec.count,
        interval: Duration::from_millis(spec.interval_ms.into()),
    };
    let mut tries = Tries::new(plan, now);
    let driver = Driver {
        context: aim.context,
        events: aim.events,
        mode: spec.mode,
        listening: None,
    };
    let asked = async {
        let dscp = u8::try_from(spec.dscp).map_err(|_| Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds"))?;
        let dial = Dial {
            endpoint: SocketAddr::new(address, spec.port),
            peer: Peer::Named,
            dscp,
            wait: Duration::from_millis(spec.wait_ms.into()),
            depart_by: now.plus(spec.timeout()),
        };
        let mut asking = OnePort {
            tries: &mut tries,
            port: spec.port,
        };
        driver.drive(&mut asking, dial).await
    };
    let stop = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Some(Stop::Cancelled),
        asked = asked => asked.err(),
    };
    let findings = TcpFindings {
        address,
        port: spec.port,
        tries: tries.settled(),
        statistics: tries.statistics(),
    };
    let verdict = verdict::judge(&findings, tries.first_error(), spec.count);
    (Findings::Tcp(findings), stop.map_or(Ok(verdict), Err))
}

/// The tries, all to one port.
struct OnePort<'a> {
    tries: &'a mut Tries,
    port: u16,
}

impl Schedule for OnePort<'_> {
    fn poll_start(&mut self, now: MonotonicMicros) -> Option<Ask> {
        let index = self.tries.poll_start(now)?;
        Some(Ask { index, port: self.port })
    }

    fn poll_timeout(&self, now: MonotonicMicros) -> Option<Duration> {
        self.tries.poll_timeout(now)
    }

    fn poll_abandoned(&mut self) -> Option<u32> {
        self.tries.poll_abandoned()
    }

    fn is_finished(&self) -> bool {
        self.tries.is_finished()
    }
}

impl Asking<Ended> for OnePort<'_> {
    fn handle_ended(&mut self, ended: Ended) -> Option<ProbeEvent> {
        Some(ProbeEvent::Tcp(TcpEvent::Try(Box::new(self.tries.handle_ended(ended)))))
    }
}
