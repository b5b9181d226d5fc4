//! Standing observations: what is asked for, and how what comes back looks.

use super::*;

const STANDING: &str = "/api/v1/standing-observations";

fn observation(state: &str, revision: u32) -> Value {
    json!({"id": "s1", "name": "drops", "revision": revision, "state": state, "spec": {"probe": "observe", "observation": "drops", "interval_ms": 10_000, "top": 20},
           "window_s": 60, "selection": {"agents": ["local"]}, "agents": 1, "created_by": "key:k", "created_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z"})
}

async fn plane() -> FakePlane {
    let mut recorded: Value = serde_json::from_str(include_str!("../../../../shared-protocol/tests/golden/v1/probes/observe.json")).unwrap();
    let report = recorded["report"].take();
    let window = json!({"id": "w1", "agent": "a1", "agent_name": "local", "revision": 2, "started_at": "2026-11-21T09:01:00Z", "measured_at": "2026-11-21T09:01:00Z",
                        "skewed": false, "received_at": "2026-11-21T09:02:00Z", "report": report});
    let agent = json!({"agent": "a1", "agent_name": "local", "state": "refused", "revision": 2, "reason": "policy_denied", "message": "the owner says no (observe.allow)",
                       "windows_lost": 3, "last_window_at": "2026-11-21T09:01:00Z", "told_at": "2026-11-21T09:02:00Z"});
    let page = |items: Value| json!({"items": items, "next_cursor": null});
    FakePlane::start([
        ("POST /api/v1/standing-observations", vec![Answer::json(201, &observation("running", 1))]),
        (
            "GET /api/v1/standing-observations",
            vec![Answer::json(200, &page(json!([observation("running", 1)])))],
        ),
        ("GET /api/v1/standing-observations/s1", vec![Answer::json(200, &observation("running", 1))]),
        ("PATCH /api/v1/standing-observations/s1", vec![Answer::json(200, &observation("stopped", 2))]),
        ("GET /api/v1/standing-observations/s1/agents", vec![Answer::json(200, &page(json!([agent])))]),
        ("GET /api/v1/standing-observations/s1/windows", vec![Answer::json(200, &page(json!([window])))]),
    ])
    .await
}

#[tokio::test]
async fn what_is_asked_for_is_what_the_options_say() {
    let plane = plane().await;
    let ran = probectl(
        &plane.url,
        &[
            "standing",
            "create",
            "drops",
            "--window",
            "1m",
            "--name",
            "all drops",
            "--top",
            "5",
            "--from",
            "local",
            "-o",
            "json",
        ],
    )
    .await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    let asked = plane.asked_for(&format!("POST {STANDING}"));
    let body = asked[0].body.clone();
    assert_eq!(
        body,
        json!({"name": "all drops", "spec": {"probe": "observe", "observation": "drops", "top": 5}, "window_s": 60,
               "selection": {"agents": ["local"], "labels": {}}})
    );
    let ran = probectl(&plane.url, &["standing", "update", "s1", "--top", "7"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    let ran = probectl(&plane.url, &["standing", "stop", "s1"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    let asked = plane.asked_for(&format!("PATCH {STANDING}/s1"));
    let bodies: Vec<Value> = asked.into_iter().map(|asked| asked.body).collect();
    assert_eq!(
        bodies,
        [
            json!({"spec": {"probe": "observe", "observation": "drops", "interval_ms": 10_000, "top": 7}}),
            json!({"state": "stopped"})
        ]
    );
    let refused = probectl(&plane.url, &["standing", "delete", "s1"]).await;
    assert_eq!((refused.exit, plane.asked_for(&format!("DELETE {STANDING}/s1")).len()), (Exit::Usage, 0));
}

#[tokio::test]
async fn one_is_shown_with_how_it_fares_and_its_windows_are_lines_or_whole() {
    let plane = plane().await;
    let ran = probectl(&plane.url, &["standing", "show", "s1"]).await;
    insta::assert_snapshot!(ran.data, @r"
    id           s1
    name         drops
    state        running
    revision     1
    observation  drops
    window       60 s
    agents       1
    made         2026-11-21T09:00:00.000000Z
    changed      2026-11-21T09:00:00.000000Z

    AGENT  STATE    REVISION  REASON         LAST WINDOW                  WINDOWS LOST  MESSAGE
    local  refused         2  policy_denied  2026-11-21T09:01:00.000000Z             3  the owner says no (observe.allow)
    ");
    let ran = probectl(&plane.url, &["standing", "windows", "s1", "--agent", "a1"]).await;
    insta::assert_snapshot!(ran.data, @r"
    STARTED                      AGENT  REVISION  STATUS       DURATION  SEEN
    2026-11-21T09:01:00.000000Z  local         2  degraded  2001.350 ms  1 connections: 1 opened, 1 closed, 0 failed; 10 bytes sent, 20 received, 1 segments sent again
    ");
    assert_eq!(plane.asked_for(&format!("GET {STANDING}/s1/windows?agent=a1&limit=50")).len(), 1);
    let whole = probectl(&plane.url, &["standing", "windows", "s1", "--details"]).await.data;
    assert!(whole.contains("on local") && whole.contains("the owner hides: addresses"), "{whole}");
    let json: Value = serde_json::from_str(&probectl(&plane.url, &["standing", "windows", "s1", "-o", "json"]).await.data).unwrap();
    assert_eq!(json["windows"][0]["report"]["findings"]["probe"], "observe");
    let csv = probectl(&plane.url, &["standing", "list", "-o", "csv"]).await.data;
    assert!(csv.ends_with("s1,drops,running,1,drops,60,1,2026-11-21T09:00:00.000000Z\r\n"), "{csv}");
}
