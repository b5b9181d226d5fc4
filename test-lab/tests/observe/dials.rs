//! `connects` beside what the test itself dialled in a namespace of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};
use test_lab::database::Kind;
use test_lab::network::Namespace;
use test_lab::stand::Stand;

use crate::asked::Asked;

const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 7, 7, 9));
const OPEN: SocketAddr = SocketAddr::new(THERE, 4_000);
const CLOSED: SocketAddr = SocketAddr::new(THERE, 4_001);
const REJECTED: SocketAddr = SocketAddr::new(THERE, 4_002);
const SILENT: SocketAddr = SocketAddr::new(THERE, 4_003);
const NAME: &str = "lab-dialler";

fn namespace() -> Namespace {
    let namespace = Namespace::new().unwrap();
    let rules = "tcp dport 4002 reject with icmp type host-unreachable; tcp dport 4003 drop;";
    namespace
        .filter(&format!("table ip lab {{ chain in {{ type filter hook input priority 0; {rules} }}\n}}\n"))
        .unwrap();
    namespace
}

/// Calls something within, on a thread with a name.
fn named<T: Send>(namespace: &Namespace, call: impl FnOnce() -> T + Send) -> T {
    let dial = || {
        std::thread::scope(|scope| {
            let dialler = std::thread::Builder::new().name(NAME.to_owned()).spawn_scoped(scope, call);
            dialler.unwrap().join().unwrap()
        })
    };
    namespace.within(dial).unwrap()
}

/// Dials what answers, what refuses, what cannot be reached, and what says nothing; returns the ends of what came to a connection.
fn dial() -> Vec<String> {
    let _listener = TcpListener::bind(OPEN).unwrap();
    let streams: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(OPEN).unwrap()).collect();
    for _ in 0..4 {
        TcpStream::connect(CLOSED).unwrap_err();
    }
    // Whoever waits no longer than this gives up.
    TcpStream::connect_timeout(&SILENT, Duration::from_millis(200)).unwrap_err();
    // A word that comes while a socket is still being used for the first segment counts only once that is sent again.
    std::thread::scope(|scope| {
        for remote in [REJECTED, REJECTED, SILENT] {
            let dialler = std::thread::Builder::new().name(NAME.to_owned());
            dialler.spawn_scoped(scope, move || TcpStream::connect(remote).unwrap_err()).unwrap();
        }
    });
    // Nothing is sent: this is no try to connect.
    UdpSocket::bind((THERE, 0)).unwrap().connect(OPEN).unwrap();
    let mut ends: Vec<String> = streams.iter().map(|stream| stream.local_addr().unwrap().to_string()).collect();
    ends.sort();
    ends
}

/// One that nobody answers, and that nobody gives up.
fn dial_in_vain() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.connect(&SILENT.into()).unwrap_err();
    socket
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_dialled_is_told_with_what_came_of_it() {
    let namespace = namespace();
    // The first segment is sent again once, and then no more.
    namespace.set("ipv4/tcp_syn_retries", "1").unwrap();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "allow = [\"connects\"]").await.unwrap();
    let (own, there) = (std::process::id(), THERE.to_string());
    let asked = Asked::observe(
        &stand,
        &[
            "connects",
            "--from",
            "seen",
            "--for",
            "8s",
            "--top",
            "100",
            "--pid",
            &own.to_string(),
            "--address",
            &there,
        ],
    )
    .await;
    let (ends, _in_vain) = tokio::task::spawn_blocking(move || {
        let ends = named(&namespace, dial);
        namespace.set("ipv4/tcp_syn_retries", "6").unwrap();
        (ends, named(&namespace, dial_in_vain))
    })
    .await
    .unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    assert_eq!(
        seen["totals"],
        json!({"dials": 12, "established": 3, "refused": 4, "timed_out": 1, "unreachable": 2, "given_up": 1, "failed": 0, "under_way": 1}),
        "{seen}"
    );
    let dials = seen["dials"].as_array().unwrap();
    let mut outcomes: Vec<_> = dials
        .iter()
        .map(|one| {
            (
                one["outcome"].as_str().unwrap(),
                one["remote"].as_str().unwrap().to_owned(),
                one["errno"].as_i64(),
            )
        })
        .collect();
    assert_eq!((outcomes[0].0, outcomes[11].0), ("under_way", "established"), "the last first: {seen}");
    outcomes.sort();
    let expected = [
        ("established", OPEN, None, 3),
        ("given_up", SILENT, None, 1),
        ("refused", CLOSED, Some(111), 4),
        ("timed_out", SILENT, Some(110), 1),
        ("under_way", SILENT, None, 1),
        ("unreachable", REJECTED, Some(113), 2),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .flat_map(|(outcome, remote, errno, times)| std::iter::repeat_n((outcome, remote.to_string(), errno), times))
        .collect();
    assert_eq!(outcomes, expected);
    assert!(
        dials.iter().all(|one| one["pid"] == own && one["user"] == 0 && one["command"] == NAME),
        "{seen}"
    );
    let of = |outcome: &str| dials.iter().filter(|one| one["outcome"] == outcome).collect::<Vec<_>>();
    let mut told: Vec<_> = of("established").iter().map(|one| one["local"].as_str().unwrap().to_owned()).collect();
    told.sort();
    assert_eq!(told, ends);
    let took_us = |outcome: &str| of(outcome)[0]["took_us"].as_u64().unwrap();
    assert!((190_000..1_000_000).contains(&took_us("given_up")), "{seen}");
    assert!((1_900_000..5_000_000).contains(&took_us("timed_out")), "{seen}");
    assert_eq!((of("under_way")[0].get("took_us"), of("under_way")[0].get("local")), (None, None), "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_somebody_dialled_is_told_as_far_as_the_owner_lets_it() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let owner = "allow = [\"connects\"]\nmask = [\"addresses\", \"commands\"]";
    let _observer = stand.add_observed_agent("seen", owner).await.unwrap();
    let (own, there) = (std::process::id().to_string(), THERE.to_string());
    let asked = Asked::observe(&stand, &["connects", "--from", "seen", "--for", "2s", "--pid", &own, "--address", &there]).await;
    let namespace = namespace();
    tokio::task::spawn_blocking(move || named(&namespace, || TcpStream::connect(CLOSED).unwrap_err()))
        .await
        .unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["masked"]),
        (&"ok".into(), &json!(["addresses", "commands"])),
        "{report}"
    );
    let dials = report["findings"]["seen"]["dials"].as_array().unwrap();
    assert_eq!(dials.len(), 1, "{report}");
    assert_eq!((&dials[0]["remote"], dials[0].get("command")), (&"127.7.7.0:4001".into(), None), "{report}");
    assert_eq!(dials[0]["outcome"], Value::from("refused"), "{report}");
}
