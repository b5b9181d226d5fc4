//! Agents, certificates, sessions.

use shared_protocol::frame::{Capability, CapabilityLevel};
use shared_protocol::id::{AgentId, Epoch, InstanceId};
use shared_protocol::spec::ProbeKind;

use super::{World, at, host, new_agent, new_certificate, random, random_digest, system};
use crate::agents::{AgentChange, AgentState, HelloFacts};
use crate::{Page, StoreError, agents, certificates, sessions};

#[tokio::test]
async fn aut_02_an_agent_of_another_tenant_does_not_exist() {
    let world = World::new().await;
    let (ours, theirs) = (world.ours, world.theirs);
    let mut reader = world.reader().await;
    assert!(agents::find(&mut reader, ours.scope, ours.agent).await.unwrap().is_some());
    assert_eq!(agents::find(&mut reader, theirs.scope, ours.agent).await.unwrap(), None);
    let found = agents::find_many(&mut reader, ours.scope, &[ours.agent, theirs.agent]).await.unwrap();
    assert_eq!(found.iter().map(|agent| agent.id).collect::<Vec<_>>(), [ours.agent]);
    assert_eq!(agents::revoked(&mut reader, ours.scope, &Page::first(9)).await.unwrap(), []);

    let change = AgentChange {
        name: Some("stolen".to_owned()),
        ..AgentChange::default()
    };
    let updated = world
        .write(move |tx| Box::pin(async move { agents::update(tx, theirs.scope, ours.agent, &change).await }))
        .await;
    assert_eq!(updated, None);
    let state = AgentState::Revoked;
    let revoked = world
        .write(move |tx| Box::pin(async move { agents::set_state(tx, theirs.scope, ours.agent, state, at(5)).await }))
        .await;
    assert_eq!(revoked, None);
    let still = agents::find(&mut reader, ours.scope, ours.agent).await.unwrap().unwrap();
    assert_eq!((still.name.as_str(), still.state), ("first", AgentState::Active));
}

#[tokio::test]
async fn a_name_belongs_to_one_living_agent_of_a_tenant() {
    let world = World::new().await;
    let ours = world.ours;
    let second = AgentId::new(at(1), random());
    let (taken, free) = (new_agent(ours.tenant, second, "first"), new_agent(ours.tenant, second, "second"));
    world
        .write(move |tx| {
            Box::pin(async move {
                let refused = agents::create(tx, system(), &taken).await;
                assert!(matches!(refused, Err(StoreError::Conflict("agent_name"))), "{refused:?}");
                agents::create(tx, system(), &free).await
            })
        })
        .await;
    let rename = AgentChange {
        name: Some("first".to_owned()),
        ..AgentChange::default()
    };
    let again = rename.clone();
    let refused = world
        .store
        .write(move |tx| Box::pin(async move { agents::update(tx, ours.scope, second, &rename).await }))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict("agent_name"))), "{refused:?}");

    let state = AgentState::Revoked;
    world
        .write(move |tx| Box::pin(async move { agents::set_state(tx, ours.scope, ours.agent, state, at(5)).await }))
        .await;
    let renamed = world
        .write(move |tx| Box::pin(async move { agents::update(tx, ours.scope, second, &again).await }))
        .await
        .unwrap();
    assert_eq!((renamed.name.as_str(), renamed.labels["site"].as_str()), ("first", "lab"));
}

#[tokio::test]
async fn revoked_is_for_ever() {
    let world = World::new().await;
    let ours = world.ours;
    for (state, expected) in [
        (AgentState::Suspended, AgentState::Suspended),
        (AgentState::Active, AgentState::Active),
        (AgentState::Revoked, AgentState::Revoked),
        (AgentState::Active, AgentState::Revoked),
    ] {
        let agent = world
            .write(move |tx| Box::pin(async move { agents::set_state(tx, ours.scope, ours.agent, state, at(5)).await }))
            .await;
        assert_eq!(agent.unwrap().state, expected);
    }
    let suspended = world
        .write(move |tx| Box::pin(async move { agents::suspend(tx, system(), ours.agent, at(6)).await }))
        .await;
    assert!(!suspended);
    let begun = world
        .write(move |tx| Box::pin(async move { sessions::begin(tx, system(), ours.agent, InstanceId::new(at(0), random()), at(7)).await }))
        .await;
    assert_eq!(begun, None, "a revoked agent gets no session");
    let identities = agents::all_identities(&mut world.reader().await, system()).await.unwrap();
    let states: Vec<_> = identities.iter().filter(|one| one.agent == ours.agent).map(|one| one.state).collect();
    assert_eq!((states, identities.len()), (vec![AgentState::Revoked], 2));
}

#[tokio::test]
async fn what_an_agent_says_about_itself_is_kept() {
    let world = World::new().await;
    let ours = world.ours;
    let capability = Capability {
        probe: ProbeKind::Ping,
        level: CapabilityLevel::Full,
        reason: None,
        remedy: None,
        observations: Vec::new(),
    };
    let facts = HelloFacts {
        version: "1.2.3".to_owned(),
        capabilities: vec![capability.clone()],
        host: host(),
        at: at(30),
    };
    world
        .write(move |tx| Box::pin(async move { agents::hello(tx, system(), ours.agent, &facts).await }))
        .await;
    world
        .write(move |tx| Box::pin(async move { agents::seen(tx, system(), &[(ours.agent, at(60))]).await }))
        .await;
    world
        .write(move |tx| Box::pin(async move { agents::seen(tx, system(), &[(ours.agent, at(50))]).await }))
        .await;
    let agent = agents::find_for_session(&mut world.reader().await, system(), ours.agent)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (agent.version.as_deref(), agent.capabilities, agent.host),
        (Some("1.2.3"), vec![capability], Some(host()))
    );
    assert_eq!((agent.last_seen_at, agent.certificate_expires_at), (Some(at(60)), Some(at(604_800))));
}

#[tokio::test]
async fn enr_11_a_public_key_belongs_to_one_agent_for_ever() {
    let world = World::new().await;
    let key = random_digest();
    let (first, second) = (new_certificate(world.ours.agent, key), new_certificate(world.theirs.agent, key));
    let kept = first.clone();
    world
        .write(move |tx| Box::pin(async move { certificates::insert(tx, system(), &first).await }))
        .await;
    let refused = world
        .store
        .write(move |tx| Box::pin(async move { certificates::insert(tx, system(), &second).await }))
        .await;
    assert!(matches!(refused, Err(StoreError::Conflict("key_reuse"))), "{refused:?}");
    let mut reader = world.reader().await;
    assert_eq!(certificates::find_by_key(&mut reader, system(), &key).await.unwrap(), Some(kept));
    assert_eq!(certificates::of_agent(&mut reader, system(), world.ours.agent, 9).await.unwrap().len(), 2);
    assert_eq!(certificates::of_agent(&mut reader, system(), world.theirs.agent, 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn each_session_has_a_higher_epoch() {
    let world = World::new().await;
    let ours = world.ours;
    assert_eq!(ours.epoch, Epoch(1));
    let next = world
        .write(move |tx| Box::pin(async move { sessions::begin(tx, system(), ours.agent, InstanceId::new(at(0), random()), at(7)).await }))
        .await;
    assert_eq!(next, Some(Epoch(2)));
    assert_eq!(sessions::outbox(&mut world.reader().await, system(), ours.agent).await.unwrap(), None);
}
