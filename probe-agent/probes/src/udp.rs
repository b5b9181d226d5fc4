//! Datagrams: resolve, put every address to the owner's policy, send several to one of them from a port each, hear what comes back, judge.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::event::{ProbeEvent, UdpEvent};
use shared_protocol::report::{Findings, Report, UdpFindings};
use shared_protocol::spec::UdpSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod attempt;
mod driver;
mod tries;

pub(crate) use attempt::Ended;
#[cfg(test)]
pub(crate) use attempt::blank;
pub(crate) use driver::Datagrams;
use tries::Tries;

use crate::asking::{Ask, Asking, Schedule};
use crate::clock;
use crate::one_address::{self, Aim};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a UDP probe to its report.
pub(crate) async fn run(spec: &UdpSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let aim = Aim {
        target: &spec.target,
        af: spec.af,
        context,
        events,
        cancel,
    };
    let resolved = |address| ProbeEvent::Udp(UdpEvent::Resolved { address });
    one_address::run(aim, resolved, async |address| try_all(spec, aim, address).await).await
}

async fn try_all(spec: &UdpSpec, aim: Aim<'_>, address: IpAddr) -> (Findings, Result<Verdict, Stop>) {
    let now = clock::monotonic();
    let mut tries = Tries::new(spec.count, Duration::from_millis(spec.interval_ms.into()), now);
    let datagrams = Datagrams {
        context: aim.context.clone(),
        target: address,
        dscp: u8::try_from(spec.dscp).unwrap_or_default(),
        expect: spec.expect.clone(),
        wait: Duration::from_millis(spec.wait_ms.into()),
        depart_by: now.plus(spec.timeout()),
    };
    let mut asking = OnePort {
        tries: &mut tries,
        port: spec.port,
    };
    let stop = tokio::select! {
        biased;
        () = aim.cancel.cancelled() => Some(Stop::Cancelled),
        driven = datagrams.drive(&mut asking, |_| spec.payload.as_slice().to_vec(), aim.events) => driven.err().map(Stop::Denied),
    };
    let findings = UdpFindings {
        address,
        port: spec.port,
        tries: tries.settled(),
        statistics: tries.statistics(),
    };
    let verdict = tries.judge(&findings);
    (Findings::Udp(findings), stop.map_or(Ok(verdict), Err))
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
        Some(ProbeEvent::Udp(UdpEvent::Try(Box::new(self.tries.handle_ended(ended)))))
    }
}
