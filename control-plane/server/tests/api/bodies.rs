//! Every field of every body, spoiled in every way: 422 that names it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::server::{Server, problem};

/// One place in a body.
type Place = Vec<Step>;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Member(String),
    Element(usize),
}

fn bodies(agent: &str) -> Vec<(Method, String, Value)> {
    vec![
        (
            Method::POST,
            "/api/v1/measurements".to_owned(),
            json!({
                "spec": {"probe": "ping", "target": "127.0.0.1", "af": "4", "count": 1, "interval_ms": 200, "payload_bytes": 8, "ttl": 64, "df": false, "dscp": 0, "wait_ms": 100},
                "selection": {
                    "agents": [agent], "labels": {"site": "lab"}, "labels_in": {"site": ["lab"]}, "labels_present": ["site"],
                    "region": "eu", "zone": "fra", "network": "AS64500", "count": 1
                },
                "deadline_s": 60
            }),
        ),
        (
            Method::POST,
            "/api/v1/keys".to_owned(),
            json!({"name": "n", "scopes": ["read"], "expires_in_days": 1}),
        ),
        (
            Method::POST,
            "/api/v1/join-tokens".to_owned(),
            json!({"name": "n", "labels": {"site": "lab"}, "ttl_s": 60}),
        ),
        (
            Method::PATCH,
            format!("/api/v1/agents/{agent}"),
            json!({"name": "n", "labels": {"site": "lab"}, "region": "eu", "zone": "fra", "network": "AS64500"}),
        ),
        (
            Method::POST,
            "/api/v1/agents".to_owned(),
            json!({"name": "n", "labels": {"site": "lab"}, "region": "eu", "zone": "fra", "network": "AS64500", "ttl_s": 60}),
        ),
        (Method::POST, format!("/api/v1/agents/{agent}/actions"), json!({"action": "start"})),
    ]
}

#[tokio::test]
async fn api_04_every_field_of_every_body_is_refused_by_name_when_it_is_spoiled() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let key = server.key(tenant, &["measure", "read", "admin"]).await;
    let agent = server.agent(tenant).await;
    let mut tried = 0;
    for (method, path, valid) in bodies(&agent) {
        for place in places(&valid) {
            for (spoiled, expected) in spoilings(&valid, &place) {
                let response = server.request(method.clone(), &path, &key).json(&spoiled).send().await.unwrap();
                let (status, problem) = problem(response).await;
                let field = problem["field"].as_str().unwrap_or("none");
                // An element of a list or a map may be named by the whole.
                let named = field == expected || (expected.starts_with(field) && !field.is_empty() && is_container(&valid, field));
                assert!(status == 422 && named, "{method} {path} {spoiled}: expected {expected}, got {problem}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
    server.stop().await;
}

#[tokio::test]
async fn api_04_what_a_tenant_may_not_set_is_an_unknown_field() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let key = server.key(tenant, &["measure", "read", "admin"]).await;
    let agent = server.agent(tenant).await;
    for (method, path, valid) in bodies(&agent) {
        for name in ["tenant_id", "role", "tier", "is_admin", "created_at", "id"] {
            let mut body = valid.clone();
            body[name] = json!("x");
            let response = server.request(method.clone(), &path, &key).json(&body).send().await.unwrap();
            let (status, problem) = problem(response).await;
            assert_eq!((status, problem["field"].as_str()), (422, Some(name)), "{method} {path}");
        }
    }
    server.stop().await;
}

fn places(value: &Value) -> Vec<Place> {
    let inner: Vec<(Step, &Value)> = match value {
        Value::Object(members) => members.iter().map(|(name, value)| (Step::Member(name.clone()), value)).collect(),
        Value::Array(elements) => elements.iter().enumerate().map(|(index, value)| (Step::Element(index), value)).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    };
    let mut found = vec![Vec::new()];
    for (step, value) in inner {
        found.extend(places(value).into_iter().map(|rest| [vec![step.clone()], rest].concat()));
    }
    found
}

fn at<'a>(value: &'a mut Value, place: &[Step]) -> &'a mut Value {
    place.iter().fold(value, |value, step| match step {
        Step::Member(name) => &mut value[name.as_str()],
        Step::Element(index) => &mut value[*index],
    })
}

fn name(place: &[Step]) -> String {
    let mut name = String::new();
    for step in place {
        match step {
            Step::Member(member) => name = if name.is_empty() { member.clone() } else { format!("{name}.{member}") },
            Step::Element(index) => name = format!("{name}[{index}]"),
        }
    }
    name
}

fn spoilings(valid: &Value, place: &[Step]) -> Vec<(Value, String)> {
    let mut copy = valid.clone();
    let current = at(&mut copy, place).clone();
    let path = name(place);
    let put = |value: Value| {
        let mut body = valid.clone();
        *at(&mut body, place) = value;
        body
    };
    let mut spoiled = vec![(put(Value::Null), path.clone()), (put(wrong_type(&current)), path.clone())];
    if path.is_empty() {
        let members: Vec<Value> = current.as_object().unwrap().values().cloned().collect();
        spoiled.push((json!(members), path.clone()));
    }
    if current.is_string() {
        spoiled.push((put(json!("x".repeat(5_000))), path.clone()));
    }
    if current.is_number() {
        spoiled.push((put(json!(-1)), path.clone()));
        spoiled.push((put(json!(u64::MAX)), path.clone()));
    }
    // A map takes any name; every other object has its own.
    if current.is_object() && !path.ends_with("labels") {
        let mut unknown = current;
        unknown["unknown_member"] = json!(1);
        let dot = if path.is_empty() { "" } else { "." };
        spoiled.push((put(unknown), format!("{path}{dot}unknown_member")));
    }
    spoiled
}

fn wrong_type(current: &Value) -> Value {
    match current {
        Value::String(_) | Value::Object(_) | Value::Array(_) => json!(7),
        Value::Null | Value::Bool(_) | Value::Number(_) => json!("x"),
    }
}

fn is_container(valid: &Value, field: &str) -> bool {
    let pointer = format!("/{}", field.replace('.', "/"));
    valid.pointer(&pointer).is_some_and(|value| value.is_array() || field.ends_with("labels"))
}
