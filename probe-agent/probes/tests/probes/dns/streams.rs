//! Name servers over TCP that do not do as they should.

use agent_probes::net::icmp::IcmpSockets;
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{DnsOutcome, Report};

use super::responder::{RECORD, Responder, Script, framed, reply, silence};
use super::{findings, spec};
use crate::setting::{AllowAllBut, context, run};

async fn report_of(by_stream: Script) -> Report {
    let responder = Responder::start(silence, by_stream).await;
    let context = context(IcmpSockets::open(), AllowAllBut::default());
    run(&spec(responder.address, r#","transport":"tcp""#), &context).await.0
}

#[tokio::test]
async fn an_answer_comes_over_a_connection() {
    let report = report_of(|question| vec![framed(&reply(question, 0x8180, 1, &RECORD))]).await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let answer = findings(&report).answer.as_ref().unwrap();
    assert_eq!((answer.tc_retried, answer.answer[0].rdata.as_str()), (false, "127.0.0.9"));
}

#[tokio::test]
async fn job_18_the_longest_message_over_tcp_is_read_and_bounded() {
    let report = report_of(|question| {
        let records = RECORD.repeat(4_000);
        vec![framed(&reply(question, 0x8180, 4_000, &records))]
    })
    .await;
    assert_eq!((report.status, report.truncated), (Status::Ok, true));
    let answer = findings(&report).answer.as_ref().unwrap();
    assert_eq!((answer.bytes > 64_000, answer.counts.0), (true, 4_000));
    let report = serde_json::to_string(&report).unwrap();
    assert!(report.len() < shared_protocol::limits::REPORT_BYTES, "{} bytes", report.len());
}

#[tokio::test]
async fn job_18_a_stream_that_carries_no_answer_ends_clean() {
    let cases: [(Script, DnsOutcome, ErrorCode); 6] = [
        (|_| vec![], DnsOutcome::Broken, ErrorCode::ProtoError),
        (|_| vec![vec![0]], DnsOutcome::Broken, ErrorCode::ProtoError),
        (
            |_| vec![b"\xff\xffHTTP/1.1 400 Bad Request\r\n\r\n".to_vec()],
            DnsOutcome::Broken,
            ErrorCode::ProtoError,
        ),
        (|_| vec![vec![0, 0]], DnsOutcome::Broken, ErrorCode::ProtoError),
        (
            |question| vec![framed(&reply(question, 0x8180, u16::MAX, &RECORD))],
            DnsOutcome::Broken,
            ErrorCode::ProtoError,
        ),
        (
            |question| {
                let mut wrong = reply(question, 0x8180, 1, &RECORD);
                wrong[0] ^= 1;
                vec![framed(&wrong); 100]
            },
            DnsOutcome::Broken,
            ErrorCode::ProtoError,
        ),
    ];
    for (script, outcome, code) in cases {
        let report = report_of(script).await;
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Resolver), "{report:?}");
        assert_eq!(report.error.as_ref().unwrap().code, code);
        assert_eq!(findings(&report).tries[0].outcome, outcome);
    }
}

#[tokio::test]
async fn a_message_of_another_before_the_answer_is_passed_over() {
    let report = report_of(|question| {
        let right = reply(question, 0x8180, 1, &RECORD);
        let mut wrong = right.clone();
        wrong[0] ^= 1;
        vec![framed(&wrong), framed(&right)]
    })
    .await;
    assert_eq!((report.status, findings(&report).tries[0].foreign), (Status::Ok, 1));
}
