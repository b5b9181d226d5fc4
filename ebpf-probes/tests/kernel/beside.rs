//! What is seen of peers that are named, by each kind of hook.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt;

use ebpf_probes::{Facts, Hooks, Kernel};
use shared_protocol::report::{Direction, FlowFacts, Peer, Transport};
use shared_protocol::time::MonotonicMicros;
use socket2::{Domain, Socket, Type};

use crate::tests::kernel_version;

/// The network namespace of this test.
fn namespace() -> u32 {
    u32::try_from(std::fs::metadata("/proc/self/ns/net").unwrap().ino()).unwrap()
}

fn facts_of(facts: &Facts, peer: Peer, local_port: u16) -> FlowFacts {
    let mut flows = facts.flows(peer, &[local_port], MonotonicMicros::from_micros(u64::MAX / 1_000)).unwrap();
    assert_eq!(flows.len(), 1);
    flows.remove(0)
}

/// Sends a byte over a connection from a known port, and resets it.
fn exchange_and_reset(listener: &TcpListener) -> u16 {
    let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (mut there, _) = listener.accept().unwrap();
    // What is not read when a connection is closed is answered with a reset.
    there.write_all(&[1; 10]).unwrap();
    here.write_all(&[1]).unwrap();
    there.read_exact(&mut [0]).unwrap();
    here.peek(&mut [0]).unwrap();
    here.local_addr().unwrap().port()
}

#[test]
fn a_peer_that_is_named_is_looked_at_and_nobody_else_by_every_kind_of_hook() {
    for (hooks, address) in [
        (Hooks::TypedFirst, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        (Hooks::TypedFirst, SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
        (Hooks::PlainOnly, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        (Hooks::PlainOnly, SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
    ] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let mut facts = Facts::start(&kernel, namespace()).unwrap();
        let mut elsewhere = Facts::start(&kernel, namespace() + 1).unwrap();
        let listener = TcpListener::bind(address).unwrap();
        let of = |transport, remote| Peer { transport, remote };
        let peer = of(Transport::Tcp, listener.local_addr().unwrap());
        let before = exchange_and_reset(&listener);
        facts.watch(peer).unwrap();
        elsewhere.watch(peer).unwrap();
        let during = exchange_and_reset(&listener);
        let seen = facts_of(&facts, peer, during);
        let tcp = seen.tcp.unwrap_or_else(|| panic!("{hooks:?}: the connection was not seen"));
        assert!(tcp.established && tcp.srtt_us.is_some() && tcp.retransmits == 0, "{hooks:?}: {tcp:?}");
        assert!(tcp.syn_sent_us < 1_000_000, "{hooks:?}: {tcp:?}");
        assert_eq!((tcp.reset_sent_us.is_some(), tcp.reset_received_us), (true, None), "{hooks:?}: {tcp:?}");
        assert_eq!(facts_of(&facts, peer, before).tcp, None, "nobody had been named yet");
        assert_eq!(facts_of(&elsewhere, peer, during).tcp, None, "another network namespace");
        facts.forget(peer).unwrap();
        assert_eq!(facts_of(&facts, peer, during).tcp, None);
        assert_eq!(facts.lost().unwrap(), 0);
    }
}

#[test]
fn a_refusal_is_a_reset_that_came_and_a_lost_datagram_a_drop_on_its_way() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let mut facts = Facts::start(&kernel, namespace()).unwrap();
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let closed = TcpListener::bind(free).unwrap().local_addr().unwrap();
        let tcp = Peer {
            transport: Transport::Tcp,
            remote: closed,
        };
        facts.watch(tcp).unwrap();
        let (port, refused) = refused_from(closed);
        assert_eq!(refused, std::io::ErrorKind::ConnectionRefused);
        let seen = facts_of(&facts, tcp, port).tcp.unwrap();
        assert!(!seen.established && seen.reset_received_us.is_some(), "{hooks:?}: {seen:?}");
        assert!(seen.reset_received_us <= Some(seen.syn_sent_us), "{hooks:?}: {seen:?}");
        let nobody = UdpSocket::bind(free).unwrap().local_addr().unwrap();
        let udp = Peer {
            transport: Transport::Udp,
            remote: nobody,
        };
        facts.watch(udp).unwrap();
        let socket = UdpSocket::bind(free).unwrap();
        for _ in 0..3 {
            socket.send_to(b"x", nobody).unwrap();
        }
        let seen = facts_of(&facts, udp, socket.local_addr().unwrap().port());
        let reason = if kernel_version() < (5, 17) { "not_specified" } else { "no_socket" };
        let told: Vec<_> = seen.drops.iter().map(|drops| (drops.reason.as_str(), drops.direction, drops.packets)).collect();
        assert_eq!((told, seen.tcp), (vec![(reason, Direction::Sent, 3)], None), "{hooks:?}");
    }
}

/// From which port a connection was refused, and how.
fn refused_from(closed: SocketAddr) -> (u16, std::io::ErrorKind) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let local = socket.local_addr().unwrap().as_socket().unwrap();
    let refused = socket.connect(&closed.into()).unwrap_err();
    (local.port(), refused.kind())
}
