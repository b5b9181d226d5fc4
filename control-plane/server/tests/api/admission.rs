//! Admission: rates, quotas, caps, idempotency, plans, and what a tier switches.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::server::{Server, problem};

fn ping(agent: &str) -> Value {
    json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": [agent]}})
}

async fn set(server: &Server, operator: &str, tier: &str, limits: &Value) {
    let path = format!("/api/v1/tiers/{tier}");
    let answer = server.request(Method::PATCH, &path, operator).json(limits).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn api_09_of_2000_measurements_asked_for_at_once_exactly_the_quota_is_accepted() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let operator = server.key(tenant, &["operator"]).await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    set(&server, &operator, "enterprise", &json!({"measurements_per_month": 100})).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..2_000 {
        let request = server.request(Method::POST, "/api/v1/measurements", &key).json(&ping(&agent));
        asked.spawn(async move { request.send().await.unwrap() });
    }
    let (mut accepted, mut refused) = (0, 0);
    while let Some(answer) = asked.join_next().await {
        let answer = answer.unwrap();
        if answer.status() == StatusCode::ACCEPTED {
            accepted += 1;
        } else {
            assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
            let (status, body) = problem(answer).await;
            assert_eq!((status, body["code"].as_str()), (429, Some("rate_limited")), "{body}");
            refused += 1;
        }
    }
    assert_eq!((accepted, refused), (100, 1_900));
    let usage: Value = server.get("/api/v1/usage", &key).await.json().await.unwrap();
    assert_eq!((&usage["total"]["measurements"], &usage["total"]["jobs"]), (&json!(100), &json!(100)));
    server.stop().await;
}

#[tokio::test]
async fn api_07_one_idempotency_key_sent_many_times_at_once_makes_one_measurement() {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let request = server.request(Method::POST, "/api/v1/measurements", &key).header("idempotency-key", "once");
        let request = request.json(&ping(&agent));
        asked.spawn(async move { request.send().await.unwrap().json::<Value>().await.unwrap() });
    }
    let mut ids = BTreeSet::new();
    while let Some(answer) = asked.join_next().await {
        let answer = answer.unwrap();
        assert!(answer["estimated_start"].is_string(), "{answer}");
        ids.insert(answer["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids.len(), 1);
    let all: Value = server.get("/api/v1/measurements", &key).await.json().await.unwrap();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
    let usage: Value = server.get("/api/v1/usage", &key).await.json().await.unwrap();
    assert_eq!(usage["total"]["measurements"], 1, "only what is accepted counts");

    let again = server.request(Method::POST, "/api/v1/measurements", &key).header("idempotency-key", "once");
    let other = again.json(&json!({"spec": {"probe": "ping", "target": "127.0.0.2"}, "selection": {"agents": [agent]}}));
    let (status, body) = problem(other.send().await.unwrap()).await;
    assert_eq!((status, body["code"].as_str()), (409, Some("idempotency_mismatch")));
    server.stop().await;
}

#[tokio::test]
async fn every_answer_about_a_measurement_says_what_is_left_and_a_key_that_asks_too_often_waits() {
    let server = Server::start().await;
    let tenant = server.tenant_of("t", "standard").await;
    let operator = server.key(tenant, &["operator"]).await;
    let (key, other) = (server.key(tenant, &["measure"]).await, server.key(tenant, &["measure"]).await);
    let agent = server.agent(tenant).await;
    let limits = json!({"measurements_per_minute_of_key": 2, "measurements_per_minute": 3});
    set(&server, &operator, "standard", &limits).await;
    let answer = server.post("/api/v1/measurements", &key, &ping(&agent)).await;
    assert_eq!(answer.status(), 202);
    let policy = answer.headers()["ratelimit-policy"].to_str().unwrap();
    assert!(
        policy.starts_with(r#""key-minute";q=2;w=60, "minute";q=3;w=60, "hour";q=5000;w=3600, "day";q=50000;w=86400"#),
        "{policy}"
    );
    let left = answer.headers()["ratelimit"].to_str().unwrap();
    assert!(left.starts_with(r#""key-minute";r=1;t=30, "minute";r=2;t="#), "{left}");
    assert!(left.contains(r#""hour";r=4999;t="#), "{left}");

    for body in [json!({"spec": 1}), json!([])] {
        let refused = server.post("/api/v1/measurements", &key, &body).await;
        assert_eq!(refused.status(), 422);
        assert!(
            refused.headers()["ratelimit"].to_str().unwrap().contains("r=1;"),
            "what is refused takes nothing"
        );
    }
    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&agent)).await.status(), 202);
    let refused = server.post("/api/v1/measurements", &key, &ping(&agent)).await;
    let wait: u32 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    assert!(refused.headers()["ratelimit"].to_str().unwrap().starts_with(r#""key-minute";r=0;t="#));
    let (status, body) = problem(refused).await;
    assert_eq!((status, body["code"].as_str()), (429, Some("rate_limited")));
    assert_eq!(
        server.post("/api/v1/measurements", &other, &ping(&agent)).await.status(),
        202,
        "another key of the tenant"
    );
    assert_eq!(
        server.post("/api/v1/measurements", &other, &ping(&agent)).await.status(),
        429,
        "the tenant's three are gone"
    );
    set(
        &server,
        &operator,
        "standard",
        &json!({"measurements_per_minute": 600, "measurements_per_minute_of_key": 600}),
    )
    .await;
    assert_eq!(
        server.post("/api/v1/measurements", &key, &ping(&agent)).await.status(),
        202,
        "more is allowed at once"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_says_what_would_be_done_and_stores_nothing() {
    let server = Server::start().await;
    let tenant = server.tenant_of("t", "free").await;
    let key = server.key(tenant, &["measure", "read"]).await;
    let agent = server.agent(tenant).await;
    let mut request = ping(&agent);
    request["dry_run"] = json!(true);
    request["spec"]["count"] = json!(10);
    for _ in 0..100 {
        let answer = server.post("/api/v1/measurements", &key, &request).await;
        assert_eq!(answer.status(), 200);
        let plan: Value = answer.json().await.unwrap();
        assert_eq!(
            (&plan["cost"], &plan["jobs"][0]["cost"], &plan["jobs"][0]["agent"]),
            (&json!(3), &json!(3), &json!(agent))
        );
        assert!(plan["estimated_start"].is_string() && plan["jobs"][0]["estimated_start"].is_string(), "{plan}");
        let hour = plan["allowances"].as_array().unwrap().iter().find(|one| one["name"] == "measurements_per_hour");
        assert_eq!(hour.unwrap()["left"], 250, "nothing counts");
    }
    request["spec"]["count"] = json!(17);
    let (status, body) = problem(server.post("/api/v1/measurements", &key, &request).await).await;
    assert_eq!((status, body["code"].as_str()), (422, Some("tier_limit")), "refused as it would be");
    let all: Value = server.get("/api/v1/measurements", &key).await.json().await.unwrap();
    assert_eq!(all["items"], json!([]));
    for age in [0, 86_401] {
        let mut request = ping(&agent);
        request["max_age_s"] = json!(age);
        let (status, body) = problem(server.post("/api/v1/measurements", &key, &request).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some("max_age_s")));
    }
    server.stop().await;
}

/// What is tried at each limit: how the tier is set up, a request, how often it is taken, and how the next one is refused.
struct Row {
    limit: &'static str,
    value: Value,
    method: Method,
    path: &'static str,
    at_the_limit: Value,
    one_above: Value,
    status: u16,
    code: &'static str,
    field: Option<&'static str>,
    upgraded: Value,
}

fn row(
    limit: &'static str,
    value: Value,
    (at_the_limit, one_above): (Value, Value),
    (status, code, field): (u16, &'static str, Option<&'static str>),
    upgraded: Value,
) -> Row {
    let path = match limit {
        "agents" => "/api/v1/join-tokens",
        "keys" => "/api/v1/keys",
        _ => "/api/v1/measurements",
    };
    Row {
        limit,
        value,
        method: Method::POST,
        path,
        at_the_limit,
        one_above,
        status,
        code,
        field,
        upgraded,
    }
}

fn rows(agents: &[String]) -> Vec<Row> {
    let agent = agents[0].as_str();
    let spec = |name: &str, value: u32| {
        let mut request = ping(agent);
        request["spec"][name] = json!(value);
        request
    };
    let both = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "selection": {"agents": agents}});
    let key = json!({"name": "n", "scopes": ["read"]});
    let (tier, rate) = ((422, "tier_limit"), (429, "rate_limited"));
    let field = |(status, code): (u16, &'static str), field: &'static str| (status, code, Some(field));
    vec![
        row("probes", json!(["ping"]), (ping(agent), ping(agent)), field(tier, "spec.probe"), json!(["*"])),
        row(
            "ping_packets",
            json!(5),
            (spec("count", 5), spec("count", 6)),
            field(tier, "spec.count"),
            json!(6),
        ),
        row(
            "ping_interval_ms",
            json!(300),
            (spec("interval_ms", 300), spec("interval_ms", 299)),
            field(tier, "spec.interval_ms"),
            json!(299),
        ),
        row("agents_per_measurement", json!(1), (ping(agent), both), field(tier, "selection"), json!(2)),
        row("open_jobs", json!(1), (ping(agent), ping(agent)), (429, "too_many_open_jobs", None), json!(2)),
        row(
            "measurements_per_minute_of_key",
            json!(1),
            (ping(agent), ping(agent)),
            (rate.0, rate.1, None),
            json!(100),
        ),
        row(
            "measurements_per_minute",
            json!(1),
            (ping(agent), ping(agent)),
            (rate.0, rate.1, None),
            json!(100),
        ),
        row("measurements_per_hour", json!(1), (ping(agent), ping(agent)), (rate.0, rate.1, None), json!(2)),
        row("measurements_per_day", json!(1), (ping(agent), ping(agent)), (rate.0, rate.1, None), json!(2)),
        row("measurements_per_month", json!(1), (ping(agent), ping(agent)), (rate.0, rate.1, None), json!(2)),
        row("agents", json!(3), (json!({}), json!({})), field(tier, "agents"), json!(4)),
        row("keys", json!(4), (key.clone(), key), field(tier, "keys"), json!(5)),
    ]
}

#[tokio::test]
async fn aut_19_at_each_limit_of_a_tier_a_request_is_taken_one_above_is_refused_and_a_higher_limit_frees_it() {
    for index in 0..12 {
        let server = Server::start().await;
        let (tenant, others) = (server.tenant_of("t", "free").await, server.tenant("operator's").await);
        let operator = server.key(others, &["operator"]).await;
        let key = server.key(tenant, &["measure", "read", "admin"]).await;
        for _ in 0..2 {
            server.key(tenant, &["read"]).await;
        }
        let agents = [server.agent(tenant).await, server.agent(tenant).await];
        let row = rows(&agents).into_iter().nth(index).unwrap();
        set(&server, &operator, "free", &json!({ row.limit: row.value })).await;
        let send = async |body: &Value| server.request(row.method.clone(), row.path, &key).json(body).send().await.unwrap();

        let taken = send(&row.at_the_limit).await;
        assert!(taken.status().is_success(), "{}: {:?}", row.limit, taken.text().await);
        // What the one that was taken does not bring about by itself.
        match row.limit {
            "probes" => set(&server, &operator, "free", &json!({"probes": ["tcp"]})).await,
            "agents" => drop(server.agent(tenant).await),
            _ => {}
        }
        let (status, body) = problem(send(&row.one_above).await).await;
        assert_eq!(
            (status, body["code"].as_str(), body["field"].as_str()),
            (row.status, Some(row.code), row.field),
            "{}: {body}",
            row.limit
        );
        set(&server, &operator, "free", &json!({ row.limit: row.upgraded })).await;
        let freed = send(&row.one_above).await;
        assert!(freed.status().is_success(), "{}: {:?}", row.limit, freed.text().await);
        server.stop().await;
    }
}

#[tokio::test]
async fn aut_19_the_newest_agents_above_the_number_get_no_new_work_until_there_is_room_and_none_joins() {
    let server = Server::start().await;
    let tenant = server.tenant_of("t", "free").await;
    let operator = server.key(tenant, &["operator"]).await;
    let key = server.key(tenant, &["measure", "read", "admin"]).await;
    let (first, second) = (server.agent(tenant).await, server.agent(tenant).await);
    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&second)).await.status(), 202);
    let token = server.join_token(tenant).await;
    set(&server, &operator, "free", &json!({"agents": 1})).await;

    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&first)).await.status(), 202);
    let (status, body) = problem(server.post("/api/v1/measurements", &key, &ping(&second)).await).await;
    assert_eq!(
        (status, body["code"].as_str(), body["field"].as_str()),
        (422, Some("tier_limit"), Some("selection.agents"))
    );
    let jobs: Value = server.get(&format!("/api/v1/jobs?agent={second}"), &key).await.json().await.unwrap();
    assert_eq!(jobs["items"][0]["state"], "queued", "what was accepted stays");
    let refused = server.try_enrol(&token).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.field()),
        (shared_protocol::fault::ProblemCode::TierLimit, Some("agents"))
    );

    set(&server, &operator, "free", &json!({"agents": 3})).await;
    assert_eq!(server.post("/api/v1/measurements", &key, &ping(&second)).await.status(), 202);
    server.try_enrol(&token).await.expect("the token is good still");
    server.stop().await;
}

#[tokio::test]
async fn job_15_a_hundred_jobs_to_one_victim_are_sent_what_the_operator_allows_whoever_asks() {
    let server = Server::start().await;
    let (one, other) = (server.tenant("one").await, server.tenant("other").await);
    let keys = [server.key(one, &["measure", "read"]).await, server.key(other, &["measure", "read"]).await];
    let agents = [server.agent(one).await, server.agent(other).await];
    // A hundred packets a second each; ten thousand are allowed, and half of them on behalf of one tenant.
    let flood = |agent: &str, target: &str| {
        json!({
            "spec": {"probe": "ping", "target": target, "count": 100, "interval_ms": 10},
            "selection": {"agents": [agent]},
            "deadline_s": 86_400,
        })
    };
    let mut latest = String::new();
    for number in 0..100 {
        let whose = number % 2;
        let answer = server
            .post("/api/v1/measurements", &keys[whose], &flood(&agents[whose], "victim.example"))
            .await;
        assert_eq!(answer.status(), 202, "{number}: {}", answer.text().await.unwrap());
        let accepted: Value = answer.json().await.unwrap();
        accepted["id"].as_str().unwrap().clone_into(&mut latest);
    }
    let one_more = |whose: usize, dry_run: bool| {
        let mut wanted = flood(&agents[whose], "Victim.example");
        wanted["dry_run"] = json!(dry_run);
        let request = server.request(Method::POST, "/api/v1/measurements", &keys[whose]).json(&wanted);
        async move { request.send().await.unwrap() }
    };
    for (whose, dry_run) in [(0, false), (0, true), (1, false)] {
        let answer = one_more(whose, dry_run).await;
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u64>().unwrap() >= 1);
        let (status, body) = problem(answer).await;
        assert_eq!((status, body["code"].as_str()), (429, Some("target_busy")), "{dry_run}: {body}");
        assert!(body["detail"].as_str().unwrap().starts_with("victim.example "), "{body}");
    }
    // Another target has its own share, and a private address is another host in each network.
    for target in ["bystander.example", "10.0.0.1"] {
        let answer = server.post("/api/v1/measurements", &keys[0], &flood(&agents[0], target)).await;
        assert_eq!(answer.status(), 202, "{target}");
    }
    // What was refused counts nothing; what ends makes room for its own tenant, while the other has its half.
    let path = format!("/api/v1/measurements/{latest}/cancel");
    assert_eq!(server.request(Method::POST, &path, &keys[1]).send().await.unwrap().status(), 200);
    assert_eq!(one_more(0, false).await.status(), 429);
    assert_eq!(one_more(1, false).await.status(), 202);
    assert_eq!(one_more(1, false).await.status(), 429);
    server.stop().await;
}
