//! Answers that lead elsewhere.

use std::net::IpAddr;

use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::report::{NotFollowedReason, Report, Verdict};

use super::authority::Authority;
use super::server::{Asked, Server, redirect, text};
use super::{fetch, fetch_with, findings, trusting};
use crate::setting::{AllowAllBut, DENIED_PORT};

fn urls(report: &Report) -> Vec<String> {
    findings(report)
        .hops
        .iter()
        .map(|hop| hop.url.rsplit('/').next().unwrap_or_default().to_owned())
        .collect()
}

fn statuses(report: &Report) -> Vec<u16> {
    findings(report)
        .hops
        .iter()
        .filter_map(|hop| hop.response.as_ref().map(|response| response.status))
        .collect()
}

/// `/0` leads to `/1` and so on for ever; `/to?u` leads to `u`, `/circle` to itself.
fn leading(asked: &Asked) -> http::Response<Vec<u8>> {
    if let Some(target) = asked.uri().query() {
        return redirect(302, target);
    }
    match asked.uri().path().trim_start_matches('/').parse::<u32>() {
        Ok(number) => redirect(302, &format!("/{}", number + 1)),
        Err(_) if asked.uri().path() == "/circle" => redirect(302, "circle"),
        Err(_) => text(200, "here"),
    }
}

#[tokio::test]
async fn redirects_are_followed_each_on_a_connection_of_its_own() {
    let server = Server::answering(leading).await;
    let (report, _) = fetch(&server.url("/to?/end"), "").await;
    assert_eq!((report.status, statuses(&report)), (Status::Ok, vec![302, 200]));
    assert_eq!((urls(&report), server.accepted()), (vec!["end".to_owned(), "end".to_owned()], 2));
    let hops = &findings(&report).hops;
    assert!(hops[0].response.as_ref().unwrap().body.is_none() && hops[1].response.as_ref().unwrap().body.is_some());
    assert!(hops.iter().all(|hop| hop.phases.tcp_us.is_some() && hop.tcp_info.is_some()));
}

#[tokio::test]
async fn job_05_the_sixth_redirect_a_loop_and_other_schemes_are_not_followed() {
    let server = Server::answering(leading).await;
    let (report, _) = fetch(&server.url("/0"), "").await;
    assert_eq!(
        (urls(&report), server.accepted()),
        (vec!["0", "1", "2", "3", "4", "5"].into_iter().map(str::to_owned).collect(), 6)
    );
    for (path, options, reason) in [
        ("/0", "", NotFollowedReason::TooMany),
        ("/0", r#","follow":1"#, NotFollowedReason::TooMany),
        ("/circle", "", NotFollowedReason::Loop),
        ("/to?file:///etc/passwd", "", NotFollowedReason::NotHttp),
        ("/to?gopher://127.0.0.1/", "", NotFollowedReason::NotHttp),
    ] {
        let (report, _) = fetch(&server.url(path), options).await;
        let stay = findings(&report).not_followed.as_ref().unwrap();
        assert_eq!(stay.reason, reason, "{path}");
        assert_eq!(
            (report.status, report.fault, report.error.as_ref().unwrap().code),
            (Status::Failed, Fault::Target, ErrorCode::RedirectRefused)
        );
    }
    let (report, _) = fetch(&server.url("/0"), r#","follow":0"#).await;
    assert_eq!((report.status, statuses(&report)), (Status::Ok, vec![302]));
    assert_eq!(findings(&report).not_followed.as_ref().unwrap().location, "/1");
}

#[tokio::test]
async fn job_05_a_redirect_to_what_the_owner_forbids_is_denied_with_the_way_there_and_no_packet() {
    let forbidden = Server::answering(|_| text(200, "secret")).await;
    let server = Server::answering(leading).await;
    let v6: IpAddr = "::1".parse().unwrap();
    let v4: IpAddr = "127.0.0.1".parse().unwrap();
    let port = forbidden.address.port();
    for (location, denied) in [
        (format!("http://[::1]:{port}/"), v6),
        (format!("http://localhost:{port}/"), v6),
        ("http://127.0.0.2/".to_owned(), "127.0.0.2".parse().unwrap()),
        // Resolved and checked whole: one forbidden address of a name forbids them all (JOB-04).
        (format!("http://any.localhost:{port}/"), v6),
    ] {
        let (report, _) = fetch_with(&trusting(&[], AllowAllBut(vec![denied])), &server.url(&format!("/to?{location}")), "").await;
        assert_eq!(
            (report.status, report.fault, report.error.as_ref().unwrap().code),
            (Status::Failed, Fault::Policy, ErrorCode::PolicyDenied),
            "{location}"
        );
        assert_eq!((report.policy.verdict, report.policy.rule.as_str()), (Verdict::Denied, "deny_cidrs"));
        assert_eq!((statuses(&report), findings(&report).hops.len()), (vec![302], 2));
        assert_eq!(findings(&report).hops[1].remote, None, "{location}");
    }
    let (report, _) = fetch(&server.url(&format!("/to?http://127.0.0.1:{DENIED_PORT}/")), "").await;
    assert_eq!((report.policy.rule.as_str(), findings(&report).hops.len()), ("allow_ports", 2));
    assert_eq!(forbidden.accepted(), 0);
    let (report, _) = fetch_with(&trusting(&[], AllowAllBut(vec![v4])), &server.url("/end"), "").await;
    assert_eq!((report.policy.verdict, server.accepted()), (Verdict::Denied, 5));
}

#[tokio::test]
async fn job_05_from_https_to_http_leads_no_redirect() {
    let authority = Authority::new();
    let server = Server::securely(authority.server(), leading).await;
    let context = trusting(&[authority.root()], AllowAllBut::default());
    let url = format!("https://{}/to?http://127.0.0.1:1/", server.address);
    let (report, _) = fetch_with(&context, &url, "").await;
    assert_eq!(findings(&report).not_followed.as_ref().unwrap().reason, NotFollowedReason::Downgrade);
    assert_eq!(report.error.as_ref().unwrap().code, ErrorCode::RedirectRefused);
    let plain = Server::answering(leading).await;
    let (report, _) = fetch_with(&context, &plain.url(&format!("/to?https://{}/end", server.address)), "").await;
    assert_eq!((report.status, statuses(&report)), (Status::Ok, vec![302, 200]), "{report:?}");
}
