//! Fairness among the tenants of one tier, whatever their jobs cost and whoever floods (deficit round robin, Shreedhar and Varghese 1995).

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use shared_protocol::limits::COST_MAX;

use super::super::sample::{agent, at, job, tenant};
use super::super::{Queue, QueuedJob};
use super::tiers;

proptest! {
    #[test]
    fn g5_tenants_that_always_wait_get_the_same_within_one_turn_and_two_jobs(tier in tiers(), costs in vec(vec(1..=COST_MAX, 1..5), 2..6)) {
        let mut queue = Queue::new();
        let (mut number, mut waiting, mut spent) = (0, BTreeMap::new(), BTreeMap::new());
        for _ in 0..400 {
            for (of, costs) in (1_u8..).zip(&costs) {
                let queued: &mut usize = waiting.entry(tenant(of)).or_default();
                while *queued < 3 {
                    let cost = costs[usize::try_from(number).unwrap() % costs.len()];
                    queue.push(QueuedJob { tenant: tenant(of), cost, ..job(number, tier) });
                    number += 1;
                    *queued += 1;
                }
                spent.entry(tenant(of)).or_insert(0_u32);
            }
            let next = queue.pop(agent(1), COST_MAX, at(0)).unwrap();
            queue.finished(&next, next.cost);
            *waiting.get_mut(&next.tenant).unwrap() -= 1;
            *spent.get_mut(&next.tenant).unwrap() += next.cost;
            let (most, least) = (spent.values().max().unwrap(), spent.values().min().unwrap());
            prop_assert!(most - least <= TURN + 2 * COST_MAX, "{spent:?}");
        }
    }

    #[test]
    fn g5_a_quiet_tenant_waits_for_no_more_than_one_turn_of_each_that_floods(
        tier in tiers(),
        floods in vec((1..=COST_MAX, 1..40_u32), 1..6),
        others in vec((tiers(), 1..=COST_MAX), 0..60),
        before in 0..30_usize,
        own in 1..=COST_MAX,
    ) {
        let mut queue = Queue::new();
        let mut number = 1;
        let mut push = |queue: &mut Queue, of, tier, cost| {
            queue.push(QueuedJob { tenant: tenant(of), cost, ..job(number, tier) });
            number += 1;
        };
        for (of, (cost, jobs)) in (10_u8..).zip(&floods) {
            for _ in 0..*jobs {
                push(&mut queue, of, tier, *cost);
            }
        }
        for (other, cost) in others.iter().filter(|(other, _)| *other != tier) {
            push(&mut queue, 2, *other, *cost);
        }
        for _ in 0..before {
            if let Some(next) = queue.pop(agent(1), COST_MAX, at(0)) {
                queue.finished(&next, next.cost);
            }
        }
        push(&mut queue, 1, tier, own);
        let mut ahead = BTreeMap::new();
        loop {
            let next = queue.pop(agent(1), COST_MAX, at(0)).unwrap();
            queue.finished(&next, next.cost);
            if next.tenant == tenant(1) {
                break;
            }
            if next.tier == tier {
                *ahead.entry(next.tenant).or_insert(0) += next.cost;
            }
        }
        for (of, got) in ahead {
            prop_assert!(got <= TURN + COST_MAX, "{of} went ahead with {got}");
        }
    }
}

/// What a tenant may spend in one turn, agent-seconds: as much as the dearest job costs, so that every turn starts at least one.
const TURN: u32 = COST_MAX;
