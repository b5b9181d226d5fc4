//! What a tenant used, what tiers allow, and what a measurement would cost.

use super::*;

fn allowance() -> Value {
    json!({"name": "measurements_per_hour", "limit": 250, "used": 12, "left": 238, "resets_at": "2026-11-21T10:00:00Z"})
}

async fn plane() -> FakePlane {
    let used = json!({"measurements": 3, "jobs": 5, "cached_jobs": 1, "cost": 4, "completed": 4, "failed": 0, "expired": 1, "cancelled": 0, "refused": 0,
                      "agent_us": 2_500_000, "report_bytes": 4_096});
    let mut day = used.clone();
    day["day"] = json!("2026-11-21");
    let usage = json!({"tier": "free", "from": "2026-11-20", "to": "2026-11-21", "days": [day], "total": used, "allowances": [allowance()]});
    let tier = |tier: shared_protocol::tier::Tier| json!({"name": tier.as_str(), "version": 1, "limits": shared_protocol::tier::TierLimits::starting(tier)});
    let tiers = shared_protocol::tier::Tier::ALL.map(tier);
    let plan = json!({"spec": {"probe": "ping", "target": "127.0.0.1"}, "cost": 1, "estimated_start": "2026-11-21T09:00:00Z", "allowances": [allowance()],
                      "jobs": [{"agent": "a1", "agent_name": "local", "cost": 1, "cached": false, "estimated_start": "2026-11-21T09:00:00Z"}]});
    FakePlane::start([
        ("GET /api/v1/usage", vec![Answer::json(200, &usage)]),
        ("GET /api/v1/tiers", vec![Answer::json(200, &json!({"items": tiers, "next_cursor": null}))]),
        (CREATE, vec![Answer::json(200, &plan)]),
    ])
    .await
}

#[tokio::test]
async fn usage_shows_what_is_left_and_what_was_used_each_day() {
    let plane = plane().await;
    let ran = probectl(&plane.url, &["usage", "--from", "2026-11-20"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    insta::assert_snapshot!(ran.data, @r"
    tier free, 2026-11-20 to 2026-11-21 (UTC)

    LIMIT                  ALLOWED  USED  LEFT  RESETS
    measurements_per_hour      250    12   238  2026-11-21T10:00:00.000000Z

    DAY         MEASUREMENTS  JOBS  CACHED JOBS  COST  COMPLETED  FAILED  EXPIRED  CANCELLED  REFUSED        AGENT  REPORT
    2026-11-21             3     5            1     4          4       0        1          0        0  2500.000 ms    4096
    ");
    assert_eq!(plane.asked_for("GET /api/v1/usage?from=2026-11-20").len(), 1);
    let csv = probectl(&plane.url, &["usage", "-o", "csv"]).await.data;
    assert!(csv.contains("\r\n2026-11-21,3,5,1,4,4,0,1,0,0,2500000,4096\r\n"), "{csv}");
    let whole: Value = serde_json::from_str(&probectl(&plane.url, &["usage", "-o", "json"]).await.data).unwrap();
    assert_eq!((&whole["v"], &whole["usage"]["tier"]), (&json!(1), &json!("free")));
}

#[tokio::test]
async fn tiers_stand_side_by_side() {
    let plane = plane().await;
    let ran = probectl(&plane.url, &["tiers"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    let heading: Vec<&str> = ran.data.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(heading, ["LIMIT", "FREE", "STANDARD", "ENTERPRISE"]);
    let rates = ran.data.lines().find(|line| line.starts_with("measurements_per_hour ")).unwrap();
    assert!(rates.ends_with("no limit"), "by contract, as the number says to programs: {rates}");
    let csv = probectl(&plane.url, &["tiers", "-o", "csv"]).await.data;
    assert!(
        csv.lines()
            .any(|line| line.starts_with("measurements_per_hour,") && line.ends_with(",1000000000")),
        "{csv}"
    );
    let weights = ran.data.lines().find(|line| line.starts_with("weight")).unwrap();
    assert_eq!(weights.split_whitespace().collect::<Vec<_>>(), ["weight", "1", "4", "16"]);
}

#[tokio::test]
async fn a_dry_run_shows_the_plan_and_measures_nothing() {
    let plane = plane().await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "--max-age", "60", "--dry-run"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{}", ran.words);
    insta::assert_snapshot!(ran.data, @r"
    AGENT  ID  COST  CACHED  ESTIMATED START
    local  a1     1  no      2026-11-21T09:00:00.000000Z

    cost 1 agent-seconds; nothing was measured, nothing counts

    LIMIT                  ALLOWED  USED  LEFT  RESETS
    measurements_per_hour      250    12   238  2026-11-21T10:00:00.000000Z
    ");
    let asked = plane.asked_for(CREATE);
    assert_eq!((&asked[0].body["dry_run"], &asked[0].body["max_age_s"]), (&json!(true), &json!(60)));
    assert_eq!(plane.asked().len(), 1, "nothing is followed");
}
