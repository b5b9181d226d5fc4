use control_api::agent::AgentQuery;
use control_core::authorize::Action;
use control_services::ServiceError;
use control_services::fleet::{EnrolLimits, EnrolResponse};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::task::JoinSet;

use crate::stand::{Stand, csr, instance, token_of};
use crate::wire::{Answer, exchange, post, read_answer};

async fn enrol(stand: &Stand, body: &serde_json::Value) -> Answer {
    exchange(stand.connect(None).await, &post(&body.to_string())).await
}

fn body(token: &str, key: &KeyPair) -> serde_json::Value {
    json!({ "token": token, "csr": csr(key, |_| {}), "hostname": "edge-1", "version": "0.1.0", "instance": instance(1) })
}

async fn agents(stand: &Stand) -> Vec<control_api::agent::Agent> {
    stand
        .services
        .fleet
        .agents(&stand.grant(Action::AgentRead), &AgentQuery::default())
        .await
        .unwrap()
        .items
}

#[tokio::test]
async fn a_token_and_a_key_become_an_agent() {
    let stand = Stand::start().await;
    let created = stand.join_token(Some("probe-1")).await;
    assert!(created.bundle.starts_with("probeops-join://127.0.0.1:8443?ca-pin=sha256:"));
    let answer = enrol(&stand, &body(&token_of(&created), &KeyPair::generate().unwrap())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let enrolled: EnrolResponse = serde_json::from_value(answer.json()).unwrap();
    assert_eq!((enrolled.name.as_str(), enrolled.tenant.clone()), ("probe-1", stand.tenant.to_string()));
    assert_eq!(enrolled.certificate.matches("BEGIN CERTIFICATE").count(), 2);
    let agents = agents(&stand).await;
    assert_eq!((agents[0].id.as_str(), agents[0].presence.as_str()), (enrolled.agent.as_str(), "never"));
    stand.stop().await;
}

#[tokio::test]
async fn enr_01_and_02_unknown_used_and_revoked_tokens_are_answered_alike() {
    let stand = Stand::start().await;
    let used = stand.token().await;
    assert_eq!(enrol(&stand, &body(&used, &KeyPair::generate().unwrap())).await.status, 200);
    let again = enrol(&stand, &body(&used, &KeyPair::generate().unwrap())).await;
    let revoked = stand.join_token(None).await;
    stand
        .services
        .identity
        .revoke_join_token(&stand.grant(Action::JoinTokenRevoke), &revoked.token.id)
        .await
        .unwrap();
    let revoked = enrol(&stand, &body(&token_of(&revoked), &KeyPair::generate().unwrap())).await;
    let elsewhere = Stand::start().await;
    let unknown = enrol(&stand, &body(&elsewhere.token().await, &KeyPair::generate().unwrap())).await;
    assert_eq!((again.status, again.json()["code"].as_str()), (401, Some("unauthenticated")));
    assert_eq!((&revoked.body, &unknown.body), (&again.body, &again.body));
    assert_eq!(agents(&stand).await.len(), 1);
    elsewhere.stop().await;
    stand.stop().await;
}

#[tokio::test]
async fn enr_03_a_lost_answer_is_given_again_to_the_same_key() {
    let stand = Stand::start().await;
    let (token, key) = (stand.token().await, KeyPair::generate().unwrap());
    let first = enrol(&stand, &body(&token, &key)).await;
    let second = enrol(&stand, &body(&token, &key)).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_eq!(first.json(), second.json(), "the same certificate");
    assert_eq!(agents(&stand).await.len(), 1);
    stand.stop().await;
}

#[tokio::test]
async fn enr_04_a_token_shown_by_a_hundred_clients_at_once_makes_one_agent() {
    let stand = Stand::start().await;
    let token = stand.token().await;
    let mut clients = JoinSet::new();
    for client in 0..100_u8 {
        let (fleet, request) = (stand.services.fleet.clone(), Stand::request(&token, &KeyPair::generate().unwrap()));
        clients.spawn(async move { fleet.enrol(request, ([192, 0, 2, client], 1).into()).await });
    }
    let answers = clients.join_all().await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    let refused = answers.into_iter().filter_map(Result::err);
    assert!(refused.into_iter().all(|error| error == ServiceError::Unauthenticated));
    assert_eq!(agents(&stand).await.len(), 1);
    stand.stop().await;
}

#[tokio::test]
async fn enr_06_and_08_what_cannot_be_read_is_malformed() {
    let stand = Stand::start().await;
    let (token, key) = (stand.token().await, KeyPair::generate().unwrap());
    let good = body(&token, &key);
    let with = |field: &str, value: serde_json::Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    let mut without = good.clone();
    without.as_object_mut().unwrap().remove("instance");
    for (bad, field) in [
        (with("token", json!("pojt_2_x")), Some("token")),
        (with("token", json!("a".repeat(10_000))), Some("token")),
        (with("token", json!(format!("{token}\n"))), Some("token")),
        (with("token", json!(null)), Some("token")),
        (with("csr", json!("not base64!")), Some("csr")),
        (with("csr", json!("AAAA")), Some("csr")),
        (with("hostname", json!("h".repeat(256))), Some("hostname")),
        (with("instance", json!("not an id")), Some("instance")),
        (with("tenant_id", json!(stand.tenant)), Some("tenant_id")),
        (with("agent_id", json!(stand.tenant)), Some("agent_id")),
        (without, None),
        (json!([]), None),
    ] {
        let answer = enrol(&stand, &bad).await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (400, Some("malformed_request")),
            "{}",
            answer.body
        );
        if let Some(field) = field {
            assert_eq!(answer.json()["field"].as_str(), Some(field), "{}", answer.body);
        }
        assert!(!answer.body.contains(&token), "the token is not repeated");
    }
    let twice = exchange(stand.connect(None).await, &post(r#"{"token":"a","token":"b"}"#)).await;
    assert_eq!(twice.status, 400);
    assert_eq!(enrol(&stand, &good).await.status, 200, "the token is good still");
    stand.stop().await;
}

#[tokio::test]
async fn enr_09_a_request_that_asks_for_more_than_a_key_is_refused_and_costs_no_token() {
    let stand = Stand::start().await;
    let (token, key) = (stand.token().await, KeyPair::generate().unwrap());
    let other = format!("spiffe://probeops/tenant/{}/agent/{}", stand.tenant, stand.tenant);
    let asks = [
        csr(&key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        csr(&key, |params| params.subject_alt_names = vec![SanType::URI(other.try_into().unwrap())]),
        csr(&key, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Any]),
    ];
    for ask in asks {
        let mut asking = body(&token, &key);
        asking["csr"] = json!(ask);
        let answer = enrol(&stand, &asking).await;
        assert_eq!((answer.status, answer.json()["field"].as_str()), (400, Some("csr")), "{}", answer.body);
    }
    assert_eq!(enrol(&stand, &body(&token, &key)).await.status, 200);
    stand.stop().await;
}

#[tokio::test]
async fn enr_11_a_key_that_belongs_to_an_agent_belongs_to_no_other_also_after_revocation() {
    let stand = Stand::start().await;
    let agent = stand.agent().await;
    let token = stand.token().await;
    let reused = enrol(&stand, &body(&token, &agent.key)).await;
    assert_eq!((reused.status, reused.json()["code"].as_str()), (409, Some("key_reuse")));
    stand
        .services
        .fleet
        .revoke_agent(&stand.grant(Action::AgentRevoke), &agent.enrolled.agent)
        .await
        .unwrap();
    assert_eq!(enrol(&stand, &body(&token, &agent.key)).await.status, 409);
    assert_eq!(
        enrol(&stand, &body(&token, &KeyPair::generate().unwrap())).await.status,
        200,
        "the token is good still"
    );
    stand.stop().await;
}

#[tokio::test]
async fn enr_12_a_body_beyond_16_kib_is_refused_however_it_comes() {
    let stand = Stand::start().await;
    let announced = b"POST /agent/v1/enrol HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1073741824\r\n\r\n{";
    let answer = exchange(stand.connect(None).await, announced).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (413, Some("body_too_large")));
    let mut chunked = b"POST /agent/v1/enrol HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..5 {
        chunked.extend(b"1000\r\n");
        chunked.extend([b' '; 0x1000]);
        chunked.extend(b"\r\n");
    }
    assert_eq!(exchange(stand.connect(None).await, &chunked).await.status, 413);
    stand.stop().await;
}

#[tokio::test]
async fn enr_13_a_body_that_does_not_come_is_not_waited_for() {
    let stand = Stand::start().await;
    let mut stream = stand.connect(None).await;
    stream
        .write_all(b"POST /agent/v1/enrol HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();
    stream.flush().await.unwrap();
    let answer = read_answer(stream).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (408, Some("request_timeout")));
    stand.stop().await;
}

#[tokio::test]
async fn enr_16_a_hostile_host_name_is_stored_as_a_plain_one_and_names_stay_unique() {
    let stand = Stand::start().await;
    for expected in ["x31mscript", "x31mscript-2", "x31mscript-3"] {
        let mut hostile = body(&stand.token().await, &KeyPair::generate().unwrap());
        hostile["hostname"] = json!("../../x\r\n\u{1b}[31m<script>");
        let answer = enrol(&stand, &hostile).await;
        assert_eq!(answer.json()["name"].as_str(), Some(expected), "{}", answer.body);
    }
    stand.stop().await;
}

#[tokio::test]
async fn enr_20_one_address_is_slowed_and_told_when_to_come_back() {
    let stand = Stand::with_default_limits().await;
    stand.services.fleet.limit_enrolments(EnrolLimits {
        per_address: 0,
        per_address_burst: 2,
        everybody: 50,
    });
    let garbage = json!({ "token": "x", "csr": "", "hostname": "", "version": "", "instance": instance(1) });
    for _ in 0..2 {
        assert_eq!(enrol(&stand, &garbage).await.status, 400);
    }
    let slowed = enrol(&stand, &garbage).await;
    assert_eq!((slowed.status, slowed.json()["code"].as_str()), (429, Some("rate_limited")));
    assert!(slowed.head.contains("retry-after: 1"), "{}", slowed.head);
    stand.stop().await;
}

#[tokio::test]
async fn tls_02_every_other_path_and_method_is_refused() {
    let stand = Stand::start().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        ("GET /agent/v1/enrol HTTP/1.1\r\nhost: a\r\n\r\n", 405),
        ("POST /agent/v1/session HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", 405),
        ("GET /agent/v1/enrol/../session HTTP/1.1\r\nhost: a\r\n\r\n", 404),
        ("GET /api/v1/agents HTTP/1.1\r\nhost: a\r\n\r\n", 404),
    ] {
        let answer = exchange(stand.connect(None).await, request.as_bytes()).await;
        assert_eq!(answer.status, status, "{request}");
        assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    }
    stand.stop().await;
}
