//! The ports of many targets: resolve, put every address to the owner's policy, scan some of them side by side until all are done, sum up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join_all;
use shared_protocol::event::{PortEvent, PortProgress, ProbeEvent};
use shared_protocol::fault::Fault;
use shared_protocol::report::{AddressRun, Findings, PortResult, PortStatistics, PortSweepColumns, PortSweepFindings, PortSweepTotals, Report, ReportError};
use shared_protocol::spec::PortSpec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::scan::{self, Scan, Telling};
use super::turns::Turns;
use super::{Asker, plan, verdict};
use crate::many_addresses::{self, Aim};
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};
use crate::{clock, one_address};

/// Runs a scan of many targets to its report.
pub(super) async fn run(spec: &PortSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let aimed = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        aimed = many_addresses::take(&spec.target, spec.af, context, |_| true) => aimed,
    };
    let (findings, outcome) = match aimed {
        Ok(aim) => {
            let (findings, outcome) = sweep(aim, spec, context, events, cancel).await;
            (Some(Findings::PortSweep(Box::new(findings))), outcome)
        }
        Err(stop) => (None, Err(stop)),
    };
    let found = Found {
        resolved: Vec::new(),
        findings,
        completeness: Completeness::Whole,
    };
    record.end(outcome, found)
}

async fn sweep(
    aim: Aim,
    spec: &PortSpec,
    context: &ProbeContext,
    events: &mpsc::Sender<ProbeEvent>,
    cancel: &CancellationToken,
) -> (PortSweepFindings, Result<Verdict, Stop>) {
    let now = clock::monotonic();
    let sweeping = Sweeping {
        addresses: &aim.addresses,
        turns: Turns::new(spec.interval(), now),
        asker: Asker {
            spec,
            context,
            events,
            depart_by: now.plus(spec.timeout()),
        },
        next: AtomicUsize::new(0),
        done: Mutex::default(),
    };
    let stop = tokio::select! {
        biased;
        () = cancel.cancelled() => Some(Stop::Cancelled),
        swept = try_join_all((0..spec.lanes()).map(|_| Box::pin(sweeping.lane()))) => swept.err(),
        () = sweeping.tell() => None,
    };
    let done = std::mem::take(&mut *sweeping.done());
    let first_error = done.values().find_map(|done| done.first_error.clone());
    let gap = aim.gap();
    let findings = sum_up(spec, aim, done);
    let verdict = verdict::judge(&findings.totals.statistics, first_error.as_ref());
    let verdict = gap.filter(|_| verdict == Verdict::ok()).unwrap_or(verdict);
    (findings, stop.map_or(Ok(verdict), Err))
}

/// What is known of the targets that have been asked for every port.
fn sum_up(spec: &PortSpec, aim: Aim, done: BTreeMap<usize, Done>) -> PortSweepFindings {
    let places: Vec<usize> = done.keys().copied().collect();
    let sent = done.values().map(|done| done.sent).fold(0, u32::saturating_add);
    let answered = done.values().filter(|done| done.results.iter().any(scan::by_target)).count();
    let results: Vec<PortResult> = done.into_values().flat_map(|done| done.results).collect();
    let place_of = |at: u32| {
        let place = places.binary_search(&usize::try_from(at).ok()?).ok()?;
        u32::try_from(place).ok()
    };
    PortSweepFindings {
        totals: PortSweepTotals {
            targets: scan::count(places.len()),
            answered: scan::count(answered),
            statistics: PortStatistics {
                sent,
                ..scan::numbers(results.iter())
            },
        },
        targets: AddressRun::of(places.iter().filter_map(|place| aim.addresses.get(*place).copied())),
        ports: spec.ports.as_slice().to_vec(),
        columns: PortSweepColumns::of(&results),
        names: aim.names.into_iter().filter_map(|(at, name)| Some((place_of(at)?, name))).collect(),
        denied: aim.denied,
        unresolved: aim.unresolved,
    }
}

/// A scan of many targets under way. Each of its lanes asks one target after another, so that every target gets the same share of the rate.
struct Sweeping<'a> {
    addresses: &'a [IpAddr],
    turns: Turns,
    asker: Asker<'a>,
    /// The place of the target that is asked next.
    next: AtomicUsize,
    done: Mutex<BTreeMap<usize, Done>>,
}

/// A target that has been asked for every port.
struct Done {
    results: Vec<PortResult>,
    sent: u32,
    first_error: Option<(Fault, ReportError)>,
}

impl Sweeping<'_> {
    /// Asks targets until none is left, or until the policy says no.
    async fn lane(&self) -> Result<(), Stop> {
        let mut due = clock::monotonic();
        loop {
            let place = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(address) = self.addresses.get(place) else {
                return Ok(());
            };
            let plan = plan(self.asker.spec, &self.turns, Telling::Open(*address));
            let mut scan = Scan::new(plan, due.max(clock::monotonic()));
            match self.asker.ask(&mut scan, *address).await {
                Ok(()) => {}
                // One target to which there is no way leaves the others as they are.
                Err(Stop::Failed(verdict)) => {
                    if let Some(error) = &verdict.error {
                        scan.give_up(verdict.fault, error);
                    }
                }
                Err(stop @ (Stop::Denied(_) | Stop::Cancelled)) => return Err(stop),
            }
            due = scan.due();
            let done = Done {
                results: scan.results(),
                sent: scan.statistics().sent,
                first_error: scan.first_error().cloned(),
            };
            self.done().insert(place, done);
        }
    }

    /// Tells how far it is, every so often; never ends.
    async fn tell(&self) {
        let spec = self.asker.spec;
        let targets = scan::count(self.addresses.len());
        loop {
            tokio::time::sleep(TELL_EVERY).await;
            let progress = PortProgress {
                targets,
                finished: scan::count(self.done().len()),
                planned: targets.saturating_mul(spec.ports.count()).saturating_mul(spec.tries),
                asked: self.turns.taken(),
            };
            one_address::tell(self.asker.events, ProbeEvent::Port(PortEvent::Sweep(progress)));
        }
    }

    fn done(&self) -> MutexGuard<'_, BTreeMap<usize, Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time between two words of progress.
const TELL_EVERY: Duration = Duration::from_secs(1);
