//! Name servers, and others who answer in their place, that do not do as they should.

use std::net::SocketAddr;

use agent_probes::net::icmp::IcmpSockets;
use agent_probes::table::ProbeContext;
use shared_protocol::event::{DnsEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{DnsOutcome, Report, Verdict};
use shared_protocol::spec::DnsTransport;

use super::responder::{RECORD, Responder, Script, address, framed, reply, silence};
use super::{findings, spec};
use crate::setting::{AllowAllBut, DENIED_PORT, context, run};

fn permissive() -> ProbeContext {
    context(IcmpSockets::open(), AllowAllBut::default())
}

async fn report_of(by_datagram: Script, by_stream: Script, options: &str) -> Report {
    let responder = Responder::start(by_datagram, by_stream).await;
    run(&spec(responder.address, options), &permissive()).await.0
}

#[tokio::test]
async fn an_answer_comes_with_its_times_and_records() {
    let responder = Responder::start(address, silence).await;
    let (report, events) = run(&spec(responder.address, ""), &permissive()).await;
    assert_eq!((report.status, report.fault, &report.error), (Status::Ok, Fault::None, &None), "{report:?}");
    let findings = findings(&report);
    let answer = findings.answer.as_ref().unwrap();
    assert_eq!(
        (answer.rcode.as_str(), answer.server, answer.transport),
        ("NOERROR", responder.address, DnsTransport::Udp)
    );
    assert_eq!((answer.answer[0].name.as_str(), answer.answer[0].rdata.as_str()), ("a.test", "127.0.0.9"));
    let user = answer.user_rtt_us.unwrap();
    // Both clocks are there; the kernel's interval lies within ours, give or take a step of rounding.
    assert!(answer.rtt_us.is_some_and(|kernel| kernel <= user + 1), "{answer:?}");
    let [tried] = findings.tries.as_slice() else { panic!("{findings:?}") };
    assert_eq!((tried.outcome, tried.foreign, tried.malformed), (DnsOutcome::Answered, 0, 0));
    assert_eq!(events, [ProbeEvent::Dns(DnsEvent::Try(Box::new(tried.clone())))]);
}

#[tokio::test]
async fn job_06_a_name_that_does_not_exist_is_an_answer_and_a_server_that_fails_is_not() {
    let cases: [(Script, &str, Status, Fault, Option<ErrorCode>); 4] = [
        (|question| vec![reply(question, 0x8183, 0, b"")], "NXDOMAIN", Status::Ok, Fault::None, None),
        (
            |question| vec![reply(question, 0x8182, 0, b"")],
            "SERVFAIL",
            Status::Failed,
            Fault::Resolver,
            Some(ErrorCode::DnsServfail),
        ),
        (
            |question| vec![reply(question, 0x8185, 0, b"")],
            "REFUSED",
            Status::Failed,
            Fault::Resolver,
            Some(ErrorCode::DnsRefused),
        ),
        (
            |question| vec![reply(question, 0x8184, 0, b"")],
            "NOTIMP",
            Status::Failed,
            Fault::Resolver,
            Some(ErrorCode::ProtoError),
        ),
    ];
    for (script, rcode, status, fault, code) in cases {
        let report = report_of(script, silence, "").await;
        assert_eq!((report.status, report.fault), (status, fault), "{rcode}");
        assert_eq!(report.error.as_ref().map(|error| error.code), code, "{rcode}");
        assert_eq!(findings(&report).answer.as_ref().unwrap().rcode, rcode);
    }
}

#[tokio::test]
async fn job_18_junk_before_the_answer_is_passed_over() {
    let report = report_of(
        |question| {
            let right = reply(question, 0x8180, 1, &RECORD);
            let (mut wrong_id, mut wrong_question, mut no_response) = (right.clone(), right.clone(), right.clone());
            wrong_id[0] ^= 0xff;
            wrong_question[13] = b'b';
            no_response[2] &= 0x7f;
            let mut looping = reply(question, 0x8180, 1, b"");
            let end = u8::try_from(looping.len()).unwrap();
            looping.extend([0xc0, end, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]);
            let lying = reply(question, 0x8180, u16::MAX, &RECORD);
            vec![vec![], vec![0], wrong_id, wrong_question, no_response, looping, lying, right]
        },
        silence,
        "",
    )
    .await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let findings = findings(&report);
    assert_eq!(findings.answer.as_ref().unwrap().answer[0].rdata, "127.0.0.9");
    assert_eq!((findings.tries[0].foreign, findings.tries[0].malformed), (3, 4));
}

#[tokio::test]
async fn job_18_an_answer_that_cannot_be_read_is_the_servers_fault_and_silence_the_paths() {
    let lying = report_of(|question| vec![reply(question, 0x8180, u16::MAX, &RECORD)], silence, "").await;
    assert_eq!((lying.status, lying.fault), (Status::Failed, Fault::Resolver));
    assert_eq!(lying.error.as_ref().unwrap().code, ErrorCode::ProtoError);
    assert_eq!(findings(&lying).answer, None);

    let silent = report_of(silence, silence, r#","retries":2"#).await;
    assert_eq!((silent.status, silent.fault), (Status::Timeout, Fault::Path));
    assert_eq!(silent.error.as_ref().unwrap().code, ErrorCode::Timeout);
    assert_eq!(findings(&silent).tries.len(), 3);

    let foreign = report_of(
        |question| {
            let mut wrong_id = reply(question, 0x8180, 1, &RECORD);
            wrong_id[1] ^= 1;
            vec![wrong_id; 50]
        },
        silence,
        "",
    )
    .await;
    assert_eq!((foreign.status, findings(&foreign).tries[0].foreign), (Status::Timeout, 50));
}

#[tokio::test]
async fn job_18_an_answer_from_another_port_never_reaches_the_probe() {
    let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let context = permissive();
    let spec = spec(address, "");
    let answering = async {
        let mut question = [0; 512];
        let (length, client) = server.recv_from(&mut question).await.unwrap();
        let right = reply(&question[..length], 0x8180, 1, &RECORD);
        let mut spoofed = right.clone();
        *spoofed.last_mut().unwrap() = 66;
        let imposter = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        imposter.send_to(&spoofed, client).await.unwrap();
        server.send_to(&right, client).await.unwrap();
    };
    let ((report, _), ()) = tokio::join!(run(&spec, &context), answering);
    assert_eq!(findings(&report).answer.as_ref().unwrap().answer[0].rdata, "127.0.0.9");
    assert_eq!(findings(&report).tries[0].foreign, 0, "the kernel kept it away");
}

#[tokio::test]
async fn job_18_a_cut_answer_is_asked_for_again_over_tcp() {
    let report = report_of(
        |question| vec![reply(question, 0x8380, 0, b"")],
        |question| vec![framed(&reply(question, 0x8180, 1, &RECORD))],
        "",
    )
    .await;
    assert_eq!(report.status, Status::Ok, "{report:?}");
    let findings = findings(&report);
    let answer = findings.answer.as_ref().unwrap();
    assert_eq!((answer.tc_retried, answer.transport, answer.answer.len()), (true, DnsTransport::Tcp, 1));
    assert!(answer.connect_us.is_some() && answer.user_rtt_us.is_some());
    let outcomes: Vec<_> = findings.tries.iter().map(|tried| (tried.outcome, tried.transport)).collect();
    assert_eq!(
        outcomes,
        [(DnsOutcome::Truncated, DnsTransport::Udp), (DnsOutcome::Answered, DnsTransport::Tcp)]
    );
}

#[tokio::test]
async fn job_18_cut_on_all_transports_is_said() {
    let report = report_of(
        |question| vec![reply(question, 0x8380, 0, b"")],
        |question| vec![framed(&reply(question, 0x8380, 1, &RECORD))],
        "",
    )
    .await;
    assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Resolver));
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::ProtoError);
    assert!(findings(&report).answer.as_ref().unwrap().flags.tc);
}

#[tokio::test]
async fn a_port_without_a_server_is_told_by_icmp() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let nobody = socket.local_addr().unwrap();
    drop(socket);
    let (report, _) = run(&spec(nobody, ""), &permissive()).await;
    assert_eq!((report.status, report.fault), (Status::Failed, Fault::Target), "{report:?}");
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::UnreachablePort);
    let tried = &findings(&report).tries[0];
    assert_eq!((tried.outcome, tried.icmp_error), (DnsOutcome::Unreachable, Some((3, 3))));
}

#[tokio::test]
async fn job_08_the_server_is_a_target_like_any_other() {
    let responder = Responder::start(|_| panic!("asked"), |_| panic!("asked")).await;
    let denied = context(IcmpSockets::open(), AllowAllBut(vec![responder.address.ip()]));
    let (report, events) = run(&spec(responder.address, ""), &denied).await;
    assert_eq!(
        (report.status, report.fault, report.policy.verdict),
        (Status::Failed, Fault::Policy, Verdict::Denied)
    );
    assert_eq!((report.findings, events), (None, vec![]));

    let (report, _) = run(&spec(SocketAddr::from(([127, 0, 0, 1], DENIED_PORT)), ""), &permissive()).await;
    assert_eq!((report.policy.verdict, report.policy.rule.as_str()), (Verdict::Denied, "allow_ports"));
}
