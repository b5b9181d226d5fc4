//! Whatever text arrives, neither machine panics, hangs, or goes on after it said that the session is over.
//!
//! The short version of FRM-25: recorded frames with bits flipped, pieces cut out or doubled, and arbitrary text.

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared_protocol::codec::{Decoded, decode_agent, decode_server};
    use shared_protocol::frame::{AgentFrame, ServerFrame};
    use shared_protocol::session::{AgentEffect, AgentSession, Jitter, ServerEffect, ServerSession};
    use shared_protocol::time::MonotonicMicros;

    const FRAMES: [&str; 13] = [
        include_str!("golden/v1/hello.json"),
        include_str!("golden/v1/welcome.json"),
        include_str!("golden/v1/credit.json"),
        include_str!("golden/v1/accept.json"),
        include_str!("golden/v1/refuse.json"),
        include_str!("golden/v1/event.json"),
        include_str!("golden/v1/report.json"),
        include_str!("golden/v1/agent-keepalive.json"),
        include_str!("golden/v1/run.json"),
        include_str!("golden/v1/cancel.json"),
        include_str!("golden/v1/ack.json"),
        include_str!("golden/v1/server-keepalive.json"),
        include_str!("golden/v1/goaway.json"),
    ];

    /// A recorded frame, spoiled a little; what is no text any more is replaced, as the WebSocket layer lets only UTF-8 through.
    fn spoiled() -> impl Strategy<Value = String> {
        let flips = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 0..4);
        let cut = prop::option::of((any::<prop::sample::Index>(), 0_usize..12));
        (prop::sample::select(FRAMES.to_vec()), flips, cut).prop_map(|(frame, flips, cut)| {
            let mut bytes = frame.as_bytes().to_vec();
            for (index, bit) in flips {
                let at = index.index(bytes.len());
                bytes[at] ^= 1 << bit;
            }
            if let Some((index, length)) = cut {
                let at = index.index(bytes.len());
                let end = (at + length).min(bytes.len());
                bytes.drain(at..end);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    }

    fn texts() -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop_oneof![8 => spoiled(), 1 => any::<String>(), 1 => "[\\[\\]{}\":,0-9a-z]{0,40}"], 1..24)
    }

    fn agent() -> AgentSession {
        let Ok(Decoded::Frame(AgentFrame::Hello(hello))) = decode_agent(FRAMES[0]) else {
            panic!("a hello")
        };
        AgentSession::new(*hello, 8, Jitter::from_seed(1), MonotonicMicros::default())
    }

    /// Gives the texts to an agent, a millisecond apart; it must stay silent once closed.
    fn feed_agent(texts: &[String]) {
        let mut session = agent();
        let mut closed = false;
        for (step, text) in (1..).zip(texts) {
            let now = MonotonicMicros::from_micros(step * 1_000);
            session.handle_text(text, now);
            while let Some(effect) = session.poll_effect() {
                assert!(!closed, "{effect:?} after the end");
                closed = matches!(effect, AgentEffect::Close(_));
            }
            session.handle_timeout(now);
            while let Some(text) = session.poll_transmit(now) {
                assert!(!closed && decode_agent(&text).is_ok(), "{text}");
            }
            assert_eq!(session.poll_timeout().is_none(), closed);
        }
    }

    /// The same to a server that welcomes whoever presents itself.
    fn feed_server(texts: &[String]) {
        let Ok(Decoded::Frame(ServerFrame::Welcome(welcome))) = decode_server(FRAMES[1]) else {
            panic!("a welcome")
        };
        let mut session = ServerSession::new(Jitter::from_seed(1), MonotonicMicros::default());
        let mut closed = false;
        for (step, text) in (1..).zip(texts) {
            let now = MonotonicMicros::from_micros(step * 1_000);
            session.handle_text(text, now);
            while let Some(effect) = session.poll_effect() {
                assert!(!closed, "{effect:?} after the end");
                closed = matches!(effect, ServerEffect::Close(_));
                if matches!(effect, ServerEffect::Hello(_)) {
                    session.welcome(welcome.clone(), now);
                }
            }
            session.handle_timeout(now);
            while let Some(text) = session.poll_transmit(now) {
                assert!(!closed && decode_server(&text).is_ok(), "{text}");
            }
            assert_eq!(session.poll_timeout().is_none(), closed);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn frm_25_an_agent_survives_every_text(texts in texts()) {
            feed_agent(&texts);
            let mut welcomed = vec![FRAMES[1].to_owned()];
            welcomed.extend(texts);
            feed_agent(&welcomed);
        }

        #[test]
        fn frm_25_a_server_survives_every_text(texts in texts()) {
            feed_server(&texts);
            let mut presented = vec![FRAMES[0].to_owned()];
            presented.extend(texts);
            feed_server(&presented);
        }
    }
}
