use std::future::{Future, pending};
use std::io;

use clap::Parser;
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::config::Surroundings;
use crate::exit::Exit;
use crate::fake_plane::{Answer, FakePlane};
use crate::output::{Colour, Screen, Surface, Terminal};

mod explain;
mod http;
mod outputs;
mod standing;
mod subscription;

const TERMINAL: Surface = Surface::Terminal(Terminal {
    colour: Colour::Off,
    columns: 120,
    rows: 40,
});
const COLOUR: Surface = Surface::Terminal(Terminal {
    colour: Colour::On,
    columns: 120,
    rows: 40,
});
const CREATE: &str = "POST /api/v1/measurements";
const EVENTS: &str = "GET /api/v1/measurements/m1/events";
const CANCEL: &str = "POST /api/v1/measurements/m1/cancel";
const SHOW: &str = "GET /api/v1/measurements/m1";
const REPORTS: &str = "GET /api/v1/measurements/m1/reports";

/// What a command printed, and how it ended.
#[derive(Debug)]
struct Ran {
    exit: Exit,
    data: String,
    words: String,
}

async fn probectl(url: &str, arguments: &[&str]) -> Ran {
    probectl_on(Surface::Pipe, url, arguments, pending()).await
}

async fn probectl_on(surface: Surface, url: &str, arguments: &[&str], interrupt: impl Future<Output = ()>) -> Ran {
    let (mut data, mut words) = (Vec::new(), Vec::new());
    let exit = run(url, arguments, &mut Screen::new(&mut data, &mut words, surface), interrupt).await;
    Ran {
        exit,
        data: String::from_utf8(data).unwrap(),
        words: String::from_utf8(words).unwrap(),
    }
}

async fn run(url: &str, arguments: &[&str], screen: &mut Screen<'_>, interrupt: impl Future<Output = ()>) -> Exit {
    let cli = Cli::try_parse_from([&["probectl", "--url", url], arguments].concat()).unwrap();
    let surroundings = Surroundings {
        token: Some("po_live_test".into()),
        ..Surroundings::default()
    };
    super::run(cli, surroundings, &mut io::empty(), screen, interrupt).await
}

fn agent(name: &str, presence: &str) -> Value {
    json!({"id": format!("id-of-{name}"), "sharing": "own", "name": name, "labels": {"region": "eu"}, "region": "eu", "zone": null, "network": null, "state": "active",
           "duty": "working", "presence": presence, "last_seen_at": null, "created_at": "2026-11-21T09:00:00Z", "enrolled_at": null, "load": null,
           "revision": 3, "version": "0.1.0", "capabilities": [], "host": null, "certificate_expires_at": null})
}

fn job(state: &str) -> Value {
    json!({"id": "j1", "measurement": "m1", "agent": "a1", "agent_name": "local", "state": state, "reason": null, "attempt": 1,
           "created_at": "2026-11-21T09:00:00Z", "deadline_at": "2026-11-21T09:10:00Z", "cancel_requested_at": null, "ended_at": null})
}

fn measurement(state: &str) -> Value {
    json!({"id": "m1", "spec": {"probe": "ping", "target": "127.0.0.1"}, "created_at": "2026-11-21T09:00:00Z", "deadline_at": "2026-11-21T09:10:00Z",
           "estimated_start": null, "state": if state == "completed" { "ended" } else { "open" }, "jobs": [job(state)]})
}

fn packet(seq: u32) -> Value {
    json!({"seq": seq, "rtt_us": 21, "user_rtt_us": 60 + seq, "reply_ttl": 64, "bytes": 64})
}

fn lost(seq: u32) -> Value {
    json!({"seq": seq, "rtt_us": null, "user_rtt_us": null, "reply_ttl": null, "bytes": null})
}

fn report() -> Value {
    let rtt = |micros: u64| {
        json!({"min_us": micros, "avg_us": micros, "max_us": 1_234_567, "stddev_us": 4, "p50_us": micros, "p95_us": micros, "p99_us": micros,
               "jitter_us": 1, "delay_variation_us": 1})
    };
    json!({"job": "j1", "measurement": "m1", "agent": "a1", "received_at": "2026-11-21T09:00:01Z", "started_at": "2026-11-21T09:00:00Z", "late": false,
           "report": {"schema_version": 1, "status": "ok", "fault": "none", "started_at_us": 0, "duration_us": 1, "clock": {},
                      "policy": {"verdict": "allowed", "rule": "default"},
                      "findings": {"probe": "ping", "address": "127.0.0.1", "socket": "raw", "agent_drops": 0, "packets": [packet(0), packet(1), lost(2)],
                                   "statistics": {"sent": 3, "received": 2, "loss": 0.333_333, "duplicates": 0, "late": 1, "reordered": 0, "errors": 0,
                                                  "rtt": rtt(21), "user_rtt": rtt(60)}}}})
}

fn event(number: u32, name: &str, data: &Value) -> String {
    format!("id: b.m1.{number}\nevent: {name}\ndata: {data}\n\n")
}

fn finding(n: u32, packet: &Value) -> Value {
    let mut finding = packet.clone();
    finding["probe"] = json!("ping");
    finding["kind"] = json!("packet");
    json!({"job": "j1", "agent": "a1", "n": n, "finding": finding})
}

fn live() -> String {
    [
        event(0, "snapshot", &measurement("queued")),
        event(
            1,
            "finding",
            &json!({"job": "j1", "agent": "a1", "n": 0, "finding": {"probe": "ping", "kind": "resolved", "address": "127.0.0.1"}}),
        ),
        event(2, "finding", &finding(1, &packet(0))),
        event(3, "from_the_future", &json!({"x": 1})),
        event(4, "report", &report()),
        event(5, "done", &json!({"measurement": "m1"})),
    ]
    .concat()
}

async fn pinged() -> FakePlane {
    FakePlane::start([
        (CREATE, vec![Answer::json(202, &measurement("queued"))]),
        (EVENTS, vec![Answer::stream(&live())]),
        (SHOW, vec![Answer::json(200, &measurement("completed"))]),
        (REPORTS, vec![Answer::json(200, &json!({"items": [report()], "next_cursor": null}))]),
    ])
    .await
}

/// A plane whose measurement shows its first reply and then nothing more.
async fn endless() -> FakePlane {
    let start = [event(0, "snapshot", &measurement("running")), event(1, "finding", &finding(0, &packet(0)))].concat();
    FakePlane::start([
        (CREATE, vec![Answer::json(202, &measurement("queued"))]),
        (EVENTS, vec![Answer::stream(&start).staying_open()]),
        (CANCEL, vec![Answer::json(200, &measurement("running"))]),
    ])
    .await
}

#[tokio::test]
async fn a_ping_shows_each_reply_once_and_then_its_numbers() {
    let plane = pinged().await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "--from", "local"]).await;
    assert_eq!((ran.exit, ran.words.as_str()), (Exit::Ok, ""));
    insta::assert_snapshot!(ran.data, @r"
    reply seq=0 from 127.0.0.1 rtt=0.021 ms (user 0.060 ms) ttl=64
    reply seq=1 from 127.0.0.1 rtt=0.021 ms (user 0.061 ms) ttl=64
    no reply seq=2 from 127.0.0.1
    --- 127.0.0.1 from local: ping statistics ---
    3 sent, 2 received, 33.3 % loss, 1 late
    rtt (kernel) min/avg/max/stddev = 0.021/0.021/1234.567/0.004 ms, p95 0.021 ms
    rtt (user)   min/avg/max/stddev = 0.060/0.060/1234.567/0.004 ms, p95 0.060 ms
    ");
}

#[tokio::test]
async fn on_a_terminal_a_ping_is_a_table() {
    let plane = pinged().await;
    let ran = probectl_on(TERMINAL, &plane.url, &["ping", "127.0.0.1"], pending()).await;
    insta::assert_snapshot!(ran.data, @r"
     SEQ  FROM                      RTT      USER RTT  TTL
       0  127.0.0.1            0.021 ms      0.060 ms   64
       1  127.0.0.1            0.021 ms      0.061 ms   64
       2  127.0.0.1                   -             -    -  no reply
    --- 127.0.0.1 from local: ping statistics ---
    3 sent, 2 received, 33.3 % loss, 1 late
    rtt (kernel) min/avg/max/stddev = 0.021/0.021/1234.567/0.004 ms, p95 0.021 ms
    rtt (user)   min/avg/max/stddev = 0.060/0.060/1234.567/0.004 ms, p95 0.060 ms
    ");
    let plane = pinged().await;
    let coloured = probectl_on(COLOUR, &plane.url, &["ping", "127.0.0.1"], pending()).await;
    assert_eq!(coloured.data.replace("\x1b[31m", "").replace("\x1b[0m", ""), ran.data);
    assert!(coloured.data.contains("\x1b[31m"), "what went wrong stands out");
}

#[tokio::test]
async fn a_ping_as_json_is_one_document() {
    let plane = pinged().await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "-o", "json"]).await;
    let document: Value = serde_json::from_str(&ran.data).unwrap();
    assert_eq!(ran.exit, Exit::Ok);
    assert_eq!((&document["v"], &document["measurement"]["id"]), (&json!(1), &json!("m1")));
    assert_eq!(document["reports"][0]["report"]["findings"]["packets"][1]["user_rtt_us"], 61);
}

#[tokio::test]
async fn a_ping_as_ndjson_is_one_event_a_line_with_what_this_program_does_not_know() {
    let plane = pinged().await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "-o", "ndjson"]).await;
    let events: Vec<Value> = ran.data.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["snapshot", "finding", "finding", "from_the_future", "report", "done"]);
    assert!(events.iter().all(|event| event["v"] == 1));
    assert_eq!(events[2]["data"]["finding"]["rtt_us"], 21);
}

#[tokio::test]
async fn a_report_that_the_events_left_out_is_shown_from_the_store() {
    let gap = [event(0, "snapshot", &measurement("completed")), event(1, "done", &json!({"measurement": "m1"}))].concat();
    for format in ["table", "ndjson"] {
        let plane = FakePlane::start([
            (CREATE, vec![Answer::json(202, &measurement("queued"))]),
            (EVENTS, vec![Answer::stream(&gap)]),
            (SHOW, vec![Answer::json(200, &measurement("completed"))]),
            (REPORTS, vec![Answer::json(200, &json!({"items": [report()], "next_cursor": null}))]),
        ])
        .await;
        let ran = probectl(&plane.url, &["ping", "127.0.0.1", "-o", format]).await;
        let wanted = if format == "table" {
            "reply seq=1 from 127.0.0.1"
        } else {
            "\"event\":\"report\""
        };
        assert!(ran.data.contains(wanted), "{}", ran.data);
    }
}

#[tokio::test]
async fn a_job_that_ended_without_a_report_says_so_and_a_refused_one_who_can_mend_it() {
    for (state, reason, exit, line) in [
        ("expired", None, Exit::Timeout, "local: no report, the job is expired\n"),
        (
            "refused",
            Some("kind_disabled"),
            Exit::Denied,
            "local: no report, the job is refused (kind_disabled): the agent's owner has to add this probe to `allow_probes` in its agent.toml\n",
        ),
        ("refused", Some("of_later"), Exit::Partial, "local: no report, the job is refused (of_later)\n"),
    ] {
        let mut ended = measurement(state);
        ended["state"] = json!("ended");
        ended["jobs"][0]["reason"] = json!(reason);
        let plane = FakePlane::start([
            (CREATE, vec![Answer::json(202, &measurement("queued"))]),
            (EVENTS, vec![Answer::stream(&event(0, "done", &json!({"measurement": "m1"})))]),
            (SHOW, vec![Answer::json(200, &ended)]),
            (REPORTS, vec![Answer::json(200, &json!({"items": [], "next_cursor": null}))]),
        ])
        .await;
        let ran = probectl(&plane.url, &["ping", "127.0.0.1"]).await;
        assert_eq!((ran.exit, ran.data.as_str()), (exit, line));
    }
}

#[tokio::test]
async fn a_ping_asks_for_what_its_options_say_and_nothing_else() {
    let plane = pinged().await;
    let arguments = "ping Example.TEST --from local --from label:region=eu --label kind=edge --limit 2 --count 3 --interval-ms 10 --ttl 9 --size 0 --df --af 6 --timeout 30 --no-wait";
    let ran = probectl(&plane.url, &arguments.split(' ').collect::<Vec<_>>()).await;
    assert_eq!((ran.exit, ran.data.as_str()), (Exit::Ok, "m1\n"));
    let asked = plane.asked();
    assert_eq!(asked.len(), 1);
    let spec = json!({"probe": "ping", "target": "example.test", "count": 3, "interval_ms": 10, "ttl": 9, "payload_bytes": 0, "df": true, "af": "6"});
    let selection = json!({"agents": ["local"], "labels": {"kind": "edge", "region": "eu"}, "count": 2});
    assert_eq!(asked[0].body, json!({"spec": spec, "selection": selection, "deadline_s": 30}));
    assert_eq!(asked[0].headers["authorization"], "Bearer po_live_test");
    assert!(asked[0].headers.contains_key("idempotency-key"));

    probectl(&plane.url, &["ping", "::1", "--no-wait", "-o", "json"]).await;
    assert_eq!(plane.asked()[1].body["spec"], json!({"probe": "ping", "target": "::1"}));
    assert_ne!(plane.asked()[1].headers["idempotency-key"], asked[0].headers["idempotency-key"]);
}

#[tokio::test]
async fn from_all_is_every_agent_that_is_there() {
    let mut revoked = agent("revoked", "offline");
    revoked["state"] = json!("revoked");
    let pages = vec![
        Answer::json(200, &json!({"items": [agent("a", "online"), agent("b", "offline")], "next_cursor": "c 1"})),
        Answer::json(200, &json!({"items": [agent("c", "late"), revoked], "next_cursor": null})),
    ];
    let plane = FakePlane::start([("GET /api/v1/agents", pages), (CREATE, vec![Answer::json(202, &measurement("queued"))])]).await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "--from", "all", "--no-wait"]).await;
    assert_eq!(ran.words, "probectl: left out because they are offline: 1\n");
    assert_eq!(plane.asked()[1].what, "GET /api/v1/agents?limit=200&cursor=c+1");
    assert_eq!(plane.asked_for(CREATE)[0].body["selection"]["agents"], json!(["id-of-a", "id-of-c"]));

    let plane = FakePlane::start([(
        "GET /api/v1/agents",
        vec![Answer::json(200, &json!({"items": [agent("b", "never")], "next_cursor": null}))],
    )])
    .await;
    assert_eq!(probectl(&plane.url, &["ping", "127.0.0.1", "--from", "all"]).await.exit, Exit::NotFound);
    assert_eq!(
        probectl(&plane.url, &["ping", "127.0.0.1", "--from", "all", "--from", "b"]).await.exit,
        Exit::Usage
    );
}

#[tokio::test]
async fn job_22_an_interrupt_cancels_the_measurement() {
    for format in ["table", "json", "ndjson"] {
        let plane = endless().await;
        let ran = probectl_on(Surface::Pipe, &plane.url, &["ping", "127.0.0.1", "-o", format], plane.until_asked(EVENTS)).await;
        assert_eq!((ran.exit, ran.exit.code()), (Exit::Interrupted, 130));
        assert_eq!(plane.asked_for(CANCEL).len(), 1);
        assert!(ran.words.contains("measurement m1 is cancelled"), "{}", ran.words);
        assert!(format != "json" || serde_json::from_str::<Value>(&ran.data).is_ok(), "{}", ran.data);
    }
}

#[tokio::test]
async fn an_interrupt_while_the_measurement_is_being_made_cancels_it_too() {
    let plane = endless().await;
    let ran = probectl_on(Surface::Pipe, &plane.url, &["ping", "127.0.0.1"], std::future::ready(())).await;
    assert_eq!(ran.exit, Exit::Interrupted);
    assert_eq!(
        (plane.asked_for(CREATE).len(), plane.asked_for(CANCEL).len(), plane.asked_for(EVENTS).len()),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_timeout_cancels_the_measurement() {
    let plane = endless().await;
    let ran = probectl(&plane.url, &["ping", "127.0.0.1", "--timeout", "1"]).await;
    assert_eq!((ran.exit, plane.asked_for(CANCEL).len()), (Exit::Timeout, 1));
    assert_eq!(ran.data, "reply seq=0 from 127.0.0.1 rtt=0.021 ms (user 0.060 ms) ttl=64\n");
}

#[tokio::test]
async fn when_nobody_reads_any_more_the_measurement_is_cancelled_without_a_word() {
    struct ClosedPipe;
    impl io::Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let plane = endless().await;
    let (mut pipe, mut words) = (ClosedPipe, Vec::new());
    let exit = run(
        &plane.url,
        &["ping", "127.0.0.1"],
        &mut Screen::new(&mut pipe, &mut words, Surface::Pipe),
        pending(),
    )
    .await;
    assert_eq!((exit, plane.asked_for(CANCEL).len(), words.as_slice()), (Exit::Interrupted, 1, &b""[..]));
}

#[tokio::test]
async fn a_problem_is_told_on_standard_error_and_by_the_exit_code() {
    for (status, code, exit) in [
        (401, "unauthenticated", 3),
        (403, "forbidden", 3),
        (404, "not_found", 4),
        (409, "conflict", 9),
        (422, "invalid_field", 2),
        (422, "tier_limit", 5),
        (422, "no_agent_matches", 4),
        (429, "rate_limited", 5),
        (503, "unavailable", 7),
        (500, "internal", 7),
    ] {
        let problem =
            json!({"type": "/docs#x", "title": "X", "status": status, "code": code, "detail": "what to do", "field": "spec.count", "request_id": "r1"});
        let plane = FakePlane::start([("GET /api/v1/agents", vec![Answer::json(status, &problem).with_header("retry-after", "7")])]).await;
        let ran = probectl(&plane.url, &["agents", "list"]).await;
        assert_eq!((ran.exit.code(), ran.data.as_str()), (exit, ""), "{code}");
        assert_eq!(ran.words, format!("probectl: spec.count: what to do (try again in 7 s) [{code}, request r1]\n"));
    }
}

#[tokio::test]
async fn answers_that_are_none_of_the_api_are_the_control_planes_fault() {
    for answer in [
        Answer::json(200, &json!({"items": 7})),
        Answer::stream("not json"),
        Answer::json(502, &json!("bad gateway")),
        Answer::json(302, &json!({})).with_header("location", "http://127.0.0.1:9/elsewhere"),
    ] {
        let plane = FakePlane::start([("GET /api/v1/agents", vec![answer.clone()])]).await;
        let ran = probectl(&plane.url, &["agents", "list"]).await;
        assert_eq!((ran.exit, plane.asked().len()), (Exit::ControlPlane, 1), "{answer:?}");
        assert!(ran.words.starts_with("probectl: "), "{}", ran.words);
    }
}

#[tokio::test]
async fn a_control_plane_that_is_not_there_is_exit_code_7() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let ran = probectl(&url, &["jobs", "list"]).await;
    assert_eq!(
        (ran.exit.code(), ran.words),
        (7, format!("probectl: cannot reach the control plane at {url}\n"))
    );
}

#[tokio::test]
async fn frm_23_hostile_text_from_agents_and_server_does_not_reach_the_terminal() {
    let hostile = "\x1b]0;x\x07\x1b[2Jname\r\n\u{9b}1m";
    let items = json!({"items": [agent(hostile, "online")], "next_cursor": null});
    let problem = json!({"code": hostile, "detail": hostile, "field": hostile});
    let answers = vec![Answer::json(200, &items), Answer::json(200, &items), Answer::json(422, &problem)];
    let plane = FakePlane::start([("GET /api/v1/agents", answers)]).await;
    for arguments in [&["agents", "list"][..], &["agents", "list", "-o", "ndjson"], &["agents", "list"]] {
        let ran = probectl_on(TERMINAL, &plane.url, arguments, pending()).await;
        let printed = format!("{}{}", ran.data, ran.words);
        assert!(printed.contains("name"), "{printed}");
        assert!(!printed.chars().any(|character| character.is_control() && character != '\n'), "{printed:?}");
        assert!(printed.lines().count() <= 2, "{printed}");
    }
}

#[tokio::test]
async fn api_05_an_id_never_becomes_another_path() {
    let plane = FakePlane::start([]).await;
    let ran = probectl(&plane.url, &["jobs", "show", "../keys?x=1#y"]).await;
    assert_eq!(
        (ran.exit, plane.asked()[0].what.as_str()),
        (Exit::NotFound, "GET /api/v1/jobs/..%2Fkeys%3Fx=1%23y")
    );
}

#[tokio::test]
async fn lists_go_through_pages_up_to_their_limit() {
    let page = |cursor: Value| Answer::json(200, &json!({"items": [agent("a", "online"), agent("b", "offline")], "next_cursor": cursor}));
    let plane = FakePlane::start([("GET /api/v1/agents", vec![page(json!("1")), page(json!("2")), page(json!("3"))])]).await;
    let ran = probectl(&plane.url, &["agents", "list", "--limit", "3"]).await;
    assert_eq!((ran.exit, ran.data.lines().count(), plane.asked().len()), (Exit::Ok, 1 + 3, 2));
    assert_eq!(ran.words, "probectl: 3 shown, there are more: raise --limit\n");
    insta::assert_snapshot!(ran.data, @r"
    NAME  ID       STATE   DUTY     PRESENCE  LAST SEEN  VERSION  REGION  LABELS     SHARING
    a     id-of-a  active  working  online    -          0.1.0    eu      region=eu  own
    b     id-of-b  active  working  offline   -          0.1.0    eu      region=eu  own
    a     id-of-a  active  working  online    -          0.1.0    eu      region=eu  own
    ");
}

#[tokio::test]
async fn a_new_key_and_a_new_bundle_are_alone_on_standard_output() {
    let key = json!({"id": "abcdefghij", "name": "ci", "scopes": ["read"], "created_at": "2026-11-21T09:00:00Z", "expires_at": "2027-02-19T09:00:00Z",
                     "revoked_at": null, "last_used_at": null, "key": "po_live_secret"});
    let token = json!({"id": "abcdefghijkl", "name": null, "labels": {}, "created_at": "2026-11-21T09:00:00Z", "expires_at": "2026-11-21T10:00:00Z",
                       "agent": null, "used_at": null, "revoked_at": null, "bundle": "probeops-join://127.0.0.1:1?x"});
    let plane = FakePlane::start([
        ("POST /api/v1/keys", vec![Answer::json(201, &key)]),
        ("POST /api/v1/join-tokens", vec![Answer::json(201, &token)]),
    ])
    .await;
    let ran = probectl(&plane.url, &["keys", "create", "--name", "ci", "--scope", "read,measure"]).await;
    assert_eq!(ran.data, "po_live_secret\n");
    assert!(!ran.words.contains("secret"));
    let ran = probectl(&plane.url, &["join-tokens", "create", "--label", "region=eu", "--ttl-s", "60"]).await;
    assert_eq!(ran.data, "probeops-join://127.0.0.1:1?x\n");
    let asked = plane.asked();
    assert_eq!((&asked[0].body["name"], &asked[0].body["scopes"]), (&json!("ci"), &json!(["read", "measure"])));
    assert_eq!((&asked[1].body["labels"], &asked[1].body["ttl_s"]), (&json!({"region": "eu"}), &json!(60)));
}

#[tokio::test]
async fn reports_are_listed_by_their_filter_and_taken_out_as_they_come() {
    let mut record = report();
    for (name, value) in [
        ("probe", json!("ping")),
        ("target", json!("127.0.0.1")),
        ("measured_at", json!("2026-11-21T09:00:00Z")),
        ("skewed", json!(false)),
    ] {
        record[name] = value;
    }
    let exported = format!("{record}\n{record}\n");
    let plane = FakePlane::start([
        ("GET /api/v1/reports", vec![Answer::json(200, &json!({"items": [record], "next_cursor": null}))]),
        ("GET /api/v1/reports/j1", vec![Answer::json(200, &record)]),
        ("GET /api/v1/reports/export", vec![Answer::stream(&exported)]),
    ])
    .await;
    let ran = probectl(&plane.url, &["reports", "list", "--target", "127.0.0.1", "--status", "ok", "--late"]).await;
    assert_eq!((ran.exit, ran.data.lines().count()), (Exit::Ok, 2), "{ran:?}");
    assert!(ran.data.contains("127.0.0.1  ok      none"), "{}", ran.data);
    assert_eq!(plane.asked()[0].what, "GET /api/v1/reports?target=127.0.0.1&status=ok&late=true&limit=50");
    let ran = probectl(&plane.url, &["reports", "show", "j1"]).await;
    assert!(ran.exit == Exit::Ok && ran.data.contains("skewed"), "{ran:?}");
    let ran = probectl(&plane.url, &["reports", "export", "-o", "csv"]).await;
    assert_eq!((ran.exit, ran.data), (Exit::Ok, exported));
    assert_eq!(plane.asked_for("GET /api/v1/reports/export?format=csv").len(), 1);
}

#[tokio::test]
async fn metrics_are_shown_point_by_point() {
    let point = json!({"at": "2026-11-21T09:00:00Z", "n": 4, "ok": null, "min": 1.5, "max": 2000.4, "avg": 3.25, "p50": 3.0, "p95": 4.0, "p99": 4.0});
    let metrics = json!({"metric": "ping.rtt_avg_us", "from": "2026-11-21T09:00:00Z", "to": "2026-11-21T10:00:00Z", "step_s": 10, "source": "samples",
                         "series": [{"agent": "a1", "target": "127.0.0.1", "points": [point]}], "more": true});
    let latest = json!({"items": [{"agent": "a1", "target": null, "metric": "agent.cpu_percent", "at": "2026-11-21T09:00:00Z", "value": 12.5, "ok": true}],
                        "next_cursor": null});
    let plane = FakePlane::start([
        ("GET /api/v1/metrics", vec![Answer::json(200, &metrics)]),
        ("GET /api/v1/metrics/latest", vec![Answer::json(200, &latest)]),
    ])
    .await;
    let ran = probectl(&plane.url, &["metrics", "show", "ping.rtt_avg_us", "--agent", "a1", "--step", "10"]).await;
    assert!(ran.exit == Exit::Ok && ran.words.contains("name a target"), "{ran:?}");
    assert!(ran.data.lines().nth(1).unwrap().ends_with("2000"), "{}", ran.data);
    assert_eq!(plane.asked()[0].what, "GET /api/v1/metrics?metric=ping.rtt_avg_us&agent_id=a1&step=10");
    let ran = probectl(&plane.url, &["metrics", "latest", "-o", "csv"]).await;
    assert_eq!(
        ran.data.lines().nth(1),
        Some("agent.cpu_percent,a1,,12.500,2026-11-21T09:00:00.000000Z,yes"),
        "{}",
        ran.data
    );
}

#[tokio::test]
async fn revoking_an_agent_needs_a_yes_and_takes_a_name() {
    let page = Answer::json(200, &json!({"items": [agent("a", "online")], "next_cursor": null}));
    let delete = "DELETE /api/v1/agents/id-of-a";
    let plane = FakePlane::start([("GET /api/v1/agents", vec![page]), (delete, vec![Answer::json(204, &json!(null))])]).await;
    assert_eq!(probectl(&plane.url, &["agents", "delete", "a"]).await.exit, Exit::Usage);
    assert_eq!(plane.asked().len(), 0);
    assert_eq!(probectl(&plane.url, &["agents", "delete", "a", "--yes"]).await.exit, Exit::Ok);
    assert_eq!(plane.asked_for(delete).len(), 1);
    assert_eq!(probectl(&plane.url, &["agents", "delete", "b", "--yes"]).await.exit, Exit::NotFound);
}

#[tokio::test]
async fn agents_are_drained_labelled_and_enrolled_anew_by_name() {
    let page = || Answer::json(200, &json!({"items": [agent("a", "online")], "next_cursor": null}));
    let token = json!({"id": "abcdefghijkl", "name": "a", "labels": {}, "agent": "id-of-a", "created_at": "2026-11-21T09:00:00Z",
                       "expires_at": "2026-11-21T10:00:00Z", "used_at": null, "revoked_at": null, "bundle": "probeops-join://127.0.0.1:1?x"});
    let (mut drained, mut anew) = (agent("a", "online"), agent("a", "offline"));
    drained["duty"] = json!("draining");
    anew["join_token"] = token;
    let (actions, patch) = ("POST /api/v1/agents/id-of-a/actions", "PATCH /api/v1/agents/id-of-a");
    let plane = FakePlane::start([
        ("GET /api/v1/agents", vec![page(), page(), page()]),
        (actions, vec![Answer::json(200, &drained), Answer::json(200, &anew)]),
        (patch, vec![Answer::json(200, &agent("a", "online"))]),
    ])
    .await;
    let ran = probectl(&plane.url, &["agents", "drain", "a"]).await;
    assert!(ran.exit == Exit::Ok && ran.data.contains("draining"), "{ran:?}");
    let ran = probectl(&plane.url, &["agents", "reenrol", "a"]).await;
    assert_eq!(ran.data, "probeops-join://127.0.0.1:1?x\n");
    let ran = probectl(&plane.url, &["agents", "label", "a", "site=lab", "region-"]).await;
    assert_eq!(ran.exit, Exit::Ok, "{ran:?}");
    let asked: Vec<_> = plane.asked_for(actions).into_iter().map(|asked| asked.body).collect();
    assert_eq!(asked, [json!({"action": "drain"}), json!({"action": "reenrol"})]);
    let patched = &plane.asked_for(patch)[0];
    assert_eq!(patched.body, json!({"labels": {"site": "lab"}}));
    assert_eq!(patched.headers["if-match"], "\"3\"");
}
