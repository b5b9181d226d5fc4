//! HTTP: resolve, put every address to the owner's policy, connect, shake hands, ask, read; the same again for each redirect; judge.
//!
//! Each request has a connection of its own, to exactly the address that was checked: nothing is resolved again behind the policy's back.
//! Everything a server sends is bounded, and so is the time it has.

use std::net::IpAddr;
use std::time::Duration;

use shared_protocol::event::ProbeEvent;
use shared_protocol::report::{Findings, HttpFindings, HttpHop, NotFollowed, Report};
use shared_protocol::spec::HttpSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod answer;
mod body;
mod conversation;
mod fetch;
mod hop;
mod redirect;
mod request;
mod verdict;
mod watched;

use hop::Hop;
use redirect::{Next, Request};

use crate::clock;
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs an HTTP probe to its report.
pub(crate) async fn run(spec: &HttpSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let limit = Duration::from_millis(spec.timeout_ms.into());
    let begun = clock::monotonic();
    let mut run = Run {
        spec,
        context,
        events,
        deadline: begun.plus(limit),
        resolved: Vec::new(),
        asked: Vec::new(),
        hops: Vec::new(),
        current: None,
        not_followed: None,
    };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        outcome = Box::pin(run.follow()) => outcome,
        () = tokio::time::sleep(limit) => Err(Stop::Failed(verdict::timeout(run.current.as_ref().and_then(Hop::phase)))),
    };
    let findings = run.findings(begun);
    let cut = findings.hops.iter().any(is_cut);
    let found = Found {
        resolved: run.resolved,
        findings: (!findings.hops.is_empty()).then_some(Findings::Http(findings)),
        completeness: if cut { Completeness::Truncated } else { Completeness::Whole },
    };
    record.end(outcome, found)
}

/// A fetch under way, with what it has so far.
struct Run<'a> {
    spec: &'a HttpSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    deadline: MonotonicMicros,
    /// Addresses of the first request's host.
    resolved: Vec<IpAddr>,
    /// Every request made so far.
    asked: Vec<Request>,
    /// Those that are over.
    hops: Vec<HttpHop>,
    /// The one under way. It stays here when time runs out over it.
    current: Option<Hop>,
    not_followed: Option<NotFollowed>,
}

/// Whether all there was is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    No,
}

impl Run<'_> {
    /// Makes one request after another until an answer leads no further.
    async fn follow(&mut self) -> Result<Verdict, Stop> {
        let mut request = Request::first(self.spec);
        loop {
            self.asked.push(request.clone());
            let next = self.fetch(&request).await?;
            let hop = self.current.take().map(Hop::close);
            let status = hop.as_ref().and_then(|hop| hop.response.as_ref()).map_or(0, |response| response.status);
            self.hops.extend(hop);
            match next {
                Next::Follow(following) => request = *following,
                Next::Stay(stay) => {
                    let verdict = verdict::not_followed(&stay);
                    self.not_followed = Some(stay);
                    return Ok(verdict);
                }
                Next::Final => return Ok(verdict::of_status(status)),
            }
        }
    }

    fn findings(&mut self, begun: MonotonicMicros) -> HttpFindings {
        self.hops.extend(self.current.take().map(Hop::close));
        HttpFindings {
            hops: std::mem::take(&mut self.hops),
            total_us: hop::micros(clock::monotonic().since(begun)),
            not_followed: self.not_followed.take(),
        }
    }
}

fn is_cut(hop: &HttpHop) -> bool {
    hop.response
        .as_ref()
        .is_some_and(|response| response.headers_cut > 0 || response.body.as_ref().is_some_and(|body| body.truncated))
}
