//! Standing observations over HTTP: what is refused by name, what a change means, who is answered the same twice.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, problem};

const PATH: &str = "/api/v1/standing-observations";

async fn make(server: &Server, key: &str, agent: &str) -> Value {
    let asked = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [agent]}});
    server.post(PATH, key, &asked).await.json().await.unwrap()
}

#[tokio::test]
async fn stw_07_what_cannot_be_meant_is_refused_by_its_field() {
    let server = Server::start().await;
    let tenant = server.tenant_of("ours", "standard").await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    let good = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [agent]}});
    let with = |member: &str, value: Value| {
        let mut asked = good.clone();
        asked[member] = value;
        asked
    };
    for (asked, field, code) in [
        (with("spec", json!({"probe": "ping", "target": "127.0.0.1"})), "spec.probe", "invalid_field"),
        (
            with("spec", json!({"probe": "observe", "observation": "drops", "duration_s": 5})),
            "spec.duration_s",
            "invalid_field",
        ),
        (
            with("spec", json!({"probe": "observe", "observation": "x"})),
            "spec.observation",
            "invalid_field",
        ),
        (with("window_s", json!(0)), "window_s", "invalid_field"),
        (with("window_s", json!(3_601)), "window_s", "invalid_field"),
        (with("window_s", json!(9)), "window_s", "tier_limit"),
        (with("name", json!("")), "name", "invalid_field"),
        (with("name", json!("x".repeat(101))), "name", "invalid_field"),
        (with("selection", json!({"agents": ["nobody"]})), "selection.agents", "invalid_field"),
    ] {
        let (status, body) = problem(server.post(PATH, &key, &asked).await).await;
        assert_eq!(
            (status, body["field"].as_str(), body["code"].as_str()),
            (422, Some(field), Some(code)),
            "{asked}: {body}"
        );
    }
    for unreadable in [with("novelty", json!(1)), with("window_s", json!("60")), with("spec", Value::Null), json!([])] {
        let status = server.post(PATH, &key, &unreadable).await.status();
        assert!(status.is_client_error(), "{unreadable}: {status}");
    }
    let made = make(&server, &key, &agent).await;
    assert_eq!(
        (made["window_s"].as_u64(), made["revision"].as_u64(), made["name"].as_str()),
        (Some(60), Some(1), Some("drops"))
    );
    assert_eq!(made["spec"].get("duration_s"), None, "it is the window");
    let one = format!("{PATH}/{}", made["id"].as_str().unwrap());
    for (change, field) in [
        (json!({"state": "paused"}), "state"),
        (json!({"window_s": 3_601}), "window_s"),
        (json!({"spec": {"probe": "dns"}}), "spec.probe"),
        (json!({"selection": {"agents": ["nobody"]}}), "selection.agents"),
    ] {
        let (status, body) = problem(server.request(Method::PATCH, &one, &key).json(&change).send().await.unwrap()).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{change}: {body}");
    }
    for query in [
        "agent=x",
        "from=yesterday",
        "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        "limit=0",
        "status=ok",
        "cursor=x",
    ] {
        let (status, _) = problem(server.get(&format!("{one}/windows?{query}"), &key).await).await;
        assert_eq!(status, 422, "{query}");
    }
    let shown: Value = server.get(&one, &key).await.json().await.unwrap();
    assert_eq!(shown, made, "nothing of it was changed");
    server.stop().await;
}

#[tokio::test]
async fn a_change_is_a_new_revision_made_only_to_what_was_read_and_what_is_absent_stays() {
    let server = Server::start().await;
    let tenant = server.tenant("ours").await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    let made = make(&server, &key, &agent).await;
    let one = format!("{PATH}/{}", made["id"].as_str().unwrap());
    let patch = |change: Value, etag: &'static str| server.request(Method::PATCH, &one, &key).header("if-match", etag).json(&change).send();
    let changed = patch(json!({"window_s": 5, "name": "five"}), "\"1\"").await.unwrap();
    assert_eq!(changed.headers()["etag"], "\"2\"");
    let changed: Value = changed.json().await.unwrap();
    assert_eq!(
        (&changed["window_s"], &changed["spec"]["interval_ms"]),
        (&json!(5), &json!(5_000)),
        "the default follows"
    );
    assert_eq!(
        (&changed["name"], &changed["state"], &changed["agents"]),
        (&json!("five"), &json!("running"), &json!(1))
    );
    let (status, body) = problem(patch(json!({"state": "stopped"}), "\"1\"").await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (412, Some("precondition_failed")));
    let stopped: Value = patch(json!({"state": "stopped"}), "*").await.unwrap().json().await.unwrap();
    assert_eq!(
        (&stopped["state"], &stopped["revision"], &stopped["window_s"]),
        (&json!("stopped"), &json!(3), &json!(5))
    );
    let agents: Value = server.get(&format!("{one}/agents"), &key).await.json().await.unwrap();
    assert_eq!(agents["items"][0]["state"], "stopped", "it never heard of it: {agents}");
    let gone = server.request(Method::DELETE, &one, &key).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    for path in [one.clone(), format!("{one}/agents"), format!("{one}/windows")] {
        assert_eq!(server.get(&path, &key).await.status(), 404, "{path}");
    }
    assert_eq!(patch(json!({"state": "running"}), "*").await.unwrap().status(), 404);
    assert_eq!(server.request(Method::DELETE, &one, &key).send().await.unwrap().status(), 404);
    server.stop().await;
}

#[tokio::test]
async fn stw_13_a_key_makes_one_the_tier_has_a_number_and_shared_agents_make_none() {
    let server = Server::start().await;
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let key = server.key(ours, &["measure", "read"]).await;
    let agent = server.agent(ours).await;
    let asked = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [agent]}});
    let send = |asked: Value| server.request(Method::POST, PATH, &key).header("idempotency-key", "k").json(&asked).send();
    let first: Value = send(asked.clone()).await.unwrap().json().await.unwrap();
    let again: Value = send(asked.clone()).await.unwrap().json().await.unwrap();
    assert_eq!(first["id"], again["id"]);
    let mut other = asked.clone();
    other["window_s"] = json!(30);
    let (status, body) = problem(send(other).await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("idempotency_mismatch")));
    // The same key with the same members is another request where it asks for something else.
    let measurement = server
        .request(Method::POST, "/api/v1/measurements", &key)
        .header("idempotency-key", "k")
        .json(&asked);
    let (status, body) = problem(measurement.send().await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("idempotency_mismatch")));

    let few = server.tenant_of("few", "standard").await;
    let few_key = server.key(few, &["measure", "read"]).await;
    let few_agent = server.agent(few).await;
    let operator = server.key(few, &["operator"]).await;
    let one = server.request(Method::PATCH, "/api/v1/tiers/standard", &operator).json(&json!({"standing": 1}));
    assert_eq!(one.send().await.unwrap().status(), 200);
    make(&server, &few_key, &few_agent).await;
    let asked = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [few_agent]}});
    let (status, body) = problem(server.post(PATH, &few_key, &asked).await).await;
    assert_eq!(
        (status, body["field"].as_str(), body["code"].as_str()),
        (422, Some("standing"), Some("tier_limit")),
        "{body}"
    );

    // What the tier includes no more can be stopped and named, and does not go on.
    let made: Value = server.get(PATH, &few_key).await.json().await.unwrap();
    let one = format!("{PATH}/{}", made["items"][0]["id"].as_str().unwrap());
    let tier = server
        .request(Method::PATCH, "/api/v1/tiers/standard", &operator)
        .json(&json!({"standing_window_s": 300}));
    assert_eq!(tier.send().await.unwrap().status(), 200);
    let patch = |change: Value| server.request(Method::PATCH, &one, &few_key).json(&change).send();
    assert_eq!(patch(json!({"state": "stopped", "name": "too fast"})).await.unwrap().status(), 200);
    let (status, body) = problem(patch(json!({"state": "running"})).await.unwrap()).await;
    assert_eq!(
        (status, body["field"].as_str(), body["code"].as_str()),
        (422, Some("window_s"), Some("tier_limit")),
        "{body}"
    );
    assert_eq!(patch(json!({"state": "running", "window_s": 300})).await.unwrap().status(), 200);

    server.share(&agent, "shared").await;
    let foreign = server.key(theirs, &["measure", "read"]).await;
    let asked = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [agent]}});
    let (status, body) = problem(server.post(PATH, &foreign, &asked).await).await;
    assert_eq!((status, body["field"].as_str()), (422, Some("selection.agents")), "{body}");
    server.stop().await;
}
