//! Agents off duty, with a burnt key, and how busy they say they are, over real sessions.

use control_api::agent::{AgentAction, AgentActionKind, AgentQuery};
use control_api::measurement::{CreateMeasurement, Selection};
use control_core::authorize::{Action, Principal, Resource, Scopes, authorize};
use rcgen::KeyPair;
use serde_json::json;
use shared_protocol::frame::{AgentFrame, AgentKeepalive, Credit, ServerFrame};
use shared_protocol::host::HostLoad;
use shared_protocol::time::MonotonicMicros;

use crate::stand::{Agent, Stand, token_of};
use crate::wire::{RawSocket, UPGRADE, exchange};

async fn measure(stand: &Stand, agent: &Agent) -> String {
    let principal = Principal::Key {
        key: "k".to_owned(),
        tenant: stand.tenant,
        tier: shared_protocol::tier::Tier::Standard,
        scopes: Scopes::ALL,
    };
    let grant = authorize(&principal, Action::MeasurementCreate, Resource::OwnTenant).unwrap();
    let request = CreateMeasurement {
        spec: json!({"probe": "ping", "target": "127.0.0.1"}),
        selection: Selection {
            agents: vec![agent.enrolled.agent.clone()],
            ..Selection::default()
        },
        deadline_s: None,
        retry: None,
        max_age_s: None,
        dry_run: false,
    };
    stand.services.jobs.create(&grant, request, None).await.unwrap().jobs[0].id.clone()
}

async fn act(stand: &Stand, agent: &Agent, action: AgentActionKind) -> control_api::agent::AgentAfterAction {
    let grant = stand.grant(Action::AgentUpdate);
    stand
        .services
        .fleet
        .act_on_agent(&grant, &agent.enrolled.agent, &AgentAction { action })
        .await
        .unwrap()
}

async fn state_of(stand: &Stand, job: &str) -> String {
    stand.services.jobs.job(&stand.grant(Action::MeasurementRead), job).await.unwrap().state
}

#[tokio::test]
async fn a_drained_agent_stays_connected_and_gets_what_waited_once_it_is_started() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let mut socket = RawSocket::welcomed(&stand, &agent).await;
    act(&stand, &agent, AgentActionKind::Drain).await;
    socket.say(&AgentFrame::Credit(Credit { granted: 8 })).await;
    socket.assert_alive().await;
    let job = measure(&stand, &agent).await;
    act(&stand, &agent, AgentActionKind::Drain).await;
    socket.assert_alive().await;
    assert_eq!(state_of(&stand, &job).await, "queued");

    drop(socket);
    let mut socket = RawSocket::welcomed(&stand, &agent).await;
    socket.say(&AgentFrame::Credit(Credit { granted: 8 })).await;
    socket.assert_alive().await;
    assert_eq!(state_of(&stand, &job).await, "queued", "also in its next session");
    act(&stand, &agent, AgentActionKind::Start).await;
    let ServerFrame::Run(run) = socket.hear().await else { panic!("no run") };
    assert_eq!(run.job.to_string(), job);
    stand.stop().await;
}

#[tokio::test]
async fn enrolling_anew_burns_the_old_key_and_brings_a_suspended_agent_back() {
    let stand = Stand::start().await;
    let mut agent = stand.agent().await;
    let socket = RawSocket::welcomed(&stand, &agent).await;
    let after = act(&stand, &agent, AgentActionKind::Reenrol).await;
    let dead = token_of(&after.join_token.unwrap());
    let token = token_of(&act(&stand, &agent, AgentActionKind::Reenrol).await.join_token.unwrap());
    let fresh = KeyPair::generate().unwrap();
    let peer = "192.0.2.1:1".parse().unwrap();
    let refused = stand.services.fleet.enrol(Stand::request(&dead, &fresh), peer).await;
    assert!(refused.is_err(), "only the last token counts");
    let enrolled = stand.services.fleet.enrol(Stand::request(&token, &fresh), peer).await.unwrap();
    assert_eq!((&enrolled.agent, &enrolled.name), (&agent.enrolled.agent, &agent.enrolled.name));
    assert_eq!(socket.closed().await.0, 4403, "whoever holds the old key is cut");
    let again = exchange(stand.connect(Some(&agent)).await, UPGRADE.as_bytes()).await;
    assert_eq!(again.status, 401, "and not let in again");
    (agent.key, agent.enrolled) = (fresh, enrolled);
    RawSocket::welcomed(&stand, &agent).await.assert_alive().await;
    stand.stop().await;
}

#[tokio::test]
async fn how_busy_an_agent_says_it_is_shows_while_it_is_here() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let mut socket = RawSocket::welcomed(&stand, &agent).await;
    let keepalive = AgentKeepalive {
        seq: 1,
        monotonic_us: MonotonicMicros::from_micros(1),
        outbox_depth: 3,
        running: 2,
        capacity: Some(64),
        load: Some(Box::new(HostLoad {
            cpu_ratio: Some(0.5),
            ..HostLoad::default()
        })),
    };
    socket.say(&AgentFrame::Keepalive(keepalive)).await;
    socket.assert_alive().await;
    let grant = stand.grant(Action::AgentRead);
    let shown = stand.services.fleet.agent(&grant, &agent.enrolled.agent).await.unwrap();
    let load = shown.load.unwrap();
    assert_eq!((load.running, load.outbox_depth, load.capacity), (2, 3, Some(64)));
    assert_eq!(load.host.and_then(|host| host.cpu_ratio), Some(0.5));
    let query = AgentQuery {
        presence: Some("online".to_owned()),
        ..AgentQuery::default()
    };
    assert_eq!(stand.services.fleet.agents(&grant, &query).await.unwrap().items.len(), 1);
    stand.stop().await;
}
