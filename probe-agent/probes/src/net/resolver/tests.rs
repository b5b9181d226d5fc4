//! Against a name server of our own on loopback.

use std::net::SocketAddr;

use hickory_resolver::config::{ConnectionConfig, NameServerConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::*;

/// What the name server says to a question of a type (1 is A, 28 is AAAA): response code and data of the answers. `None` is silence.
type Script = fn(name: &str, kind: u16) -> Option<(u8, Vec<Vec<u8>>)>;

async fn resolver_for(script: Script) -> (Resolver, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(serve(socket, script));
    (resolver_at(address), server)
}

fn resolver_at(address: SocketAddr) -> Resolver {
    let mut connection = ConnectionConfig::udp();
    connection.port = address.port();
    let config = ResolverConfig::from_name_servers(vec![NameServerConfig::new(address.ip(), true, vec![connection])]);
    Resolver::build(config, ResolverOpts::default()).unwrap()
}

async fn serve(socket: UdpSocket, script: Script) {
    let mut question = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut question).await {
        if let Some(answer) = answer(&question[..length], script) {
            socket.send_to(&answer, client).await.unwrap();
        }
    }
}

fn answer(question: &[u8], script: Script) -> Option<Vec<u8>> {
    let end = 12 + question[12..].iter().position(|byte| *byte == 0)? + 1;
    let name: String = question[13..end - 1]
        .iter()
        .map(|byte| if *byte < 32 { '.' } else { char::from(*byte) })
        .collect();
    let kind = u16::from_be_bytes([question[end], question[end + 1]]);
    let (code, records) = script(&name.to_ascii_lowercase(), kind)?;
    let mut message = question[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1]);
    message.extend(u16::try_from(records.len()).unwrap().to_be_bytes());
    message.extend([0, 0, 0, 0]);
    message.extend(&question[12..end + 4]);
    for record in records {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0]);
        message.extend(u16::try_from(record.len()).unwrap().to_be_bytes());
        message.extend(record);
    }
    Some(message)
}

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}

#[tokio::test]
async fn addresses_and_loopback_names_are_not_asked_of_the_network() {
    let (resolver, _server) = resolver_for(|_, _| panic!("asked")).await;
    assert_eq!(resolver.resolve(&target("127.0.0.9")).await.unwrap(), ["127.0.0.9".parse::<IpAddr>().unwrap()]);
    for name in ["localhost", "a.localhost"] {
        let addresses = resolver.resolve(&target(name)).await.unwrap();
        assert_eq!(addresses, [IpAddr::from(Ipv6Addr::LOCALHOST), IpAddr::from(Ipv4Addr::LOCALHOST)]);
    }
}

#[tokio::test]
async fn both_families_come_with_ipv6_first() {
    let (resolver, _server) = resolver_for(|_, kind| {
        Some((
            0,
            if kind == 28 {
                vec![Ipv6Addr::LOCALHOST.octets().to_vec()]
            } else {
                vec![vec![127, 0, 0, 3]]
            },
        ))
    })
    .await;
    let addresses = resolver.resolve(&target("both.example.test")).await.unwrap();
    assert_eq!(addresses, ["::1".parse::<IpAddr>().unwrap(), "127.0.0.3".parse().unwrap()]);
}

#[tokio::test]
async fn job_06_failures_of_names_have_their_codes() {
    let (resolver, _server) = resolver_for(|name, _| match name {
        "missing.example.test" => Some((3, vec![])),
        "broken.example.test" => Some((2, vec![])),
        _ => Some((0, vec![])),
    })
    .await;
    for (name, code) in [
        ("missing.example.test", ErrorCode::DnsNxdomain),
        ("broken.example.test", ErrorCode::DnsServfail),
        ("empty.example.test", ErrorCode::DnsNoAddress),
    ] {
        assert_eq!(resolver.resolve(&target(name)).await.unwrap_err().code(), code, "{name}");
    }
}

#[tokio::test]
async fn job_06_a_silent_name_server_is_given_up() {
    let (mut resolver, _server) = resolver_for(|_, _| None).await;
    resolver.limit = Duration::from_millis(20);
    assert_eq!(resolver.resolve(&target("silent.example.test")).await, Err(ResolveError::Timeout));
}

#[tokio::test]
async fn job_06_thousands_of_addresses_are_cut_to_what_is_kept() {
    let (resolver, _server) = resolver_for(|_, kind| {
        let records = (0_u16..if kind == 1 { 4_000 } else { 0 }).map(|number| [[127, 1].as_slice(), &number.to_be_bytes()].concat());
        Some((0, records.collect()))
    })
    .await;
    // The answer is longer than a datagram that resolvers take without EDNS; whatever they make of it, it is bounded.
    match resolver.resolve(&target("many.example.test")).await {
        Ok(addresses) => assert!(addresses.len() <= 64),
        Err(error) => assert_ne!(error, ResolveError::NoSuchName),
    }
}

#[tokio::test]
async fn job_06_a_hundred_addresses_are_cut_to_what_is_kept() {
    let (resolver, _server) = resolver_for(|_, kind| {
        let records = (0_u8..if kind == 1 { 70 } else { 0 }).map(|number| vec![127, 1, 1, number]);
        Some((0, records.collect()))
    })
    .await;
    assert_eq!(resolver.resolve(&target("many.example.test")).await.unwrap().len(), 64);
}

#[tokio::test]
async fn the_name_of_an_address_is_the_resolvers_word_if_it_could_be_a_hosts() {
    let (resolver, _server) = resolver_for(|asked, kind| {
        assert_eq!(kind, 12, "PTR");
        match asked {
            "1.0.0.10.in-addr.arpa" => Some((0, vec![b"\x04gate\x04test\0".to_vec()])),
            "2.0.0.10.in-addr.arpa" => Some((0, vec![b"\x0a<b>evil</b\x04test\0".to_vec()])),
            _ => Some((3, Vec::new())),
        }
    })
    .await;
    assert_eq!(resolver.name_of("10.0.0.1".parse().unwrap()).await.as_deref(), Some("gate.test"));
    assert_eq!(resolver.name_of("10.0.0.2".parse().unwrap()).await, None, "no name of a host");
    assert_eq!(resolver.name_of("10.0.0.3".parse().unwrap()).await, None, "there is none");
}
