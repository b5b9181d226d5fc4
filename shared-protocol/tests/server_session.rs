//! The control plane's machine alone, against an agent that is played by the test.

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};
    use shared_protocol::close::CloseReason;
    use shared_protocol::codec::{Decoded, decode_server};
    use shared_protocol::frame::{Ack, Goaway, Run, ServerFrame, Welcome};
    use shared_protocol::id::{Attempt, JobRef, Sequence};
    use shared_protocol::limits::{HELLO_TIMEOUT, MESSAGE_BURST, REPORT_BYTES, REPORT_CHUNK_BYTES, REPORT_WINDOW, STANDING_ITEMS};
    use shared_protocol::session::{Jitter, ServerEffect, ServerSession};
    use shared_protocol::standing::Configure;
    use shared_protocol::time::MonotonicMicros;

    const START: MonotonicMicros = MonotonicMicros::from_micros(1_000_000);
    const INCARNATION: &str = "018bcfe5-0000-7101-8101-010101010101";

    fn after(duration: Duration) -> MonotonicMicros {
        START.plus(duration)
    }

    fn accepted() -> ServerSession {
        ServerSession::new(Jitter::from_seed(1), START)
    }

    fn presented() -> ServerSession {
        let mut session = accepted();
        session.handle_text(include_str!("golden/v1/hello.json"), START);
        assert!(matches!(effects(&mut session)[..], [ServerEffect::Hello(_)]));
        session
    }

    fn welcomed() -> ServerSession {
        let mut session = presented();
        session.welcome(welcome(), START);
        assert!(matches!(sent(&mut session)[..], [ServerFrame::Welcome(_)]));
        session
    }

    fn welcome() -> Welcome {
        match decode_server(include_str!("golden/v1/welcome.json")) {
            Ok(Decoded::Frame(ServerFrame::Welcome(welcome))) => welcome,
            other => panic!("a welcome, not {other:?}"),
        }
    }

    fn sent(session: &mut ServerSession) -> Vec<ServerFrame> {
        let texts = std::iter::from_fn(|| session.poll_transmit(START));
        texts
            .map(|text| match decode_server(&text) {
                Ok(Decoded::Frame(frame)) => frame,
                other => panic!("the server sent {text}: {other:?}"),
            })
            .collect()
    }

    fn effects(session: &mut ServerSession) -> Vec<ServerEffect> {
        std::iter::from_fn(|| session.poll_effect()).collect()
    }

    fn hear(session: &mut ServerSession, frame: &Value) -> Vec<ServerEffect> {
        session.handle_text(&frame.to_string(), START);
        effects(session)
    }

    fn job(number: u8) -> JobRef {
        JobRef {
            job: format!("018bcfe5-6801-7708-8808-0000000000{number:02x}").parse().unwrap(),
            attempt: Attempt(1),
        }
    }

    fn run(job: JobRef) -> Run {
        Run {
            job: job.job,
            attempt: job.attempt,
            spec: json!({"probe": "ping"}),
            cost: 1,
            remaining_ms: 1_000,
            limits: None,
        }
    }

    fn piece(seq: u64, job: JobRef, n: u32, last: bool, data: &str) -> Value {
        json!({"v": 1, "t": "report", "seq": seq, "job": job.job, "attempt": job.attempt, "n": n, "last": last, "data": data})
    }

    fn event(job: JobRef, n: u64) -> Value {
        json!({"v": 1, "t": "event", "job": job.job, "attempt": job.attempt, "n": n, "findings": [{"probe": "ping", "kind": "resolved", "address": "::1"}]})
    }

    fn keepalive(seq: u64) -> Value {
        json!({"v": 1, "t": "keepalive", "seq": seq, "monotonic_us": 5, "outbox_depth": 0, "running": 0})
    }

    fn ack(up_to: u64) -> Ack {
        Ack {
            incarnation: INCARNATION.parse().unwrap(),
            up_to: Sequence::new(up_to).unwrap(),
        }
    }

    #[track_caller]
    fn assert_closed(effects: &[ServerEffect], reason: CloseReason) {
        assert_eq!(effects.last(), Some(&ServerEffect::Close(reason)));
    }

    #[test]
    fn frm_11_whatever_comes_before_hello_or_a_second_hello_ends_the_session() {
        for text in [
            include_str!("golden/v1/credit.json"),
            include_str!("golden/v1/accept.json"),
            include_str!("golden/v1/refuse.json"),
            include_str!("golden/v1/event.json"),
            include_str!("golden/v1/report.json"),
            include_str!("golden/v1/agent-keepalive.json"),
        ] {
            let mut session = accepted();
            session.handle_text(text, START);
            assert_closed(&effects(&mut session), CloseReason::ProtocolOrder);
        }
        for mut session in [presented(), welcomed()] {
            session.handle_text(include_str!("golden/v1/hello.json"), START);
            assert_closed(&effects(&mut session), CloseReason::ProtocolOrder);
            assert_eq!((session.poll_timeout(), session.poll_transmit(START)), (None, None));
        }
        let mut session = presented();
        session.handle_text(include_str!("golden/v1/report.json"), START);
        assert_closed(&effects(&mut session), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_08_frm_09_what_is_no_frame_ends_the_session() {
        for text in [
            "",
            "[]",
            r#"{"v":1,"t":"credit"}"#,
            r#"{"v":1,"t":"credit","granted":null}"#,
            r#"{"v":2,"t":"credit","granted":1}"#,
        ] {
            let mut session = welcomed();
            session.handle_text(text, START);
            assert_closed(&effects(&mut session), CloseReason::BadEnvelope);
        }
    }

    #[test]
    fn frm_10_an_unknown_type_is_counted_or_ends_the_session() {
        let mut session = welcomed();
        assert_eq!(hear(&mut session, &json!({"v": 1, "t": "novelty"})), []);
        assert_eq!(session.ignored_frames(), 1);
        assert_closed(
            &hear(&mut session, &json!({"v": 1, "t": "novelty", "critical": true})),
            CloseReason::BadEnvelope,
        );
    }

    #[test]
    fn frm_17_without_a_common_version_the_supported_ones_are_told() {
        let mut hello: Value = serde_json::from_str(include_str!("golden/v1/hello.json")).unwrap();
        for versions in [json!([]), json!([0]), json!([999, 2])] {
            hello["versions"] = versions;
            assert_closed(&hear(&mut accepted(), &hello), CloseReason::NoCommonVersion);
        }
        hello["versions"] = json!([999, 1]);
        assert!(matches!(hear(&mut accepted(), &hello)[..], [ServerEffect::Hello(_)]));
        for version in [0, 999] {
            hello["v"] = json!(version);
            assert_closed(&hear(&mut accepted(), &hello), CloseReason::NoCommonVersion);
        }
        assert_eq!(CloseReason::NoCommonVersion.text(), "no_common_version supported=1");
    }

    #[test]
    fn frm_12_reports_already_on_disk_are_passed_over_and_each_is_given_once() {
        let mut session = welcomed();
        for seq in [40, 41] {
            assert_eq!(hear(&mut session, &piece(seq, job(1), 0, true, "{}")), [], "{seq} is acknowledged by welcome");
        }
        assert!(matches!(&hear(&mut session, &piece(42, job(1), 0, true, "{}"))[..], [ServerEffect::Report { body, .. }] if body == "{}"));
        assert_eq!(hear(&mut session, &piece(42, job(1), 0, true, "another")), []);
        assert!(
            matches!(hear(&mut session, &piece(45, job(1), 0, true, "{}"))[..], [ServerEffect::Report { .. }]),
            "a gap was set aside"
        );
        assert_eq!(hear(&mut session, &piece(44, job(1), 0, true, "{}")), [], "it never goes back");
        assert_closed(&hear(&mut session, &piece(1 << 63, job(1), 0, true, "{}")), CloseReason::BadEnvelope);
    }

    #[test]
    fn a_report_in_pieces_is_put_together() {
        let mut session = welcomed();
        assert_eq!(hear(&mut session, &piece(42, job(1), 0, false, "{\"a\":")), []);
        assert_eq!(hear(&mut session, &piece(42, job(1), 1, false, "")), []);
        assert!(
            matches!(&hear(&mut session, &piece(42, job(1), 2, true, "1}"))[..], [ServerEffect::Report { body, job: whose, .. }] if body == "{\"a\":1}" && *whose == job(1))
        );
    }

    #[test]
    fn frm_11_pieces_out_of_order_end_the_session() {
        for second in [
            piece(42, job(1), 0, false, "x"),
            piece(42, job(1), 2, false, "x"),
            piece(43, job(1), 0, true, "x"),
            piece(43, job(1), 1, true, "x"),
            piece(42, job(2), 1, true, "x"),
        ] {
            let mut session = welcomed();
            hear(&mut session, &piece(42, job(1), 0, false, "x"));
            assert_closed(&hear(&mut session, &second), CloseReason::ProtocolOrder);
        }
        assert_closed(&hear(&mut welcomed(), &piece(42, job(1), 1, true, "x")), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_01_a_report_beyond_its_limit_ends_the_session() {
        let mut session = welcomed();
        let full = "x".repeat(REPORT_CHUNK_BYTES);
        let pieces = u32::try_from(REPORT_BYTES / REPORT_CHUNK_BYTES).unwrap();
        for n in 0..pieces {
            assert_eq!(hear(&mut session, &piece(42, job(1), n, false, &full)), []);
        }
        assert_closed(&hear(&mut session, &piece(42, job(1), pieces, true, "x")), CloseReason::BadEnvelope);
        assert_closed(
            &hear(&mut welcomed(), &piece(42, job(1), 0, true, &format!("{full}x"))),
            CloseReason::BadEnvelope,
        );
    }

    #[test]
    fn frm_06_reports_beyond_the_window_end_the_session() {
        let mut session = welcomed();
        let window = u64::try_from(REPORT_WINDOW).unwrap();
        for seq in 42..42 + window {
            hear(&mut session, &piece(seq, job(1), 0, true, "{}"));
        }
        session.ack(ack(42));
        assert!(matches!(
            hear(&mut session, &piece(42 + window, job(1), 0, true, "{}"))[..],
            [ServerEffect::Report { .. }]
        ));
        assert_closed(&hear(&mut session, &piece(43 + window, job(1), 0, true, "{}")), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_06_messages_that_no_job_pays_for_are_limited() {
        let mut session = welcomed();
        let burst = u64::from(MESSAGE_BURST);
        // One went to hello.
        for seq in 1..burst {
            assert!(matches!(hear(&mut session, &keepalive(seq))[..], [ServerEffect::Keepalive(_)]));
        }
        assert_closed(&hear(&mut session, &keepalive(burst)), CloseReason::TooFast);

        let mut steady = welcomed();
        for seq in 1..2_000 {
            let now = after(Duration::from_millis(5 * seq));
            steady.handle_text(&keepalive(seq).to_string(), now);
            assert!(matches!(effects(&mut steady)[..], [ServerEffect::Keepalive(_)]), "200 a second are no offence");
        }
    }

    #[test]
    fn frm_06_other_floods_are_limited_too() {
        for frame in [
            json!({"v": 1, "t": "novelty"}),
            json!({"v": 1, "t": "credit", "granted": 1}),
            json!({"v": 1, "t": "accept", "job": job(7).job, "attempt": 1}),
            event(job(7), 0),
        ] {
            let mut session = welcomed();
            let last = (0..MESSAGE_BURST + 100)
                .map(|_| hear(&mut session, &frame))
                .find(|effects| matches!(effects.last(), Some(ServerEffect::Close(_))));
            assert_eq!(
                last.as_deref().and_then(<[_]>::last),
                Some(&ServerEffect::Close(CloseReason::TooFast)),
                "{frame}"
            );
        }
        let mut session = welcomed();
        let pieces = (0..=MESSAGE_BURST).map(|n| hear(&mut session, &piece(42, job(1), n, false, "x")));
        let last = pieces.into_iter().find(|effects| !effects.is_empty()).unwrap_or_default();
        assert_closed(&last, CloseReason::TooFast);
    }

    #[test]
    fn what_jobs_pay_for_is_not_limited() {
        let mut session = welcomed();
        for (seq, round) in (42..).zip(0..2_000_u64) {
            let number = u8::try_from(round % 200).unwrap();
            session.run(run(job(number)));
            sent(&mut session);
            for frame in [
                json!({"v": 1, "t": "accept", "job": job(number).job, "attempt": 1}),
                event(job(number), 0),
                event(job(number), 1),
                piece(seq, job(number), 0, true, "{}"),
                json!({"v": 1, "t": "credit", "granted": round + 1}),
            ] {
                assert!(!hear(&mut session, &frame).is_empty(), "{frame} in round {round}");
            }
            session.ack(ack(seq));
        }
        assert!(session.poll_timeout().is_some());
    }

    #[test]
    fn credit_never_goes_back() {
        let mut session = welcomed();
        let credit = |granted: u64| json!({"v": 1, "t": "credit", "granted": granted});
        assert_eq!(hear(&mut session, &credit(5)), [ServerEffect::Credit { granted: 5 }]);
        assert_eq!(hear(&mut session, &credit(5)), []);
        assert_closed(&hear(&mut session, &credit(4)), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_13_findings_of_a_job_not_in_hand_go_nowhere() {
        let mut session = welcomed();
        assert_eq!(hear(&mut session, &event(job(1), 0)), []);
        session.run(run(job(1)));
        assert!(matches!(hear(&mut session, &event(job(1), 3))[..], [ServerEffect::Finding { n: 3, .. }]));
        session.cancel(vec![job(1).job]);
        assert_eq!(hear(&mut session, &event(job(1), 4)), []);
    }

    #[test]
    fn job_22_a_cancel_never_overtakes_its_run() {
        let mut session = welcomed();
        session.run(run(job(1)));
        session.run(run(job(2)));
        sent(&mut session);
        session.run(run(job(3)));
        session.cancel(vec![job(1).job, job(3).job, job(1).job]);
        let frames = sent(&mut session);
        assert!(
            matches!(&frames[..], [ServerFrame::Cancel(first), ServerFrame::Run(run), ServerFrame::Cancel(second)]
                if first.jobs == [job(1).job] && run.job == job(3).job && second.jobs == [job(3).job]),
            "{frames:?}"
        );
    }

    #[test]
    fn net_17_control_overtakes_work_and_an_acknowledgement_says_it_all() {
        let mut session = welcomed();
        session.run(run(job(1)));
        session.goaway(Goaway {
            within_ms: 1,
            retry_after_ms: 2,
        });
        session.ack(ack(42));
        session.ack(ack(44));
        session.ack(ack(43));
        hear(&mut session, &keepalive(9));
        let frames = sent(&mut session);
        assert!(
            matches!(&frames[..], [ServerFrame::Keepalive(keepalive), ServerFrame::Ack(ack), ServerFrame::Goaway(_), ServerFrame::Run(_)]
                if keepalive.answers == Some(9) && ack.up_to.value() == 44),
            "{frames:?}"
        );
    }

    #[test]
    fn nothing_leaves_before_welcome() {
        let mut session = presented();
        session.run(run(job(1)));
        session.ack(ack(42));
        assert_eq!(sent(&mut session), []);
        session.welcome(welcome(), START);
        assert!(matches!(
            sent(&mut session)[..],
            [ServerFrame::Welcome(_), ServerFrame::Ack(_), ServerFrame::Run(_)]
        ));
    }

    #[test]
    fn an_agent_that_does_not_read_is_left() {
        let mut session = welcomed();
        for _ in 0..3_000 {
            session.run(run(job(1)));
        }
        assert_closed(&effects(&mut session), CloseReason::Busy { retry_after_ms: None });
    }

    #[test]
    fn frm_07_silence_ends_the_session_and_the_server_speaks_on_its_own() {
        let mut session = accepted();
        assert_eq!(session.poll_timeout(), Some(after(HELLO_TIMEOUT)));
        session.handle_timeout(after(HELLO_TIMEOUT));
        assert_closed(&effects(&mut session), CloseReason::Silent);

        let mut session = welcomed();
        let mut spoken = 0;
        while let Some(at) = session.poll_timeout() {
            session.handle_timeout(at);
            spoken += usize::from(session.poll_transmit(at).is_some());
            if session.poll_timeout().is_none() {
                assert_eq!(at, after(Duration::from_secs(45)));
            }
        }
        assert!((2..=3).contains(&spoken), "{spoken}");
        assert_closed(&effects(&mut session), CloseReason::Silent);
    }

    #[test]
    fn a_closed_session_says_so_once_and_is_inert() {
        let mut session = welcomed();
        session.run(run(job(1)));
        session.close(CloseReason::Revoked);
        session.close(CloseReason::Done);
        session.run(run(job(2)));
        session.ack(ack(50));
        session.handle_timeout(after(Duration::from_hours(1)));
        assert_eq!(hear(&mut session, &keepalive(1)), [ServerEffect::Close(CloseReason::Revoked)]);
        assert_eq!((session.poll_transmit(START), session.poll_timeout()), (None, None));
    }

    #[test]
    fn an_idle_session_is_small() {
        assert!(size_of::<ServerSession>() <= 512, "{} bytes", size_of::<ServerSession>());
    }
    fn change(mark: &str) -> Configure {
        match decode_server(include_str!("golden/v1/configure.json")) {
            Ok(Decoded::Frame(ServerFrame::Configure(mut change))) => {
                mark.clone_into(&mut change.items[0].mark);
                change
            }
            other => panic!("a change, not {other:?}"),
        }
    }

    #[test]
    fn standing_work_is_said_in_the_order_of_its_changes_and_what_the_agent_says_is_handed_on() {
        let mut session = presented();
        session.configure(change("a"));
        assert!(sent(&mut session).is_empty(), "not before welcome");
        session.welcome(welcome(), START);
        session.configure(change("b"));
        let said = sent(&mut session);
        let [ServerFrame::Welcome(_), ServerFrame::Configure(first), ServerFrame::Configure(second)] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!((first.items[0].mark.as_str(), second.items[0].mark.as_str()), ("a", "b"));
        let configured: Value = serde_json::from_str(include_str!("golden/v1/configured.json")).unwrap();
        let effects = hear(&mut session, &configured);
        let [ServerEffect::Configured(told)] = &effects[..] else {
            panic!("{effects:?}")
        };
        assert_eq!((told.items.len(), told.items[0].lost), (2, 3));
    }

    #[test]
    fn stw_03_an_agent_that_does_not_read_its_changes_or_says_too_much_is_left() {
        let mut session = welcomed();
        while effects(&mut session).is_empty() {
            session.configure(change("a"));
        }
        session.configure(change("a"));
        assert!(sent(&mut session).is_empty(), "closed");
        let mut many: Value = serde_json::from_str(include_str!("golden/v1/configured.json")).unwrap();
        let one = many["items"][0].clone();
        many["items"] = Value::Array(vec![one; STANDING_ITEMS + 1]);
        assert_eq!(hear(&mut welcomed(), &many), [ServerEffect::Close(CloseReason::BadEnvelope)]);
        let early: Value = serde_json::from_str(include_str!("golden/v1/configured.json")).unwrap();
        assert_eq!(hear(&mut presented(), &early), [ServerEffect::Close(CloseReason::ProtocolOrder)]);
    }
}
