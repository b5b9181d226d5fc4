//! DNS: put every server to the owner's policy, ask, pass over what does not answer the question, judge.

use std::net::SocketAddr;
use std::time::Duration;

use shared_protocol::event::{DnsEvent, ProbeEvent};
use shared_protocol::fault::{ErrorCode, Fault};
use shared_protocol::report::{DnsFindings, DnsQuestion, DnsTry, Findings, Report};
use shared_protocol::spec::{DnsSpec, NameServer};
use shared_protocol::target::Target;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

mod ask;
mod attempt;
mod listening;
mod plan;
mod question;
mod reading;
mod record;
mod verdict;

use ask::Asker;
use plan::Plan;
use question::Question;
use reading::Answer;

use crate::net::gate::{self, Peer};
use crate::record::{Completeness, Found, Record};
use crate::table::ProbeContext;
use crate::verdict::{Stop, Verdict};

/// Runs a DNS probe to its report.
pub(crate) async fn run(spec: &DnsSpec, context: &ProbeContext, events: &mpsc::Sender<ProbeEvent>, cancel: &CancellationToken) -> Report {
    let record = Record::begin(context.clock);
    let mut run = Run {
        spec,
        context,
        events,
        tries: Vec::new(),
        answer: None,
    };
    let outcome = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Stop::Cancelled),
        outcome = run.ask_all() => outcome,
    };
    let completeness = run.answer.as_ref().map_or(Completeness::Whole, |answer| answer.completeness);
    let findings = (!run.tries.is_empty()).then(|| DnsFindings {
        question: asked(spec),
        tries: run.tries,
        answer: run.answer.map(|answer| answer.told),
    });
    let found = Found {
        resolved: Vec::new(),
        findings: findings.map(Findings::Dns),
        completeness,
    };
    record.end(outcome, found)
}

/// A DNS probe under way, with what it has so far.
struct Run<'a> {
    spec: &'a DnsSpec,
    context: &'a ProbeContext,
    events: &'a mpsc::Sender<ProbeEvent>,
    tries: Vec<DnsTry>,
    answer: Option<Answer>,
}

impl Run<'_> {
    async fn ask_all(&mut self) -> Result<Verdict, Stop> {
        let (servers, peer) = self.servers()?;
        for server in &servers {
            gate::check(self.context.gate.as_ref(), *server, peer).map_err(Stop::Denied)?;
        }
        let question = Question::new(self.spec).map_err(|error| Stop::failed(Fault::Agent, ErrorCode::Internal, error.to_string()))?;
        let asker = Asker::new(self.context, peer, Duration::from_millis(self.spec.timeout_ms.into()));
        let mut plan = Plan::new(servers, self.spec.transport, self.spec.retries);
        while let Some(step) = plan.next_step() {
            let attempt = asker.ask(step, &question, rand::random()).await.map_err(Stop::Denied)?;
            plan.handle_outcome(attempt.tried.outcome);
            self.tell(&attempt.tried);
            self.tries.push(attempt.tried);
            self.answer = attempt.answer.map(|answer| answer.with_tc_retried(plan.was_truncated()));
        }
        Ok(verdict::judge(&self.tries, self.answer.as_ref()))
    }

    /// Who is asked, and whether the job or the host names them.
    fn servers(&self) -> Result<(Vec<SocketAddr>, Peer), Stop> {
        let port = self.spec.port;
        match &self.spec.server {
            NameServer::At(Target::Address(address)) => Ok((vec![SocketAddr::new(*address, port)], Peer::Named)),
            NameServer::At(Target::Name(_)) => Err(Stop::failed(Fault::Agent, ErrorCode::Internal, "a server is an address")),
            NameServer::System => {
                let servers = self.context.resolver.name_servers().iter();
                Ok((servers.map(|address| SocketAddr::new(*address, port)).collect(), Peer::HostResolver))
            }
        }
    }

    /// Tells a partial finding, if the channel has room: the report holds it again.
    fn tell(&self, tried: &DnsTry) {
        let event = ProbeEvent::Dns(DnsEvent::Try(Box::new(tried.clone())));
        if self.events.try_send(event).is_err() {
            tracing::trace!("event dropped: the channel is full or closed");
        }
    }
}

fn asked(spec: &DnsSpec) -> DnsQuestion {
    DnsQuestion {
        name: spec.name.to_string(),
        r#type: spec.r#type.to_string(),
        class: spec.class.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;

    use shared_protocol::fault::Status;
    use shared_protocol::report::Verdict as PolicyAnswer;
    use shared_protocol::spec::ProbeSpec;

    use super::*;
    use crate::beside::Flows;
    use crate::net::gate::{Denial, Gate, Pace};
    use crate::net::icmp::{IcmpEngine, IcmpSockets};
    use crate::net::resolver::Resolver;
    use crate::net::tls::TargetRoots;
    use crate::observe::Observer;

    /// Lets nothing pass but the host's own name servers, and of those only one.
    struct OnlyResolver(IpAddr);

    impl Gate for OnlyResolver {
        fn check_address(&self, _address: IpAddr) -> Result<(), Denial> {
            self.check_port(0)
        }

        fn check_port(&self, _port: u16) -> Result<(), Denial> {
            Err(Denial {
                rule: "named".to_owned(),
                message: "named".to_owned(),
            })
        }

        fn check_resolver(&self, address: IpAddr) -> Result<(), Denial> {
            if address == self.0 { Ok(()) } else { self.check_port(0) }
        }

        fn pace(&self) -> Pace {
            Pace::default()
        }
    }

    async fn report_of(allowed: &str, server: &str, port: u16) -> Report {
        let address = "127.0.0.1".parse().unwrap();
        let context = ProbeContext {
            observer: Arc::new(Observer::at("/nonexistent".into())),
            packages: Arc::new(crate::observe::NoPackages),
            known: Arc::default(),
            flows: Flows::nobody(),
            engine: Arc::new(IcmpEngine::start(IcmpSockets::open()).unwrap()),
            gate: Arc::new(OnlyResolver(allowed.parse().unwrap())),
            resolver: Resolver::asking(address),
            roots: TargetRoots::only(Vec::new()).unwrap(),
            clock: shared_protocol::report::ClockQuality::default(),
        };
        let spec = format!(r#"{{"probe":"dns","name":"a.test","server":"{server}","retries":0,"timeout_ms":2000}}"#);
        let ProbeSpec::Dns(mut spec) = ProbeSpec::parse(&spec).unwrap() else {
            panic!("another probe")
        };
        spec.port = port;
        let (events, _receiver) = mpsc::channel(4);
        run(&spec, &context, &events, &CancellationToken::new()).await
    }

    #[tokio::test]
    async fn the_hosts_own_server_is_asked_though_no_job_could_name_it() {
        let server = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = server.local_addr().unwrap().port();
        let answering = async {
            let mut message = [0; 512];
            let (length, client) = server.recv_from(&mut message).await.unwrap();
            message[2] |= 0x80;
            server.send_to(&message[..length], client).await.unwrap();
        };
        let (report, ()) = tokio::join!(report_of("127.0.0.1", "system", port), answering);
        assert_eq!(report.status, Status::Ok, "{report:?}");
        let Some(Findings::Dns(findings)) = report.findings else {
            panic!("no findings")
        };
        assert_eq!(findings.answer.unwrap().server, SocketAddr::from(([127, 0, 0, 1], port)));
    }

    #[tokio::test]
    async fn job_08_a_server_that_is_denied_is_not_asked_whoever_names_it() {
        for (allowed, server) in [("127.0.0.1", "127.0.0.1"), ("127.0.0.2", "system")] {
            let report = report_of(allowed, server, 9).await;
            assert_eq!(
                (report.policy.verdict, report.policy.rule.as_str()),
                (PolicyAnswer::Denied, "named"),
                "{server}"
            );
            assert_eq!(report.findings, None);
        }
    }
}
