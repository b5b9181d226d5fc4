//! Every operation of the OpenAPI document against everybody who must not have it, and against the least key that may.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::packages;
use crate::server::{Server, Tenant, problem};

/// Method, path, the one scope that opens it, a body it takes. What destroys something stands last.
const ROUTES: [(&str, &str, &str, &str); 46] = [
    ("GET", "/api/v1/tenant", "read", ""),
    ("GET", "/api/v1/usage", "read", ""),
    ("GET", "/api/v1/tiers", "read", ""),
    ("GET", "/api/v1/tiers/{name}", "read", ""),
    ("PATCH", "/api/v1/tiers/{name}", "operator", r#"{"ping_packets":20}"#),
    ("PATCH", "/api/v1/tenants/{id}/tier", "operator", r#"{"tier":"enterprise"}"#),
    (
        "POST",
        "/api/v1/measurements",
        "measure",
        r#"{"spec":{"probe":"ping","target":"127.0.0.1"},"selection":{"agents":["AGENT"]}}"#,
    ),
    ("GET", "/api/v1/measurements", "read", ""),
    ("GET", "/api/v1/measurements/{id}", "read", ""),
    ("GET", "/api/v1/measurements/{id}/reports", "read", ""),
    ("GET", "/api/v1/measurements/{id}/events", "read", ""),
    ("GET", "/api/v1/jobs", "read", ""),
    ("GET", "/api/v1/jobs/{id}", "read", ""),
    ("GET", "/api/v1/reports", "read", ""),
    ("GET", "/api/v1/reports/export", "read", ""),
    ("GET", "/api/v1/reports/{id}", "read", ""),
    ("GET", "/api/v1/metrics", "read", ""),
    ("GET", "/api/v1/metrics/latest", "read", ""),
    ("GET", "/api/v1/stream", "read", ""),
    (
        "POST",
        "/api/v1/standing-observations",
        "measure",
        r#"{"spec":{"probe":"observe","observation":"drops"},"selection":{"agents":["AGENT"]}}"#,
    ),
    ("GET", "/api/v1/standing-observations", "read", ""),
    ("GET", "/api/v1/standing-observations/{id}", "read", ""),
    ("GET", "/api/v1/standing-observations/{id}/agents", "read", ""),
    ("GET", "/api/v1/standing-observations/{id}/windows", "read", ""),
    ("PATCH", "/api/v1/standing-observations/{id}", "measure", r#"{"state":"stopped"}"#),
    ("GET", "/api/v1/agents", "read", ""),
    ("POST", "/api/v1/agents", "admin", r#"{"name":"ahead"}"#),
    ("GET", "/api/v1/agents/{id}", "read", ""),
    ("GET", "/api/v1/agents/{id}/metrics", "read", ""),
    ("PATCH", "/api/v1/agents/{id}", "admin", r#"{"labels":{"site":"lab"}}"#),
    ("POST", "/api/v1/agents/{id}/actions", "admin", r#"{"action":"start"}"#),
    ("GET", "/api/v1/observe/packages", "read", ""),
    ("POST", "/api/v1/observe/packages", "admin", "PACKAGE"),
    ("GET", "/api/v1/observe/packages/{id}", "read", ""),
    (
        "POST",
        "/api/v1/observe/packages/{id}/actions",
        "admin",
        r#"{"action":"roll_back","selection":{"agents":["AGENT"]}}"#,
    ),
    ("GET", "/api/v1/join-tokens", "admin", ""),
    ("POST", "/api/v1/join-tokens", "admin", r#"{"ttl_s":60}"#),
    ("GET", "/api/v1/keys", "admin", ""),
    ("POST", "/api/v1/keys", "admin", r#"{"name":"n","scopes":["admin"]}"#),
    ("POST", "/api/v1/jobs/{id}/cancel", "measure", ""),
    ("POST", "/api/v1/measurements/{id}/cancel", "measure", ""),
    ("DELETE", "/api/v1/standing-observations/{id}", "measure", ""),
    ("DELETE", "/api/v1/observe/packages/{id}", "admin", ""),
    ("DELETE", "/api/v1/agents/{id}", "admin", ""),
    ("DELETE", "/api/v1/join-tokens/{id}", "admin", ""),
    ("DELETE", "/api/v1/keys/{id}", "admin", ""),
];

/// What the first tenant owns, one of each.
pub(crate) struct Owned {
    tenant: String,
    agent: String,
    measurement: String,
    job: String,
    key: String,
    join_token: String,
    standing: String,
    package: String,
}

impl Owned {
    pub(crate) async fn of(server: &Server, tenant: Tenant) -> Self {
        let all = server.key(tenant, &["measure", "read", "admin"]).await;
        let agent = server.agent(tenant).await;
        let asked = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": [agent]}});
        let measurement: Value = server.post("/api/v1/measurements", &all, &asked).await.json().await.unwrap();
        let key: Value = server
            .post("/api/v1/keys", &all, &json!({"name": "spare", "scopes": ["read"]}))
            .await
            .json()
            .await
            .unwrap();
        let join_token: Value = server.post("/api/v1/join-tokens", &all, &json!({})).await.json().await.unwrap();
        let asked = json!({"spec": {"probe": "observe", "observation": "drops"}, "selection": {"agents": [agent]}});
        let standing: Value = server.post("/api/v1/standing-observations", &all, &asked).await.json().await.unwrap();
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("no id: {measurement} {key} {join_token} {standing}"))
                .to_owned()
        };
        Self {
            tenant: tenant.0.to_string(),
            measurement: text(&measurement["id"]),
            job: text(&measurement["jobs"][0]["id"]),
            key: text(&key["id"]),
            join_token: text(&join_token["id"]),
            standing: text(&standing["id"]),
            package: packages::upload(server, tenant, &all).await,
            agent,
        }
    }

    /// The id that stands in a path.
    pub(crate) fn id(&self, path: &str) -> &str {
        match path.split('/').nth(3).unwrap() {
            "tenants" => &self.tenant,
            "measurements" => &self.measurement,
            "jobs" | "reports" => &self.job,
            "agents" => &self.agent,
            "keys" => &self.key,
            "join-tokens" => &self.join_token,
            "standing-observations" => &self.standing,
            "observe" => &self.package,
            _ => "",
        }
    }

    fn path(&self, path: &str) -> String {
        let query = if path.ends_with("/metrics") { "?metric=ping.loss" } else { "" };
        path.replace("{id}", self.id(path)).replace("{name}", "free") + query
    }
}

fn rows() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str, &'static str)> {
    ROUTES.iter()
}

async fn send(server: &Server, row: &(&str, &str, &str, &str), owned: &Owned, key: Option<&str>) -> reqwest::Response {
    let (method, path, _, body) = row;
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = server.client.request(method, format!("http://{}{}", server.address, owned.path(path)));
    if let Some(key) = key {
        request = request.bearer_auth(key);
    }
    if !body.is_empty() {
        request = request
            .header("content-type", "application/json")
            .body(body.replace("AGENT", &owned.agent).replace("PACKAGE", &packages::signed("tcp-states")));
    }
    request.send().await.unwrap()
}

#[test]
fn aut_01_every_route_of_the_document_has_a_row_and_every_row_a_route() {
    let document = serde_json::to_value(control_server::api::document()).unwrap();
    let mut documented = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let scope = operation["security"][0]["api_key"][0]
                .as_str()
                .unwrap_or_else(|| panic!("{method} {path} names no scope"));
            documented.insert((method.to_uppercase(), path.clone(), scope.to_owned()));
        }
    }
    let tabled: BTreeSet<_> = rows()
        .map(|(method, path, scope, _)| ((*method).to_owned(), (*path).to_owned(), (*scope).to_owned()))
        .collect();
    assert_eq!(documented, tabled);
}

#[tokio::test]
async fn aut_01_every_route_refuses_whoever_may_not_and_serves_the_least_key_that_may() {
    every_route(Server::start().await).await;
}

#[tokio::test]
async fn aut_01_every_route_refuses_whoever_may_not_and_serves_the_least_key_that_may_on_postgres() {
    every_route(Server::start_on_postgres().await).await;
}

async fn every_route(server: Server) {
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let owned = Owned::of(&server, ours).await;
    let foreign = server.key(theirs, &["measure", "read", "admin"]).await;
    let revoked = server.key(ours, &["measure", "read", "admin"]).await;
    let admin = server.key(ours, &["admin"]).await;
    let id = revoked.split('_').nth(2).unwrap();
    let gone = server.request(Method::DELETE, &format!("/api/v1/keys/{id}"), &admin).send().await.unwrap();
    assert_eq!(gone.status(), 204);
    // Longer than a key may stay in the server's memory is not needed: this process revoked it and knows.
    let nobody = problem(send(&server, &ROUTES[0], &owned, None).await).await;
    assert_eq!(nobody.0, 401);

    for row in rows() {
        let name = format!("{} {}", row.0, row.1);
        for key in [None, Some("garbage"), Some(revoked.as_str())] {
            assert_eq!(problem(send(&server, row, &owned, key).await).await, nobody, "{name}: {key:?}");
        }
        for scope in ["measure", "read", "admin"].into_iter().filter(|scope| *scope != row.2) {
            let key = server.key(ours, &[scope]).await;
            let (status, body) = problem(send(&server, row, &owned, Some(&key)).await).await;
            assert_eq!((status, body["code"].as_str().unwrap()), (403, "forbidden"), "{name} with {scope}");
        }
        // A tenant's key has nothing to do with the operator's routes, whoever they are about.
        if row.1.contains("{id}") && row.2 != "operator" {
            let (status, body) = problem(send(&server, row, &owned, Some(&foreign)).await).await;
            assert_eq!((status, body["code"].as_str().unwrap()), (404, "not_found"), "aut_02 {name}");
        }
    }
    for row in rows() {
        let key = server.key(ours, &[row.2]).await;
        let response = send(&server, row, &owned, Some(&key)).await;
        if row.1 == "/api/v1/reports/{id}" {
            // Its agent never connected, so the job has no report yet.
            assert_eq!(problem(response).await.0, 404, "{}", row.1);
            continue;
        }
        if row.1 == "/api/v1/stream" {
            // What is sent here asks for no WebSocket.
            assert_eq!(problem(response).await.0, 400, "{}", row.1);
            continue;
        }
        assert!(
            response.status().is_success(),
            "{} {}: {} {:?}",
            row.0,
            row.1,
            response.status(),
            response.text().await
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn aut_02_lists_and_filters_show_nothing_of_another_tenant() {
    lists_and_filters(Server::start().await).await;
}

#[tokio::test]
async fn aut_02_lists_and_filters_show_nothing_of_another_tenant_on_postgres() {
    lists_and_filters(Server::start_on_postgres().await).await;
}

async fn lists_and_filters(server: Server) {
    let (ours, theirs) = (server.tenant("ours").await, server.tenant("theirs").await);
    let owned = Owned::of(&server, ours).await;
    let foreign = server.key(theirs, &["measure", "read", "admin"]).await;
    for path in [
        "/api/v1/measurements".to_owned(),
        "/api/v1/jobs".to_owned(),
        format!("/api/v1/jobs?agent={}", owned.agent),
        format!("/api/v1/jobs?measurement={}", owned.measurement),
        "/api/v1/agents".to_owned(),
        "/api/v1/join-tokens".to_owned(),
        "/api/v1/standing-observations".to_owned(),
        "/api/v1/observe/packages".to_owned(),
    ] {
        let page: Value = server.get(&path, &foreign).await.json().await.unwrap();
        assert_eq!(page["items"], json!([]), "{path}: {page}");
    }
    let asked = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": [owned.agent]}});
    let (status, body) = problem(server.post("/api/v1/measurements", &foreign, &asked).await).await;
    assert_eq!((status, body["field"].as_str()), (422, Some("selection.agents")), "{body}");
    server.stop().await;
}
