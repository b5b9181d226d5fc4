//! What servers mostly do.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::Response;
use shared_protocol::event::HttpEvent;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HttpPhase, SampleForm};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::server::{Asked, Server, Then, text};
use super::{fetch, findings, last, spec, trusting};
use crate::setting::AllowAllBut;

fn echo(asked: &Asked) -> Response<Vec<u8>> {
    let headers: Vec<String> = asked
        .headers()
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    let told = format!(
        "{} {} {:?}\n{}\n\n{}",
        asked.method(),
        asked.uri(),
        asked.version(),
        headers.join("\n"),
        asked.body()
    );
    Response::builder()
        .header("server-timing", "db;dur=1")
        .header("alt-svc", "h3=\":443\"")
        .body(told.into_bytes())
        .unwrap()
}

#[tokio::test]
async fn a_fetch_tells_each_phase_as_it_ends_and_all_of_them_in_its_report() {
    let server = Server::answering(echo).await;
    let (report, events) = fetch(&server.url("/a?b=c"), "").await;
    assert_eq!((report.status, report.fault, &report.error), (Status::Ok, Fault::None, &None));
    let hop = last(&report);
    assert_eq!(
        (hop.url.as_str(), hop.remote, hop.failed_in),
        (server.url("/a?b=c").as_str(), Some(server.address), None)
    );
    let phases = hop.phases;
    assert_eq!((phases.dns_us, phases.tls_us), (None, None));
    let parts = [phases.tcp_us, phases.request_us, phases.first_byte_us, phases.download_us].map(Option::unwrap);
    assert!(
        parts.iter().sum::<u64>() <= phases.total_us && phases.total_us <= findings(&report).total_us,
        "{phases:?}"
    );
    let response = hop.response.as_ref().unwrap();
    assert_eq!((response.status, response.version.as_str()), (200, "1.1"));
    assert_eq!(
        (response.alt_svc.as_deref(), response.server_timing.as_deref()),
        (Some("h3=\":443\""), Some("db;dur=1"))
    );
    let body = response.body.as_ref().unwrap();
    assert_eq!(
        (body.sample.form, body.truncated, body.wire_bytes),
        (SampleForm::Text, false, body.decoded_bytes)
    );
    let asked = body.sample.pieces.concat();
    assert!(asked.starts_with("GET /a?b=c HTTP/1.1\nhost: 127.0.0.1:"), "{asked}");
    assert!(asked.contains("user-agent: ProbeOps/") && asked.contains("accept-encoding: gzip"), "{asked}");
    assert!(hop.tcp_info.is_some() && hop.local.is_some());
    let told: Vec<Option<HttpPhase>> = events
        .iter()
        .map(|event| match event {
            HttpEvent::Phase { phase, .. } => Some(*phase),
            HttpEvent::Hop { .. } | HttpEvent::Connecting { .. } | HttpEvent::Response { .. } => None,
        })
        .collect();
    let expected = [
        None,
        None,
        Some(HttpPhase::Tcp),
        Some(HttpPhase::Request),
        Some(HttpPhase::FirstByte),
        None,
        Some(HttpPhase::Download),
    ];
    assert_eq!(told, expected, "{events:?}");
}

#[tokio::test]
async fn http_2_is_spoken_in_the_clear_where_that_is_asked_for() {
    let server = Server::answering(echo).await;
    let (report, _) = fetch(&server.url("/x"), r#","version":"2""#).await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let response = last(&report).response.as_ref().unwrap();
    assert_eq!(response.version, "2");
    let asked = response.body.as_ref().unwrap().sample.pieces.concat();
    assert!(
        asked.starts_with(&format!("GET {} HTTP/2.0\n", server.url("/x"))) && !asked.contains("connection"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_name_is_resolved_and_its_time_told() {
    let server = Server::answering(echo).await;
    let (report, events) = fetch(&format!("http://localhost:{}/", server.address.port()), r#","af":"4""#).await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    assert!(last(&report).phases.dns_us.is_some());
    assert!(matches!(events[1], HttpEvent::Phase { phase: HttpPhase::Dns, .. }), "{events:?}");
    assert_eq!(report.resolved, [server.address.ip()]);
}

#[tokio::test]
async fn methods_headers_and_bodies_go_out_as_asked() {
    let server = Server::answering(echo).await;
    for version in ["1.1", "2"] {
        let options = format!(
            r#","version":"{version}","method":"POST","body":"hello","headers":[{{"name":"X-A","value":"b"}},{{"name":"User-Agent","value":"mine"}}],"compression":false"#
        );
        let (report, _) = fetch(&server.url("/"), &options).await;
        let asked = last(&report).response.as_ref().unwrap().body.as_ref().unwrap().sample.pieces.concat();
        assert!(asked.starts_with("POST ") && asked.ends_with("\n\nhello"), "{asked}");
        assert!(
            asked.contains("x-a: b\n") && asked.contains("user-agent: mine") && asked.contains("accept-encoding: identity"),
            "{asked}"
        );
    }
    let (report, _) = fetch(&server.url("/"), r#","method":"HEAD""#).await;
    let response = last(&report).response.as_ref().unwrap();
    assert_eq!((report.status, response.status, &response.body), (Status::Ok, 200, &None));
}

#[tokio::test]
async fn a_compressed_body_is_decoded_and_told_both_ways() {
    fn packed(_: &Asked) -> Response<Vec<u8>> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![b'a'; 50_000]).unwrap();
        Response::builder().header("content-encoding", "gzip").body(encoder.finish().unwrap()).unwrap()
    }
    let server = Server::answering(packed).await;
    let (report, _) = fetch(&server.url("/"), r#","body_keep_bytes":5"#).await;
    let body = last(&report).response.as_ref().unwrap().body.clone().unwrap();
    assert_eq!(
        (body.decoded_bytes, body.sample.pieces.concat().as_str(), body.truncated),
        (50_000, "aaaaa", false)
    );
    assert!(body.wire_bytes < 1_000 && body.encoding.as_deref() == Some("gzip"), "{body:?}");
}

#[tokio::test]
async fn a_server_that_says_no_is_a_failure_of_the_target_with_its_answer() {
    let server = Server::answering(|_| text(503, "not now")).await;
    let (report, _) = fetch(&server.url("/"), "").await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target));
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::HttpStatus);
    let response = last(&report).response.as_ref().unwrap();
    assert_eq!(
        (response.status, response.body.as_ref().unwrap().sample.pieces.concat().as_str()),
        (503, "not now")
    );
}

#[tokio::test]
async fn a_port_where_nothing_listens_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (report, _) = fetch(&format!("http://{address}/"), "").await;
    assert_eq!(
        (report.status, report.fault, report.error.as_ref().unwrap().code),
        (Status::Failed, Fault::Target, ErrorCode::Refused)
    );
    assert_eq!(last(&report).failed_in, Some(HttpPhase::Tcp));
}

#[tokio::test]
async fn a_silent_server_ends_by_the_timeout_in_its_phase() {
    for (first, phase) in [
        ("", HttpPhase::FirstByte),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome", HttpPhase::Download),
    ] {
        let server = Server::sending(first, Then::Wait).await;
        let (report, _) = fetch(&server.url("/"), r#","timeout_ms":500"#).await;
        assert_eq!((report.status, report.fault), (Status::Timeout, Fault::Target));
        assert_eq!(
            (report.error.as_ref().unwrap().code, last(&report).failed_in),
            (ErrorCode::Timeout, Some(phase))
        );
        let body = last(&report).response.as_ref().and_then(|response| response.body.as_ref());
        assert_eq!(
            body.map(|body| (body.decoded_bytes, body.truncated)),
            (phase == HttpPhase::Download).then_some((4, true))
        );
    }
}

#[tokio::test]
async fn job_22_a_fetch_that_is_cancelled_tells_what_it_has() {
    let server = Server::sending("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n", Then::Wait).await;
    let context = trusting(&[], AllowAllBut::default());
    let (events, mut found) = mpsc::channel(64);
    let cancel = CancellationToken::new();
    let spec = spec(&server.url("/"), "");
    let run = agent_probes::table::run(&spec, &context, events, cancel.clone());
    let watch = async {
        while let Some(event) = found.recv().await {
            if let shared_protocol::event::ProbeEvent::Http(HttpEvent::Response { .. }) = event {
                cancel.cancel();
            }
        }
    };
    let (report, ()) = tokio::join!(run, watch);
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::Cancelled);
    assert_eq!(last(&report).response.as_ref().unwrap().status, 200);
}
