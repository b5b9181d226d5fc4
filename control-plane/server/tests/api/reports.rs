//! Reports and metrics as tenants ask for them.

use serde_json::Value;

use crate::server::{Server, problem};

async fn with_key() -> (Server, String, String) {
    let server = Server::start().await;
    let tenant = server.tenant("t").await;
    let key = server.key(tenant, &["read"]).await;
    let agent = server.agent(tenant).await;
    (server, key, agent)
}

#[tokio::test]
async fn api_03_filters_are_values_never_patterns_and_unknown_ones_are_refused() {
    let (server, key, _) = with_key().await;
    for (query, field) in [
        ("sort=id;drop", "sort"),
        ("status=bad", "status"),
        ("fault=%25", "fault"),
        ("late=maybe", "late"),
        ("measurement=1", "measurement"),
        ("agent=%27;--", "agent"),
        ("from=yesterday", "from"),
        ("limit=0", "limit"),
        ("cursor=forged", "cursor"),
        ("from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from"),
    ] {
        let (status, body) = problem(server.get(&format!("/api/v1/reports?{query}"), &key).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{query}: {body}");
    }
    for harmless in [
        "target=%25",
        "target=a%27%20OR%201=1%20--",
        "probe=_",
        "target=%5C",
        "to=9999-01-01T00:00:00Z",
        "from=0001-01-01T00:00:00Z",
    ] {
        let response = server.get(&format!("/api/v1/reports?{harmless}"), &key).await;
        assert_eq!(response.status(), 200, "{harmless}");
        assert_eq!(response.json::<Value>().await.unwrap()["items"].as_array().unwrap().len(), 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn api_16_metrics_of_a_time_that_cannot_be_are_refused_by_field() {
    let (server, key, agent) = with_key().await;
    let metric = "metric=ping.rtt_avg_us";
    for (query, field) in [
        (String::new(), "metric"),
        ("metric=rtt".to_owned(), "metric"),
        ("metric=ping.%3Bdrop".to_owned(), "metric"),
        (format!("{metric}&agent_id=x"), "agent_id"),
        (format!("{metric}&agent_id={agent}&from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z"), "from"),
        (format!("{metric}&agent_id={agent}&from=0001-01-01T00:00:00Z"), "from"),
        (format!("{metric}&agent_id={agent}&from=2026-02-31T00:00:00Z"), "from"),
        (format!("{metric}&agent_id={agent}&step=0"), "step"),
        (format!("{metric}&agent_id={agent}&step=-5"), "step"),
        (format!("{metric}&agent_id={agent}&step=5000"), "step"),
        (format!("{metric}&step=60"), "step"),
        (format!("{metric}&limit=5"), "limit"),
    ] {
        let (status, body) = problem(server.get(&format!("/api/v1/metrics?{query}"), &key).await).await;
        assert_eq!((status, body["field"].as_str()), (422, Some(field)), "{query}: {body}");
    }
    // A leap second and a change of summer time are instants like others; times are UTC.
    for range in [
        "from=2016-12-31T23:00:00Z&to=2016-12-31T23:59:60Z",
        "from=2026-03-29T00:30:00Z&to=2026-03-29T03:30:00%2B02:00&step=60",
    ] {
        let response = server.get(&format!("/api/v1/metrics?{metric}&agent_id={agent}&{range}"), &key).await;
        assert_eq!(response.status(), 200, "{range}: {}", response.text().await.unwrap());
    }
    server.stop().await;
}

#[tokio::test]
async fn an_empty_export_is_whole_in_every_format() {
    let (server, key, _) = with_key().await;
    for (format, begins, content_type) in [
        ("ndjson", "", "application/x-ndjson"),
        ("json", "[\n]\n", "application/json"),
        (
            "csv",
            "job,measurement,agent,probe,target,status,fault,",
            "text/csv; charset=utf-8; header=present",
        ),
    ] {
        let response = server.get(&format!("/api/v1/reports/export?format={format}"), &key).await;
        assert_eq!(response.headers()["content-type"], content_type);
        let body = response.text().await.unwrap();
        assert!(body.starts_with(begins) && (format != "json" || body == begins), "{format}: {body}");
    }
    let (status, body) = problem(server.get("/api/v1/reports/export?format=xml", &key).await).await;
    assert_eq!((status, body["field"].as_str()), (422, Some("format")));
    server.stop().await;
}
