//! The shared outputs: comma-separated values, the table of several agents, completion.

use super::*;
use crate::output::probe::columns;
use shared_protocol::spec::ProbeKind;

/// A second job, on another agent, which never came to a report.
fn second(state: &str) -> Value {
    let mut second = job(state);
    second["id"] = json!("j2");
    second["agent"] = json!("a2");
    second["agent_name"] = json!("=away\x1b[2J");
    second["reason"] = json!("agent_lost");
    second
}

fn of_two(states: [&str; 2]) -> Value {
    let mut measurement = measurement(states[0]);
    measurement["jobs"] = json!([job(states[0]), second(states[1])]);
    measurement
}

async fn two_agents() -> FakePlane {
    let events = [
        event(0, "snapshot", &of_two(["running", "running"])),
        event(1, "finding", &finding(0, &packet(0))),
        event(2, "report", &report()),
        event(3, "done", &json!({"measurement": "m1"})),
    ];
    FakePlane::start([
        (CREATE, vec![Answer::json(202, &of_two(["queued", "queued"]))]),
        (EVENTS, vec![Answer::stream(&events.concat())]),
        (SHOW, vec![Answer::json(200, &of_two(["completed", "failed"]))]),
        (REPORTS, vec![Answer::json(200, &json!({"items": [report()], "next_cursor": null}))]),
    ])
    .await
}

#[tokio::test]
async fn api_15_a_measurement_as_csv_is_one_row_an_agent_and_no_cell_is_a_formula() {
    let ran = probectl(&two_agents().await.url, &["ping", "127.0.0.1", "-o", "csv"]).await;
    assert_eq!(ran.exit, Exit::Partial);
    assert!(ran.data.ends_with("\r\n"));
    insta::assert_snapshot!(ran.data.replace("\r\n", "\n"), @r"
    agent,job,started_at,status,fault,error,duration_us,address,sent,received,loss,rtt_min_us,rtt_avg_us,rtt_max_us,rtt_stddev_us,rtt_p50_us,rtt_p95_us,rtt_p99_us,user_rtt_avg_us,duplicates,late,reordered,errors
    local,j1,2026-11-21T09:00:00.000000Z,ok,none,,1,127.0.0.1,3,2,0.333333,21,21,1234567,4,21,21,21,60,0,1,0,0
    '=away[2J,j2,,failed,,agent_lost,,,,,,,,,,,,,,,,,
    ");
    let reports = probectl(&two_agents().await.url, &["measurements", "reports", "m1", "-o", "csv"]).await;
    assert_eq!(reports.data.lines().collect::<Vec<_>>(), ran.data.lines().take(2).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_measurement_is_a_table_of_markdown_and_numbers_for_prometheus() {
    let ran = probectl(&two_agents().await.url, &["ping", "127.0.0.1", "-o", "md"]).await;
    insta::assert_snapshot!(ran.data, @r"
    | agent | job | started\_at | status | fault | error | duration\_us | address | sent | received | loss | rtt\_min\_us | rtt\_avg\_us | rtt\_max\_us |
    | --- | --- | --- | --- | --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | local | j1 | 2026-11-21T09:00:00.000000Z | ok | none | - | 0.001 ms | 127.0.0.1 | 3 | 2 | 33.3 % | 0.021 ms | 0.021 ms | 1234.567 ms |
    | =away\[2J | j2 | - | failed | - | agent\_lost | - | - | - | - | - | - | - | - |
    ");
    let ran = probectl(&two_agents().await.url, &["measurements", "reports", "m1", "-o", "prom"]).await;
    for line in [
        "# TYPE probe_success gauge",
        r#"probe_success{probe="ping",target="127.0.0.1",agent="local"} 1"#,
        r#"probe_duration_seconds{probe="ping",target="127.0.0.1",agent="local"} 0.000001"#,
        r#"probe_icmp_packets_sent_count{probe="ping",target="127.0.0.1",agent="local"} 3"#,
        r#"probeops_ping_rtt_avg_seconds{probe="ping",target="127.0.0.1",agent="local"} 0.000021"#,
    ] {
        assert!(ran.data.lines().any(|printed| printed == line), "{line}: {}", ran.data);
    }
    let observed = probectl(&two_agents().await.url, &["observe", "drops", "--no-wait", "-o", "prom"]).await;
    assert_eq!(observed.exit, Exit::Ok);
    let refused = probectl(&two_agents().await.url, &["agents", "list", "-o", "prom"]).await;
    assert_eq!((refused.exit, refused.data.as_str()), (Exit::Usage, ""));
}

#[tokio::test]
async fn several_agents_on_a_terminal_are_one_table_that_is_drawn_again() {
    let ran = probectl_on(TERMINAL, &two_agents().await.url, &["ping", "127.0.0.1"], pending()).await;
    let last = ran.data.rsplit("\x1b[J").next().unwrap();
    insta::assert_snapshot!(last, @r"
    AGENT     STATUS  ADDRESS    SENT  RECEIVED    LOSS   RTT MIN   RTT AVG      RTT MAX  NOTE
    local     ok      127.0.0.1     3         2  33.3 %  0.021 ms  0.021 ms  1234.567 ms
    =away[2J  failed  -             0         0       -         -         -            -  agent_lost
    ");
    let coloured = probectl_on(COLOUR, &two_agents().await.url, &["ping", "127.0.0.1"], pending()).await;
    assert!(coloured.data.rsplit("\x1b[J").next().unwrap().contains("\x1b[31m=away"), "{:?}", coloured.data);
}

#[tokio::test]
async fn several_agents_in_a_pipe_are_lines_that_say_whose_they_are() {
    let ran = probectl(&two_agents().await.url, &["ping", "127.0.0.1"]).await;
    assert!(ran.data.starts_with("[local] reply seq=0 from 127.0.0.1"), "{}", ran.data);
    assert!(!ran.data.contains('\x1b'), "{:?}", ran.data);
    assert!(ran.data.ends_with("=away[2J: no report, the job is failed (agent_lost)\n"), "{}", ran.data);
}

#[tokio::test]
async fn a_region_or_the_agents_of_before_may_be_asked_for() {
    let plane = two_agents().await;
    for (arguments, selection) in [
        (&["--region", "eu"][..], json!({"agents": [], "labels": {}, "region": "eu"})),
        (
            &["--same-as", "m0", "--limit", "2"],
            json!({"agents": [], "labels": {}, "same_as": "m0", "count": 2}),
        ),
    ] {
        let ran = probectl(&plane.url, &[&["ping", "127.0.0.1", "--no-wait"], arguments].concat()).await;
        assert_eq!((ran.exit, &plane.asked().pop().unwrap().body["selection"]), (Exit::Ok, &selection));
    }
    let refused = probectl(&plane.url, &["ping", "127.0.0.1", "--from", "all", "--region", "eu"]).await;
    assert_eq!(refused.exit, Exit::Usage);
}

#[tokio::test]
async fn lists_are_csv_under_the_names_of_their_columns() {
    let items = json!({"items": [agent("a", "online"), agent("@b", "never")], "next_cursor": null});
    let plane = FakePlane::start([("GET /api/v1/agents", vec![Answer::json(200, &items)])]).await;
    let ran = probectl(&plane.url, &["agents", "list", "-o", "csv"]).await;
    insta::assert_snapshot!(ran.data.replace("\r\n", "\n"), @r"
    name,id,state,duty,presence,last_seen,version,region,labels,sharing
    a,id-of-a,active,working,online,,0.1.0,eu,region=eu,own
    '@b,id-of-@b,active,working,never,,0.1.0,eu,region=eu,own
    ");
}

#[tokio::test]
async fn completion_needs_no_control_plane_and_knows_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = probectl("http://127.0.0.1:9", &["completion", shell]).await;
        assert_eq!((ran.exit, ran.words.as_str()), (Exit::Ok, ""));
        for word in ["ping", "measurements", "interval-ms", "completion"] {
            assert!(ran.data.contains(word), "{shell}: {word}");
        }
    }
}

#[test]
fn the_documented_columns_are_those_that_are_printed() {
    let page = include_str!("../../../../docs/probectl.md");
    for kind in ProbeKind::ALL {
        let row = format!("| `{kind}` | `{}` |", columns(kind).names.join("` `"));
        assert!(page.contains(&row), "docs/probectl.md has no line\n{row}");
    }
}
