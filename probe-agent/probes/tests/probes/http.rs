//! HTTP against servers of the test: well-behaved ones of hyper and rustls, and hostile ones that send what they like.

mod answers;
mod authority;
mod hostile;
mod redirects;
mod server;
mod tls;

use agent_probes::net::icmp::IcmpSockets;
use agent_probes::net::tls::TargetRoots;
use agent_probes::table::ProbeContext;
use rustls_pki_types::CertificateDer;
use shared_protocol::event::{HttpEvent, ProbeEvent};
use shared_protocol::report::{Findings, HttpFindings, HttpHop, Report};
use shared_protocol::spec::ProbeSpec;

use crate::setting::{AllowAllBut, context, run};

/// A context that trusts these roots and no others.
fn trusting(roots: &[CertificateDer<'static>], gate: AllowAllBut) -> ProbeContext {
    ProbeContext {
        roots: TargetRoots::only(roots.to_vec()).unwrap(),
        ..context(IcmpSockets::open(), gate)
    }
}

fn spec(url: &str, options: &str) -> ProbeSpec {
    ProbeSpec::parse(&format!(r#"{{"probe":"http","url":"{url}"{options}}}"#)).unwrap()
}

/// Fetches without any root.
async fn fetch(url: &str, options: &str) -> (Report, Vec<HttpEvent>) {
    fetch_with(&trusting(&[], AllowAllBut::default()), url, options).await
}

async fn fetch_with(context: &ProbeContext, url: &str, options: &str) -> (Report, Vec<HttpEvent>) {
    let (report, events) = run(&spec(url, options), context).await;
    let events = events
        .into_iter()
        .filter_map(|event| if let ProbeEvent::Http(event) = event { Some(event) } else { None });
    (report, events.collect())
}

#[track_caller]
fn findings(report: &Report) -> &HttpFindings {
    let Some(Findings::Http(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

#[track_caller]
fn last(report: &Report) -> &HttpHop {
    findings(report).hops.last().unwrap()
}
