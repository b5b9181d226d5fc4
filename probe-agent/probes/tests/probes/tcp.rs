//! TCP connections.

mod firewalled;
mod half_open;
mod loopback;

pub(crate) use firewalled::Silent;

use shared_protocol::report::{Findings, Report, TcpFindings};
use shared_protocol::spec::ProbeSpec;

fn spec(target: &str, port: u16, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"tcp","target":"{target}","port":{port}{options}}}"#)).unwrap()
}

#[track_caller]
fn findings(report: &Report) -> &TcpFindings {
    let Some(Findings::Tcp(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}
