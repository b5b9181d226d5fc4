//! Agents made ahead, on and off duty, changed by two at once, and enrolled anew.

use control_core::duty::Duty;
use shared_protocol::host::Place;
use shared_protocol::id::AgentId;

use super::{World, agents_of, at, new_agent, new_certificate, random, random_digest, system};
use crate::agents::{AgentChange, AgentState, NewAgent};
use crate::join_tokens::{NewJoinToken, Redeemed, Redemption};
use crate::{Page, StoreError, agents, certificates, join_tokens};

fn token(id: &str, agent: AgentId) -> NewJoinToken {
    NewJoinToken {
        id: id.to_owned(),
        secret_sha256: [1; 32],
        name: None,
        labels: [].into(),
        for_agent: Some(agent),
        created_by: "operator".to_owned(),
        created_at: at(0),
        expires_at: at(100),
    }
}

fn shown(id: &str) -> Redemption {
    Redemption {
        id: id.to_owned(),
        secret_sha256: [1; 32],
        spki_sha256: random_digest(),
        agent: AgentId::new(at(9), random()),
        at: at(9),
    }
}

#[tokio::test]
async fn a_token_for_an_agent_that_was_made_ahead_enrols_that_one_and_no_other() {
    let world = World::new().await;
    let ours = world.ours;
    let ahead = AgentId::new(at(1), random());
    let pending = NewAgent {
        enrolled_at: None,
        place: Place {
            region: Some("eu".to_owned()),
            ..Place::default()
        },
        ..new_agent(ours.tenant, ahead, "ahead")
    };
    let redeemed = world
        .write(move |tx| {
            Box::pin(async move {
                agents::create(tx, system(), &pending).await?;
                join_tokens::create(tx, ours.scope, &token("t", ahead)).await?;
                join_tokens::redeem(tx, system(), &shown("t")).await
            })
        })
        .await;
    let Redeemed::New(redeemed) = redeemed else {
        panic!("the token was good: {redeemed:?}")
    };
    assert_eq!((redeemed.for_agent, redeemed.agent), (Some(ahead), Some(ahead)));
    let enrolled = world
        .write(move |tx| Box::pin(async move { agents::enrol(tx, system(), ahead, at(9)).await }))
        .await
        .unwrap();
    assert_eq!(
        (enrolled.enrolled_at, enrolled.state, enrolled.name.as_str()),
        (Some(at(9)), AgentState::Active, "ahead")
    );
    assert_eq!(enrolled.place.region.as_deref(), Some("eu"));
}

#[tokio::test]
async fn the_tokens_of_a_revoked_agent_are_dead_and_it_cannot_be_enrolled() {
    let world = World::new().await;
    let ours = world.ours;
    let theirs = world.theirs;
    let (redeemed, enrolled) = world
        .write(move |tx| {
            Box::pin(async move {
                join_tokens::create(tx, ours.scope, &token("t", ours.agent)).await?;
                join_tokens::create(tx, theirs.scope, &token("u", ours.agent)).await?;
                agents::set_state(tx, ours.scope, ours.agent, AgentState::Revoked, at(5)).await?;
                join_tokens::revoke_for(tx, ours.scope, ours.agent, at(5)).await?;
                let redeemed = join_tokens::redeem(tx, system(), &shown("t")).await?;
                let foreign = join_tokens::redeem(tx, system(), &shown("u")).await?;
                assert!(matches!(foreign, Redeemed::New(_)), "another tenant's tokens stay as they were");
                Ok((redeemed, agents::enrol(tx, system(), ours.agent, at(9)).await?))
            })
        })
        .await;
    assert_eq!((redeemed, enrolled), (Redeemed::No, None));
    let mut reader = world.reader().await;
    let revoked = agents::revoked(&mut reader, ours.scope, &Page::first(9)).await.unwrap();
    assert_eq!(revoked.iter().map(|agent| agent.id).collect::<Vec<_>>(), [ours.agent]);
    assert_eq!(agents_of(&world, ours).await, []);
}

#[tokio::test]
async fn a_suspended_agent_enrolled_anew_is_active_and_its_old_certificates_open_nothing() {
    let world = World::new().await;
    let ours = world.ours;
    let key = random_digest();
    let certificate = new_certificate(ours.agent, key);
    let suspended = world
        .write(move |tx| {
            Box::pin(async move {
                let suspended = agents::suspend(tx, system(), ours.agent, at(5)).await?;
                certificates::burn(tx, system(), ours.agent, at(6)).await?;
                certificates::insert(tx, system(), &certificate).await?;
                agents::enrol(tx, system(), ours.agent, at(6)).await?;
                Ok(suspended)
            })
        })
        .await;
    assert!(suspended);
    let identities = agents::all_identities(&mut world.reader().await, system()).await.unwrap();
    let own: Vec<_> = identities.iter().filter(|one| one.agent == ours.agent).collect();
    assert_eq!(
        own.iter().map(|one| (one.spki_sha256, one.state)).collect::<Vec<_>>(),
        [(key, AgentState::Active)]
    );
    assert_eq!(identities.len(), 2, "and the other agent's stands");
    let old = certificates::of_agent(&mut world.reader().await, system(), ours.agent, 9).await.unwrap();
    assert_eq!(old.len(), 2, "burnt keys stay on record, so that nobody takes them again");
}

#[tokio::test]
async fn identities_that_changed_since_are_found_by_each_kind_of_change() {
    let world = World::new().await;
    let ours = world.ours.agent;
    let since = async |seconds| {
        let changed = agents::changed_identities(&mut world.reader().await, system(), at(seconds)).await.unwrap();
        let known = |one: &agents::ChangedIdentity| (one.agent == ours, one.identity.as_ref().map(|identity| identity.state));
        changed.iter().map(known).collect::<Vec<_>>()
    };
    assert_eq!(since(0).await.len(), 2, "both were made then");
    assert_eq!(since(1).await, []);
    world
        .write(move |tx| Box::pin(async move { agents::suspend(tx, system(), ours, at(5)).await }))
        .await;
    assert_eq!(since(5).await, [(true, Some(AgentState::Suspended))]);
    world
        .write(move |tx| Box::pin(async move { certificates::burn(tx, system(), ours, at(7)).await }))
        .await;
    assert_eq!(since(7).await, [(true, None)], "it has none any more");
    let certificate = certificates::NewCertificate {
        issued_at: at(9),
        ..new_certificate(ours, random_digest())
    };
    world
        .write(move |tx| Box::pin(async move { certificates::insert(tx, system(), &certificate).await }))
        .await;
    assert_eq!(since(9).await, [(true, Some(AgentState::Suspended))]);
    assert_eq!(since(10).await, []);
}

#[tokio::test]
async fn duty_changes_for_the_tenants_own_agents_that_are_not_revoked() {
    let world = World::new().await;
    let (ours, theirs) = (world.ours, world.theirs);
    let set = async |scope, duty| {
        let set = world.write(move |tx| Box::pin(async move { agents::set_duty(tx, scope, ours.agent, duty).await }));
        set.await.map(|agent| (agent.duty, agent.revision))
    };
    assert_eq!(set(theirs.scope, Duty::Stopped).await, None);
    let (duty, revision) = set(ours.scope, Duty::Stopped).await.unwrap();
    assert_eq!(duty, Duty::Stopped);
    assert_eq!(
        set(ours.scope, Duty::Stopped).await,
        Some((Duty::Stopped, revision)),
        "twice is the same as once"
    );
    assert_eq!(set(ours.scope, Duty::Draining).await, Some((Duty::Draining, revision + 1)));
    world
        .write(move |tx| Box::pin(async move { agents::set_state(tx, ours.scope, ours.agent, AgentState::Revoked, at(5)).await }))
        .await;
    assert_eq!(set(ours.scope, Duty::Working).await.map(|(duty, _)| duty), Some(Duty::Draining));
}

#[tokio::test]
async fn api_08_a_change_made_for_an_agent_that_is_not_like_that_any_more_is_refused() {
    let world = World::new().await;
    let ours = world.ours;
    let revision = agents_of(&world, ours).await[0].revision;
    let change = move |region: Option<Option<String>>, revision| AgentChange {
        region,
        revision,
        ..AgentChange::default()
    };
    let apply = async |change: AgentChange| {
        world
            .store
            .write(move |tx| Box::pin(async move { agents::update(tx, ours.scope, ours.agent, &change).await }))
            .await
    };
    let eu = change(Some(Some("eu".to_owned())), Some(revision));
    let updated = apply(eu.clone()).await.unwrap().unwrap();
    assert_eq!((updated.place.region.as_deref(), updated.revision), (Some("eu"), revision + 1));
    let refused = apply(eu).await;
    assert!(matches!(refused, Err(StoreError::Conflict("agent_revision"))), "{refused:?}");
    let kept = apply(change(None, None)).await.unwrap().unwrap();
    assert_eq!((kept.place.region.as_deref(), kept.name.as_str()), (Some("eu"), "first"));
    let cleared = apply(change(Some(None), Some(revision + 2))).await.unwrap().unwrap();
    assert_eq!(cleared.place.region, None);
}
