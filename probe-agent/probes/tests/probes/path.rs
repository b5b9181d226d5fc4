//! Traceroute, mtr and the path MTU over real sockets.

use shared_protocol::report::{Findings, MtrFindings, PmtuFindings, Report, TracerouteFindings};
use shared_protocol::spec::ProbeSpec;

mod loopback;

fn spec(probe: &str, target: &str, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"{probe}","target":"{target}"{options}}}"#)).unwrap()
}

#[track_caller]
fn traceroute(report: &Report) -> &TracerouteFindings {
    let Some(Findings::Traceroute(findings)) = &report.findings else {
        panic!("no hops: {report:?}")
    };
    findings
}

#[track_caller]
fn mtr(report: &Report) -> &MtrFindings {
    let Some(Findings::Mtr(findings)) = &report.findings else {
        panic!("no hops: {report:?}")
    };
    findings
}

#[track_caller]
fn pmtu(report: &Report) -> &PmtuFindings {
    let Some(Findings::Pmtu(findings)) = &report.findings else {
        panic!("no lengths: {report:?}")
    };
    findings
}
