//! Packages, and which of them agents are to have.

use shared_protocol::package::PackageDigest;

use super::{Side, World, at, system};
use crate::packages::{self, Heard, PackageRow};
use crate::{Page, StoreError};

fn digest(number: u8) -> PackageDigest {
    PackageDigest::from_bytes([number; 32])
}

fn package(number: u8, version: &str) -> PackageRow {
    PackageRow {
        digest: digest(number),
        name: "mine".parse().unwrap(),
        version: version.parse().unwrap(),
        summary: "what it is for".to_owned(),
        signer: "ed25519:x".to_owned(),
        created_by: "key:k".to_owned(),
        created_at: at(i64::from(number)),
    }
}

async fn keep(world: &World, side: Side, package: PackageRow) -> Result<bool, StoreError> {
    let body = format!("body {}", package.digest);
    world
        .store
        .write(move |tx| Box::pin(async move { packages::keep(tx, side.scope, &package, &body).await }))
        .await
}

async fn meant(world: &World, side: Side, digest: Option<PackageDigest>) -> Option<String> {
    let name = "mine".parse().unwrap();
    let whom = (side.tenant, side.agent);
    let body = packages::meant(&mut world.reader().await, system(), whom, &name, digest).await.unwrap()?;
    Some(body.trim_start_matches("body ").to_owned())
}

#[tokio::test]
async fn a_package_is_kept_once_and_a_version_means_one_package_only() {
    let world = World::new().await;
    assert!(keep(&world, world.ours, package(1, "1")).await.unwrap());
    assert!(!keep(&world, world.ours, package(1, "1")).await.unwrap(), "the same once more");
    let other = keep(&world, world.ours, package(2, "1")).await;
    assert!(matches!(other, Err(StoreError::Conflict("package_version"))), "{other:?}");
    assert!(keep(&world, world.theirs, package(1, "1")).await.unwrap(), "another tenant has its own");
    let mut reader = world.reader().await;
    assert_eq!(packages::count(&mut reader, world.ours.scope).await.unwrap(), 1);
    assert_eq!(packages::find(&mut reader, world.ours.scope, digest(1)).await.unwrap(), Some(package(1, "1")));
    assert_eq!(packages::find(&mut reader, world.ours.scope, digest(2)).await.unwrap(), None);
    let body = packages::body(&mut reader, world.ours.scope, digest(1)).await.unwrap().unwrap();
    assert_eq!(body, format!("body {}", digest(1)));
}

#[tokio::test]
async fn aut_02_packages_of_another_tenant_are_neither_listed_nor_found_nor_given_to_its_agents() {
    let world = World::new().await;
    for number in 1..=3 {
        keep(&world, world.ours, package(number, &number.to_string())).await.unwrap();
    }
    let mut reader = world.reader().await;
    let first = packages::list(&mut reader, world.ours.scope, &Page::first(2)).await.unwrap();
    assert_eq!(first.iter().map(|row| row.digest).collect::<Vec<_>>(), [digest(3), digest(2)]);
    let page = Page {
        after: Some(digest(2)),
        limit: 2,
    };
    let rest = packages::list(&mut reader, world.ours.scope, &page).await.unwrap();
    assert_eq!(rest.iter().map(|row| row.digest).collect::<Vec<_>>(), [digest(1)]);
    assert_eq!(packages::list(&mut reader, world.theirs.scope, &Page::first(9)).await.unwrap(), []);
    assert_eq!(packages::find(&mut reader, world.theirs.scope, digest(1)).await.unwrap(), None);
    assert_eq!(packages::body(&mut reader, world.theirs.scope, digest(1)).await.unwrap(), None);
    assert_eq!(meant(&world, world.theirs, Some(digest(1))).await, None);
    assert_eq!(meant(&world, world.theirs, None).await, None);
    let theirs = world.theirs.scope;
    assert!(
        !world
            .write(move |tx| Box::pin(async move { packages::delete(tx, theirs, digest(1)).await }))
            .await
    );
}

#[tokio::test]
async fn an_agent_has_what_was_deployed_to_it_and_goes_back_to_the_one_before() {
    let world = World::new().await;
    let (first, second, side) = (package(1, "1"), package(2, "2"), world.ours);
    assert_eq!(meant(&world, side, None).await, None);
    for package in [first.clone(), second.clone()] {
        keep(&world, side, package).await.unwrap();
    }
    assert_eq!(
        meant(&world, side, None).await,
        Some(digest(2).to_string()),
        "the newest, as long as nobody says which"
    );
    assert_eq!(meant(&world, side, Some(digest(1))).await, Some(digest(1).to_string()));
    let deploy = async |package: PackageRow| {
        let deployed = world.write(move |tx| Box::pin(async move { packages::deploy(tx, side.scope, side.agent, &package, ("key:k", at(7))).await }));
        deployed.await;
    };
    let roll_back = async |package: PackageRow| {
        let back = world.write(move |tx| Box::pin(async move { packages::roll_back(tx, side.scope, side.agent, &package, ("key:k", at(8))).await }));
        back.await
    };
    deploy(first.clone()).await;
    assert_eq!(meant(&world, side, None).await, Some(digest(1).to_string()));
    assert!(!roll_back(first.clone()).await, "there is none before");
    deploy(second.clone()).await;
    deploy(second.clone()).await;
    assert!(!roll_back(first.clone()).await, "it is not what the agent has");
    assert!(roll_back(second.clone()).await);
    assert_eq!(meant(&world, side, None).await, Some(digest(1).to_string()));
    assert!(
        !world
            .write(move |tx| Box::pin(async move { packages::delete(tx, side.scope, digest(1)).await }))
            .await,
        "an agent is to have it"
    );
    assert!(
        world
            .write(move |tx| Box::pin(async move { packages::delete(tx, side.scope, digest(2)).await }))
            .await
    );
    let name = "mine".parse().unwrap();
    let rows = packages::on_agents(&mut world.reader().await, side.scope, &name, 9).await.unwrap();
    let [row] = rows.as_slice() else { panic!("{rows:?}") };
    assert_eq!(
        (row.agent, row.digest, row.previous, row.heard.as_ref()),
        (side.agent, Some(digest(1)), None, None)
    );
}

#[tokio::test]
async fn what_an_observer_said_last_is_kept_of_packages_that_there_are() {
    let world = World::new().await;
    let side = world.ours;
    keep(&world, side, package(1, "1")).await.unwrap();
    let heard = |number: u8, at_us: i64, code: Option<&str>| Heard {
        digest: digest(number),
        status: "failed".to_owned(),
        code: code.map(str::to_owned),
        message: Some("why".to_owned()),
        at: at(at_us),
    };
    let last = heard(1, 6, None);
    for said in [heard(1, 5, Some("package_refused")), heard(9, 7, None), last.clone()] {
        world
            .write(move |tx| {
                Box::pin(async move {
                    let name = "mine".parse().unwrap();
                    packages::heard(tx, system(), (side.tenant, side.agent), &name, &said).await
                })
            })
            .await;
    }
    let name = "mine".parse().unwrap();
    let rows = packages::on_agents(&mut world.reader().await, side.scope, &name, 9).await.unwrap();
    assert_eq!((rows.len(), &rows[0].heard, rows[0].digest), (1, &Some(last), None));
    assert_eq!(packages::on_agents(&mut world.reader().await, world.theirs.scope, &name, 9).await.unwrap(), []);
}
