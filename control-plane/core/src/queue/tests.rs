use shared_protocol::tier::{Tier, TierLimits, TierTable};

use super::sample::{agent, at, job, tenant};
use super::{Queue, QueuedJob};

const AMPLE: u32 = 1_000;

#[test]
fn within_a_tenant_the_earliest_deadline_goes_first_then_the_oldest_job() {
    let mut queue = Queue::new();
    let late = job(1, Tier::Free);
    let (young, old) = (
        QueuedJob {
            deadline: at(50),
            ..job(3, Tier::Free)
        },
        QueuedJob {
            deadline: at(50),
            ..job(2, Tier::Free)
        },
    );
    for job in [late, young, old] {
        queue.push(job);
    }
    assert_eq!(queue.next_deadline(), Some(at(50)));
    assert_eq!(drain(&mut queue), [old, young, late]);
}

#[test]
fn a_job_pushed_twice_is_queued_once() {
    let mut queue = Queue::new();
    queue.push(job(1, Tier::Free));
    queue.push(QueuedJob { cost: 9, ..job(1, Tier::Free) });
    assert_eq!((queue.len(), queue.depth(Tier::Free)), (1, 1));
    assert_eq!(drain(&mut queue), [job(1, Tier::Free)]);
    assert!(queue.is_empty() && queue.depth(Tier::Free) == 0);
}

#[test]
fn the_jobs_of_an_agent_that_is_away_wait_in_nobodys_way() {
    let mut queue = Queue::new();
    let away = QueuedJob {
        agent: agent(2),
        ..job(1, Tier::Enterprise)
    };
    queue.push(away);
    queue.push(job(2, Tier::Free));
    assert_eq!(queue.pop(agent(1), AMPLE, at(0)), Some(job(2, Tier::Free)));
    assert_eq!(queue.pop(agent(1), AMPLE, at(0)), None);
    assert_eq!(queue.pop(agent(2), AMPLE, at(0)), Some(away));
}

#[test]
fn a_job_past_its_deadline_comes_out_as_expired_only() {
    let mut queue = Queue::new();
    let (soon, held) = (
        QueuedJob {
            deadline: at(10),
            ..job(1, Tier::Free)
        },
        QueuedJob {
            deadline: at(10),
            not_before: Some(at(5)),
            ..job(2, Tier::Free)
        },
    );
    queue.push(soon);
    queue.push(held);
    assert_eq!(queue.pop(agent(1), AMPLE, at(10)), None);
    assert_eq!(queue.len(), 2, "still queued: nobody has ended them yet");
    assert_eq!(queue.next_deadline(), Some(at(10)));
    assert_eq!(queue.expired(at(10)), [soon, held]);
    assert_eq!(queue.expired(at(10)), []);
    assert!(queue.is_empty());
}

#[test]
fn a_job_set_aside_as_overdue_can_still_be_cancelled() {
    let mut queue = Queue::new();
    queue.push(QueuedJob {
        deadline: at(10),
        ..job(1, Tier::Free)
    });
    assert_eq!(queue.pop(agent(1), AMPLE, at(11)), None);
    assert!(queue.remove(job(1, Tier::Free).job).is_some());
    assert_eq!(queue.expired(at(11)), []);
}

#[test]
fn a_retry_is_held_back_until_its_time() {
    let mut queue = Queue::new();
    let retry = QueuedJob {
        not_before: Some(at(5)),
        ..job(1, Tier::Free)
    };
    queue.push(retry);
    queue.push(job(2, Tier::Free));
    assert_eq!(queue.next_release(agent(1)), Some(at(5)));
    assert_eq!(queue.pop(agent(1), AMPLE, at(4)), Some(job(2, Tier::Free)));
    assert_eq!(queue.pop(agent(1), AMPLE, at(4)), None);
    assert_eq!(queue.pop(agent(1), AMPLE, at(5)), Some(retry));
    assert_eq!(queue.next_release(agent(1)), None);
}

#[test]
fn a_tenant_at_its_cap_waits_whatever_agent_has_its_jobs() {
    let mut queue = Queue::new();
    let cap = TierLimits::starting(Tier::Free).in_flight;
    for number in 0..=cap {
        let on = agent(u8::try_from(number % 2).unwrap() + 1);
        queue.push(QueuedJob {
            agent: on,
            ..job(number, Tier::Free)
        });
    }
    let other = QueuedJob {
        tenant: tenant(2),
        ..job(99, Tier::Free)
    };
    queue.push(other);
    let adopted = QueuedJob {
        agent: agent(3),
        ..job(98, Tier::Free)
    };
    queue.adopted(&adopted);
    let mut popped = Vec::new();
    for on in [agent(1), agent(2)] {
        popped.extend(std::iter::from_fn(|| queue.pop(on, AMPLE, at(0))));
    }
    assert_eq!(popped.iter().filter(|job| job.tenant == tenant(1)).count(), usize::try_from(cap).unwrap() - 1);
    assert!(popped.contains(&other), "another tenant does not wait for it");
    assert_eq!(queue.in_flight(tenant(1)), cap);
    queue.finished(&adopted, adopted.cost);
    assert!(queue.pop(agent(2), AMPLE, at(0)).or_else(|| queue.pop(agent(1), AMPLE, at(0))).is_some());
}

#[test]
fn a_dear_job_is_not_overtaken_while_its_credit_is_being_freed() {
    let mut queue = Queue::new();
    let first = job(1, Tier::Free);
    queue.push(first);
    assert_eq!(queue.pop(agent(1), 10, at(0)), Some(first));
    let dear = QueuedJob {
        cost: 10,
        deadline: at(10),
        ..job(2, Tier::Free)
    };
    queue.push(dear);
    queue.push(job(3, Tier::Free));
    assert_eq!(queue.pop(agent(1), 9, at(0)), None);
    queue.finished(&first, 1);
    assert_eq!(queue.pop(agent(1), 10, at(0)), Some(dear));
}

#[test]
fn a_job_dearer_than_all_the_credit_an_idle_agent_has_blocks_nobody() {
    let mut queue = Queue::new();
    queue.push(QueuedJob {
        cost: 10,
        deadline: at(10),
        ..job(1, Tier::Enterprise)
    });
    queue.push(job(2, Tier::Enterprise));
    queue.push(job(3, Tier::Free));
    assert_eq!(queue.pop(agent(1), 4, at(0)), Some(job(2, Tier::Enterprise)));
    queue.finished(&job(2, Tier::Enterprise), 1);
    assert_eq!(queue.pop(agent(1), 4, at(0)), Some(job(3, Tier::Free)));
}

#[test]
fn without_credit_nothing_is_sent() {
    let mut queue = Queue::new();
    queue.push(job(1, Tier::Enterprise));
    assert_eq!(queue.pop(agent(1), 0, at(0)), None);
    assert_eq!(queue.len(), 1);
}

#[test]
fn tenants_of_a_tier_take_turns_by_cost_and_not_by_number() {
    let starts = contest([(10, 10), (2, 2)], 1_200);
    assert_eq!(starts[1], starts[0] * 5, "five jobs at cost 2 for each at cost 10");
}

#[test]
fn a_tenant_whose_jobs_cost_more_than_expected_gets_fewer_of_them() {
    let starts = contest([(2, 4), (2, 2)], 1_200);
    let (dear, plain) = (f64::from(starts[0]), f64::from(starts[1]));
    assert!((plain / dear - 2.0).abs() < 0.05, "{dear} against {plain}");
}

#[test]
fn a_tier_whose_jobs_cost_more_than_expected_starts_fewer_of_them() {
    let mut queue = Queue::new();
    let mut number = 0;
    let mut spent = [0_u32, 0];
    while spent.iter().sum::<u32>() < 40_000 {
        for tier in [Tier::Standard, Tier::Enterprise] {
            while queue.depth(tier) < 5 {
                let new = QueuedJob { cost: 2, ..job(number, tier) };
                queue.push(QueuedJob {
                    tenant: tenant(u8::from(tier == Tier::Enterprise)),
                    ..new
                });
                number += 1;
            }
        }
        let next = queue.pop(agent(1), AMPLE, at(0)).unwrap();
        let (index, actual) = if next.tier == Tier::Standard { (0, 40) } else { (1, 1) };
        spent[index] += actual;
        queue.finished(&next, actual);
    }
    let ratio = f64::from(spent[1]) / f64::from(spent[0]);
    assert!((ratio / 4.0 - 1.0).abs() < 0.05, "16 to 4 by what was really spent: {spent:?}");
}

#[test]
fn a_debt_is_paid_in_turns_though_its_tenant_queues_nothing_meanwhile() {
    let mut queue = Queue::new();
    for number in 0..300 {
        queue.push(job(number, Tier::Free));
    }
    let debtor = QueuedJob {
        tenant: tenant(2),
        ..job(300, Tier::Free)
    };
    queue.push(debtor);
    let mut next = start_and_finish_at(&mut queue, 1);
    while next.tenant != tenant(2) {
        next = start_and_finish_at(&mut queue, 1);
    }
    // It has cost a hundred: charged though the tenant has nothing else queued or in flight.
    queue.adopted(&debtor);
    queue.finished(&debtor, 100);
    queue.push(QueuedJob {
        job: job(301, Tier::Free).job,
        ..debtor
    });
    let waited = std::iter::from_fn(|| Some(start_and_finish_at(&mut queue, 1)))
        .take_while(|next| next.tenant != tenant(2))
        .count();
    assert!((90..=125).contains(&waited), "about ten turns of ten jobs: {waited}");
}

#[test]
fn what_an_agent_says_of_its_time_is_believed_up_to_a_bound() {
    let mut queue = Queue::new();
    queue.push(job(1, Tier::Free));
    for number in 2..1_000 {
        queue.push(QueuedJob {
            tenant: tenant(2),
            ..job(number, Tier::Standard)
        });
    }
    while start_and_finish_at(&mut queue, u32::MAX).tier == Tier::Standard {}
    queue.push(job(1_000, Tier::Free));
    let waited = std::iter::from_fn(|| Some(start_and_finish_at(&mut queue, 1)))
        .take_while(|next| next.tier == Tier::Standard)
        .count();
    assert!(waited <= 401, "four for each of a hundred agent-seconds: {waited}");
}

#[test]
fn the_agents_that_wait_for_a_capped_tenant_are_known_behind_the_one_that_finished() {
    let mut queue = Queue::new();
    for on in 1..=4 {
        queue.push(QueuedJob {
            agent: agent(on),
            ..job(u32::from(on), Tier::Free)
        });
        queue.push(QueuedJob {
            agent: agent(on),
            tenant: tenant(2),
            ..job(u32::from(on) + 10, Tier::Free)
        });
    }
    assert_eq!(queue.agents_of(tenant(1), agent(2)), [agent(3), agent(4), agent(1), agent(2)]);
    queue.remove(job(3, Tier::Free).job);
    assert_eq!(queue.agents_of(tenant(1), agent(9)), [agent(1), agent(2), agent(4)]);
    assert_eq!(queue.agents_of(tenant(3), agent(1)), []);
    assert!(!queue.is_capped(tenant(1), Tier::Free));
    for number in 20..25 {
        queue.adopted(&job(number, Tier::Free));
    }
    assert!(queue.is_capped(tenant(1), Tier::Free) && !queue.is_capped(tenant(1), Tier::Standard));
}

#[test]
fn no_tenant_has_more_than_half_of_an_agent_while_another_of_its_tier_waits() {
    let mut queue = Queue::new();
    for number in 0..20 {
        queue.push(job(number, Tier::Standard));
    }
    let alone: Vec<QueuedJob> = (0..4).filter_map(|taken| queue.pop(agent(1), 10 - taken, at(0))).collect();
    assert_eq!(alone.len(), 4);
    for number in 20..40 {
        queue.push(QueuedJob {
            tenant: tenant(2),
            ..job(number, Tier::Standard)
        });
    }
    let mut taken = vec![4, 0];
    for credit in (1..=6).rev() {
        let next = queue.pop(agent(1), credit, at(0)).unwrap();
        taken[usize::from(next.tenant == tenant(2))] += 1;
    }
    assert_eq!(taken, [5, 5]);
}

#[test]
fn a_tenant_alone_has_all_of_an_agent() {
    let mut queue = Queue::new();
    for number in 0..20 {
        queue.push(job(number, Tier::Standard));
    }
    let taken = (0..10).filter_map(|taken| queue.pop(agent(1), 10 - taken, at(0))).count();
    assert_eq!(taken, 10);
}

#[test]
fn a_tier_that_slept_has_saved_nothing_up() {
    let mut queue = Queue::new();
    for number in 0..1_000 {
        queue.push(job(number, Tier::Standard));
    }
    for _ in 0..500 {
        start_and_finish(&mut queue);
    }
    for number in 1_000..1_100 {
        queue.push(job(number, Tier::Enterprise));
    }
    let next: Vec<Tier> = (0..20).map(|_| start_and_finish(&mut queue).tier).collect();
    let enterprise = next.iter().filter(|tier| **tier == Tier::Enterprise).count();
    assert!((16..=17).contains(&enterprise), "16 to 4 from the start, ties to the higher tier: {next:?}");
}

#[test]
fn the_backlog_of_a_tier_counts_of_the_others_what_their_share_lets_through() {
    let mut queue = Queue::new();
    for number in 0..100 {
        queue.push(job(number, Tier::Free));
        queue.push(job(number + 100, Tier::Standard));
    }
    for number in 200..210 {
        queue.push(QueuedJob {
            cost: 2,
            ..job(number, Tier::Enterprise)
        });
    }
    assert_eq!(queue.backlog(agent(1), Tier::Free), 220, "everything goes ahead of the hundredth free job");
    assert_eq!(queue.backlog(agent(1), Tier::Standard), 100 + 25 + 20);
    assert_eq!(queue.backlog(agent(1), Tier::Enterprise), 20 + 5 + 2);
    assert_eq!(queue.backlog(agent(2), Tier::Enterprise), 0);
}

#[test]
fn an_agent_without_jobs_is_forgotten() {
    let mut queue = Queue::new();
    queue.push(job(1, Tier::Free));
    let popped = queue.pop(agent(1), AMPLE, at(0)).unwrap();
    queue.put_back(popped);
    let popped = queue.pop(agent(1), AMPLE, at(0)).unwrap();
    queue.finished(&popped, popped.cost);
    queue.push(QueuedJob {
        agent: agent(2),
        ..job(2, Tier::Free)
    });
    queue.remove(job(2, Tier::Free).job);
    assert!(queue.agents.is_empty());
    assert_eq!(queue.in_flight(tenant(1)), 0);
}

/// Lets two tenants of a tier compete, each with jobs of an expected and an actual cost, for so many starts. Returns how many each had.
fn contest(costs: [(u32, u32); 2], starts: u32) -> [u32; 2] {
    let mut queue = Queue::new();
    let mut number = 0;
    for _ in 0..starts {
        for (tenant_number, (expected, _)) in (1..).zip(costs) {
            queue.push(QueuedJob {
                tenant: tenant(tenant_number),
                cost: expected,
                ..job(number, Tier::Standard)
            });
            number += 1;
        }
    }
    let mut counts = [0; 2];
    for _ in 0..starts {
        let next = queue.pop(agent(1), AMPLE, at(0)).unwrap();
        let index = usize::from(next.tenant == tenant(2));
        counts[index] += 1;
        queue.finished(&next, costs[index].1);
    }
    counts
}

fn start_and_finish(queue: &mut Queue) -> QueuedJob {
    start_and_finish_at(queue, 1)
}

fn start_and_finish_at(queue: &mut Queue, actual: u32) -> QueuedJob {
    let next = queue.pop(agent(1), AMPLE, at(0)).unwrap();
    queue.finished(&next, actual);
    next
}

fn drain(queue: &mut Queue) -> Vec<QueuedJob> {
    std::iter::from_fn(|| queue.pop(agent(1), AMPLE, at(0))).collect()
}

#[test]
fn other_weights_and_caps_hold_from_the_next_start_on() {
    let mut queue = Queue::new();
    for number in 1..200 {
        let of = |seed| QueuedJob {
            tenant: tenant(seed),
            ..job(number, Tier::Free)
        };
        queue.push(of(1));
        queue.push(QueuedJob {
            tier: Tier::Enterprise,
            job: job(number + 1_000, Tier::Free).job,
            ..of(2)
        });
    }
    let even = TierLimits {
        weight: 16,
        in_flight: 100,
        ..TierLimits::starting(Tier::Free)
    };
    queue.set_tiers(TierTable::default().with(Tier::Free, even.clone()));
    let started: Vec<Tier> = (0..80).map(|_| queue.pop(agent(1), AMPLE, at(0)).unwrap().tier).collect();
    assert_eq!(started.iter().filter(|tier| **tier == Tier::Free).count(), 40, "equal weights share equally");
    queue.set_tiers(TierTable::default().with(Tier::Free, TierLimits { in_flight: 40, ..even }));
    let next: Vec<Tier> = (0..20).map(|_| queue.pop(agent(1), AMPLE, at(0)).unwrap().tier).collect();
    assert!(next.iter().all(|tier| *tier == Tier::Enterprise), "the free tenant is at its new cap");
}

#[test]
fn aut_19_jobs_of_a_tenant_that_changed_its_tier_wait_on_under_the_new_one() {
    let mut queue = Queue::new();
    for number in 1..=20 {
        queue.push(job(number, Tier::Standard));
    }
    queue.push(QueuedJob {
        not_before: Some(at(5)),
        ..job(21, Tier::Standard)
    });
    queue.push(QueuedJob {
        tenant: tenant(2),
        ..job(22, Tier::Standard)
    });
    let before = queue.pop(agent(1), AMPLE, at(0)).unwrap();
    queue.retier(tenant(1), Tier::Free);
    assert_eq!((queue.len(), queue.depth(Tier::Free), queue.depth(Tier::Standard)), (21, 20, 1), "none is lost");
    let mut flying = vec![before];
    while let Some(next) = queue.pop(agent(1), AMPLE, at(9)) {
        flying.push(next);
    }
    let cap = usize::try_from(TierLimits::starting(Tier::Free).in_flight).unwrap();
    assert_eq!(flying.iter().filter(|job| job.tenant == tenant(1)).count(), cap, "held at the new cap");
    queue.retier(tenant(1), Tier::Standard);
    while let Some(next) = queue.pop(agent(1), AMPLE, at(9)) {
        flying.push(next);
    }
    assert_eq!(flying.len(), 22, "a higher tier frees them");
    for job in flying {
        queue.finished(&job, job.cost);
    }
    assert!(queue.is_empty() && queue.in_flight(tenant(1)) == 0);
}
