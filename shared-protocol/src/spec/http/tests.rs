use serde_json::{Value, json};

use crate::spec::{HttpMethod, InvalidField, ProbeSpec};
use crate::tier::{Tier, TierTable};

fn with(name: &str, value: &Value) -> Result<ProbeSpec, InvalidField> {
    let mut spec = json!({"probe": "http", "url": "http://127.0.0.1/"});
    spec[name] = value.clone();
    ProbeSpec::from_value(spec)
}

fn header(name: &str, value: &str) -> Value {
    json!([{"name": name, "value": value}])
}

#[test]
fn a_spec_reads_back_as_it_was_written() {
    let spec = ProbeSpec::parse(
        r#"{"probe":"http","url":"https://Example.test/x?y","headers":[{"name":"X-A","value":"b"}],"follow":0,"sni":"a.test","connect_to":"::1"}"#,
    )
    .unwrap();
    let text = serde_json::to_string(&spec).unwrap();
    insta::assert_snapshot!(text, @r#"{"probe":"http","url":"https://example.test/x?y","af":"auto","method":"GET","headers":[{"name":"x-a","value":"b"}],"version":"auto","follow":0,"body_keep_bytes":10240,"body_max_bytes":4194304,"timeout_ms":15000,"verify":true,"compression":true,"connect_to":"::1","sni":"a.test"}"#);
    assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
    assert_eq!((spec.cost(), spec.timeout().as_millis()), (1, 16_000));
}

#[test]
fn job_12_options_out_of_bounds_are_refused_by_name() {
    for (name, value) in [
        ("url", json!("127.0.0.1")),
        ("url", json!(7)),
        ("url", json!(null)),
        ("method", json!("TRACE")),
        ("method", json!("CONNECT")),
        ("method", json!("get")),
        ("headers", json!({})),
        ("headers", json!([7])),
        ("headers", json!([{"name": "a"}])),
        ("headers", json!([{"name": "a", "value": "b", "c": 1}])),
        ("headers", header("", "x")),
        ("headers", header(&"a".repeat(65), "x")),
        ("headers", header("a", &"x".repeat(8_193))),
        ("headers", json!(vec![json!({"name": "a", "value": "b"}); 129])),
        ("headers", json!(vec![json!({"name": "a", "value": "b".repeat(8_000)}); 5])),
        ("body", json!("x")),
        ("body", json!(7)),
        ("version", json!("3")),
        ("version", json!(2)),
        ("follow", json!(11)),
        ("follow", json!(-1)),
        ("body_keep_bytes", json!(131_073)),
        ("body_max_bytes", json!(0)),
        ("body_max_bytes", json!(4_194_305)),
        ("timeout_ms", json!(499)),
        ("timeout_ms", json!(60_001)),
        ("timeout_ms", json!(315_360_000_000_u64)),
        ("verify", json!("no")),
        ("compression", json!(1)),
        ("connect_to", json!("example.test")),
        ("connect_to", json!("fe80::1%eth0")),
        ("connect_to", json!(null)),
        ("sni", json!("127.0.0.1")),
        ("sni", json!("a b")),
        ("target", json!("127.0.0.1")),
        ("proxy", json!("http://127.0.0.1")),
    ] {
        let refused = with(name, &value).expect_err(&format!("{name}: {value}"));
        assert_eq!(refused.field, name, "{refused}");
    }
    assert_eq!(ProbeSpec::parse(r#"{"probe":"http"}"#).unwrap_err().field, "url");
    let long = json!({"probe": "http", "url": "http://127.0.0.1/", "method": "POST", "body": "x".repeat(64_001)});
    assert_eq!(ProbeSpec::from_value(long).unwrap_err().field, "body");
}

#[test]
fn job_29_headers_that_frame_a_message_or_carry_a_secret_are_refused() {
    for name in [
        "Host",
        "host",
        "Connection",
        "Content-Length",
        "Expect",
        "Keep-Alive",
        "Proxy-Authorization",
        "Proxy-Connection",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "HTTP2-Settings",
        "Authorization",
        "Cookie",
        ":authority",
        "a b",
        "a:b",
        "a\r\nb",
        "\u{e4}",
    ] {
        assert_eq!(with("headers", &header(name, "x")).unwrap_err().field, "headers", "{name:?}");
    }
    for value in ["a\r\nx: y", "a\nb", "a\0b", "\u{7f}", "\u{e4}"] {
        assert_eq!(with("headers", &header("x-a", value)).unwrap_err().field, "headers", "{value:?}");
    }
    assert!(with("headers", &header("X-Request-Id", "a\tb c~")).is_ok());
}

#[test]
fn methods_that_change_things_need_a_tier_that_has_them() {
    for method in HttpMethod::ALL {
        let spec = with("method", &json!(method)).unwrap();
        let refused: Vec<Tier> = Tier::ALL
            .into_iter()
            .filter(|tier| spec.check_tier(&TierTable::default().of(*tier).probe).is_err())
            .collect();
        let expected: &[Tier] = if method.changes_things() { &[Tier::Free, Tier::Standard] } else { &[] };
        assert_eq!(refused, expected, "{method:?}");
    }
}

#[test]
fn a_body_needs_a_tier_that_has_room_for_it() {
    let spec = ProbeSpec::parse(r#"{"probe":"http","url":"http://127.0.0.1/","method":"DELETE","body":"four"}"#).unwrap();
    let mut limits = TierTable::default().of(Tier::Enterprise).probe.clone();
    limits.http_body_bytes = 4;
    assert_eq!(spec.check_tier(&limits), Ok(()));
    limits.http_body_bytes = 3;
    assert_eq!(spec.check_tier(&limits).unwrap_err().field, "body");
}
