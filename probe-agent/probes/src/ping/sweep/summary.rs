//! What a sweep comes to: for each target, and over all. Pure.

use std::time::Duration;

use shared_protocol::report::{RoundTripColumns, SweepColumns, SweepTotals};

use super::{Request, Stamps, State, Sweep, WallClock, widen};

/// The columns and their totals.
#[derive(Debug, PartialEq)]
pub(in crate::ping) struct Summary {
    pub columns: SweepColumns,
    pub totals: SweepTotals,
    /// Requests of which the kernel never said that they left, and that nobody answered.
    pub unstamped: u32,
    pub unsent: u32,
    /// Requests answered in time that have no time by the kernel's clock.
    pub untimed: u32,
}

/// What became of one request.
enum End {
    Received { rtt_us: Option<u64>, user_us: u64 },
    Late,
    Refused,
    Unanswered,
    Unstamped,
    Unsent,
}

/// Times of one target.
#[derive(Default)]
struct Times {
    count: u64,
    sum: u64,
    squares: u128,
    min: u64,
    max: u64,
}

impl Sweep {
    /// Sums everything up. With `each`, the columns tell of every packet.
    pub(in crate::ping) fn summary(&self, each: bool) -> Summary {
        let targets = widen(self.plan.targets);
        let mut summary = Summary {
            columns: SweepColumns::default(),
            totals: SweepTotals {
                targets: self.plan.targets,
                sending_us: u64::try_from(self.last_sent.since(self.begun.monotonic).as_micros()).unwrap_or(u64::MAX),
                ..SweepTotals::default()
            },
            unstamped: 0,
            unsent: 0,
            untimed: 0,
        };
        let mut late = vec![0; targets];
        for (target, late) in late.iter_mut().enumerate() {
            self.sum_up(target, each, late, &mut summary);
        }
        let totals = &mut summary.totals;
        let lost = totals.sent.saturating_sub(totals.received);
        totals.loss = if totals.sent == 0 { 0.0 } else { f64::from(lost) / f64::from(totals.sent) };
        let widened = |counts: &[u16]| counts.iter().copied().map(u32::from).collect::<Vec<_>>();
        let (duplicates, errors) = (widened(&self.duplicates), widened(&self.errors));
        (totals.late, totals.duplicates, totals.errors) = (total(&late), total(&duplicates), total(&errors));
        summary.columns.late = unless_zero(late);
        summary.columns.duplicates = unless_zero(duplicates);
        summary.columns.errors = unless_zero(errors);
        summary
    }

    fn sum_up(&self, target: usize, each: bool, late: &mut u32, summary: &mut Summary) {
        let (mut sent, mut received) = (0, 0);
        let (mut kernel, mut user) = (Times::default(), Times::default());
        let mut listed = Vec::new();
        for request in self.requests.iter().skip(target).step_by(widen(self.plan.targets)) {
            let end = self.end(request);
            sent += u32::from(!matches!(end, End::Unstamped | End::Unsent));
            let mut rtt = None;
            match end {
                End::Received { rtt_us, user_us } => {
                    received += 1;
                    rtt = rtt_us;
                    user.add(user_us);
                    match rtt_us {
                        Some(rtt_us) => kernel.add(rtt_us),
                        None => summary.untimed += 1,
                    }
                }
                End::Late => *late += 1,
                End::Refused | End::Unanswered => {}
                End::Unstamped => summary.unstamped += 1,
                End::Unsent => summary.unsent += 1,
            }
            if each {
                listed.push(rtt);
            }
        }
        let columns = &mut summary.columns;
        columns.sent.push(sent);
        columns.received.push(received);
        kernel.put(&mut columns.rtt);
        user.put(&mut columns.user_rtt);
        if each {
            columns.each_rtt_us.push(listed);
        }
        summary.totals.sent += sent;
        summary.totals.received += received;
        summary.totals.answered += u32::from(received > 0);
    }

    fn end(&self, request: &Request) -> End {
        match request.state {
            State::Waiting | State::Unsent => End::Unsent,
            State::Refused => End::Refused,
            // Dropped in this host's own queues, or the word of it was: no loss of the path's.
            State::Out if self.plan.stamps != Stamps::Missing && request.left_ns == 0 => End::Unstamped,
            State::Out => End::Unanswered,
            State::Replied => {
                let user_us = u64::from(request.came_us.saturating_sub(request.sent_us));
                let rtt_us = self.by_kernel(request, user_us);
                let taken = Duration::from_micros(rtt_us.unwrap_or(user_us));
                if taken > self.plan.wait {
                    End::Late
                } else {
                    End::Received { rtt_us, user_us }
                }
            }
        }
    }

    /// Time between the kernel's two timestamps, unless the wall clock they are read from was stepped.
    fn by_kernel(&self, request: &Request, user_us: u64) -> Option<u64> {
        let both = request.left_ns > 0 && request.came_ns > 0 && self.clock == WallClock::Steady;
        let taken_us = u64::try_from(request.came_ns.checked_sub(request.left_ns)?).ok()? / 1_000;
        (both && taken_us <= user_us + READING_US).then_some(taken_us)
    }
}

impl Times {
    fn add(&mut self, micros: u64) {
        self.min = if self.count == 0 { micros } else { self.min.min(micros) };
        self.max = self.max.max(micros);
        self.count += 1;
        self.sum += micros;
        self.squares += u128::from(micros) * u128::from(micros);
    }

    fn put(&self, columns: &mut RoundTripColumns) {
        let told = |value: u64| (self.count > 0).then_some(value);
        columns.min_us.push(told(self.min));
        columns.avg_us.push(self.sum.checked_div(self.count));
        columns.max_us.push(told(self.max));
        let (count, sum) = (u128::from(self.count), u128::from(self.sum));
        // count² times the variance; whole numbers keep it exact until the root.
        let spread = (count * self.squares).saturating_sub(sum * sum);
        let variance = spread.checked_div(count * count);
        columns
            .stddev_us
            .push(variance.map(|variance| u64::try_from(variance.isqrt()).unwrap_or(u64::MAX)));
    }
}

fn total(counts: &[u32]) -> u32 {
    counts.iter().copied().fold(0, u32::saturating_add)
}

fn unless_zero(counts: Vec<u32>) -> Vec<u32> {
    if counts.iter().all(|count| *count == 0) { Vec::new() } else { counts }
}

/// The kernel's two moments lie between the two of user space; this much is for reading clocks.
const READING_US: u64 = 1_000;
