//! `probectl http`, over a recorded fetch.

use super::*;

fn recorded() -> Value {
    serde_json::from_str(include_str!("../../../../shared-protocol/tests/golden/v1/probes/http.json")).unwrap()
}

fn fetched(state: &str) -> Value {
    let mut measurement = measurement(state);
    measurement["spec"] = recorded()["spec"].clone();
    measurement
}

async fn plane() -> FakePlane {
    let recorded = recorded();
    let mut report = report();
    report["report"] = recorded["report"].clone();
    let findings = recorded["events"].as_array().unwrap().iter().zip(1..);
    let findings: String = findings
        .map(|(finding, n)| event(n, "finding", &json!({"job": "j1", "agent": "a1", "n": n - 1, "finding": finding})))
        .collect();
    let events = [
        event(0, "snapshot", &fetched("running")),
        findings,
        event(90, "report", &report),
        event(91, "done", &json!({"measurement": "m1"})),
    ];
    FakePlane::start([
        (CREATE, vec![Answer::json(202, &fetched("queued"))]),
        (EVENTS, vec![Answer::stream(&events.concat())]),
        (SHOW, vec![Answer::json(200, &fetched("completed"))]),
        (REPORTS, vec![Answer::json(200, &json!({"items": [report], "next_cursor": null}))]),
    ])
    .await
}

#[tokio::test]
async fn a_fetch_is_told_phase_by_phase_and_the_report_tells_the_phases_that_were_missed() {
    let ran = probectl(&plane().await.url, &["http", "https://example.test/a?b"]).await;
    assert_eq!((ran.exit, ran.words.as_str()), (Exit::TargetFailed, ""));
    insta::assert_snapshot!(ran.data, @r#"
    GET https://example.test/a?b
      dns 0.812 ms, at 0.830 ms
      to 127.0.0.1:443
      first_byte 1.203 ms, at 4.100 ms
      status 302, HTTP/2
    --- https://example.test/a?b from local: http ---
    GET https://example.test/a?b
      dns 0.812 ms
      tcp 0.060 ms
      tls 1.500 ms
      request 0.040 ms
      first_byte 1.203 ms
      download 0.090 ms
      ended in download
      TLS 1.3 TLS_AES_256_GCM_SHA384 X25519MLKEM768, certificate of CN=other.test has 26700 days left, NOT TRUSTED: certificate not valid for name
      status 302, HTTP/2, 11 bytes (40 as gzip), and there is more
      kernel: round trip 0.031 ms, 0 segments sent again
    not followed to http://example.test/: downgrade
    total 5.050 ms in 1 request
    local: failed: the redirect leads from https to http (redirect_refused, fault: target)
    "#);
}

#[tokio::test]
async fn on_a_terminal_the_phases_stand_side_by_side() {
    let ran = probectl_on(TERMINAL, &plane().await.url, &["http", "https://example.test/a?b"], pending()).await;
    let waterfall: Vec<&str> = ran.data.lines().filter(|line| line.ends_with('=')).collect();
    insta::assert_snapshot!(waterfall.join("\n"), @r"
    dns                0.812 ms  =======
    tcp                0.060 ms        =
    tls                1.500 ms        ============
    request            0.040 ms                    =
    first_byte         1.203 ms                     ==========
    download           0.090 ms                              =
    ");
}

#[tokio::test]
async fn a_fetch_as_csv_is_one_row() {
    let ran = probectl(&plane().await.url, &["http", "https://example.test/a?b", "-o", "csv"]).await;
    let mut lines = ran.data.lines();
    let named: Vec<(&str, &str)> = lines.next().unwrap().split(',').zip(lines.next().unwrap().split(',')).collect();
    for pair in [
        ("error", "redirect_refused"),
        ("http_status", "302"),
        ("http_version", "2"),
        ("redirects", "0"),
        ("tls_us", "1500"),
        ("fetch_us", "5050"),
        ("certificate_ok", "false"),
        ("certificate_days_left", "26700"),
        ("url", "https://example.test/a?b"),
    ] {
        assert!(named.contains(&pair), "{pair:?}: {named:?}");
    }
}

#[tokio::test]
async fn a_fetch_asks_for_what_its_options_say_and_nothing_else() {
    let plane = plane().await;
    let long = "http HTTPS://Example.test -X POST -H X-A:b --body hi --http-version 2 --no-follow -k --no-compression --max-time-ms 900 --max-body 5 --keep-body 4 \
                --connect-to 127.0.0.1 --sni a.test --af 4 --no-wait --from local";
    assert_eq!(probectl(&plane.url, &long.split_whitespace().collect::<Vec<_>>()).await.exit, Exit::Ok);
    let spec = json!({"probe": "http", "url": "https://example.test/", "method": "POST", "headers": [{"name": "X-A", "value": "b"}], "body": "hi", "version": "2",
                      "follow": 0, "verify": false, "compression": false, "timeout_ms": 900, "body_max_bytes": 5, "body_keep_bytes": 4,
                      "connect_to": "127.0.0.1", "sni": "a.test", "af": "4"});
    assert_eq!(plane.asked()[0].body["spec"], spec);
    shared_protocol::spec::ProbeSpec::from_value(spec).unwrap();
    assert_eq!(probectl(&plane.url, &["http", "http://127.0.0.1/", "--no-wait"]).await.exit, Exit::Ok);
    assert_eq!(plane.asked()[1].body["spec"], json!({"probe": "http", "url": "http://127.0.0.1/"}));
    for bad in ["ftp://a.test/", "127.0.0.1", "http://u@a.test/", "http://a.test/#x"] {
        assert!(Cli::try_parse_from(["probectl", "http", bad]).is_err(), "{bad}");
    }
}
