//! What holds for every order of operations: each job comes out once, and the shares and bounds of queue.md.

mod tenants;

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use shared_protocol::id::JobId;
use shared_protocol::tier::{Tier, TierLimits};
use shared_protocol::time::UnixMicros;

use super::sample::{agent, at, job, tenant};
use super::{Queue, QueuedJob};

#[derive(Debug, Clone)]
enum Step {
    Push {
        agent: u8,
        tenant: u8,
        tier: Tier,
        cost: u32,
        deadline: i64,
        held: Option<i64>,
    },
    PushAgain(usize),
    Pop {
        agent: u8,
        credit: u32,
    },
    PopAndPutBack {
        agent: u8,
        credit: u32,
    },
    Remove(usize),
    Finish {
        which: usize,
        actual: u32,
    },
    Expire,
    Wait(i64),
}

fn tiers() -> impl Strategy<Value = Tier> {
    prop::sample::select(Tier::ALL.to_vec())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let push =
        (1..4_u8, 1..5_u8, tiers(), 1..=10_u32, 1..200_i64, prop::option::weighted(0.2, 0..50_i64)).prop_map(|(agent, tenant, tier, cost, deadline, held)| {
            Step::Push {
                agent,
                tenant,
                tier,
                cost,
                deadline,
                held,
            }
        });
    let step = prop_oneof![
        8 => push,
        1 => any::<usize>().prop_map(Step::PushAgain),
        6 => (1..4_u8, 0..30_u32).prop_map(|(agent, credit)| Step::Pop { agent, credit }),
        2 => (1..4_u8, 0..30_u32).prop_map(|(agent, credit)| Step::PopAndPutBack { agent, credit }),
        1 => any::<usize>().prop_map(Step::Remove),
        5 => (any::<usize>(), 0..40_u32).prop_map(|(which, actual)| Step::Finish { which, actual }),
        1 => Just(Step::Expire),
        1 => (0..20_i64).prop_map(Step::Wait),
    ];
    vec(step, 1..200)
}

/// The queue beside a plain list of what should be in it.
#[derive(Default)]
struct Checked {
    queue: Queue,
    waiting: BTreeMap<JobId, QueuedJob>,
    in_flight: Vec<QueuedJob>,
    pushed: u32,
    out: u32,
    now: UnixMicros,
}

impl Checked {
    fn apply(&mut self, step: &Step) {
        match *step {
            Step::Push {
                agent: on,
                tenant: of,
                tier,
                cost,
                deadline,
                held,
            } => {
                self.pushed += 1;
                let new = QueuedJob {
                    agent: agent(on),
                    tenant: tenant(of),
                    cost,
                    deadline: self.now.plus(at(deadline).since(at(0))),
                    not_before: held.map(|held| self.now.plus(at(held).since(at(0)))),
                    ..job(self.pushed, tier)
                };
                self.queue.push(new);
                self.waiting.insert(new.job, new);
            }
            Step::PushAgain(which) => {
                if let Some(known) = nth(&self.waiting, which) {
                    self.queue.push(QueuedJob { cost: 7, ..known });
                }
            }
            Step::Pop { agent, credit } => {
                if let Some(popped) = self.pop(agent, credit) {
                    self.waiting.remove(&popped.job);
                    self.in_flight.push(popped);
                }
            }
            Step::PopAndPutBack { agent: on, credit } => {
                if let Some(popped) = self.pop(on, credit) {
                    self.queue.put_back(popped);
                    let again = self.queue.pop(agent(on), credit, self.now);
                    assert_eq!(again, Some(popped), "what was put back is next again");
                    self.queue.put_back(popped);
                }
            }
            Step::Remove(which) => {
                let known = nth(&self.waiting, which);
                let asked = known.map_or_else(|| job(0, Tier::Free).job, |job| job.job);
                assert_eq!(self.queue.remove(asked), known);
                self.out += u32::from(self.waiting.remove(&asked).is_some());
            }
            Step::Finish { which, actual } => self.finish(which, actual),
            Step::Expire => self.expire(),
            Step::Wait(seconds) => self.now = self.now.plus(at(seconds).since(at(0))),
        }
    }

    fn pop(&mut self, on: u8, credit: u32) -> Option<QueuedJob> {
        let now = self.now;
        let ready: Vec<QueuedJob> = self.ready(on).collect();
        let idle = self.in_flight.iter().all(|job| job.agent != agent(on));
        let popped = self.queue.pop(agent(on), credit, now);
        let Some(popped) = popped else {
            let withheld = ready.iter().all(|job| job.cost > credit);
            let waits_for_credit = !idle && ready.iter().any(|job| job.cost > credit);
            assert!(withheld || waits_for_credit, "nothing came out of {ready:?} with credit {credit}");
            return None;
        };
        assert!(popped.cost <= credit, "never above credit");
        assert!(ready.contains(&popped), "only what is ready: {popped:?}");
        let fits = |job: &&QueuedJob| job.tenant == popped.tenant && job.tier == popped.tier && (!idle || job.cost <= credit);
        let first = ready.iter().filter(fits).min_by_key(|job| (job.deadline, job.job));
        assert_eq!(first, Some(&popped), "earliest deadline of its tenant, then the oldest");
        Some(popped)
    }

    /// Jobs of an agent that may start now, credit aside.
    fn ready(&self, on: u8) -> impl Iterator<Item = QueuedJob> {
        let in_time =
            move |job: &&QueuedJob| job.agent == agent(on) && job.deadline > self.now && job.not_before.is_none_or(|not_before| not_before <= self.now);
        let flying = |of| u32::try_from(self.in_flight.iter().filter(|job| job.tenant == of).count()).unwrap();
        self.waiting
            .values()
            .filter(in_time)
            .filter(move |job| flying(job.tenant) < TierLimits::starting(job.tier).in_flight)
            .copied()
    }

    fn finish(&mut self, which: usize, actual: u32) {
        if self.in_flight.is_empty() {
            return;
        }
        let done = self.in_flight.remove(which % self.in_flight.len());
        self.queue.finished(&done, actual);
        self.out += 1;
    }

    fn expire(&mut self) {
        let expired = self.queue.expired(self.now);
        let overdue: Vec<QueuedJob> = self.waiting.values().filter(|job| job.deadline <= self.now).copied().collect();
        assert_eq!(expired.len(), overdue.len());
        for job in expired {
            assert!(overdue.contains(&job));
            self.waiting.remove(&job.job);
            self.out += 1;
        }
    }

    fn check(&self) {
        assert_eq!(self.queue.len(), self.waiting.len());
        assert_eq!(self.queue.is_empty(), self.waiting.is_empty());
        for tier in Tier::ALL {
            assert_eq!(self.queue.depth(tier), self.waiting.values().filter(|job| job.tier == tier).count());
        }
        assert_eq!(self.queue.next_deadline(), self.waiting.values().map(|job| job.deadline).min());
        for of in 1..5 {
            let flying = self.in_flight.iter().filter(|job| job.tenant == tenant(of)).count();
            assert_eq!(usize::try_from(self.queue.in_flight(tenant(of))).unwrap(), flying);
        }
    }

    /// Runs everything that is left to its end.
    fn drain(&mut self) {
        while !self.waiting.is_empty() || !self.in_flight.is_empty() {
            for on in 1..4 {
                while let Some(popped) = self.pop(on, 10) {
                    self.waiting.remove(&popped.job);
                    self.in_flight.push(popped);
                }
            }
            while !self.in_flight.is_empty() {
                self.finish(0, 1);
            }
            self.now = self.now.plus(at(1).since(at(0)));
            self.expire();
        }
    }
}

proptest! {
    #[test]
    fn every_job_comes_out_exactly_once_in_order_within_credit_and_caps(steps in steps()) {
        let mut checked = Checked::default();
        for step in &steps {
            checked.apply(step);
            checked.check();
        }
        checked.drain();
        prop_assert_eq!(checked.out, checked.pushed);
        prop_assert!(checked.queue.is_empty() && checked.queue.agents.is_empty());
    }

    #[test]
    fn put_back_leaves_the_order_of_all_others_as_it_was(jobs in vec((1..5_u8, tiers(), 1..=10_u32), 1..60), at_start in 0..60_usize) {
        let (mut plain, mut disturbed) = (Queue::new(), Queue::new());
        for (number, (of, tier, cost)) in (1..).zip(&jobs) {
            let new = QueuedJob { tenant: tenant(*of), cost: *cost, ..job(number, *tier) };
            plain.push(new);
            disturbed.push(new);
        }
        let mut order = [Vec::new(), Vec::new()];
        for start in 0..jobs.len() {
            if start == at_start
                && let Some(popped) = disturbed.pop(agent(1), 100, at(0))
            {
                disturbed.put_back(popped);
            }
            for (queue, order) in [&mut plain, &mut disturbed].into_iter().zip(&mut order) {
                let next = queue.pop(agent(1), 100, at(0)).unwrap();
                queue.finished(&next, next.cost);
                order.push(next);
            }
        }
        prop_assert_eq!(&order[0], &order[1]);
    }

    #[test]
    fn g5_between_two_starts_of_a_waiting_tier_the_others_get_no_more_than_the_bound(
        waiting in tiers(),
        own in vec(1..=10_u32, 2..40),
        others in vec((1..5_u8, tiers(), 1..=10_u32, 0..8_u32), 1..400),
    ) {
        let mut queue = Queue::new();
        let mut number = 0;
        let mut push = |queue: &mut Queue, of, tier, cost| {
            number += 1;
            queue.push(QueuedJob { tenant: tenant(of), cost, ..job(number, tier) });
        };
        for cost in &own {
            push(&mut queue, 9, waiting, *cost);
        }
        let mut arrivals = others.iter().filter(|(_, tier, ..)| *tier != waiting);
        let mut since_start: Option<(u32, u32)> = None;
        while queue.depth(waiting) > 0 {
            // The others come in bursts, so that they sleep and wake between the starts.
            if let Some((of, tier, cost, burst)) = arrivals.next() {
                for _ in 0..*burst {
                    push(&mut queue, *of, *tier, *cost);
                }
            }
            let next = queue.pop(agent(1), 100, at(0)).unwrap();
            queue.finished(&next, next.cost);
            if next.tier == waiting {
                since_start = Some((next.cost, 0));
            } else if let Some((cost, got)) = &mut since_start {
                *got += next.cost;
                let weight = TierLimits::starting(waiting).weight;
                let other_tiers = || Tier::ALL.into_iter().filter(|tier| *tier != waiting);
                let weights: u32 = other_tiers().map(|tier| TierLimits::starting(tier).weight).sum();
                let dearest: u32 = other_tiers().filter_map(|tier| others.iter().filter(|other| other.1 == tier).map(|other| other.2).max()).sum();
                prop_assert!(*got * weight <= *cost * weights + dearest * weight, "{got} after a start of cost {cost}");
            }
        }
    }

    #[test]
    fn g5_saturated_tiers_share_an_agent_as_16_to_4_to_1(costs in vec(1..=10_u32, 16), tenants in 1..4_u8, window in 20..60_u32) {
        let mut queue = Queue::new();
        let mut number = 0;
        let mut spent = BTreeMap::<Tier, u32>::new();
        let mut flying = std::collections::VecDeque::<QueuedJob>::new();
        let mut used = 0;
        while spent.values().sum::<u32>() < 21_000 {
            for tier in Tier::ALL {
                while queue.depth(tier) < 40 {
                    let of = u8::try_from(number % u32::from(tenants)).unwrap() + 10 * u8::try_from(TierLimits::starting(tier).weight).unwrap();
                    let cost = costs[usize::try_from(number).unwrap() % costs.len()];
                    queue.push(QueuedJob { tenant: tenant(of), cost, ..job(number, tier) });
                    number += 1;
                }
            }
            while let Some(next) = queue.pop(agent(1), window - used, at(0)) {
                used += next.cost;
                *spent.entry(next.tier).or_default() += next.cost;
                flying.push_back(next);
            }
            let done = flying.pop_front().unwrap();
            used -= done.cost;
            queue.finished(&done, done.cost);
        }
        let total = f64::from(spent.values().sum::<u32>());
        for (tier, got) in spent {
            let share = f64::from(got) / total * 21.0 / f64::from(TierLimits::starting(tier).weight);
            prop_assert!((0.95..=1.05).contains(&share), "{tier:?} got {share} of its share");
        }
    }
}

fn nth(waiting: &BTreeMap<JobId, QueuedJob>, which: usize) -> Option<QueuedJob> {
    let count = waiting.len().max(1);
    waiting.values().nth(which % count).copied()
}
