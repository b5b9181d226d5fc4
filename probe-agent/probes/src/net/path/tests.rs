//! Paths over loopback, whose only hop is its end.

use std::io::Write;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use super::*;
use crate::net::gate::{Denial, Gate, Pace};
use crate::net::icmp::{IcmpEngine, IcmpSockets, SendError};

struct AllowAllBut(Option<u16>);

impl Gate for AllowAllBut {
    fn check_address(&self, _: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn check_port(&self, port: u16) -> Result<(), Denial> {
        if self.0 == Some(port) {
            return Err(Denial {
                rule: "allow_ports".to_owned(),
                message: "the port is denied".to_owned(),
            });
        }
        Ok(())
    }

    fn check_resolver(&self, _: IpAddr) -> Result<(), Denial> {
        Ok(())
    }

    fn pace(&self) -> Pace {
        Pace {
            max_pps: 100_000,
            per_target_pps: 100_000,
        }
    }
}

/// An engine on raw sockets; `None`, and loudly, where the host does not give them.
fn raw_engine(id: &str) -> Option<IcmpEngine> {
    let sockets = IcmpSockets::open();
    if sockets.capabilities().iter().all(|capability| capability.reason.is_none()) {
        return Some(IcmpEngine::start(sockets).unwrap());
    }
    let line = format!("SKIP {id}: no raw sockets");
    println!("{line}");
    if let Some(path) = std::env::var_os("PROBEOPS_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(log, "{line}").unwrap();
    }
    None
}

fn plan(target: &str, protocol: PathProtocol) -> PathPlan {
    PathPlan {
        target: target.parse().unwrap(),
        protocol,
        source_port: None,
        shape: PathShape::Constant,
    }
}

fn probe(destination_port: u16, content: Content) -> PathProbe {
    PathProbe {
        ttl: 64,
        dscp: 0,
        fragmentation: Fragmentation::Allowed,
        destination_port,
        content,
    }
}

/// Sends these packets one after another, and gives what came back for each but its time of departure, which has to be there.
async fn exchange(engine: &IcmpEngine, plan: PathPlan, probes: &[PathProbe]) -> Vec<PathArrival> {
    let (flow, mut arrivals) = engine.path(plan).unwrap();
    for (index, probe) in (0..).zip(probes) {
        flow.send(index, probe, &AllowAllBut(None)).await.unwrap();
    }
    let (mut came, mut left) = (Vec::new(), Vec::new());
    while came.len() < probes.len() || left.len() < probes.len() {
        let arrival = tokio::time::timeout(Duration::from_secs(10), arrivals.recv()).await;
        let arrival = arrival.unwrap_or_else(|_| panic!("only {came:?} and {left:?} came")).unwrap();
        match arrival.what {
            PathAnswer::Transmitted { at_ns } => left.push((arrival.index, at_ns)),
            PathAnswer::Echo(_) | PathAnswer::Error(_) | PathAnswer::Tcp { .. } | PathAnswer::Udp { .. } => came.push(arrival),
        }
    }
    for arrival in &came {
        let at_ns = receipt(&arrival.what).at_ns.unwrap();
        let left = left.iter().find(|(index, _)| arrival.index.is_none() || *index == arrival.index).unwrap();
        assert!(left.1 <= at_ns, "{arrival:?} before {left:?}");
    }
    came.sort_by_key(|arrival| arrival.index);
    came
}

fn receipt(what: &PathAnswer) -> Receipt {
    match what {
        PathAnswer::Echo(receipt) | PathAnswer::Tcp { receipt, .. } | PathAnswer::Udp { receipt, .. } => *receipt,
        PathAnswer::Error(error) => error.receipt,
        PathAnswer::Transmitted { .. } => panic!("not an answer"),
    }
}

#[track_caller]
fn error(arrival: &PathArrival) -> &PathError {
    let PathAnswer::Error(error) = &arrival.what else {
        panic!("not an error: {arrival:?}")
    };
    error
}

fn closed_udp_port(target: &str) -> u16 {
    UdpSocket::bind((target, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_error_comes_with_the_packet_it_quotes_in_both_families() {
    let Some(engine) = raw_engine("path-udp") else { return };
    for (target, kind, header_bytes) in [("127.0.0.9", (3, 3), 20), ("::1", (1, 4), 40)] {
        let port = closed_udp_port(target);
        let sizes = [60, 100, 61];
        let came = exchange(&engine, plan(target, PathProtocol::Udp), &sizes.map(|size| probe(port, Content::Sized(size)))).await;
        let mut ports = Vec::new();
        for ((arrival, size), index) in came.iter().zip(sizes).zip(0..) {
            let error = error(arrival);
            assert_eq!((arrival.index, error.kind, error.from), (Some(index), kind, Some(target.parse().unwrap())));
            assert_eq!(error.quoted.len(), size, "the whole packet is quoted");
            ports.push(error.quoted[header_bytes..header_bytes + 4].to_vec());
            assert_eq!((error.mtu, error.extensions.len()), (None, 0));
            assert!(error.receipt.ttl.is_some());
        }
        assert!(ports.iter().all(|pair| *pair == ports[0]), "the ports stay the same: {ports:?}");
    }
}

#[tokio::test]
async fn a_datagram_that_answers_is_heard_with_its_time() {
    let Some(engine) = raw_engine("path-udp-answer") else { return };
    for target in ["127.0.0.1", "::1"] {
        let server = tokio::net::UdpSocket::bind((target, 0)).await.unwrap();
        let address = server.local_addr().unwrap();
        let answer = async {
            let mut buffer = [0; 100];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            server.send_to(&buffer[..length], from).await.unwrap();
        };
        let probes = [probe(address.port(), Content::Payload(b"hello".to_vec()))];
        let (came, ()) = tokio::join!(exchange(&engine, plan(target, PathProtocol::Udp), &probes), answer);
        let PathAnswer::Udp { bytes, port, receipt } = &came[0].what else {
            panic!("{came:?}")
        };
        assert_eq!((&bytes[..], *port, came[0].index), (&b"hello"[..], address.port(), None));
        assert!(receipt.at_ns.is_some() && receipt.ttl.is_some());
    }
}

#[tokio::test]
async fn a_first_segment_is_answered_by_open_and_closed_ports_alike() {
    let Some(engine) = raw_engine("path-tcp") else { return };
    for target in ["127.0.0.1", "::1"] {
        let listener = TcpListener::bind((target, 0)).unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = TcpListener::bind((target, 0)).unwrap().local_addr().unwrap().port();
        let probes = [probe(open, Content::Sized(0)), probe(closed, Content::Sized(0)), probe(open, Content::Sized(0))];
        let came = exchange(&engine, plan(target, PathProtocol::Tcp), &probes).await;
        let answers: Vec<_> = came
            .iter()
            .map(|arrival| {
                let PathAnswer::Tcp { answer, receipt } = &arrival.what else {
                    panic!("{arrival:?}")
                };
                (arrival.index, *answer, *receipt)
            })
            .collect();
        assert_eq!(
            answers.iter().map(|(index, answer, _)| (*index, answer.is_open())).collect::<Vec<_>>(),
            [(Some(0), true), (Some(1), false), (Some(2), true)]
        );
        let (_, answer, receipt) = answers[0];
        assert!(
            answer.mss.is_some_and(|mss| mss > 1_000) && answer.wscale.is_some() && answer.sack,
            "{answer:?}"
        );
        assert!(answer.timestamps.is_some() && receipt.ttl.is_some(), "{answer:?}");
        assert_eq!(answers[1].1.flags & 0x04, 0x04, "a reset");
    }
}

#[tokio::test]
async fn echoes_along_a_path_come_back_by_their_numbers() {
    let Some(engine) = raw_engine("path-icmp") else { return };
    for (target, header_bytes) in [("127.0.0.9", 20), ("::1", 40)] {
        for shape in [PathShape::Constant, PathShape::Varying] {
            let probes: Vec<_> = (0..20).map(|more| probe(0, Content::Sized(header_bytes + 40 + more))).collect();
            let plan = PathPlan {
                shape,
                ..plan(target, PathProtocol::Icmp)
            };
            let came = exchange(&engine, plan, &probes).await;
            for (arrival, more) in came.iter().zip(0..) {
                let receipt = receipt(&arrival.what);
                assert!(matches!(arrival.what, PathAnswer::Echo(_)));
                assert_eq!((arrival.index, receipt.bytes), (Some(more), 40 + more));
            }
        }
    }
}

#[tokio::test]
async fn flows_to_the_same_target_at_once_never_mix() {
    let Some(engine) = raw_engine("path-many") else { return };
    let target = "127.0.0.9";
    let port = closed_udp_port(target);
    let kinds = [PathProtocol::Icmp, PathProtocol::Udp, PathProtocol::Tcp];
    let mut flows: Vec<(PathFlow, PathArrivals)> = (0..30).map(|number| engine.path(plan(target, kinds[number % 3])).unwrap()).collect();
    for index in 0..20 {
        for (flow, _) in &flows {
            flow.send(index, &probe(port, Content::Sized(60)), &AllowAllBut(None)).await.unwrap();
        }
    }
    for (_, arrivals) in &mut flows {
        let mut answered = Vec::new();
        while answered.len() < 20 {
            let arrival = tokio::time::timeout(Duration::from_secs(10), arrivals.recv()).await.unwrap().unwrap();
            if !matches!(arrival.what, PathAnswer::Transmitted { .. }) {
                answered.push(arrival.index.unwrap());
            }
        }
        answered.sort_unstable();
        assert_eq!(answered, (0..20).collect::<Vec<_>>());
        assert_eq!(arrivals.try_recv().filter(|more| !matches!(more.what, PathAnswer::Transmitted { .. })), None);
    }
}

#[tokio::test]
async fn job_01_the_policy_is_asked_for_the_port_of_each_packet() {
    let Some(engine) = raw_engine("path-policy") else { return };
    let (flow, mut arrivals) = engine.path(plan("127.0.0.9", PathProtocol::Udp)).unwrap();
    let refused = flow.send(0, &probe(9, Content::Sized(60)), &AllowAllBut(Some(9))).await;
    assert!(matches!(refused, Err(SendError::Denied(_))), "{refused:?}");
    let too_short = flow.send(1, &probe(10, Content::Sized(29)), &AllowAllBut(Some(9))).await;
    assert!(matches!(too_short, Err(SendError::Kernel(nix::errno::Errno::EMSGSIZE))), "{too_short:?}");
    let beyond = flow.send(30_000, &probe(10, Content::Sized(60)), &AllowAllBut(Some(9))).await;
    assert!(matches!(beyond, Err(SendError::NumbersExhausted)), "{beyond:?}");
    assert_eq!(arrivals.try_recv(), None, "nothing left");
}

#[tokio::test]
async fn a_source_port_is_held_and_given_back() {
    let Some(engine) = raw_engine("path-port") else { return };
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let plan = PathPlan {
        source_port: Some(port),
        ..plan("127.0.0.1", PathProtocol::Tcp)
    };
    let (flow, _arrivals) = engine.path(plan).unwrap();
    assert_eq!(flow.source(), Some(SocketAddr::new("127.0.0.1".parse().unwrap(), port)));
    assert!(flow.has_own_headers());
    assert!(matches!(engine.path(plan), Err(PathRefusal::Port(_))), "it is held");
    drop(flow);
    assert!(engine.path(plan).is_ok());
}

#[tokio::test]
async fn without_raw_sockets_datagrams_still_tell_which_error_they_met() {
    let engine = IcmpEngine::start(IcmpSockets::open_unprivileged()).unwrap();
    assert!(matches!(engine.path(plan("127.0.0.1", PathProtocol::Tcp)), Err(PathRefusal::NoSocket)));
    for (target, kind) in [("127.0.0.9", (3, 3)), ("::1", (1, 4))] {
        let port = closed_udp_port(target);
        let probes = [60, 80, 100].map(|size| probe(port, Content::Sized(size)));
        let came = exchange(&engine, plan(target, PathProtocol::Udp), &probes).await;
        for (arrival, index) in came.iter().zip(0..) {
            let error = error(arrival);
            assert_eq!((arrival.index, error.kind, error.from), (Some(index), kind, Some(target.parse().unwrap())));
            assert!(error.quoted.is_empty());
        }
    }
}
