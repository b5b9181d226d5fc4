//! The agent's machine alone, against a control plane that is played by the test.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};
    use shared_protocol::close::CloseReason;
    use shared_protocol::codec::{Decoded, decode_agent};
    use shared_protocol::end::RefuseReason;
    use shared_protocol::event::{PingEvent, ProbeEvent};
    use shared_protocol::frame::{AgentFrame, Refuse};
    use shared_protocol::host::HostLoad;
    use shared_protocol::id::{Attempt, JobRef, Sequence};
    use shared_protocol::limits::{EVENTS_PER_FRAME, HELLO_TIMEOUT, JOBS_IN_HAND, REPORT_CHUNK_BYTES, REPORT_WINDOW, STANDING_ITEMS};
    use shared_protocol::session::{AgentEffect, AgentSession, Jitter};
    use shared_protocol::standing::StandingHeld;
    use shared_protocol::time::MonotonicMicros;

    const CAPACITY: u32 = 8;
    const START: MonotonicMicros = MonotonicMicros::from_micros(1_000_000);

    fn after(duration: Duration) -> MonotonicMicros {
        START.plus(duration)
    }

    fn dialled() -> AgentSession {
        let Ok(Decoded::Frame(AgentFrame::Hello(hello))) = decode_agent(include_str!("golden/v1/hello.json")) else {
            panic!("a hello")
        };
        let mut session = AgentSession::new(*hello, CAPACITY, Jitter::from_seed(1), START);
        assert!(matches!(sent(&mut session)[..], [AgentFrame::Hello(_)]));
        session
    }

    fn welcomed() -> AgentSession {
        let mut session = dialled();
        session.handle_text(include_str!("golden/v1/welcome.json"), START);
        assert!(session.is_welcomed());
        effects(&mut session);
        assert_eq!(granted(&sent(&mut session)), Some(u64::from(CAPACITY)));
        session
    }

    fn sent_at(session: &mut AgentSession, now: MonotonicMicros) -> Vec<AgentFrame> {
        let texts = std::iter::from_fn(|| session.poll_transmit(now));
        texts
            .map(|text| match decode_agent(&text) {
                Ok(Decoded::Frame(frame)) => frame,
                other => panic!("the agent sent {text}: {other:?}"),
            })
            .collect()
    }

    fn sent(session: &mut AgentSession) -> Vec<AgentFrame> {
        sent_at(session, START)
    }

    fn effects(session: &mut AgentSession) -> Vec<AgentEffect> {
        std::iter::from_fn(|| session.poll_effect()).collect()
    }

    /// The last sum announced.
    fn granted(frames: &[AgentFrame]) -> Option<u64> {
        frames
            .iter()
            .rev()
            .find_map(|frame| if let AgentFrame::Credit(credit) = frame { Some(credit.granted) } else { None })
    }

    fn hear(session: &mut AgentSession, frame: &Value) -> Vec<AgentEffect> {
        session.handle_text(&frame.to_string(), START);
        effects(session)
    }

    fn job(number: u8, attempt: u32) -> JobRef {
        JobRef {
            job: format!("018bcfe5-6801-7708-8808-0000000000{number:02x}").parse().unwrap(),
            attempt: Attempt(attempt),
        }
    }

    fn run(job: JobRef, cost: u32) -> Value {
        json!({"v": 1, "t": "run", "job": job.job, "attempt": job.attempt, "spec": {"probe": "ping"}, "cost": cost, "remaining_ms": 1000})
    }

    fn ack(up_to: u64) -> Value {
        json!({"v": 1, "t": "ack", "incarnation": "018bcfe5-0000-7101-8101-010101010101", "up_to": up_to})
    }

    fn seq(value: u64) -> Sequence {
        Sequence::new(value).unwrap()
    }

    fn finding() -> ProbeEvent {
        ProbeEvent::Ping(PingEvent::Resolved {
            address: "127.0.0.1".parse().unwrap(),
        })
    }

    #[track_caller]
    fn assert_closed(effects: &[AgentEffect], reason: CloseReason) {
        assert_eq!(effects.last(), Some(&AgentEffect::Close(reason)));
    }

    #[test]
    fn welcome_tells_what_is_on_disk_and_what_to_drop() {
        let mut session = dialled();
        let mut welcome: Value = serde_json::from_str(include_str!("golden/v1/welcome.json")).unwrap();
        welcome["drop"] = json!(["018bcfe5-6800-7707-8707-070707070707"]);
        let effects = hear(&mut session, &welcome);
        assert!(
            matches!(&effects[..], [AgentEffect::Welcomed(_), AgentEffect::Cancel(jobs), AgentEffect::Acked { up_to }] if jobs.len() == 1 && *up_to == seq(41))
        );
        assert_eq!(session.wants_reports_after(), Some(seq(41)));
    }

    #[test]
    fn frm_11_frames_out_of_order_end_the_session() {
        for frame in [run(job(1, 1), 1), json!({"v": 1, "t": "cancel", "jobs": []}), ack(41)] {
            assert_closed(&hear(&mut dialled(), &frame), CloseReason::ProtocolOrder);
        }
        let mut session = welcomed();
        session.handle_text(include_str!("golden/v1/welcome.json"), START);
        assert_closed(&effects(&mut session), CloseReason::ProtocolOrder);
        assert_eq!(
            (session.poll_timeout(), session.poll_transmit(START), session.is_welcomed()),
            (None, None, false)
        );
    }

    #[test]
    fn frm_10_what_is_no_frame_or_unknown_and_critical_ends_the_session() {
        for text in ["", "{}", r#"{"v":1}"#, r#"{"v":1,"t":"novelty","critical":true}"#, r#"{"v":1,"t":"run"}"#] {
            let mut session = welcomed();
            session.handle_text(text, START);
            assert_closed(&effects(&mut session), CloseReason::BadEnvelope);
        }
        let mut session = welcomed();
        assert_eq!(hear(&mut session, &json!({"v": 1, "t": "novelty"})), []);
        assert_eq!(session.ignored_frames(), 1);
    }

    #[test]
    fn frm_15_an_acknowledgement_of_what_was_never_sent_ends_the_session() {
        let mut session = welcomed();
        session.report(seq(42), job(1, 1), Arc::from("{}"));
        assert_closed(&hear(&mut session, &ack(42)), CloseReason::ProtocolOrder);

        let mut session = welcomed();
        session.report(seq(42), job(1, 1), Arc::from("{}"));
        sent(&mut session);
        assert_closed(&hear(&mut session, &ack(43)), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_15_a_welcome_that_acknowledges_reports_never_made_ends_the_session() {
        let mut session = dialled();
        let mut welcome: Value = serde_json::from_str(include_str!("golden/v1/welcome.json")).unwrap();
        welcome["ack"]["up_to"] = json!(43);
        assert_closed(&hear(&mut session, &welcome), CloseReason::ProtocolOrder);
    }

    #[test]
    fn frm_12_acknowledgements_count_up_and_repeat_nothing() {
        let mut session = welcomed();
        for number in 42..45 {
            session.report(seq(number), job(1, 1), Arc::from("{}"));
        }
        assert_eq!(sent(&mut session).len(), 3);
        assert_eq!(hear(&mut session, &ack(43)), [AgentEffect::Acked { up_to: seq(43) }]);
        assert_eq!(hear(&mut session, &ack(43)), []);
        assert_eq!(hear(&mut session, &ack(40)), []);
        assert_eq!(hear(&mut session, &ack(44)), [AgentEffect::Acked { up_to: seq(44) }]);
    }

    #[test]
    fn reports_wait_for_room_in_the_window_and_are_taken_in_order() {
        let mut session = welcomed();
        let mut next = 42;
        while let Some(last) = session.wants_reports_after() {
            assert_eq!(last, seq(next - 1));
            session.report(seq(next), job(1, 1), Arc::from("{}"));
            session.report(seq(next), job(1, 1), Arc::from("again"));
            next += 1;
        }
        assert_eq!(next - 42, u64::try_from(REPORT_WINDOW).unwrap());
        assert_eq!(sent(&mut session).len(), REPORT_WINDOW);
        hear(&mut session, &ack(42));
        assert_eq!(session.wants_reports_after(), Some(seq(next - 1)));
    }

    #[test]
    fn the_report_at_which_a_session_ends_is_known() {
        let mut session = welcomed();
        assert_eq!(session.report_in_flight(), None);
        session.report(seq(42), job(1, 1), Arc::from("{}"));
        session.report(seq(43), job(1, 1), Arc::from("x".repeat(2 * REPORT_CHUNK_BYTES)));
        assert_eq!(session.report_in_flight(), None, "nothing was sent");
        session.poll_transmit(START);
        assert_eq!(session.report_in_flight(), Some(seq(42)));
        session.poll_transmit(START);
        hear(&mut session, &ack(42));
        assert_eq!(session.report_in_flight(), Some(seq(43)), "half of it was");
    }

    #[test]
    fn a_hello_names_each_job_once_and_no_more_than_it_may() {
        let Ok(Decoded::Frame(AgentFrame::Hello(mut hello))) = decode_agent(include_str!("golden/v1/hello.json")) else {
            panic!("a hello")
        };
        hello.in_hand = (1..=2_000).flat_map(|attempt| [job(1, attempt), job(1, attempt)]).collect();
        let mut session = AgentSession::new(*hello, CAPACITY, Jitter::from_seed(1), START);
        let frames = sent(&mut session);
        let [AgentFrame::Hello(hello)] = &frames[..] else { panic!("{frames:?}") };
        assert_eq!(hello.in_hand.len(), JOBS_IN_HAND);
        assert_eq!(hello.in_hand.last(), Some(&job(1, 1_024)));
    }

    #[test]
    fn frm_24_a_session_that_is_closed_at_once_does_not_count_as_welcomed() {
        let mut session = dialled();
        session.handle_text("?", START);
        assert_closed(&effects(&mut session), CloseReason::BadEnvelope);
        session.handle_text(include_str!("golden/v1/welcome.json"), START);
        assert!(!session.is_welcomed());
        assert_eq!(effects(&mut session), []);
    }

    #[test]
    fn an_agent_with_as_many_reports_waiting_as_hello_can_name_takes_no_job() {
        let mut session = welcomed();
        session.set_load(0, 1_024);
        assert_eq!(hear(&mut session, &run(job(1, 1), 1)), []);
        assert!(
            sent(&mut session)
                .iter()
                .any(|frame| matches!(frame, AgentFrame::Refuse(refuse) if refuse.reason == RefuseReason::AgentBusy))
        );
    }

    #[test]
    fn a_long_report_leaves_in_pieces_that_add_up() {
        let mut session = welcomed();
        let body = "aé😀\n\"".repeat(9_000);
        session.report(seq(42), job(1, 1), Arc::from(body.as_str()));
        let mut whole = String::new();
        let frames = sent(&mut session);
        for (number, frame) in frames.iter().enumerate() {
            let AgentFrame::Report(chunk) = frame else { panic!("{frame:?}") };
            assert!(chunk.data.len() <= REPORT_CHUNK_BYTES);
            assert_eq!((usize::try_from(chunk.n).unwrap(), chunk.last), (number, number + 1 == frames.len()));
            whole.push_str(&chunk.data);
        }
        assert_eq!(whole, body);
    }

    #[test]
    fn net_17_a_keepalive_overtakes_events_and_reports() {
        let mut session = welcomed();
        hear(&mut session, &run(job(1, 1), 1));
        session.report(seq(42), job(1, 1), Arc::from("x".repeat(10 * REPORT_CHUNK_BYTES)));
        session.accept(job(1, 1));
        let soon = after(Duration::from_secs(17));
        session.event(job(1, 1), finding(), soon);
        assert!(session.poll_transmit(soon).unwrap().contains("accept"));
        assert!(session.poll_transmit(soon).unwrap().contains("event"));
        assert!(session.poll_transmit(soon).unwrap().contains("report"));
        session.handle_timeout(soon);
        assert!(session.poll_transmit(soon).unwrap().contains("keepalive"));
        assert!(session.poll_transmit(soon).unwrap().contains("report"));
    }

    #[test]
    fn frm_16_a_job_beyond_credit_is_refused_and_its_cost_comes_back() {
        let mut session = welcomed();
        assert!(matches!(hear(&mut session, &run(job(1, 1), CAPACITY))[..], [AgentEffect::Run(_)]));
        assert_eq!(hear(&mut session, &run(job(2, 1), 1)), []);
        let frames = sent(&mut session);
        assert!(
            frames
                .iter()
                .any(|frame| matches!(frame, AgentFrame::Refuse(refuse) if refuse.reason == RefuseReason::NoCredit))
        );
        assert_eq!(granted(&frames), Some(u64::from(CAPACITY) + 1), "what the refused job cost is granted again");
        assert_eq!(hear(&mut session, &run(job(3, 1), 1)), [], "the first job still fills the agent");
    }

    #[test]
    fn credit_grows_by_what_ends_and_is_what_runs_less_after_a_reconnect() {
        let mut session = welcomed();
        for (number, cost) in [(1, 3), (2, 2), (3, 1)] {
            hear(&mut session, &run(job(number, 1), cost));
            session.accept(job(number, 1));
        }
        sent(&mut session);
        session.finished(job(2, 1));
        assert_eq!(granted(&sent(&mut session)), Some(10));

        let mut next = dialled();
        session.finished(job(3, 1));
        next.carry_over(session);
        next.handle_text(include_str!("golden/v1/welcome.json"), START);
        assert_eq!(granted(&sent(&mut next)), Some(5), "capacity less the job that runs");
        assert!(effects(&mut next).contains(&AgentEffect::Cancel(vec![job(1, 1).job])), "it was not re-adopted");
        next.finished(job(1, 1));
        assert_eq!(granted(&sent(&mut next)), Some(8));
        next.finished(job(1, 1));
        assert_eq!(granted(&sent(&mut next)), None, "a job leaves once");
    }

    #[test]
    fn a_refused_job_gives_its_cost_back_once() {
        let mut session = welcomed();
        hear(&mut session, &run(job(1, 1), 2));
        let refuse = Refuse {
            job: job(1, 1).job,
            attempt: Attempt(1),
            reason: RefuseReason::PolicyDenied,
            message: String::new(),
        };
        session.refuse(refuse.clone());
        session.refuse(refuse);
        let frames = sent(&mut session);
        assert_eq!((granted(&frames), frames.len()), (Some(10), 2));
    }

    #[test]
    fn job_23_a_job_handed_out_twice_is_run_once() {
        let mut session = welcomed();
        assert!(matches!(hear(&mut session, &run(job(1, 1), 1))[..], [AgentEffect::Run(_)]));
        assert_eq!(hear(&mut session, &run(job(1, 1), 1)), []);
        session.accept(job(1, 1));
        assert_eq!(hear(&mut session, &run(job(1, 1), 1)), []);
        let accepts = sent(&mut session).iter().filter(|frame| matches!(frame, AgentFrame::Accept(_))).count();
        assert_eq!(accepts, 2, "one of its own, one for the copy that came after it");
        session.finished(job(1, 1));
        sent(&mut session);
        assert_eq!(hear(&mut session, &run(job(1, 1), 1)), [], "done already");
        assert!(
            matches!(hear(&mut session, &run(job(1, 2), 1))[..], [AgentEffect::Run(_)]),
            "another attempt is another matter"
        );

        let mut next = dialled();
        next.carry_over(session);
        next.handle_text(include_str!("golden/v1/welcome.json"), START);
        sent(&mut next);
        effects(&mut next);
        assert_eq!(hear(&mut next, &run(job(1, 1), 1)), [], "also in the next session");
    }

    #[test]
    fn job_22_cancels_pass_through_whenever_they_come() {
        let mut session = welcomed();
        let cancel = json!({"v": 1, "t": "cancel", "jobs": [job(1, 1).job]});
        let expected = [AgentEffect::Cancel(vec![job(1, 1).job])];
        assert_eq!(hear(&mut session, &cancel), expected, "unknown");
        hear(&mut session, &run(job(1, 1), 1));
        session.accept(job(1, 1));
        assert_eq!(hear(&mut session, &cancel), expected, "running");
        assert_eq!(hear(&mut session, &cancel), expected, "twice");
        sent(&mut session);
        session.event(job(1, 1), finding(), START);
        assert_eq!(sent(&mut session), [], "nobody waits for its findings");
        session.finished(job(1, 1));
        assert_eq!(granted(&sent(&mut session)), Some(9), "its cost comes back all the same");
        assert_eq!(hear(&mut session, &cancel), expected, "finished");
    }

    #[test]
    fn a_first_event_leaves_at_once_and_later_ones_together() {
        let mut session = welcomed();
        hear(&mut session, &run(job(1, 1), 1));
        session.accept(job(1, 1));
        sent(&mut session);
        session.event(job(1, 1), finding(), START);
        assert!(matches!(&sent(&mut session)[..], [AgentFrame::Event(event)] if event.n == 0 && event.findings.len() == 1));
        session.event(job(1, 1), finding(), after(Duration::from_millis(1)));
        session.event(job(1, 1), finding(), after(Duration::from_millis(99)));
        assert_eq!(sent(&mut session), []);
        assert_eq!(session.poll_timeout(), Some(after(Duration::from_millis(100))));
        session.handle_timeout(after(Duration::from_millis(100)));
        assert!(matches!(&sent(&mut session)[..], [AgentFrame::Event(event)] if event.n == 1 && event.findings.len() == 2));
    }

    #[test]
    fn the_last_events_leave_before_the_report() {
        let mut session = welcomed();
        hear(&mut session, &run(job(1, 1), 1));
        session.accept(job(1, 1));
        session.event(job(1, 1), finding(), START);
        sent(&mut session);
        session.event(job(1, 1), finding(), START);
        session.report(seq(42), job(1, 1), Arc::from("{}"));
        session.finished(job(1, 1));
        assert!(matches!(&sent(&mut session)[..], [AgentFrame::Credit(_), AgentFrame::Event(event), AgentFrame::Report(_)] if event.n == 1));
    }

    #[test]
    fn events_that_nobody_takes_are_bounded_and_the_numbers_show_the_gap() {
        let mut session = welcomed();
        hear(&mut session, &run(job(1, 1), 1));
        session.accept(job(1, 1));
        for _ in 0..100_000 {
            session.event(job(1, 1), finding(), START);
        }
        let frames = sent(&mut session);
        let Some(AgentFrame::Event(event)) = frames.last() else {
            panic!("{frames:?}")
        };
        assert_eq!(event.findings.len(), EVENTS_PER_FRAME);
        assert!(event.n > 90_000, "the oldest were dropped, not the newest: {}", event.n);
        session.event(job(9, 1), finding(), START);
        assert_eq!(sent(&mut session), [], "a job not in hand has no events");
    }

    #[test]
    fn frm_07_three_silent_intervals_end_the_session_and_any_byte_prolongs_it() {
        let mut session = welcomed();
        let mut keepalives = 0;
        session.handle_received(after(Duration::from_secs(20)));
        loop {
            let at = session.poll_timeout().unwrap();
            session.handle_timeout(at);
            keepalives += sent_at(&mut session, at)
                .iter()
                .filter(|frame| matches!(frame, AgentFrame::Keepalive(_)))
                .count();
            if session.poll_timeout().is_none() {
                assert_eq!(at, after(Duration::from_secs(65)), "45 s after the last byte");
                break;
            }
        }
        assert_eq!(keepalives, 4);
        assert_closed(&effects(&mut session), CloseReason::Silent);
    }

    #[test]
    fn how_busy_the_host_is_travels_with_the_next_keepalive_and_once() {
        let mut session = welcomed();
        let load = HostLoad {
            memory_used_bytes: Some(7),
            ..HostLoad::default()
        };
        session.set_host_load(load.clone());
        let mut told = Vec::new();
        for seconds in [17, 34] {
            let at = after(Duration::from_secs(seconds));
            session.handle_received(at);
            session.handle_timeout(at);
            for frame in sent_at(&mut session, at) {
                if let AgentFrame::Keepalive(keepalive) = frame {
                    told.push((keepalive.capacity, keepalive.load));
                }
            }
        }
        assert_eq!(told, [(Some(CAPACITY), Some(Box::new(load))), (Some(CAPACITY), None)]);
    }

    #[test]
    fn an_acknowledgement_of_what_the_outbox_never_held_says_that_it_was_put_back() {
        let mut session = dialled();
        let mut welcome: Value = serde_json::from_str(include_str!("golden/v1/welcome.json")).unwrap();
        welcome["ack"]["up_to"] = json!(43);
        let closed = hear(&mut session, &welcome);
        assert_closed(&closed, CloseReason::ProtocolOrder);
        assert!(session.outbox_is_behind(), "next_seq is 43: no report of this number was ever kept");
        assert!(!welcomed().outbox_is_behind());
    }

    #[test]
    fn a_control_plane_that_never_welcomes_is_left() {
        let mut session = dialled();
        session.handle_received(after(Duration::from_secs(9)));
        assert_eq!(session.poll_timeout(), Some(after(HELLO_TIMEOUT)));
        session.handle_timeout(after(HELLO_TIMEOUT));
        assert_closed(&effects(&mut session), CloseReason::Silent);
    }

    #[test]
    fn clk_04_a_clock_that_jumps_ahead_ends_the_session_and_nothing_else() {
        let mut session = welcomed();
        session.handle_timeout(after(Duration::from_hours(100)));
        assert_closed(&effects(&mut session), CloseReason::Silent);
    }

    #[test]
    fn frm_17_a_version_it_did_not_offer_is_refused() {
        let mut welcome: Value = serde_json::from_str(include_str!("golden/v1/welcome.json")).unwrap();
        welcome["version"] = json!(2);
        assert_closed(&hear(&mut dialled(), &welcome), CloseReason::NoCommonVersion);
        welcome["v"] = json!(2);
        assert_closed(&hear(&mut dialled(), &welcome), CloseReason::NoCommonVersion);
    }

    #[test]
    fn a_control_plane_that_asks_faster_than_it_reads_is_left() {
        let mut session = welcomed();
        let mut last = Vec::new();
        for _ in 0..3_000 {
            last = hear(&mut session, &run(job(1, 1), 1_000));
            if !last.is_empty() {
                break;
            }
        }
        assert_closed(&last, CloseReason::TooFast);
    }
    fn configure(mark: &str) -> Value {
        let mut frame: Value = serde_json::from_str(include_str!("golden/v1/configure.json")).unwrap();
        frame["items"][0]["mark"] = mark.into();
        frame
    }

    #[test]
    fn standing_work_is_handed_on_in_order_and_what_is_said_of_it_is_the_latest() {
        let mut session = welcomed();
        for mark in ["a", "b"] {
            let effects = hear(&mut session, &configure(mark));
            let [AgentEffect::Configure(change)] = &effects[..] else {
                panic!("{effects:?}")
            };
            assert_eq!((change.items[0].mark.as_str(), change.removed.len()), (mark, 1));
            session.standing(change.items.iter().map(StandingHeld::waiting).collect());
        }
        let said = sent(&mut session);
        let [AgentFrame::Configured(configured)] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!(configured.items[0].mark, "b", "the one before is of no use any more");
        assert!(sent(&mut session).is_empty());
    }

    #[test]
    fn stw_03_standing_work_before_welcome_or_beyond_its_bound_ends_the_session() {
        assert_closed(&hear(&mut dialled(), &configure("a")), CloseReason::ProtocolOrder);
        for member in ["items", "removed"] {
            let mut many = configure("a");
            let one = many[member][0].clone();
            many[member] = Value::Array(vec![one.clone(); STANDING_ITEMS]);
            assert!(matches!(hear(&mut welcomed(), &many)[..], [AgentEffect::Configure(_)]), "{member}");
            many[member] = Value::Array(vec![one; STANDING_ITEMS + 1]);
            assert_closed(&hear(&mut welcomed(), &many), CloseReason::BadEnvelope);
        }
    }
}
