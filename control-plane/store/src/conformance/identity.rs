//! Tenants, keys, join tokens, the audit log.

use control_core::authorize::{Scope, Scopes};
use serde_json::json;
use shared_protocol::id::{AgentId, TenantId};
use shared_protocol::time::UnixMicros;
use tokio::task::JoinSet;

use super::{Side, World, agents_of, at, new_agent, random, random_digest, system};
use crate::join_tokens::{NewJoinToken, Redeemed, Redemption};
use crate::keys::NewKey;
use crate::{Page, Store, StoreError, agents, audit, join_tokens, keys, tenants};

#[tokio::test]
async fn a_tenant_is_found_by_its_id_only() {
    let world = World::new().await;
    let mut reader = world.reader().await;
    let found = tenants::find(&mut reader, system(), world.ours.tenant).await.unwrap().unwrap();
    assert_eq!(found.name, "ours");
    assert_eq!(tenants::find(&mut reader, system(), TenantId::new(at(9), random())).await.unwrap(), None);
}

fn new_key(id: &str, created_at: UnixMicros) -> NewKey {
    NewKey {
        id: id.to_owned(),
        name: "name".to_owned(),
        scopes: Scopes::NONE.with(Scope::Read).with(Scope::Admin),
        mac: [9; 32],
        created_at,
        expires_at: at(1_000),
    }
}

async fn create_key(store: &Store, side: Side, key: NewKey) -> Result<(), StoreError> {
    store.write(move |tx| Box::pin(async move { keys::create(tx, side.scope, &key).await })).await
}

#[tokio::test]
async fn a_key_is_found_for_authentication_with_its_tenants_tier() {
    let world = World::new().await;
    create_key(&world.store, world.ours, new_key("k1", at(1))).await.unwrap();
    let taken = create_key(&world.store, world.theirs, new_key("k1", at(2))).await;
    assert!(matches!(taken, Err(StoreError::Conflict("key_id"))), "{taken:?}");

    let touched = vec![("k1".to_owned(), at(7)), ("none".to_owned(), at(8))];
    world.write(move |tx| Box::pin(async move { keys::touch(tx, system(), &touched).await })).await;
    world
        .write(move |tx| Box::pin(async move { keys::touch(tx, system(), &[("k1".to_owned(), at(6))]).await }))
        .await;

    let mut reader = world.reader().await;
    let key = keys::find_for_authentication(&mut reader, system(), "k1").await.unwrap().unwrap();
    assert_eq!((key.tenant, key.tier.as_str(), key.mac), (world.ours.tenant, "free", [9; 32]));
    assert_eq!(key.last_used_at, Some(at(7)), "it never goes back");
    assert_eq!(keys::find_for_authentication(&mut reader, system(), "k2").await.unwrap(), None);
}

#[tokio::test]
async fn aut_02_keys_of_another_tenant_are_neither_listed_nor_revoked() {
    let world = World::new().await;
    for (n, id) in ["a", "b", "c"].into_iter().enumerate() {
        create_key(&world.store, world.ours, new_key(id, at(i64::try_from(n).unwrap()))).await.unwrap();
    }
    create_key(&world.store, world.theirs, new_key("x", at(1))).await.unwrap();

    let (ours, theirs) = (world.ours.scope, world.theirs.scope);
    assert!(!world.write(move |tx| Box::pin(async move { keys::revoke(tx, theirs, "a", at(5)).await })).await);
    assert!(world.write(move |tx| Box::pin(async move { keys::revoke(tx, ours, "a", at(5)).await })).await);
    assert!(world.write(move |tx| Box::pin(async move { keys::revoke(tx, ours, "a", at(9)).await })).await);

    let mut reader = world.reader().await;
    let first = keys::list(&mut reader, ours, &Page::first(2)).await.unwrap();
    assert_eq!(first.iter().map(|key| key.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let page = Page {
        after: Some("b".to_owned()),
        limit: 2,
    };
    let second = keys::list(&mut reader, ours, &page).await.unwrap();
    assert_eq!(
        second.iter().map(|key| (key.id.as_str(), key.revoked_at)).collect::<Vec<_>>(),
        [("a", Some(at(5)))]
    );
    let foreign = Page {
        after: Some("x".to_owned()),
        limit: 2,
    };
    assert_eq!(keys::list(&mut reader, ours, &foreign).await.unwrap(), [], "a foreign cursor opens nothing");
}

fn new_token(id: &str, created_by: &str) -> NewJoinToken {
    NewJoinToken {
        id: id.to_owned(),
        secret_sha256: [1; 32],
        name: Some("edge".to_owned()),
        labels: [("site".to_owned(), "a".to_owned())].into(),
        for_agent: None,
        created_by: created_by.to_owned(),
        created_at: at(0),
        expires_at: at(100),
    }
}

async fn create_token(world: &World, side: Side, token: NewJoinToken) {
    world
        .write(move |tx| Box::pin(async move { join_tokens::create(tx, side.scope, &token).await }))
        .await;
}

fn shown(id: &str, spki_sha256: [u8; 32], at: UnixMicros) -> Redemption {
    Redemption {
        id: id.to_owned(),
        secret_sha256: [1; 32],
        spki_sha256,
        agent: AgentId::new(at, random()),
        at,
    }
}

async fn redeem(store: &Store, shown: Redemption) -> Redeemed {
    store
        .write(move |tx| Box::pin(async move { join_tokens::redeem(tx, system(), &shown).await }))
        .await
        .unwrap()
}

#[tokio::test]
async fn enr_01_enr_02_enr_03_a_token_is_good_once_and_again_only_for_the_same_key_soon() {
    let world = World::new().await;
    create_token(&world, world.ours, new_token("t", "operator")).await;
    let wrong_secret = Redemption {
        secret_sha256: [2; 32],
        ..shown("t", [5; 32], at(1))
    };
    assert_eq!(redeem(&world.store, wrong_secret).await, Redeemed::No);
    assert_eq!(redeem(&world.store, shown("unknown", [5; 32], at(1))).await, Redeemed::No);

    let first = shown("t", [5; 32], at(2));
    let agent = first.agent;
    let Redeemed::New(token) = redeem(&world.store, first).await else {
        panic!("the token is good")
    };
    assert_eq!(
        (token.tenant, token.agent, token.name.as_deref()),
        (world.ours.tenant, Some(agent), Some("edge"))
    );
    assert_eq!(redeem(&world.store, shown("t", [5; 32], at(300))).await, Redeemed::Replayed { agent });
    assert_eq!(redeem(&world.store, shown("t", [6; 32], at(3))).await, Redeemed::UsedBefore { agent });
    assert_eq!(
        redeem(&world.store, shown("t", [5; 32], at(602))).await,
        Redeemed::UsedBefore { agent },
        "ten minutes later"
    );
}

#[tokio::test]
async fn enr_04_a_hundred_redeem_one_token_and_one_agent_comes_of_it() {
    let world = World::new().await;
    create_token(&world, world.ours, new_token("t", "operator")).await;
    let tenant = world.ours.tenant;
    let mut racing = JoinSet::new();
    for n in 0..100 {
        let store = world.store.clone();
        let shown = shown("t", random_digest(), at(2));
        let agent = new_agent(tenant, shown.agent, &format!("raced-{n}"));
        racing.spawn(async move {
            store
                .write(move |tx| {
                    Box::pin(async move {
                        let redeemed = join_tokens::redeem(tx, system(), &shown).await?;
                        if matches!(redeemed, Redeemed::New(_)) {
                            agents::create(tx, system(), &agent).await?;
                        }
                        Ok(redeemed)
                    })
                })
                .await
                .unwrap()
        });
    }
    let redeemed = racing.join_all().await;
    assert_eq!(redeemed.iter().filter(|one| matches!(one, Redeemed::New(_))).count(), 1);
    assert_eq!(redeemed.iter().filter(|one| matches!(one, Redeemed::UsedBefore { .. })).count(), 99);
    assert_eq!(agents_of(&world, world.ours).await.len(), 2, "the one there was and the one of the race");
}

#[tokio::test]
async fn enr_05_a_token_expired_by_a_microsecond_is_dead_also_when_the_clock_goes_back() {
    let world = World::new().await;
    create_token(&world, world.ours, new_token("t", "operator")).await;
    create_token(&world, world.ours, new_token("u", "operator")).await;
    let just_before = UnixMicros::from_micros(at(100).micros() - 1);
    assert_eq!(redeem(&world.store, shown("t", [5; 32], at(100))).await, Redeemed::No);
    assert_eq!(redeem(&world.store, shown("t", [5; 32], at(1))).await, Redeemed::No, "the clock went back");
    assert!(matches!(redeem(&world.store, shown("u", [5; 32], just_before)).await, Redeemed::New(_)));
}

#[tokio::test]
async fn enr_22_a_token_dies_with_the_key_that_made_it() {
    let world = World::new().await;
    let (ours, theirs) = (world.ours.scope, world.theirs.scope);
    create_key(&world.store, world.ours, new_key("maker", at(1))).await.unwrap();
    create_token(&world, world.ours, new_token("t", "key:maker")).await;
    create_token(&world, world.ours, new_token("u", "key:maker")).await;
    create_token(&world, world.ours, new_token("v", "operator")).await;
    assert!(matches!(redeem(&world.store, shown("t", [5; 32], at(2))).await, Redeemed::New(_)));
    assert!(
        world
            .write(move |tx| Box::pin(async move { keys::revoke(tx, ours, "maker", at(3)).await }))
            .await
    );
    assert_eq!(redeem(&world.store, shown("u", [6; 32], at(4))).await, Redeemed::No);

    assert!(
        !world
            .write(move |tx| Box::pin(async move { join_tokens::revoke(tx, theirs, "v", at(5)).await }))
            .await
    );
    assert!(
        world
            .write(move |tx| Box::pin(async move { join_tokens::revoke(tx, ours, "v", at(5)).await }))
            .await
    );
    assert_eq!(redeem(&world.store, shown("v", [7; 32], at(6))).await, Redeemed::No);
    let listed = join_tokens::list(&mut world.reader().await, ours, &Page::first(2)).await.unwrap();
    assert_eq!(listed.iter().map(|token| token.id.as_str()).collect::<Vec<_>>(), ["v", "u"]);
    let rest = Page {
        after: Some("u".to_owned()),
        limit: 2,
    };
    assert_eq!(join_tokens::list(&mut world.reader().await, ours, &rest).await.unwrap().len(), 1);
    assert_eq!(join_tokens::list(&mut world.reader().await, theirs, &Page::first(9)).await.unwrap(), []);
}

#[tokio::test]
async fn what_was_done_is_listed_to_the_tenant_it_was_done_to() {
    let world = World::new().await;
    for (tenant, subject) in [
        (Some(world.ours.tenant), "a"),
        (Some(world.theirs.tenant), "b"),
        (None, "c"),
        (Some(world.ours.tenant), "d"),
    ] {
        let row = audit::NewAudit {
            at: at(1),
            tenant,
            actor: "operator".to_owned(),
            action: "key.created",
            subject: subject.to_owned(),
            detail: json!({"n": 1}),
        };
        world.write(move |tx| Box::pin(async move { audit::append(tx, system(), &row).await })).await;
    }
    let mut reader = world.reader().await;
    let first = audit::list(&mut reader, world.ours.scope, &Page::first(1)).await.unwrap();
    assert_eq!(first[0].subject, "d");
    let page = Page {
        after: Some(first[0].n),
        limit: 9,
    };
    let rest = audit::list(&mut reader, world.ours.scope, &page).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.subject.as_str()).collect::<Vec<_>>(), ["a"]);
}
