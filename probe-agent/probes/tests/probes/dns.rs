//! DNS.

mod hostile;
mod responder;
mod streams;

use shared_protocol::report::{DnsFindings, Findings, Report};
use shared_protocol::spec::ProbeSpec;

fn spec(server: std::net::SocketAddr, options: &str) -> ProbeSpec {
    let retries = if options.contains("retries") { "" } else { r#","retries":0"# };
    let text = format!(r#"{{"probe":"dns","name":"a.test","server":"{server}","timeout_ms":300{retries}{options}}}"#);
    ProbeSpec::parse(&text).unwrap()
}

#[track_caller]
fn findings(report: &Report) -> &DnsFindings {
    let Some(Findings::Dns(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}
