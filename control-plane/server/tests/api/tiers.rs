//! Tiers as data: who may change them, and that a change holds at once.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::server::{Server, Tenant, problem};

async fn change(server: &Server, key: &str, tier: &str, tag: Option<&str>, body: &Value) -> Response {
    let request = server.request(Method::PATCH, &format!("/api/v1/tiers/{tier}"), key);
    let request = tag.into_iter().fold(request, |request, tag| request.header("if-match", tag));
    request.json(body).send().await.unwrap()
}

async fn move_to(server: &Server, key: &str, tenant: Tenant, tier: &str) {
    let path = format!("/api/v1/tenants/{}/tier", tenant.0);
    let moved = server.request(Method::PATCH, &path, key).json(&json!({"tier": tier})).send().await.unwrap();
    assert_eq!(moved.status(), 200);
    assert_eq!(moved.json::<Value>().await.unwrap()["tier"], tier);
}

fn ping(agent: &str, count: u32) -> Value {
    json!({"spec": {"probe": "ping", "target": "127.0.0.1", "count": count}, "selection": {"agents": [agent]}})
}

#[tokio::test]
async fn api_08_a_change_meant_for_another_version_is_refused_and_one_for_this_version_holds_at_once() {
    let server = Server::start().await;
    let tenant = server.tenant_of("t", "free").await;
    let operator = server.key(tenant, &["operator", "read"]).await;
    let key = server.key(tenant, &["measure"]).await;
    let agent = server.agent(tenant).await;
    let (status, body) = problem(server.post("/api/v1/measurements", &key, &ping(&agent, 17)).await).await;
    assert_eq!(
        (status, body["code"].as_str(), body["field"].as_str()),
        (422, Some("tier_limit"), Some("spec.count"))
    );

    let tag = server.get("/api/v1/tiers/free", &operator).await.headers()["etag"].to_str().unwrap().to_owned();
    for stale in ["\"99\"", "\"x\"", "W/\"1\"", "1"] {
        let (status, body) = problem(change(&server, &operator, "free", Some(stale), &json!({"ping_packets": 17})).await).await;
        assert_eq!((status, body["code"].as_str()), (412, Some("precondition_failed")), "{stale}");
    }
    let answer = change(&server, &operator, "free", Some(&tag), &json!({"ping_packets": 17})).await;
    assert_eq!(answer.status(), 200);
    assert_ne!(answer.headers()["etag"].to_str().unwrap(), tag);
    assert_eq!(answer.json::<Value>().await.unwrap()["limits"]["ping_packets"], 17);
    let again = change(&server, &operator, "free", Some(&tag), &json!({"ping_packets": 18})).await;
    assert_eq!(again.status(), 412);
    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&agent, 17)).await.status(), 202);
    server.stop().await;
}

#[tokio::test]
async fn api_04_a_tier_is_changed_within_bounds_by_its_own_values_only_and_stays_so() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let operator = server.key(tenant, &["operator", "read"]).await;
    for (name, value) in [
        ("weight", json!(0)),
        ("weight", Value::Null),
        ("open_jobs", json!("many")),
        ("tenant_id", json!(1)),
        ("version", json!(9)),
    ] {
        let (status, body) = problem(change(&server, &operator, "standard", None, &json!({ name: value })).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(name)), "{body}");
    }
    assert_eq!(change(&server, &operator, "gold", None, &json!({})).await.status(), 404);
    change(&server, &operator, "standard", None, &json!({"weight": 8, "probes": ["ping"]})).await;
    let unchanged = change(&server, &operator, "standard", None, &json!({"weight": 8})).await;
    assert_eq!(unchanged.headers()["etag"], "\"2\"", "what changes nothing is no new version");
    let tiers: Value = server.get("/api/v1/tiers", &operator).await.json().await.unwrap();
    let names: Vec<_> = tiers["items"].as_array().unwrap().iter().map(|tier| tier["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["free", "standard", "enterprise"]);
    assert_eq!(
        (&tiers["items"][1]["limits"]["weight"], &tiers["items"][2]["limits"]["weight"]),
        (&json!(8), &json!(16))
    );
    let server = server.restart().await;
    let standard: Value = server.get("/api/v1/tiers/standard", &operator).await.json().await.unwrap();
    assert_eq!((&standard["limits"]["weight"], &standard["limits"]["probes"]), (&json!(8), &json!(["ping"])));
    server.stop().await;
}

#[tokio::test]
async fn aut_01_a_tenants_key_cannot_give_the_operators_scope_even_if_it_has_it() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    for scopes in [&["admin"][..], &["admin", "operator"]] {
        let key = server.key(tenant, scopes).await;
        let wanted = json!({"name": "n", "scopes": ["operator"]});
        let (status, body) = problem(server.post("/api/v1/keys", &key, &wanted).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some("scopes")), "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn aut_19_a_downgrade_holds_what_is_queued_and_loses_nothing() {
    let server = Server::start().await;
    let tenant = server.tenant_of("t", "standard").await;
    let operator = server.key(tenant, &["operator"]).await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    change(&server, &operator, "free", None, &json!({"open_jobs": 2})).await;
    for _ in 0..3 {
        assert_eq!(server.post("/api/v1/measurements", &key, &ping(&agent, 100)).await.status(), 202);
    }
    move_to(&server, &operator, tenant, "free").await;
    let jobs: Value = server.get("/api/v1/jobs", &key).await.json().await.unwrap();
    let found: Vec<_> = jobs["items"].as_array().unwrap().iter().map(|job| job["state"].as_str().unwrap()).collect();
    assert_eq!(found, ["queued"; 3]);
    let (status, body) = problem(server.post("/api/v1/measurements", &key, &ping(&agent, 4)).await).await;
    assert_eq!((status, body["code"].as_str()), (429, Some("too_many_open_jobs")));
    move_to(&server, &operator, tenant, "standard").await;
    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&agent, 4)).await.status(), 202);
    server.stop().await;
}
