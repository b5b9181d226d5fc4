//! Agents over HTTP: made ahead, found, changed, put off duty, revoked; and chosen by what they are like.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, Tenant, problem};

struct Stand {
    server: Server,
    tenant: Tenant,
    key: String,
}

impl Stand {
    async fn start() -> Self {
        let server = Server::start().await;
        let tenant = server.tenant("t").await;
        let key = server.key(tenant, &["measure", "read", "admin"]).await;
        Self { server, tenant, key }
    }

    async fn create(&self, body: &Value) -> Value {
        let answer = self.server.post("/api/v1/agents", &self.key, body).await;
        assert_eq!(answer.status(), 201);
        answer.json().await.unwrap()
    }

    async fn show(&self, id: &str) -> Value {
        self.server.get(&format!("/api/v1/agents/{id}"), &self.key).await.json().await.unwrap()
    }

    async fn names(&self, query: &str) -> Vec<String> {
        let answer = self.server.get(&format!("/api/v1/agents?{query}"), &self.key).await;
        let status = answer.status();
        let page: Value = answer.json().await.unwrap();
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{query}: {status} {page}"));
        items.iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    }

    async fn act(&self, id: &str, action: &str) -> reqwest::Response {
        let body = json!({ "action": action });
        self.server.post(&format!("/api/v1/agents/{id}/actions"), &self.key, &body).await
    }

    async fn delete(&self, id: &str) -> u16 {
        let request = self.server.request(Method::DELETE, &format!("/api/v1/agents/{id}"), &self.key);
        request.send().await.unwrap().status().as_u16()
    }

    async fn measure(&self, selection: Value) -> reqwest::Response {
        let body = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": selection});
        self.server.post("/api/v1/measurements", &self.key, &body).await
    }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no {member} in {value}"))
}

#[tokio::test]
async fn an_agent_made_ahead_is_pending_and_keeps_its_identity_when_its_host_enrols() {
    let stand = Stand::start().await;
    let body = json!({"name": "ahead", "labels": {"site": "lab"}, "region": "eu", "network": "64500"});
    let created = stand.create(&body).await;
    assert_eq!((text(&created, "state"), text(&created, "presence")), ("pending", "never"));
    assert_eq!((&created["region"], &created["enrolled_at"]), (&json!("eu"), &Value::Null));
    let bundle = text(&created["join_token"], "bundle");
    assert!(bundle.starts_with("probeops-join://"), "{bundle}");

    let enrolled = stand.server.enrol(bundle).await;
    assert_eq!((enrolled.agent.as_str(), enrolled.name.as_str()), (text(&created, "id"), "ahead"));
    let shown = stand.show(&enrolled.agent).await;
    assert_eq!(
        (text(&shown, "state"), text(&shown, "region"), &shown["labels"]),
        ("active", "eu", &json!({"site": "lab"}))
    );
    assert!(
        shown["enrolled_at"].is_string() && shown.get("join_token").is_none(),
        "the token is shown once: {shown}"
    );
    assert_eq!(stand.names("state=pending").await, Vec::<String>::new());
    let (status, refused) = problem(stand.server.post("/api/v1/agents", &stand.key, &body).await).await;
    assert_eq!((status, text(&refused, "code")), (409, "conflict"), "the name is taken");
    stand.server.stop().await;
}

#[tokio::test]
async fn a_list_is_filtered_by_everything_an_agent_is_and_paged() {
    let stand = Stand::start().await;
    for (name, site, region) in [("fra-1", "a", "eu"), ("fra-2", "b", "eu"), ("nyc-1", "a", "us")] {
        stand
            .create(&json!({"name": name, "labels": {"site": site, "kind": "edge"}, "region": region}))
            .await;
    }
    let enrolled = stand.server.agent(stand.tenant).await;
    for (query, names) in [
        ("label=site=a", vec!["nyc-1", "fra-1"]),
        ("label=kind,site=b", vec!["fra-2"]),
        ("region=eu&q=FRA", vec!["fra-2", "fra-1"]),
        ("region=EU", vec![]),
        ("state=active", vec!["host"]),
        ("state=pending&label=site=a&region=us", vec!["nyc-1"]),
        ("presence=offline&state=active", vec!["host"]),
        ("presence=online", vec![]),
        ("probe=ping", vec![]),
        ("q=%25", vec![]),
        ("q=';--", vec![]),
        ("duty=stopped", vec![]),
        ("state=revoked", vec![]),
    ] {
        assert_eq!(stand.names(query).await, names, "{query}");
    }
    assert_eq!(stand.names(&format!("q={}", &enrolled[..24])).await, ["host"]);
    let first: Value = stand.server.get("/api/v1/agents?limit=3", &stand.key).await.json().await.unwrap();
    let cursor = text(&first, "next_cursor").to_owned();
    let rest: Value = stand
        .server
        .get(&format!("/api/v1/agents?limit=3&cursor={cursor}"), &stand.key)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!((first["items"].as_array().unwrap().len(), rest["items"].as_array().unwrap().len()), (3, 1));
    assert_eq!(rest["next_cursor"], Value::Null);
    stand.server.stop().await;
}

#[tokio::test]
async fn api_03_filters_that_mean_nothing_are_refused_by_name() {
    let stand = Stand::start().await;
    for (query, field) in [
        ("label=", "label"),
        ("label=a=b=c", "label"),
        ("label=a,a", "label"),
        ("region=a%20b", "region"),
        ("network=';--", "network"),
        ("state=gone", "state"),
        ("state=revoked&q=x", "state"),
        ("duty=lazy", "duty"),
        ("presence=never", "presence"),
        ("probe=everything", "probe"),
        ("tenant=x", "tenant"),
    ] {
        let (status, body) = problem(stand.server.get(&format!("/api/v1/agents?{query}"), &stand.key).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{query}: {body}");
    }
    let long = format!("/api/v1/agents?q={}", "x".repeat(10_000));
    assert!(stand.server.get(&long, &stand.key).await.status().is_client_error());
    stand.server.stop().await;
}

#[tokio::test]
async fn api_04_names_labels_and_places_beyond_their_bounds_are_refused() {
    let stand = Stand::start().await;
    let many: serde_json::Map<String, Value> = (0..10_000).map(|n| (format!("k{n}"), json!("v"))).collect();
    for (body, field) in [
        (json!({"name": "x".repeat(10_240)}), "name"),
        (json!({"name": "a\u{7}b"}), "name"),
        (json!({"name": "a\u{202e}b"}), "name"),
        (json!({"name": ""}), "name"),
        (json!({"labels": {}}), "name"),
        (json!({"name": "n", "labels": many}), "labels"),
        (json!({"name": "n", "labels": {"a b": "c"}}), "labels"),
        (json!({"name": "n", "region": ""}), "region"),
        (json!({"name": "n", "zone": "é"}), "zone"),
        (json!({"name": "n", "network": "x".repeat(64)}), "network"),
        (json!({"name": "n", "ttl_s": 59}), "ttl_s"),
        (json!({"name": "n", "state": "active"}), "state"),
    ] {
        let (status, refused) = problem(stand.server.post("/api/v1/agents", &stand.key, &body).await).await;
        assert_eq!((status, refused["field"].as_str()), (422, Some(field)), "{body:.80}: {refused}");
    }
    assert_eq!(stand.names("limit=9").await, Vec::<String>::new(), "and nothing was made");
    stand.server.stop().await;
}

#[tokio::test]
async fn api_08_a_change_for_an_earlier_revision_is_refused() {
    let stand = Stand::start().await;
    let created = stand.create(&json!({"name": "n"})).await;
    let path = format!("/api/v1/agents/{}", text(&created, "id"));
    let change = async |if_match: Option<&str>, body: Value| {
        let mut request = stand.server.request(Method::PATCH, &path, &stand.key).json(&body);
        if let Some(etag) = if_match {
            request = request.header("if-match", etag);
        }
        request.send().await.unwrap()
    };
    let shown = stand.server.get(&path, &stand.key).await;
    let etag = shown.headers()["etag"].to_str().unwrap().to_owned();
    let changed = change(Some(&etag), json!({"region": "eu"})).await;
    assert_eq!(changed.status(), 200);
    let next = changed.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(next, etag);
    for stale in [etag.as_str(), "\"0\"", "garbage", "W/\"1\""] {
        let (status, body) = problem(change(Some(stale), json!({"region": "us"})).await).await;
        assert_eq!((status, text(&body, "code")), (412, "precondition_failed"), "{stale}");
    }
    let cleared: Value = change(Some("*"), json!({"region": ""})).await.json().await.unwrap();
    assert_eq!(cleared["region"], Value::Null);
    assert_eq!(change(None, json!({"name": "m"})).await.status(), 200);
    stand.server.stop().await;
}

#[tokio::test]
async fn duty_is_asked_for_twice_out_of_order_and_of_nobody() {
    let stand = Stand::start().await;
    let id = stand.server.agent(stand.tenant).await;
    for (action, duty) in [
        ("start", "working"),
        ("drain", "draining"),
        ("drain", "draining"),
        ("stop", "stopped"),
        ("drain", "draining"),
        ("start", "working"),
    ] {
        let after: Value = stand.act(&id, action).await.json().await.unwrap();
        assert_eq!(text(&after, "duty"), duty, "{action}");
        assert_eq!(text(&stand.show(&id).await, "duty"), duty);
    }
    stand.act(&id, "stop").await;
    let (status, body) = problem(stand.measure(json!({"agents": [id]})).await).await;
    assert_eq!((status, body["field"].as_str()), (422, Some("selection.agents")), "{body}");
    assert_eq!(stand.names("duty=stopped").await, ["host"]);
    stand.act(&id, "drain").await;
    assert_eq!(stand.measure(json!({"agents": [id]})).await.status(), 202, "jobs that name it wait");

    assert_eq!(stand.act("00000000-0000-7000-8000-000000000000", "stop").await.status(), 404);
    assert_eq!(stand.delete(&id).await, 204);
    for action in ["start", "stop", "drain", "reenrol"] {
        let (status, body) = problem(stand.act(&id, action).await).await;
        assert_eq!((status, text(&body, "code")), (409, "conflict"), "{action} of a revoked agent");
    }
    stand.server.stop().await;
}

#[tokio::test]
async fn a_revoked_agent_leaves_its_name_ends_its_jobs_and_stays_readable() {
    let stand = Stand::start().await;
    let pending = stand.create(&json!({"name": "ahead"})).await;
    let id = stand.server.agent(stand.tenant).await;
    let measured: Value = stand.measure(json!({"agents": [id]})).await.json().await.unwrap();
    let path = format!("/api/v1/measurements/{}", text(&measured, "id"));
    for _ in 0..2 {
        assert_eq!(stand.delete(&id).await, 204, "twice is the same as once");
    }
    let ended: Value = stand.server.get(&path, &stand.key).await.json().await.unwrap();
    assert_eq!(
        (text(&ended, "state"), text(&ended["jobs"][0], "reason")),
        ("ended", "agent_revoked"),
        "{ended}"
    );
    assert_eq!((text(&ended["jobs"][0], "state"), text(&ended["jobs"][0], "agent_name")), ("failed", "host"));
    assert_eq!(text(&stand.show(&id).await, "state"), "revoked");
    assert_eq!(
        (stand.names("state=revoked").await, stand.names("limit=9").await),
        (vec!["host".to_owned()], vec!["ahead".to_owned()])
    );
    stand.create(&json!({"name": "host"})).await;

    assert_eq!(stand.delete(text(&pending, "id")).await, 204);
    assert!(
        stand.server.try_enrol(text(&pending["join_token"], "bundle")).await.is_err(),
        "its token is dead"
    );
    assert_eq!(stand.delete("00000000-0000-7000-8000-000000000000").await, 404);
    stand.server.stop().await;
}

#[tokio::test]
async fn a_measurement_is_repeated_on_the_same_agents_and_never_on_those_of_another_tenant() {
    let stand = Stand::start().await;
    let id = stand.server.agent(stand.tenant).await;
    let first: Value = stand.measure(json!({"agents": ["host"]})).await.json().await.unwrap();
    let again = stand.measure(json!({"same_as": first["id"]})).await;
    assert_eq!(again.status(), 202);
    let again: Value = again.json().await.unwrap();
    assert_eq!(text(&again["jobs"][0], "agent"), id);
    for selection in [json!({"same_as": first["id"], "agents": ["host"]}), json!({"same_as": first["id"], "count": 0})] {
        assert_eq!(stand.measure(selection).await.status(), 422);
    }
    let other = stand.server.tenant("other").await;
    let foreign = stand.server.key(other, &["measure"]).await;
    let body = |same_as: Value| json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"same_as": same_as}});
    let stolen = problem(stand.server.post("/api/v1/measurements", &foreign, &body(first["id"].clone())).await).await;
    let unknown = problem(
        stand
            .server
            .post("/api/v1/measurements", &foreign, &body(json!("00000000-0000-7000-8000-000000000000")))
            .await,
    )
    .await;
    assert_eq!((stolen.0, &stolen), (404, &unknown), "aut_02: another tenant's is as one that is not there");
    let (status, body) = problem(stand.measure(json!({"region": "nowhere"})).await).await;
    assert_eq!((status, text(&body, "code")), (422, "no_agent_matches"));
    stand.server.stop().await;
}

#[tokio::test]
async fn api_16_an_agents_numbers_are_asked_for_by_name_within_a_range() {
    let stand = Stand::start().await;
    let id = stand.server.agent(stand.tenant).await;
    let asked = async |id: &str, query: &str| stand.server.get(&format!("/api/v1/agents/{id}/metrics?{query}"), &stand.key).await;
    let none: Value = asked(&id, "metric=received_bytes_per_s.eth0").await.json().await.unwrap();
    assert_eq!((text(&none, "metric"), &none["series"]), ("agent.received_bytes_per_s.eth0", &json!([])));
    for (query, field) in [
        ("", "metric"),
        ("metric=", "metric"),
        ("metric=a%27;--", "metric"),
        ("metric=cpu_ratio&step=0", "step"),
        ("metric=cpu_ratio&from=yesterday", "from"),
        ("metric=cpu_ratio&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
        ("metric=cpu_ratio&agent_id=x", "agent_id"),
    ] {
        let (status, body) = problem(asked(&id, query).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{query}: {body}");
    }
    assert_eq!(asked("00000000-0000-7000-8000-000000000000", "metric=cpu_ratio").await.status(), 404);
    stand.server.stop().await;
}

#[tokio::test]
async fn aut_02_a_shared_agent_works_for_every_tenant_and_is_changed_by_its_own_alone() {
    for server in [Server::start().await, Server::start_on_postgres().await] {
        let (operators, other) = (server.tenant("shared").await, server.tenant("other").await);
        let admin = server.key(other, &["measure", "read", "admin"]).await;
        let owner = server.key(operators, &["read"]).await;
        let agent = server.agent(operators).await;
        let path = format!("/api/v1/agents/{agent}");
        let ping = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": [agent]}});
        assert_eq!(server.get(&path, &admin).await.status(), 404);
        assert_eq!(server.post("/api/v1/measurements", &admin, &ping).await.status(), 422);

        server.share(&agent, "shared").await;
        let seen: Value = server.get(&path, &admin).await.json().await.unwrap();
        assert_eq!((&seen["sharing"], &seen["certificate_expires_at"]), (&json!("shared"), &Value::Null), "{seen}");
        let own: Value = server.get(&path, &owner).await.json().await.unwrap();
        assert!(own["certificate_expires_at"].is_string(), "{own}");
        let listed: Value = server.get("/api/v1/agents?sharing=shared", &admin).await.json().await.unwrap();
        assert_eq!(listed["items"][0]["id"], json!(agent));
        let mine: Value = server.get("/api/v1/agents?sharing=own", &admin).await.json().await.unwrap();
        assert_eq!(mine["items"], json!([]));
        let changes = [
            server.request(Method::PATCH, &path, &admin).json(&json!({"name": "mine"})).send().await,
            server.request(Method::DELETE, &path, &admin).send().await,
            server
                .request(Method::POST, &format!("{path}/actions"), &admin)
                .json(&json!({"action": "stop"}))
                .send()
                .await,
        ];
        for refused in changes {
            assert_eq!(refused.unwrap().status(), 404, "somebody else's");
        }
        let accepted = server.post("/api/v1/measurements", &admin, &ping).await;
        assert_eq!(accepted.status(), 202);
        let measurement: Value = accepted.json().await.unwrap();
        assert_eq!(measurement["jobs"][0]["agent_name"], seen["name"], "{measurement}");
        let theirs: Value = server.get("/api/v1/measurements", &owner).await.json().await.unwrap();
        assert_eq!(theirs["items"], json!([]), "what others ask of it is theirs alone");

        server.share(&agent, "own").await;
        assert_eq!(server.post("/api/v1/measurements", &admin, &ping).await.status(), 422);
        let shown = server
            .get(&format!("/api/v1/measurements/{}", measurement["id"].as_str().unwrap()), &admin)
            .await;
        assert_eq!(shown.status(), 200, "what was asked before is still there");
        server.stop().await;
    }
}
