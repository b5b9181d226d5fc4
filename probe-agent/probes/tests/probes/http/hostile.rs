//! Servers that send what they like: whatever it is, it ends, and it costs little (JOB-16).

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{HttpPhase, Report};

use super::server::{Server, Then};
use super::{fetch, last};

/// A CONTINUATION frame that does not end the head: 16 bytes of `:status: 200`.
const CONTINUATION: [u8; 9 + 16] = {
    let mut frame = [0x88; 9 + 16];
    let (head, _) = frame.split_at_mut(9);
    head.copy_from_slice(&[0, 0, 16, 9, 0, 0, 0, 0, 1]);
    frame
};
const BODY_MAX: u64 = 4 * 1024 * 1024;

async fn against(first: impl Into<Vec<u8>>, then: Then, options: &str) -> Report {
    let server = Server::sending(first, then).await;
    fetch(&server.url("/"), options).await.0
}

#[track_caller]
fn is_malformed(report: &Report, phase: HttpPhase) {
    let error = report.error.as_ref().unwrap();
    assert_eq!(
        (report.status, report.fault, error.code),
        (Status::Failed, Fault::Target, ErrorCode::ProtoError),
        "{report:?}"
    );
    assert_eq!(last(report).failed_in, Some(phase), "{error:?}");
}

#[tokio::test]
async fn job_16_an_endless_body_is_read_to_the_bound_and_told_as_truncated() {
    for head in ["HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n"] {
        let report = against(head, Then::Repeat(&[b'x'; 16_384]), "").await;
        let body = last(&report).response.as_ref().unwrap().body.as_ref().unwrap();
        assert_eq!((report.status, report.truncated, body.truncated), (Status::Ok, true, true), "{report:?}");
        assert_eq!((body.wire_bytes, body.sample.pieces.concat().len()), (BODY_MAX, 10_240));
    }
}

#[tokio::test]
async fn job_16_endless_and_giant_heads_are_given_up() {
    for (first, then) in [
        ("HTTP/1.1 200 OK\r\n", Then::Count("x-{}: y\r\n")),
        ("HTTP/1.1 200 OK\r\nx: ", Then::Repeat(&[b'y'; 16_384])),
        ("HTTP/1.1 200 ", Then::Repeat(&[b'y'; 16_384])),
        ("", Then::Repeat(b"\r\n")),
    ] {
        is_malformed(&against(first, then, "").await, HttpPhase::FirstByte);
    }
    let headers: Vec<String> = (0..100_000).map(|number| format!("x-{number}: y\r\n")).collect();
    let headers = headers.concat();
    is_malformed(
        &against(format!("HTTP/1.1 200 OK\r\n{headers}\r\n"), Then::Close, "").await,
        HttpPhase::FirstByte,
    );
}

#[tokio::test]
async fn job_16_a_flood_of_interim_answers_ends_by_the_timeout() {
    let flood = Then::Repeat(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n");
    let report = against("", flood, r#","timeout_ms":500"#).await;
    assert_eq!(
        (report.status, last(&report).failed_in),
        (Status::Timeout, Some(HttpPhase::FirstByte)),
        "{report:?}"
    );
}

#[tokio::test]
async fn job_16_what_is_no_http_is_an_error_of_the_target() {
    for bytes in ["SSH-2.0-x\r\n", "HTTP/1.1 999999 x\r\n\r\n", "HTTP/1.1 200 OK\r\na b: c\r\n\r\n", "\0\0\0", ""] {
        is_malformed(&against(bytes, Then::Close, "").await, HttpPhase::FirstByte);
    }
    is_malformed(
        &against("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", Then::Close, "").await,
        HttpPhase::FirstByte,
    );
}

#[tokio::test]
async fn job_16_chunks_that_are_none_and_bodies_that_break_off_are_errors_of_the_target() {
    for body in ["zz\r\nx", "5\r\nab", "ffffffffffffffffff\r\n", "1\r\nabc\r\n0\r\n\r\n", "1;\u{1}\r\n"] {
        let report = against(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}"), Then::Close, "").await;
        is_malformed(&report, HttpPhase::Download);
    }
    let report = against("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome", Then::Close, "").await;
    is_malformed(&report, HttpPhase::Download);
    assert!(last(&report).response.as_ref().unwrap().body.as_ref().unwrap().truncated);
    let endless = against("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", Then::Repeat(&[b'e'; 16_384]), "").await;
    is_malformed(&endless, HttpPhase::Download);
    let plain = against(
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 40\r\n\r\nthis is no gzip, this is no gzip, no, no",
        Then::Wait,
        "",
    )
    .await;
    is_malformed(&plain, HttpPhase::Download);
}

#[tokio::test]
async fn job_16_pushes_and_endless_heads_of_http_2_are_given_up() {
    // Frames of RFC 9113: length, type, flags, stream; then the payload.
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
    };
    let settings = frame(4, 0, 0, &[]);
    let push = frame(5, 4, 1, &[&2_u32.to_be_bytes()[..], &[0x82, 0x86, 0x84]].concat());
    let version = r#","version":"2","timeout_ms":5000"#;
    let report = against([settings.clone(), push].concat(), Then::Wait, version).await;
    is_malformed(&report, HttpPhase::FirstByte);

    // A head whose end never comes (CVE-2024-27316 and its like): CONTINUATION after CONTINUATION.
    let head = frame(1, 0, 1, &[0x88]);
    let report = against([settings.clone(), head].concat(), Then::Repeat(&CONTINUATION), version).await;
    is_malformed(&report, HttpPhase::FirstByte);

    let report = against(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), Then::Close, version).await;
    is_malformed(&report, HttpPhase::FirstByte);
    let reset = frame(3, 0, 1, &7_u32.to_be_bytes());
    is_malformed(&against([settings, reset].concat(), Then::Wait, version).await, HttpPhase::FirstByte);
}
