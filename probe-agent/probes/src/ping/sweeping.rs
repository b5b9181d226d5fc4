//! A ping of many targets: resolve, put every address to the owner's policy, send in batches, listen, sum up.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use shared_protocol::event::{PingEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{AddressRun, Findings, PingSocket, Report, SweepDrops, SweepFindings};
use shared_protocol::spec::PingSpec;
use shared_protocol::time::MonotonicMicros;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::request;
use super::sweep::{Plan, Stamps, Summary, Sweep};
use crate::clock;
use crate::many_addresses::{self, Aim};
use crate::net::icmp::{BATCH, Family, Hearing, SendError, SweepBatch, SweepFlow};
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict, error};

/// Runs a ping of many targets to its report.
pub(super) async fn run(spec: &PingSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let mut run = Sweeping {
        spec,
        context,
        events,
        told: MonotonicMicros::default(),
        findings: None,
    };
    let usable = |address| context.engine.socket(Family::of(address)).is_some();
    let aimed = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        aimed = many_addresses::take(&spec.target, spec.af, context, usable) => aimed,
    };
    let outcome = match aimed {
        Ok(aim) => run.sweep(aim, cancel).await,
        Err(stop) => Err(stop),
    };
    let found = Found {
        resolved: Vec::new(),
        findings: run.findings.map(|findings| Findings::PingSweep(Box::new(findings))),
        completeness: Completeness::Whole,
    };
    record.end(outcome, found)
}

/// A sweep under way, with what it has so far.
struct Sweeping<'a> {
    spec: &'a PingSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    /// When progress was last told.
    told: MonotonicMicros,
    findings: Option<SweepFindings>,
}

/// How driving a sweep ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Driven {
    Over,
    /// The interfaces do not show what leaves: this host changes it on the way.
    Blind,
}

impl Sweeping<'_> {
    async fn sweep(&mut self, aim: Aim, cancel: &CancellationToken) -> Result<Verdict, Stop> {
        let engine = &self.context.engine;
        let internal = || Stop::failed(Fault::Agent, ErrorCode::Internal, "the options are out of bounds");
        let request = request(self.spec).ok_or_else(internal)?;
        let addresses: Arc<[IpAddr]> = aim.addresses.iter().copied().collect();
        let targets = u32::try_from(addresses.len()).map_err(|_| internal())?;
        let wait = Duration::from_millis(self.spec.wait_ms.into());
        let deadline = clock::monotonic().plus(self.spec.timeout().saturating_sub(wait));
        let mut hearing = Hearing::AtInterfaces;
        loop {
            let socket = addresses.first().and_then(|address| engine.socket(Family::of(*address)));
            let flow = engine.sweep(&addresses, targets.saturating_mul(self.spec.count), request, hearing);
            let (Some(socket), Some((mut flow, mut arrivals))) = (socket, flow) else {
                return Err(Stop::failed(
                    Fault::Agent,
                    ErrorCode::PermissionMissing,
                    "many targets at once need raw ICMP sockets for their address families",
                ));
            };
            let drops_before = engine.drops();
            let plan = Plan {
                targets,
                count: self.spec.count,
                interval: Duration::from_millis(self.spec.interval_ms.into()),
                wait,
                deadline,
                stamps: stamps(&flow, &addresses),
            };
            let mut sweep = Sweep::new(plan, clock::moment());
            let stop = tokio::select! {
                biased;
                () = cancel.cancelled() => Some(Stop::Cancelled),
                driven = self.drive(&mut sweep, &mut flow, &mut arrivals, &addresses) => match driven {
                    Ok(Driven::Blind) => {
                        hearing = Hearing::BySockets;
                        continue;
                    }
                    Ok(Driven::Over) => None,
                    Err(stop) => Some(stop),
                },
            };
            flow.count_drops();
            let dropped = Dropped {
                receive_queue: engine.drops().saturating_sub(drops_before),
                hand_over: flow.lost(),
            };
            let verdict = self.sum_up(&sweep, socket, dropped, aim, &addresses);
            return stop.map_or(Ok(verdict), Err);
        }
    }

    fn sum_up(&mut self, sweep: &Sweep, socket: PingSocket, dropped: Dropped, aim: Aim, addresses: &[IpAddr]) -> Verdict {
        let summary = sweep.summary(self.spec.each_packet);
        let narrow = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let drops = SweepDrops {
            receive_queue: narrow(dropped.receive_queue),
            hand_over: narrow(dropped.hand_over),
            unstamped: summary.unstamped,
            unsent: summary.unsent,
        };
        let verdict = judge(&summary, drops, &aim);
        self.findings = Some(SweepFindings {
            socket,
            totals: summary.totals,
            targets: AddressRun::of(addresses.iter().copied()),
            columns: summary.columns,
            names: aim.names,
            denied: aim.denied,
            unresolved: aim.unresolved,
            agent: drops,
        });
        verdict
    }

    /// Lets the sweep run between sockets and clock until it is over. The readers of the sockets have their turn after each batch, or after
    /// some where nothing but errors is theirs to read.
    async fn drive(
        &mut self,
        sweep: &mut Sweep,
        flow: &mut SweepFlow,
        arrivals: &mut mpsc::Receiver<SweepBatch>,
        addresses: &[IpAddr],
    ) -> Result<Driven, Stop> {
        let turn_every = if flow.is_tapped() { TURN_EVERY } else { 1 };
        let mut batches: u32 = 0;
        loop {
            // Whatever came up to `now` is taken before anything is given up at it.
            let now = clock::monotonic();
            hear(sweep, flow, arrivals);
            self.tell(sweep, now);
            if sweep.is_blind(now) {
                return Ok(Driven::Blind);
            }
            if sweep.is_finished(now) {
                return Ok(Driven::Over);
            }
            if sweep.is_out_of_time(now) {
                sweep.handle_unsent();
                continue;
            }
            let due = sweep.poll_batch(u32::try_from(BATCH).unwrap_or(1), now);
            if due.is_empty() {
                listen(sweep, flow, arrivals, sweep.poll_timeout().since(now)).await;
                continue;
            }
            self.send(sweep, flow, arrivals, due, addresses).await?;
            batches = batches.wrapping_add(1);
            if batches.is_multiple_of(turn_every) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Sends requests as their places come.
    async fn send(
        &self,
        sweep: &mut Sweep,
        flow: &mut SweepFlow,
        arrivals: &mut mpsc::Receiver<SweepBatch>,
        due: std::ops::Range<u32>,
        addresses: &[IpAddr],
    ) -> Result<(), Stop> {
        let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let all: Vec<(u32, IpAddr)> = due
            .filter_map(|index| Some((index, *addresses.get(usize::try_from(index % count).ok()?)?)))
            .collect();
        let family = all.first().map(|(_, target)| Family::of(*target));
        let (indexes, targets): (Vec<u32>, Vec<IpAddr>) = all.into_iter().take_while(|(_, target)| Some(Family::of(*target)) == family).unzip();
        let Ok((ready, wait)) = flow.reserve_departures(&targets, self.context.gate.as_ref()) else {
            sweep.handle_unsent();
            return Ok(());
        };
        let (now, later) = (indexes.get(..ready).unwrap_or_default(), indexes.get(ready).zip(targets.get(ready)));
        if !now.is_empty() {
            let left = flow.send(now, targets.get(..ready).unwrap_or_default(), self.context.gate.as_ref());
            let left = left.map_err(stop)?;
            sweep.handle_sent(u32::try_from(left.count).unwrap_or_default(), &left.moment);
            if left.count < now.len() {
                // The readers take the stamps of what has left before the count is begun anew.
                tokio::task::yield_now().await;
                for (index, target) in now.iter().zip(&targets).skip(left.count) {
                    self.send_alone(sweep, flow, *index, *target).await?;
                }
            }
        }
        if let Some((index, target)) = later {
            let until = clock::monotonic().plus(wait);
            while clock::monotonic() < until {
                listen(sweep, flow, arrivals, until.since(clock::monotonic())).await;
                hear(sweep, flow, arrivals);
            }
            self.send_alone(sweep, flow, *index, *target).await?;
        }
        Ok(())
    }

    async fn send_alone(&self, sweep: &mut Sweep, flow: &mut SweepFlow, index: u32, target: IpAddr) -> Result<(), Stop> {
        for _ in 0..FULL_TRIES {
            match flow.send_one(index, target, self.context.gate.as_ref()) {
                Ok(moment) => {
                    sweep.handle_sent(1, &moment);
                    return Ok(());
                }
                // The host's own queues are full.
                Err(SendError::Kernel(Errno::EAGAIN | Errno::ENOBUFS)) => tokio::time::sleep(FULL_WAIT).await,
                Err(SendError::Denied(denial)) => return Err(Stop::Denied(denial)),
                Err(SendError::Kernel(_) | SendError::NoRoom | SendError::NumbersExhausted | SendError::NoSocket) => break,
            }
        }
        sweep.handle_unsent();
        Ok(())
    }

    /// Tells how far it is, at most every so often; the report tells everything.
    fn tell(&mut self, sweep: &Sweep, now: MonotonicMicros) {
        if now < self.told.plus(TELL_EVERY) {
            return;
        }
        self.told = now;
        if self.events.try_send(ProbeEvent::Ping(PingEvent::Sweep(sweep.progress()))).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

/// What was lost on this host of what came.
#[derive(Debug, Clone, Copy)]
struct Dropped {
    receive_queue: u64,
    hand_over: u64,
}

/// Whether the kernel will stamp what is sent to these addresses.
fn stamps(flow: &SweepFlow, addresses: &[IpAddr]) -> Stamps {
    if !addresses.iter().all(|address| flow.is_stamped(*address)) {
        return Stamps::Missing;
    }
    if flow.is_tapped() { Stamps::Unproven } else { Stamps::Given }
}

/// Takes what has come.
fn hear(sweep: &mut Sweep, flow: &mut SweepFlow, arrivals: &mut mpsc::Receiver<SweepBatch>) {
    if let Some(batch) = flow.drain() {
        sweep.handle_batch(&batch);
    }
    while let Ok(batch) = arrivals.try_recv() {
        sweep.handle_batch(&batch);
    }
}

/// Waits until something comes, or so long.
async fn listen(sweep: &mut Sweep, flow: &mut SweepFlow, arrivals: &mut mpsc::Receiver<SweepBatch>, wait: Duration) {
    tokio::select! {
        biased;
        Some(batch) = arrivals.recv() => sweep.handle_batch(&batch),
        () = flow.readable() => {}
        () = tokio::time::sleep(wait) => {}
    }
}

fn stop(error: SendError) -> Stop {
    match error {
        SendError::Denied(denial) => Stop::Denied(denial),
        SendError::NoRoom | SendError::NumbersExhausted | SendError::NoSocket | SendError::Kernel(_) => {
            Stop::failed(Fault::Agent, ErrorCode::Internal, error.to_string())
        }
    }
}

fn judge(summary: &Summary, drops: SweepDrops, aim: &Aim) -> Verdict {
    let totals = &summary.totals;
    let ours = drops.receive_queue.saturating_add(drops.hand_over);
    let lost = totals.sent.saturating_sub(totals.received);
    if totals.received == 0 && totals.sent > 0 {
        return Verdict::of(Status::Timeout, Fault::Path, error(ErrorCode::Timeout, "nothing came back in time"));
    }
    let (status, fault, error) = if drops.unsent + drops.unstamped > 0 {
        let message = format!("{} requests did not leave this host", drops.unsent.saturating_add(drops.unstamped));
        let status = if totals.received == 0 { Status::Failed } else { Status::Degraded };
        (status, Fault::Agent, error(ErrorCode::Resource, message))
    } else if ours > 0 {
        (
            Status::Degraded,
            Fault::Agent,
            error(ErrorCode::Resource, format!("{ours} messages were lost on this host")),
        )
    } else if lost > 0 {
        let message = format!("{lost} of {} requests were not answered in time", totals.sent);
        (Status::Degraded, Fault::Path, error(ErrorCode::Timeout, message))
    } else if summary.untimed > 0 {
        let message = format!("{} packets have no time by the kernel's clock", summary.untimed);
        (Status::Degraded, Fault::Agent, error(ErrorCode::Resource, message))
    } else {
        return aim.gap().unwrap_or_else(Verdict::ok);
    };
    Verdict::of(status, fault, error)
}

/// Time between two words of progress.
const TELL_EVERY: Duration = Duration::from_millis(200);
/// Batches between two turns of the readers where the replies are not theirs to read.
const TURN_EVERY: u32 = 8;
/// How often a request is tried again while the host's own queues are full, and after what time.
const FULL_TRIES: u32 = 100;
const FULL_WAIT: Duration = Duration::from_millis(1);
