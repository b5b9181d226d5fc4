//! Ports: our `tcp` beside nmap.

use shared_protocol::report::{Findings, TcpOutcome};
use test_lab::network::Internet;
use test_lab::peer::{Agent, nmap};

use crate::setting::may_make_networks;

const WORLD: &str = r#"
[observer]
addresses = ["10.0.0.1", "2001:db8::1"]
[[node]]
name = "host"
addresses = ["198.51.100.7", "2001:db8:2::7"]
link = { delay_us = 500 }
tcp = { open = [443], filtered = [25], mss = 1400 }
[[path]]
hops = ["host"]
"#;

#[test]
fn a_port_is_what_nmap_says_it_is() {
    if !may_make_networks("truth-ports") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    let agent = Agent::open().unwrap();
    for target in ["198.51.100.7", "2001:db8:2::7"] {
        let (by_nmap, _) = nmap(&internet.observer, "-sT", "25,80,443", target).unwrap();
        for (port, outcome, state) in [
            (443, TcpOutcome::Open, "open"),
            (80, TcpOutcome::Closed, "closed"),
            (25, TcpOutcome::Filtered, "filtered"),
        ] {
            assert_eq!(by_nmap[&port].state, state, "{target} port {port} by nmap");
            let spec = format!(r#"{{"probe":"tcp","target":"{target}","port":{port},"count":1,"wait_ms":200}}"#);
            let (report, _) = agent.report(&internet.observer, &spec).unwrap();
            let Some(Findings::Tcp(found)) = &report.findings else { panic!("{report:?}") };
            assert_eq!(found.tries[0].outcome, outcome, "{target} port {port}");
        }
    }
}
