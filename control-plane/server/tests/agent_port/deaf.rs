//! An agent that says what it should and reads nothing.

use std::time::Duration;

use control_api::measurement::{CreateMeasurement, Selection};
use control_core::authorize::{Action, Principal, Resource, Scopes, authorize};
use serde_json::json;
use shared_protocol::frame::{AgentFrame, AgentKeepalive, Credit};
use shared_protocol::tier::Tier;
use shared_protocol::time::MonotonicMicros;

use crate::stand::{Agent, Stand};
use crate::wire::RawSocket;

/// A job of some 60,000 bytes on the wire.
async fn measure(stand: &Stand, agent: &Agent) -> String {
    let principal = Principal::Key {
        key: "k".to_owned(),
        tenant: stand.tenant,
        tier: Tier::Enterprise,
        scopes: Scopes::ALL,
    };
    let grant = authorize(&principal, Action::MeasurementCreate, Resource::OwnTenant).unwrap();
    let request = CreateMeasurement {
        spec: json!({"probe": "http", "url": "http://127.0.0.1/", "method": "POST", "body": "x".repeat(60_000)}),
        selection: Selection {
            agents: vec![agent.enrolled.agent.clone()],
            ..Selection::default()
        },
        deadline_s: Some(86_400),
        retry: None,
        max_age_s: None,
        dry_run: false,
    };
    stand.services.jobs.create(&grant, request, None).await.unwrap().jobs[0].id.clone()
}

async fn presence(stand: &Stand, agent: &Agent) -> String {
    stand
        .services
        .fleet
        .agent(&stand.grant(Action::AgentRead), &agent.enrolled.agent)
        .await
        .unwrap()
        .presence
}

#[tokio::test]
async fn frm_21_an_agent_that_reads_nothing_is_let_go_and_the_others_notice_nothing() {
    let stand = Stand::start().await;
    let (deaf, other) = (stand.agent().await, stand.agent().await);
    let mut silent = RawSocket::welcomed(&stand, &deaf).await;
    let mut heard = RawSocket::welcomed(&stand, &other).await;
    silent.say(&AgentFrame::Credit(Credit { granted: 1_000_000 })).await;
    // Far more than the buffers of both hosts take.
    let mut jobs = Vec::new();
    for _ in 0..400 {
        jobs.push(measure(&stand, &deaf).await);
    }
    for seq in 1_u32.. {
        // It is not its silence for which it is let go.
        silent
            .say(&AgentFrame::Keepalive(AgentKeepalive {
                seq: seq.into(),
                monotonic_us: MonotonicMicros::from_micros(seq.into()),
                outbox_depth: 0,
                running: 0,
                capacity: None,
                load: None,
            }))
            .await;
        heard.assert_alive().await;
        if presence(&stand, &deaf).await == "offline" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    // What it was to do is not lost: it never said that it has it.
    let grant = stand.grant(Action::MeasurementRead);
    for job in [&jobs[0], &jobs[399]] {
        let state = stand.services.jobs.job(&grant, job).await.unwrap().state;
        assert!(state == "queued" || state == "leased", "{state}");
    }
    // It may come back, and is given it then.
    drop(silent);
    let mut again = RawSocket::welcomed(&stand, &deaf).await;
    again.say(&AgentFrame::Credit(Credit { granted: 1_000_000 })).await;
    again.hear().await;
    stand.stop().await;
}
