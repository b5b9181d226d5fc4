use shared_protocol::time::UnixMicros;

use super::*;
use crate::duty::Duty;
use crate::sharing::Sharing;

fn id(seed: u8) -> AgentId {
    AgentId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
}

fn tenant(seed: u8) -> TenantId {
    TenantId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn card(seed: u8, name: &str, pairs: &[(&str, &str)]) -> AgentCard {
    AgentCard {
        id: id(seed),
        tenant: tenant(1),
        sharing: Sharing::Own,
        name: name.to_owned(),
        labels: labels(pairs),
        region: None,
        zone: None,
        network: None,
        standing: Standing::Active,
        duty: Duty::Working,
        probes: vec![ProbeKind::Ping],
        revision: 1,
    }
}

/// Every card, and everyone here.
fn index(cards: &[AgentCard]) -> AgentIndex {
    let mut index = AgentIndex::default();
    for card in cards {
        index.put(card.clone());
        index.set_here(card.id, Here::Yes);
    }
    index
}

fn wanted(agents: &[String]) -> Wanted<'_> {
    Wanted {
        agents,
        same_as: None,
        conditions: Conditions::default(),
        probe: ProbeKind::Ping,
        count: None,
        limit: 10,
    }
}

fn among(index: &AgentIndex, conditions: Conditions<'_>) -> Result<Vec<AgentId>, SelectionRefusal> {
    match index.choose(tenant(1), &Wanted { conditions, ..wanted(&[]) }, 0)? {
        Choice::Among { candidates, .. } => Ok(candidates.into_iter().map(|candidate| candidate.agent).collect()),
        Choice::Named(_) => panic!("nobody was named"),
    }
}

fn named(index: &AgentIndex, wanted: &Wanted<'_>) -> Result<Vec<AgentId>, SelectionRefusal> {
    match index.choose(tenant(1), wanted, 0)? {
        Choice::Named(agents) => Ok(agents),
        Choice::Among { .. } => panic!("somebody was named"),
    }
}

#[test]
fn without_names_only_agents_that_can_begin_now_are_candidates() {
    let mut cards = [
        card(1, "offline", &[]),
        card(2, "suspended", &[]),
        card(3, "incapable", &[]),
        card(4, "drained", &[]),
        card(5, "pending", &[]),
        card(6, "good", &[]),
    ];
    cards[1].standing = Standing::Suspended;
    cards[2].probes.clear();
    cards[3].duty = Duty::Draining;
    cards[4].standing = Standing::Pending;
    let mut index = index(&cards);
    index.set_here(id(1), Here::No);
    assert_eq!(among(&index, Conditions::default()), Ok(vec![id(6)]));
    index.set_here(id(6), Here::No);
    assert_eq!(among(&index, Conditions::default()), Err(SelectionRefusal::NoMatch));
}

#[test]
fn labels_must_hold_by_value_by_set_and_by_presence_all_together() {
    let index = index(&[
        card(1, "a", &[("region", "eu"), ("net", "x")]),
        card(2, "b", &[("region", "eu")]),
        card(3, "c", &[("region", "us"), ("net", "x")]),
    ]);
    let by_value = labels(&[("region", "eu")]);
    let present = ["net".to_owned()];
    let sets = BTreeMap::from([("region".to_owned(), vec!["us".to_owned(), "eu".to_owned(), "ap".to_owned()])]);
    let with_value = Conditions {
        labels: Some(&by_value),
        ..Conditions::default()
    };
    assert_eq!(among(&index, with_value), Ok(vec![id(1), id(2)]));
    let all_three = Conditions {
        labels_in: Some(&sets),
        labels_present: &present,
        ..with_value
    };
    assert_eq!(among(&index, all_three), Ok(vec![id(1)]));
    let without_value = Conditions { labels: None, ..all_three };
    assert_eq!(among(&index, without_value), Ok(vec![id(1), id(3)]));
    let other_case = labels(&[("REGION", "eu")]);
    let refused = among(
        &index,
        Conditions {
            labels: Some(&other_case),
            ..Conditions::default()
        },
    );
    assert_eq!(refused, Err(SelectionRefusal::NoMatch));
    let empty_set = BTreeMap::from([("region".to_owned(), Vec::new())]);
    let refused = among(
        &index,
        Conditions {
            labels_in: Some(&empty_set),
            ..Conditions::default()
        },
    );
    assert_eq!(refused, Err(SelectionRefusal::NoMatch));
}

#[test]
fn region_zone_and_network_choose_and_an_as_number_is_one_however_it_is_written() {
    let mut cards = [card(1, "a", &[]), card(2, "b", &[]), card(3, "c", &[])];
    for (card, region, zone, network) in [(0, "eu", "fra", "AS64500"), (1, "eu", "ams", "isp-a"), (2, "us", "fra", "64500")] {
        cards[card].region = Some(region.to_owned());
        cards[card].zone = Some(zone.to_owned());
        cards[card].network = Some(network.to_owned());
    }
    let index = index(&cards);
    let place = |region, zone, network| Conditions {
        region,
        zone,
        network,
        ..Conditions::default()
    };
    assert_eq!(among(&index, place(Some("eu"), None, None)), Ok(vec![id(1), id(2)]));
    assert_eq!(among(&index, place(Some("eu"), Some("fra"), None)), Ok(vec![id(1)]));
    assert_eq!(among(&index, place(None, None, Some("as64500"))), Ok(vec![id(1), id(3)]));
    assert_eq!(among(&index, place(None, None, Some("isp-a"))), Ok(vec![id(2)]));
    assert_eq!(among(&index, place(Some("eu"), None, Some("ISP-A"))), Err(SelectionRefusal::NoMatch));
}

#[test]
fn named_agents_are_used_in_their_order_once_each_and_while_offline() {
    let mut index = index(&[card(1, "a", &[]), card(2, "b", &[("x", "y")])]);
    index.set_here(id(1), Here::No);
    let names = ["b".to_owned(), "a".to_owned(), id(2).to_string()];
    assert_eq!(named(&index, &wanted(&names)), Ok(vec![id(2), id(1)]));
    let one = Wanted {
        count: Some(1),
        ..wanted(&names)
    };
    assert_eq!(named(&index, &one), Ok(vec![id(2)]));
    let present = ["x".to_owned()];
    let mut conditioned = wanted(&names);
    conditioned.conditions.labels_present = &present;
    assert_eq!(named(&index, &conditioned), Ok(vec![id(2)]), "conditions hold for named ones as well");
}

#[test]
fn the_agents_of_an_earlier_measurement_are_used_without_those_that_may_not_work_any_more() {
    let mut cards = [card(1, "a", &[]), card(2, "b", &[]), card(3, "c", &[]), card(4, "d", &[])];
    cards[1].standing = Standing::Suspended;
    cards[3].tenant = tenant(2);
    let mut index = index(&cards);
    index.revoke(id(3));
    index.set_here(id(1), Here::No);
    let earlier = [id(3), id(2), id(4), id(1), id(1)];
    let same = Wanted {
        same_as: Some(&earlier),
        ..wanted(&[])
    };
    assert_eq!(named(&index, &same), Ok(vec![id(1)]));
    let twice = ["a".to_owned()];
    let both = Wanted { agents: &twice, ..same };
    assert_eq!(named(&index, &both), Err(SelectionRefusal::NamedTwice));
    assert_eq!(
        named(
            &index,
            &Wanted {
                same_as: Some(&[id(3)]),
                ..wanted(&[])
            }
        ),
        Err(SelectionRefusal::NoMatch)
    );
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_field() {
    let mut cards = [card(1, "held", &[]), card(2, "b", &[]), card(3, "stopped", &[]), card(4, "foreign", &[])];
    cards[0].standing = Standing::Suspended;
    cards[2].duty = Duty::Stopped;
    cards[3].tenant = tenant(2);
    let mut index = index(&cards);
    index.revoke(id(2));
    let names = |name: &str| [name.to_owned()];
    for (agents, count, refusal, field) in [
        (names("b"), Some(0), SelectionRefusal::CountZero, "selection.count"),
        (names("b"), Some(11), SelectionRefusal::AboveTier { limit: 10 }, "selection"),
        (names("b"), None, SelectionRefusal::UnknownAgent("b".to_owned()), "selection.agents"),
        (names("';--"), None, SelectionRefusal::UnknownAgent("';--".to_owned()), "selection.agents"),
        (names("foreign"), None, SelectionRefusal::UnknownAgent("foreign".to_owned()), "selection.agents"),
        (names("held"), None, SelectionRefusal::SuspendedAgent("held".to_owned()), "selection.agents"),
        (names("stopped"), None, SelectionRefusal::OffDuty("stopped".to_owned()), "selection.agents"),
    ] {
        assert_eq!(refusal.field(), field);
        assert_eq!(named(&index, &Wanted { count, ..wanted(&agents) }), Err(refusal));
    }
    let foreign = [id(4).to_string()];
    assert!(
        matches!(named(&index, &wanted(&foreign)), Err(SelectionRefusal::UnknownAgent(_))),
        "nor by its id"
    );
}

#[test]
fn naming_more_agents_than_the_tier_allows_is_refused() {
    let cards: Vec<AgentCard> = (1..=11).map(|seed| card(seed, &format!("n{seed}"), &[])).collect();
    let index = index(&cards);
    let names: Vec<String> = (1..=11).map(|seed| id(seed).to_string()).collect();
    assert_eq!(named(&index, &wanted(&names)), Err(SelectionRefusal::AboveTier { limit: 10 }));
    let ten = Wanted {
        count: Some(10),
        ..wanted(&names)
    };
    assert_eq!(named(&index, &ten).map(|chosen| chosen.len()), Ok(10));
}

#[test]
fn an_agent_named_like_anothers_id_does_not_take_its_place() {
    let disguise = [id(1).to_string()];
    let index = index(&[card(1, "honest", &[]), card(2, &disguise[0], &[])]);
    assert_eq!(named(&index, &wanted(&disguise)), Ok(vec![id(1)]));
}

#[test]
fn an_older_change_that_comes_late_changes_nothing_and_revives_nobody() {
    let mut index = index(&[card(1, "old", &[])]);
    let mut newer = card(1, "new", &[]);
    newer.revision = 3;
    index.put(newer.clone());
    let mut older = card(1, "between", &[]);
    older.revision = 2;
    index.put(older);
    assert!(index.find(tenant(1), "new").is_some() && index.find(tenant(1), "between").is_none() && index.find(tenant(1), "old").is_none());
    assert_eq!(among(&index, Conditions::default()), Ok(vec![id(1)]), "a change does not end its session");
    index.revoke(id(1));
    index.put(newer);
    assert!(index.is_empty());
}

#[test]
fn of_very_many_that_fit_an_even_sample_is_compared() {
    let mut index = AgentIndex::default();
    for n in 0..5_000_u32 {
        let mut one = card(0, &n.to_string(), &[]);
        let [a, b, c, d] = n.to_be_bytes();
        one.id = AgentId::new(UnixMicros::from_micros(1_000_000), [a, b, c, d, 0, 0, 0, 0, 0, 0]);
        one.region = Some(if n < 2_500 { "eu" } else { "us" }.to_owned());
        index.set_here(one.id, Here::Yes);
        index.put(one.clone());
        index.set_here(one.id, Here::Yes);
    }
    for seed in [0, 1, 17, u64::MAX] {
        let Ok(Choice::Among { candidates, count: 1 }) = index.choose(tenant(1), &wanted(&[]), seed) else {
            panic!("some fit")
        };
        assert!((900..=1_024).contains(&candidates.len()), "{}", candidates.len());
        let european = candidates.iter().filter(|candidate| candidate.region.as_deref() == Some("eu")).count();
        assert!(european.abs_diff(candidates.len() / 2) <= 1, "{european} of {}", candidates.len());
    }
}

#[test]
fn a_list_is_newest_first_and_every_part_of_the_filter_holds() {
    let mut cards = [
        card(1, "Frankfurt-1", &[("site", "a")]),
        card(2, "frankfurt-2", &[("site", "a")]),
        card(3, "ams", &[("site", "b")]),
    ];
    cards[1].duty = Duty::Draining;
    cards[2].standing = Standing::Suspended;
    let index = index(&cards);
    let list = |filter: Filter<'_>| index.list(tenant(1), &filter);
    assert_eq!(list(Filter::default()), [id(3), id(2), id(1)]);
    let text = |text| Filter {
        text: Some(text),
        ..Filter::default()
    };
    assert_eq!(list(text("FRANK")), [id(2), id(1)]);
    assert_eq!(list(text("%")), Vec::<AgentId>::new());
    let draining = Filter {
        duty: Some(Duty::Draining),
        ..text("frank")
    };
    assert_eq!(list(draining), [id(2)]);
    let suspended = Filter {
        standing: Some(Standing::Suspended),
        probe: Some(ProbeKind::Ping),
        ..Filter::default()
    };
    assert_eq!(list(suspended), [id(3)]);
    assert!(index.list(tenant(2), &Filter::default()).is_empty());
}

#[test]
fn a_shared_agent_serves_every_tenant_and_counts_against_nobody_elses_number() {
    let shared = AgentCard {
        sharing: Sharing::Shared,
        ..card(1, "exchange", &[("site", "ix")])
    };
    let own = AgentCard {
        tenant: tenant(2),
        ..card(2, "exchange", &[])
    };
    let mut index = index(&[shared.clone(), own.clone()]);
    assert_eq!(index.find(tenant(2), "exchange").map(|found| found.id), Some(own.id), "one's own wins by name");
    assert_eq!(index.find(tenant(3), "exchange").map(|found| found.id), Some(shared.id));
    assert!(index.get(tenant(2), shared.id).is_some() && !index.owns(tenant(2), shared.id));
    assert_eq!(index.first_beyond(tenant(2), 1), None);
    assert_eq!(index.list(tenant(3), &Filter::default()), [shared.id]);
    index.put(AgentCard {
        sharing: Sharing::Own,
        revision: 2,
        ..shared.clone()
    });
    assert_eq!(index.list(tenant(3), &Filter::default()), []);
    assert!(index.get(tenant(2), shared.id).is_none());
}
