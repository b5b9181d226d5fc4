//! Answers that anybody may have forged, and logs that anybody may have written: whatever their bytes are, something is derived from them or they
//! are refused, and the same bytes give the same.

#[cfg(test)]
mod tests {
    use agent_paths::explain;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};
    use shared_protocol::report::Report;
    use shared_protocol::spec::ProbeSpec;

    /// What a router quotes of an echo request, of a datagram with IP options, of a segment over IPv6; and structures of extensions, in hexadecimal.
    const CORPUS: [&str; 7] = [
        "4500003c000700000101 0000 0a000001 c6336407 0800f7ff 9c400000 6869",
        "4600003c00070000 0111 0000 0a000001 c6336407 01010100 9c40829a 00280000",
        "6000000000280601 20010db8000000000000000000000001 20010db8000200000000000000000007 9c4001bb10000000 00000000a002faf000000000",
        "20000000 00080101 05dc1001",
        "20000000 000c0101 05dc10 01 fffff 0ff",
        "20000000 001c020f 00000009 00010000 0a000001 0867652d302f3100 000005dc",
        "2000ffff 00040301 00030000",
    ];

    fn bytes(hexadecimal: &str) -> Vec<u8> {
        let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// Draws numbers by xorshift (Marsaglia 2003): the same in every run.
    struct Draws(u64);

    impl Draws {
        fn below(&mut self, bound: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            usize::try_from(self.0 % u64::try_from(bound.max(1)).unwrap()).unwrap()
        }

        /// Changes, removes, repeats or cuts off some bytes.
        fn mutate(&mut self, bytes: &mut Vec<u8>) {
            for _ in 0..=self.below(4) {
                let place = self.below(bytes.len());
                match self.below(5) {
                    0 => bytes.truncate(place),
                    1 => bytes.insert(place, u8::try_from(self.below(256)).unwrap()),
                    2 if !bytes.is_empty() => {
                        bytes.remove(place);
                    }
                    3 => bytes.extend_from_within(place..),
                    _ => {
                        if let Some(byte) = bytes.get_mut(place) {
                            *byte ^= 1 << self.below(8);
                        }
                    }
                }
                bytes.truncate(600);
            }
        }
    }

    fn report(probe: &str, target: &str, records: &Value) -> Report {
        let findings = match probe {
            "traceroute" => {
                json!({"probe": probe, "address": target, "protocol": "icmp", "flow": "paris", "hops": [], "end": "stopped", "reached": false, "path_hash": "", "agent_drops": 0})
            }
            "mtr" => {
                json!({"probe": probe, "address": target, "protocol": "icmp", "flow": "paris", "rounds": 0, "hops": [], "end": "stopped", "reached": false, "path_hash": "", "agent_drops": 0})
            }
            _ => json!({"probe": probe, "address": target, "protocol": "icmp", "bound": "unknown", "lengths": [], "agent_drops": 0}),
        };
        serde_json::from_value(json!({
            "schema_version": 1, "status": "ok", "fault": "none", "started_at_us": 0, "duration_us": 0, "clock": {},
            "policy": {"verdict": "allowed", "rule": "owner_policy"}, "findings": findings,
            "raw": {"version": 1, "source": "10.0.0.1", "agent_drops": 0, "records": records},
        }))
        .unwrap()
    }

    #[test]
    fn job_19_ten_thousand_mutations_of_what_routers_say_break_nothing() {
        let mut draws = Draws(0x9e37_79b9_7f4a_7c15);
        let corpus = CORPUS.map(bytes);
        for round in 0..10_000 {
            let mut quoted = corpus[draws.below(corpus.len())].clone();
            let mut extensions = corpus[draws.below(corpus.len())].clone();
            draws.mutate(&mut quoted);
            draws.mutate(&mut extensions);
            let (target, from) = [("198.51.100.7", "10.1.0.1"), ("2001:db8:2::7", "2001:db8:1::1")][round % 2];
            let probe = ["traceroute", "mtr", "pmtu"][round % 3];
            let kind = [[11, 0], [3, 0], [3, 4], [2, 0], [1, 4], [3, 3]][draws.below(6)];
            let ttl = [1, 2, 64][draws.below(3)];
            let answer = json!({"icmp_error": {"error": kind, "mtu": draws.below(70_000), "quoted": STANDARD.encode(&quoted), "extensions": STANDARD.encode(&extensions)}});
            let records = json!([
                {"kind": "sent", "packet": 0, "at_us": 1, "kernel_ns": 1_000, "ttl": ttl, "round": 0, "bytes": 1_500, "source_port": 40_000},
                {"kind": "came", "packet": 0, "at_us": draws.below(2_000_000), "kernel_ns": draws.below(9_000), "ttl": 60, "from": from, "answer": answer},
            ]);
            let spec = ProbeSpec::parse(&format!(r#"{{"probe":"{probe}","target":"{target}","raw":true}}"#)).unwrap();
            let report = report(probe, target, &records);
            let once = explain::derive(&spec, &report).unwrap();
            let twice = explain::derive(&spec, &report).unwrap();
            assert_eq!(serde_json::to_string(&once.findings).unwrap(), serde_json::to_string(&twice.findings).unwrap());
        }
    }

    #[test]
    fn a_log_that_contradicts_itself_is_refused() {
        let spec = ProbeSpec::parse(r#"{"probe":"traceroute","target":"198.51.100.7","raw":true}"#).unwrap();
        let sent = |packet: u32| json!({"kind": "sent", "packet": packet, "at_us": 1, "ttl": 1, "round": 0, "bytes": 60});
        let came = |packet: u32| json!({"kind": "came", "packet": packet, "at_us": 2, "from": "10.1.0.1", "answer": "echo_reply"});
        let noise = json!({"kind": "came", "packet": 0, "at_us": 2, "from": "10.1.0.1", "answer": {"icmp_error": {"error": [11, 0], "quoted": "no base64"}}});
        for records in [
            json!([came(0)]),
            json!([sent(0), sent(0)]),
            json!([sent(0), came(1)]),
            json!([sent(u32::MAX)]),
            json!([sent(0), noise]),
            json!([{"kind": "sent", "packet": 0, "at_us": u64::MAX, "ttl": 1, "round": 0, "bytes": 60}]),
            json!([{"kind": "sent", "packet": 0, "at_us": 1, "ttl": 64, "round": u32::MAX, "bytes": u32::MAX}]),
        ] {
            explain::derive(&spec, &report("traceroute", "198.51.100.7", &records)).expect_err(&records.to_string());
        }
        let mut cut = report("traceroute", "198.51.100.7", &json!([sent(0), came(0)]));
        assert!(explain::derive(&spec, &cut).is_ok());
        cut.raw.as_mut().unwrap().version = 2;
        assert_eq!(
            explain::derive(&spec, &cut).unwrap_err().to_string(),
            "the log is of version 2, which is not known here"
        );
        cut.raw.as_mut().unwrap().version = 1;
        cut.raw.as_mut().unwrap().cut = true;
        assert!(explain::derive(&spec, &cut).unwrap_err().to_string().contains("was cut"));
        cut.raw = None;
        assert!(explain::derive(&spec, &cut).unwrap_err().to_string().contains("keeps nothing"));
    }
}
