//! One recorded frame of each type: later builds must still read every one and write it alike, and refuse each with a member spoiled.

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared_protocol::codec::{Decoded, InvalidFrame, decode_agent, decode_server, encode_agent, encode_server};
    use shared_protocol::frame::AgentFrame;
    use shared_protocol::limits::{HOST_ADDRESSES, HOST_DISKS, HOST_INTERFACES};

    /// Hello and keepalive stand twice: as the first release wrote them, and with everything that may be in them.
    const AGENT: [(&str, &str); 11] = [
        ("hello", include_str!("golden/v1/hello.json")),
        ("hello-host", include_str!("golden/v1/hello-host.json")),
        ("hello-standing", include_str!("golden/v1/hello-standing.json")),
        ("credit", include_str!("golden/v1/credit.json")),
        ("accept", include_str!("golden/v1/accept.json")),
        ("refuse", include_str!("golden/v1/refuse.json")),
        ("event", include_str!("golden/v1/event.json")),
        ("report", include_str!("golden/v1/report.json")),
        ("agent-keepalive", include_str!("golden/v1/agent-keepalive.json")),
        ("agent-keepalive-load", include_str!("golden/v1/agent-keepalive-load.json")),
        ("configured", include_str!("golden/v1/configured.json")),
    ];
    const SERVER: [(&str, &str); 7] = [
        ("welcome", include_str!("golden/v1/welcome.json")),
        ("run", include_str!("golden/v1/run.json")),
        ("cancel", include_str!("golden/v1/cancel.json")),
        ("ack", include_str!("golden/v1/ack.json")),
        ("server-keepalive", include_str!("golden/v1/server-keepalive.json")),
        ("goaway", include_str!("golden/v1/goaway.json")),
        ("configure", include_str!("golden/v1/configure.json")),
    ];
    /// Members that may be absent or null.
    const OPTIONAL: [&str; 41] = [
        "/capabilities/0/reason",
        "/capabilities/0/remedy",
        "/findings/1/rtt_us",
        "/findings/1/user_rtt_us",
        "/findings/1/reply_ttl",
        "/findings/1/bytes",
        "/answers",
        "/limits",
        "/host/place",
        "/host/place/region",
        "/host/place/zone",
        "/host/place/network",
        "/host/cpu_model",
        "/host/cores",
        "/host/disk_bytes",
        "/host/virtualisation",
        "/host/container",
        "/host/time_zone",
        "/host/booted_at_us",
        "/host/interfaces",
        "/host/interfaces/0/mac",
        "/host/interfaces/0/mtu_bytes",
        "/host/interfaces/0/speed_mbps",
        "/host/interfaces/0/addresses",
        "/capacity",
        "/load",
        "/load/cpu_ratio",
        "/load/load_average",
        "/load/memory_used_bytes",
        "/load/memory_available_bytes",
        "/load/swap_used_bytes",
        "/load/disks",
        "/load/interfaces",
        "/standing",
        "/standing/0/lost",
        "/items/0/limits",
        "/items/0/lost",
        "/items/1/reason",
        "/items/1/message",
        "/items/1/lost",
        "/removed",
    ];

    /// Reads a frame of either side and writes it again.
    fn through_codec(name: &str, text: &str) -> Result<Option<Value>, InvalidFrame> {
        let written = if AGENT.iter().any(|(agent, _)| *agent == name) {
            match decode_agent(text)? {
                Decoded::Frame(frame) => encode_agent(&frame),
                Decoded::Ignored => return Ok(None),
            }
        } else {
            match decode_server(text)? {
                Decoded::Frame(frame) => encode_server(&frame),
                Decoded::Ignored => return Ok(None),
            }
        };
        Ok(Some(serde_json::from_str(&written).unwrap()))
    }

    fn golden() -> impl Iterator<Item = (&'static str, Value)> {
        AGENT.into_iter().chain(SERVER).map(|(name, text)| (name, serde_json::from_str(text).unwrap()))
    }

    /// The JSON pointers of all members, outermost first; not those inside a spec, which the frame does not look into.
    fn members(value: &Value, at: &str, found: &mut Vec<String>) {
        let children: Vec<(String, &Value)> = match value {
            Value::Object(map) => map.iter().map(|(name, value)| (format!("{at}/{name}"), value)).collect(),
            Value::Array(items) => items.iter().enumerate().map(|(index, value)| (format!("{at}/{index}"), value)).collect(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        };
        for (pointer, child) in children {
            if value.is_object() {
                found.push(pointer.clone());
            }
            if !is_spec(&pointer) {
                members(child, &pointer, found);
            }
        }
    }

    fn is_spec(pointer: &str) -> bool {
        pointer.ends_with("/spec")
    }

    fn without(mut frame: Value, pointer: &str) -> Value {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        frame.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
        frame
    }

    fn with(mut frame: Value, pointer: &str, value: Value) -> Value {
        *frame.pointer_mut(pointer).unwrap() = value;
        frame
    }

    #[track_caller]
    fn assert_refused_at(name: &str, frame: &Value, pointer: &str) {
        let error = through_codec(name, &frame.to_string()).expect_err(&format!("{name} without a good {pointer}"));
        let member = pointer.rsplit('/').next().unwrap();
        let told = error.to_string();
        let parent = pointer.trim_start_matches('/').split('/').next().unwrap();
        // A tagged union reads its members as a whole, so its errors name the element that holds them.
        assert!(told.contains(member) || told.contains(parent), "{name} {pointer}: {told}");
    }

    #[test]
    fn every_recorded_frame_is_still_read_and_written_alike() {
        for (name, frame) in golden() {
            assert_eq!(through_codec(name, &frame.to_string()).unwrap(), Some(frame), "{name}");
        }
    }

    #[test]
    fn every_recorded_frame_carries_members_of_the_future() {
        for (name, frame) in golden() {
            let mut newer = frame.clone();
            newer
                .as_object_mut()
                .unwrap()
                .insert("from_the_future".to_owned(), serde_json::json!({"a": [1]}));
            assert_eq!(through_codec(name, &newer.to_string()).unwrap(), Some(frame), "{name}");
        }
    }

    /// What agents sent before hosts were described in more than six words: both forms are read.
    #[test]
    fn an_agent_that_says_less_about_its_host_is_read_with_those_parts_absent() {
        let (_, hello) = AGENT[0];
        let Ok(Decoded::Frame(AgentFrame::Hello(hello))) = decode_agent(hello) else {
            panic!("a hello")
        };
        assert!(hello.host.place.is_empty() && hello.host.interfaces.is_empty() && hello.host.container.is_none());
        let keepalive = AGENT.iter().find(|(name, _)| *name == "agent-keepalive").unwrap().1;
        let Ok(Decoded::Frame(AgentFrame::Keepalive(keepalive))) = decode_agent(keepalive) else {
            panic!("a keepalive")
        };
        assert_eq!((keepalive.capacity, keepalive.load), (None, None));
    }

    #[test]
    fn frm_09_what_a_host_says_about_itself_has_bounds() {
        let recorded = |name: &str| golden().find(|(golden, _)| *golden == name).unwrap().1;
        let (hello, keepalive) = (recorded("hello-host"), recorded("agent-keepalive-load"));
        let interface = hello["host"]["interfaces"][0].clone();
        let many = |one: &Value, count: usize| Value::Array(vec![one.clone(); count]);
        for (name, frame, pointer, one, limit) in [
            ("hello-host", &hello, "/host/interfaces", &interface, HOST_INTERFACES),
            (
                "hello-host",
                &hello,
                "/host/interfaces/0/addresses",
                &Value::from("192.0.2.1/24"),
                HOST_ADDRESSES,
            ),
            (
                "agent-keepalive-load",
                &keepalive,
                "/load/interfaces",
                &keepalive["load"]["interfaces"][0],
                HOST_INTERFACES,
            ),
            ("agent-keepalive-load", &keepalive, "/load/disks", &keepalive["load"]["disks"][0], HOST_DISKS),
        ] {
            assert!(
                through_codec(name, &with(frame.clone(), pointer, many(one, limit)).to_string()).is_ok(),
                "{pointer}"
            );
            assert_refused_at(name, &with(frame.clone(), pointer, many(one, limit + 1)), pointer);
        }
        let long = with(hello, "/host/place/region", Value::from(format!("eu\u{1b}[31m\r\n{}", "x".repeat(10_000))));
        let read = through_codec("hello-host", &long.to_string()).unwrap().unwrap();
        let region = read["host"]["place"]["region"].as_str().unwrap();
        assert!(region.len() == 255 && region.starts_with("eu[31mx"), "{region:.40}");
        for (pointer, value) in [
            ("/load/cpu_ratio", serde_json::json!(1.5)),
            ("/load/load_average", serde_json::json!([0.1, -1, 0.1])),
        ] {
            let read = through_codec("agent-keepalive-load", &with(keepalive.clone(), pointer, value).to_string())
                .unwrap()
                .unwrap();
            assert_eq!(read.pointer(pointer), None, "a number that no host can have is absent");
        }
    }

    /// The reader's copy in the documentation is the recorded one.
    #[test]
    fn every_recorded_frame_stands_in_the_documentation() {
        let text = include_str!("../../docs/protocol.md");
        let blocks = text.split("```json").skip(1).map(|block| block.split("```").next().unwrap());
        let examples: Vec<Value> = blocks
            .flat_map(|block| serde_json::Deserializer::from_str(block).into_iter::<Value>())
            .map(|example| example.unwrap())
            .collect();
        for (name, frame) in golden() {
            assert!(examples.contains(&frame), "{name} differs from docs/protocol.md");
        }
        assert_eq!(examples.len(), golden().count());
    }

    #[test]
    fn frm_09_a_missing_null_or_wrongly_typed_member_is_refused_with_its_place() {
        let mut checked = 0;
        for (name, frame) in golden() {
            let mut pointers = Vec::new();
            members(&frame, "", &mut pointers);
            for pointer in pointers {
                let wrong = match frame.pointer(&pointer).unwrap() {
                    Value::Object(_) | Value::Array(_) => Value::from(true),
                    Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => serde_json::json!({"not": "this"}),
                };
                // A spec is kept as it came; the runner reads it.
                if !is_spec(&pointer) {
                    assert_refused_at(name, &with(frame.clone(), &pointer, wrong), &pointer);
                }
                if OPTIONAL.contains(&pointer.as_str()) {
                    continue;
                }
                // What has a default may be missing, yet not be null.
                if pointer != "/outbox/set_aside" && !pointer.contains("/limits/") {
                    assert_refused_at(name, &without(frame.clone(), &pointer), &pointer);
                }
                if !is_spec(&pointer) {
                    assert_refused_at(name, &with(frame.clone(), &pointer, Value::Null), &pointer);
                }
                checked += 1;
            }
        }
        assert!(checked > 70, "only {checked} members");
    }

    #[test]
    fn frm_09_numbers_out_of_range_are_refused() {
        for (name, pointer, value) in [
            ("accept", "/attempt", "-1"),
            ("accept", "/attempt", "4294967296"),
            ("ack", "/up_to", "9007199254740992"),
            ("ack", "/up_to", "9223372036854775808"),
            ("report", "/seq", "1.5"),
            ("report", "/seq", "-1"),
            ("credit", "/granted", "18446744073709551616"),
        ] {
            let (_, frame) = golden().find(|(golden, _)| *golden == name).unwrap();
            let spoiled = with(frame, pointer, serde_json::from_str(value).unwrap());
            assert_refused_at(name, &spoiled, pointer);
        }
    }

    #[test]
    fn frm_10_an_unknown_type_is_ignored_unless_it_is_critical() {
        for name in ["hello", "welcome"] {
            assert_eq!(through_codec(name, r#"{"v":1,"t":"novelty","x":1}"#), Ok(None));
            assert_eq!(through_codec(name, r#"{"v":1,"t":"novelty","critical":false}"#), Ok(None));
            assert_eq!(
                through_codec(name, r#"{"v":1,"t":"novelty","critical":true}"#),
                Err(InvalidFrame::UnknownCritical)
            );
            assert!(matches!(
                through_codec(name, r#"{"v":1,"t":"novelty","critical":1}"#),
                Err(InvalidFrame::Envelope(_))
            ));
        }
    }

    #[test]
    fn frm_17_an_envelope_of_another_version_is_told_apart() {
        for (name, frame) in golden() {
            for version in [0, 2, 999] {
                let other = with(frame.clone(), "/v", Value::from(version));
                assert_eq!(through_codec(name, &other.to_string()), Err(InvalidFrame::Version), "{name}");
            }
        }
    }

    #[test]
    fn frm_08_hostile_json_is_refused_by_the_codec() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        for bad in [
            deep.as_str(),
            "NaN",
            "1e400",
            r#"{"v":1,"v":1,"t":"credit","granted":1}"#,
            r#"{"v":1,"t":"\ud800"}"#,
            "\u{feff}{}",
            "[]",
            "",
            "null",
        ] {
            assert!(decode_agent(bad).is_err() && decode_server(bad).is_err(), "{bad:.40}");
        }
    }
}
