//! Standing work over real sessions: what an agent is told, and what it is not told again.

use control_api::measurement::Selection;
use control_api::page::PageQuery;
use control_api::standing::{CreateStandingObservation, StandingAgent, StandingObservation, UpdateStandingObservation};
use control_core::authorize::{Action, Grant, Principal, Resource, Scopes, authorize};
use serde_json::{Value, json};
use shared_protocol::codec;
use shared_protocol::end::RefuseReason;
use shared_protocol::frame::{AgentFrame, ServerFrame};
use shared_protocol::standing::{Configure, Configured, StandingHeld, StandingItem, StandingState};

use crate::stand::{Agent, Stand};
use crate::wire::{FINAL, Mask, RawSocket, TEXT, hello};

fn grant(stand: &Stand, action: Action) -> Grant {
    let principal = Principal::Key {
        key: "k".to_owned(),
        tenant: stand.tenant,
        tier: shared_protocol::tier::Tier::Standard,
        scopes: Scopes::ALL,
    };
    authorize(&principal, action, Resource::OwnTenant).unwrap()
}

async fn create(stand: &Stand, agents: &[&Agent]) -> StandingObservation {
    let request = CreateStandingObservation {
        name: None,
        spec: json!({"probe": "observe", "observation": "drops"}),
        window_s: None,
        selection: Selection {
            agents: agents.iter().map(|agent| agent.enrolled.agent.clone()).collect(),
            ..Selection::default()
        },
    };
    stand
        .services
        .standing
        .create(&grant(stand, Action::StandingCreate), request, None)
        .await
        .unwrap()
}

async fn rename(stand: &Stand, id: &str, name: &str) {
    let request = UpdateStandingObservation {
        name: Some(name.to_owned()),
        ..UpdateStandingObservation::default()
    };
    stand
        .services
        .standing
        .update(&grant(stand, Action::StandingUpdate), id, request, None)
        .await
        .unwrap();
}

async fn fare(stand: &Stand, id: &str) -> StandingAgent {
    let page = stand
        .services
        .standing
        .agents(&grant(stand, Action::StandingRead), id, &PageQuery::default())
        .await
        .unwrap();
    page.items.into_iter().next().unwrap()
}

/// A session of an agent that holds this.
async fn comes(stand: &Stand, agent: &Agent, held: &[StandingHeld]) -> RawSocket {
    let mut socket = RawSocket::open(stand, agent).await;
    let mut said: Value = serde_json::from_str(&hello()).unwrap();
    said["standing"] = json!(held);
    socket.send(FINAL | TEXT, said.to_string().as_bytes(), Mask::Masked).await;
    assert!(matches!(hear(&mut socket).await, ServerFrame::Welcome(_)));
    socket
}

async fn hear(socket: &mut RawSocket) -> ServerFrame {
    loop {
        match codec::decode_server(&socket.text().await).unwrap() {
            codec::Decoded::Frame(ServerFrame::Keepalive(_)) => {}
            codec::Decoded::Frame(frame) => return frame,
            codec::Decoded::Ignored => panic!("a frame that nobody knows"),
        }
    }
}

async fn change(socket: &mut RawSocket) -> Configure {
    let heard = hear(socket).await;
    let ServerFrame::Configure(change) = heard else { panic!("{heard:?}") };
    change
}

async fn say(socket: &mut RawSocket, items: Vec<StandingHeld>) {
    let frame = AgentFrame::Configured(Configured { items });
    socket.send(FINAL | TEXT, codec::encode_agent(&frame).as_bytes(), Mask::Masked).await;
}

fn running(item: &StandingItem) -> StandingHeld {
    StandingHeld {
        state: StandingState::Running,
        ..StandingHeld::waiting(item)
    }
}

#[tokio::test]
async fn an_agent_is_told_what_it_does_not_have_and_nothing_twice() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let (first, second) = (create(&stand, &[&agent]).await, create(&stand, &[&agent]).await);
    assert_eq!(fare(&stand, &first.id).await.state, "waiting");
    let mut socket = comes(&stand, &agent, &[]).await;
    let told = change(&mut socket).await;
    assert_eq!((told.items.len(), told.removed.len()), (2, 0));
    let spec = &told.items[0].spec;
    assert_eq!((&spec["observation"], &spec["duration_s"]), (&json!("drops"), &json!(60)));
    say(&mut socket, told.items.iter().map(running).collect()).await;
    socket.assert_silent().await;
    let fares = fare(&stand, &first.id).await;
    assert_eq!((fares.state.as_str(), fares.revision), ("running", Some(1)));

    // A change is told at once, and alone.
    rename(&stand, &second.id, "other").await;
    let changed = change(&mut socket).await;
    assert_eq!(
        changed.items.iter().map(|item| (item.id.to_string(), item.revision)).collect::<Vec<_>>(),
        [(second.id.clone(), 2)]
    );
    drop(socket);
    // What changed while it was away is told when it comes, and nothing else.
    let grant = grant(&stand, Action::StandingDelete);
    stand.services.standing.delete(&grant, &first.id).await.unwrap();
    let held: Vec<StandingHeld> = told.items.iter().map(running).collect();
    let mut socket = comes(&stand, &agent, &held).await;
    let mended = change(&mut socket).await;
    assert_eq!(mended.removed.iter().map(ToString::to_string).collect::<Vec<_>>(), [first.id]);
    assert_eq!(mended.items, changed.items);
    drop(socket);
    let held: Vec<StandingHeld> = changed.items.iter().map(running).collect();
    let mut socket = comes(&stand, &agent, &held).await;
    socket.assert_silent().await;
    stand.stop().await;
}

#[tokio::test]
async fn stw_03_an_agent_that_will_not_take_it_is_not_asked_again_and_again() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let made = create(&stand, &[&agent]).await;
    let mut socket = comes(&stand, &agent, &[]).await;
    let told = change(&mut socket).await;
    for _ in 0..3 {
        say(&mut socket, Vec::new()).await;
        socket.assert_silent().await;
    }
    assert_eq!(fare(&stand, &made.id).await.state, "waiting");
    // Once it holds something else than before, it may have room.
    let other = StandingItem {
        id: shared_protocol::id::StandingId::new(shared_protocol::time::UnixMicros::from_micros(1_000), [9; 10]),
        ..told.items[0].clone()
    };
    say(&mut socket, vec![running(&other)]).await;
    let again = change(&mut socket).await;
    assert_eq!((again.items.len(), again.removed.len()), (1, 1), "and what nobody wants goes");
    let refused = StandingHeld {
        state: StandingState::Refused,
        reason: Some(RefuseReason::PolicyDenied),
        message: Some("the owner says no".to_owned()),
        lost: 5,
        ..running(&told.items[0])
    };
    say(&mut socket, vec![refused]).await;
    socket.assert_silent().await;
    let fares = fare(&stand, &made.id).await;
    assert_eq!(
        (fares.state.as_str(), fares.reason.as_deref(), fares.windows_lost),
        ("refused", Some("policy_denied"), 5)
    );
    assert_eq!(fares.message.as_deref(), Some("the owner says no"));
    stand.stop().await;
}

#[tokio::test]
async fn stw_12_an_agent_of_before_is_left_alone_and_its_health_says_so() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let made = create(&stand, &[&agent]).await;
    let mut socket = RawSocket::welcomed(&stand, &agent).await;
    socket.assert_silent().await;
    rename(&stand, &made.id, "other").await;
    socket.assert_silent().await;
    let fares = fare(&stand, &made.id).await;
    assert_eq!((fares.state.as_str(), fares.revision), ("unsupported", None));
    assert!(fares.message.unwrap().contains("version"));
    stand.stop().await;
}
