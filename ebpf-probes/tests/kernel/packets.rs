//! What goes through interfaces: what the test itself sends over the loopback, by each kind of hook.

use std::net::{TcpListener, TcpStream, UdpSocket};

use ebpf_probes::{Ask, Hooks, Kernel, Observing};
use shared_protocol::report::{Direction, Seen, SelfCheck};
use shared_protocol::spec::Observation;

#[test]
fn packets_at_the_loopback_are_counted_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let check = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let ask = Ask {
            check_port: check.port(),
            top: 100,
            ..Ask::everything(Observation::Packets)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
        TcpStream::connect(check).unwrap_err();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let socket = UdpSocket::bind(address).unwrap();
            for _ in 0..7 {
                socket.send_to(&[1; 3_000], socket.local_addr().unwrap()).unwrap();
            }
        }
        let Seen::Packets(seen) = observing.seen().unwrap() else {
            panic!("another observation")
        };
        for direction in [Direction::Received, Direction::Sent] {
            let ways = seen.interfaces.iter().filter(|one| one.interface.name == "lo" && one.direction == direction);
            let (datagrams, long) = ways.fold((0, 0), |(datagrams, long), one| {
                (datagrams + one.protocols.udp, long + one.sizes.get(11).copied().unwrap_or_default())
            });
            assert!(datagrams >= 14 && long >= 14, "{hooks:?} {direction:?}: {seen:?}");
        }
    }
}

#[test]
fn datagrams_and_questions_over_the_loopback_are_seen_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let ask = |observation| Ask {
            top: 100,
            address: Some("127.5.5.5".parse().unwrap()),
            ..Ask::everything(observation)
        };
        let mut datagrams = Observing::start(&kernel, &ask(Observation::UdpFlows)).unwrap();
        let mut questions = Observing::start(&kernel, &ask(Observation::DnsLatency)).unwrap();
        let (here, there) = (UdpSocket::bind("127.5.5.5:0").unwrap(), UdpSocket::bind("127.5.5.5:53").unwrap());
        let mut message = *b"\0\x01\x01\0\0\x01\0\0\0\0\0\0\x04test\0\0\x1c\0\x01";
        here.send_to(&message, there.local_addr().unwrap()).unwrap();
        message[2] |= 0x80;
        there.send_to(&message, here.local_addr().unwrap()).unwrap();
        let Seen::UdpFlows(seen) = datagrams.seen().unwrap() else {
            panic!("another observation")
        };
        let totals = seen.totals;
        assert_eq!((totals.flows, totals.sent, totals.received), (2, 2, 2), "{hooks:?}: {seen:?}");
        assert_eq!((totals.sent_bytes, totals.received_bytes), (44, 44), "{hooks:?}: {seen:?}");
        let Seen::DnsLatency(seen) = questions.seen().unwrap() else {
            panic!("another observation")
        };
        let [question] = &seen.questions[..] else { panic!("one was asked: {seen:?}") };
        assert_eq!((question.name.as_deref(), question.record_type.as_deref()), (Some("test."), Some("AAAA")));
        assert_eq!((seen.totals.questions, seen.totals.answered), (1, 1), "{hooks:?}: {seen:?}");
    }
}
