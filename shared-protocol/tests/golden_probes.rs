//! One recorded spec, its events and its report for each probe: later builds must still read every one and write it alike.

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use shared_protocol::event::ProbeEvent;
    use shared_protocol::report::Report;
    use shared_protocol::spec::ProbeSpec;

    const PROBES: [(&str, &str); 13] = [
        ("ping", include_str!("golden/v1/probes/sweep.json")),
        ("udp", include_str!("golden/v1/probes/udp.json")),
        ("port", include_str!("golden/v1/probes/port.json")),
        ("port", include_str!("golden/v1/probes/port_udp.json")),
        ("port", include_str!("golden/v1/probes/port_sweep.json")),
        ("neighbor", include_str!("golden/v1/probes/neighbor.json")),
        ("tcp", include_str!("golden/v1/probes/tcp.json")),
        ("http", include_str!("golden/v1/probes/http.json")),
        ("dns", include_str!("golden/v1/probes/dns.json")),
        ("traceroute", include_str!("golden/v1/probes/traceroute.json")),
        ("mtr", include_str!("golden/v1/probes/mtr.json")),
        ("pmtu", include_str!("golden/v1/probes/pmtu.json")),
        ("observe", include_str!("golden/v1/probes/observe.json")),
    ];

    #[test]
    fn every_recorded_probe_is_still_read_and_written_alike() {
        for (name, text) in PROBES {
            let recorded: Value = serde_json::from_str(text).unwrap();
            let spec = ProbeSpec::from_value(recorded["spec"].clone()).unwrap();
            assert_eq!((spec.kind().as_str(), serde_json::to_value(&spec).unwrap()), (name, recorded["spec"].clone()));
            let events: Vec<ProbeEvent> = serde_json::from_value(recorded["events"].clone()).unwrap();
            assert_eq!(serde_json::to_value(&events).unwrap(), recorded["events"], "{name}");
            let report: Report = serde_json::from_value(recorded["report"].clone()).unwrap();
            assert_eq!(serde_json::to_value(&report).unwrap(), recorded["report"], "{name}");
        }
    }
}
