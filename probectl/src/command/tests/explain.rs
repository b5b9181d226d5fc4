//! A report that is derived again, and one that was changed.

use std::time::Duration;

use agent_paths::machine::{self, Machine};
use agent_paths::{Answer, Arrival, Moment, Ports};
use serde_json::{Value, json};
use shared_protocol::spec::ProbeSpec;
use shared_protocol::time::MonotonicMicros;

use super::{Answer as Answered, Exit, FakePlane, probectl};

/// What an agent would report of a target one hop away.
fn report(spec: &ProbeSpec) -> Value {
    let at = |micros: u64| Moment {
        monotonic: MonotonicMicros::from_micros(micros),
        wall_offset_ns: 0,
    };
    let target = "192.0.2.9".parse().unwrap();
    let mut machine = Machine::begin(spec, target, at(1_000), None).unwrap();
    while let Some(departing) = machine.poll_send(at(1_000).monotonic).filter(|departing| departing.ttl == 1) {
        machine.handle_sent(departing.number, at(1_000), Ports::default());
        machine.handle_transmitted(departing.number, 1_000_000);
        let reply = Arrival {
            from: target,
            ttl: Some(64),
            kernel_ns: Some(1_310_000),
            moment: at(1_350),
            answer: Answer::EchoReply,
        };
        machine.handle_arrival(Some(departing.number), reply);
    }
    assert!(machine.is_finished(at(1_350).monotonic.plus(Duration::from_secs(1))));
    let (findings, verdict) = machine::findings(spec, target, machine.book()).unwrap();
    json!({
        "schema_version": 1, "status": verdict.status, "fault": verdict.fault, "started_at_us": 0, "duration_us": 1, "clock": {},
        "policy": {"verdict": "allowed", "rule": "owner_policy"}, "findings": findings, "raw": machine.book().log(),
    })
}

async fn plane(spec: &ProbeSpec, report: Value) -> FakePlane {
    let at = "2026-11-21T09:00:00.000000Z";
    let record = json!({
        "job": "j1", "measurement": "m1", "agent": "a1", "received_at": at, "started_at": at, "late": false, "report": report,
        "probe": "traceroute", "target": "192.0.2.9", "measured_at": at, "skewed": false,
    });
    let mut measurement = super::measurement("ended");
    measurement["spec"] = json!(spec);
    FakePlane::start([
        ("GET /api/v1/reports/j1", vec![Answered::json(200, &record)]),
        ("GET /api/v1/measurements/m1", vec![Answered::json(200, &measurement)]),
    ])
    .await
}

#[tokio::test]
async fn a_report_is_derived_again_and_says_what_it_rests_on() {
    let spec = ProbeSpec::parse(r#"{"probe":"traceroute","target":"192.0.2.9","queries":2,"raw":true}"#).unwrap();
    let report = report(&spec);
    let ran = probectl(&plane(&spec, report.clone()).await.url, &["explain", "j1"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    insta::assert_snapshot!(ran.data, @r"
    2 packets left and 2 came, as the report keeps them
    derived again: ok (fault: none)
    STATEMENT                                PACKETS
    everything asked was answered
    hop 1 answers: 2 of 2 answered in time   0-1
    the path ends here: the target answered  0-1
    the report is the same, byte for byte
    ");
    let ran = probectl(&plane(&spec, report).await.url, &["explain", "j1", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&ran.data).unwrap();
    assert_eq!((&document["same"], &document["grounds"][1]["packets"]), (&json!(true), &json!([0, 1])));
}

#[tokio::test]
async fn a_report_that_was_changed_is_not_the_same() {
    let spec = ProbeSpec::parse(r#"{"probe":"traceroute","target":"192.0.2.9","queries":1,"raw":true}"#).unwrap();
    let mut changed = report(&spec);
    changed["findings"]["hops"][0]["replies"][0]["rtt_us"] = json!(1);
    let ran = probectl(&plane(&spec, changed).await.url, &["explain", "j1"]).await;
    assert_eq!(ran.exit, Exit::Conflict);
    assert!(
        ran.data.ends_with("the report is not the same: it was changed, or made by another version\n"),
        "{}",
        ran.data
    );
}

#[tokio::test]
async fn a_report_that_keeps_nothing_cannot_be_derived() {
    let spec = ProbeSpec::parse(r#"{"probe":"traceroute","target":"192.0.2.9"}"#).unwrap();
    let mut bare = report(&spec);
    bare["raw"] = Value::Null;
    let ran = probectl(&plane(&spec, bare).await.url, &["explain", "j1"]).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Usage, ""));
    assert!(ran.words.contains("measure again with the option raw"), "{}", ran.words);
}
