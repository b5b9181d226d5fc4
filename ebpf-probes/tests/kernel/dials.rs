//! Who dials whom: what the test itself dials, by each kind of hook.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use ebpf_probes::{Ask, Hooks, Kernel, Observing};
use rustix::process::Uid;
use rustix::thread::set_thread_res_uid;
use shared_protocol::report::{DialOutcome, DialsSeen, Seen, SelfCheck};
use shared_protocol::spec::Observation;
use socket2::{Domain, Socket, Type};

/// Nothing else of this host is here.
const HERE: Ipv4Addr = Ipv4Addr::new(127, 9, 9, 9);
const NOBODY: u32 = 65_534;

fn ask() -> Ask<'static> {
    Ask {
        top: 100,
        pid: Some(std::process::id()),
        address: Some(HERE.into()),
        ..Ask::everything(Observation::Connects)
    }
}

fn seen(observing: &mut Observing) -> DialsSeen {
    let Seen::Connects(seen) = observing.seen().unwrap() else {
        panic!("another observation")
    };
    let totals = seen.totals;
    let ended = totals.established + totals.refused + totals.timed_out + totals.unreachable + totals.given_up + totals.failed;
    assert_eq!(totals.dials, ended + totals.under_way, "{totals:?}");
    seen
}

/// An address at which nobody listens.
fn unheard() -> SocketAddr {
    TcpListener::bind((HERE, 0)).unwrap().local_addr().unwrap()
}

#[test]
fn what_is_dialled_is_seen_with_what_comes_of_it_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let check = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut observing = Observing::start(
            &kernel,
            &Ask {
                check_port: check.port(),
                ..ask()
            },
        )
        .unwrap();
        assert!(observing.attachment().missing.is_empty(), "{:?}", observing.attachment());
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
        TcpStream::connect(check).unwrap_err();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let (there, nowhere) = (listener.local_addr().unwrap(), unheard());
        let first = TcpStream::connect(there).unwrap();
        // A socket of IPv6 that dials the same.
        let second = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
        second.connect(&SocketAddr::from((HERE.to_ipv6_mapped(), there.port())).into()).unwrap();
        let as_nobody = std::thread::spawn(move || {
            let nobody = Uid::from_raw(NOBODY);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
            TcpStream::connect(nowhere).unwrap_err();
        });
        as_nobody.join().unwrap();
        let seen = seen(&mut observing);
        let second = second.local_addr().unwrap().as_socket().unwrap();
        let expected = [
            (DialOutcome::Refused, nowhere, NOBODY, Some(111), None),
            (
                DialOutcome::Established,
                there,
                0,
                None,
                Some(SocketAddr::new(second.ip().to_canonical(), second.port())),
            ),
            (DialOutcome::Established, there, 0, None, Some(first.local_addr().unwrap())),
        ];
        assert_eq!(seen.dials.len(), expected.len(), "{hooks:?}: {seen:?}");
        for (dial, (outcome, remote, user, errno, local)) in seen.dials.iter().zip(expected) {
            assert_eq!(
                (dial.outcome, dial.remote, dial.user, dial.errno, dial.pid),
                (outcome, remote, user, errno, std::process::id()),
                "{hooks:?}: {seen:?}"
            );
            assert!(
                dial.local.is_some() && (local.is_none() || dial.local == local),
                "{hooks:?}: {dial:?}, not {local:?}"
            );
            assert!(dial.took_us.is_some(), "{hooks:?}: {dial:?}");
        }
        let own = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
        assert_eq!(seen.dials[2].command.as_deref(), Some(own.trim_end()), "{hooks:?}");
        assert_eq!((seen.totals.established, seen.totals.refused), (2, 1), "{hooks:?}: {seen:?}");
        assert_eq!(observing.lost().unwrap(), 0);
        // There is nothing that it could do without.
        assert_eq!(observing.give_up_one(), None);
    }
}

#[test]
fn what_nobody_answers_is_under_way_until_whoever_dialled_gives_up() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        // Nobody accepts, and one that waits for it is all that there is room for.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from((HERE, 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let mut observing = Observing::start(&kernel, &ask()).unwrap();
        let dialling: Vec<Socket> = (0..4)
            .map(|_| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket.connect(&listener.local_addr().unwrap()).unwrap_err();
                socket
            })
            .collect();
        let waiting = seen(&mut observing);
        let under_way = waiting.totals.under_way;
        assert_eq!((waiting.totals.dials, waiting.totals.given_up), (4, 0), "{hooks:?}: {waiting:?}");
        assert!((1..4).contains(&under_way), "{hooks:?}: {waiting:?}");
        let told = |seen: &DialsSeen, outcome| {
            let those = seen.dials.iter().filter(|dial| dial.outcome == outcome);
            those.map(|dial| (dial.local.is_some(), dial.took_us.is_some(), dial.errno)).collect::<Vec<_>>()
        };
        let under_way = usize::try_from(under_way).unwrap();
        assert_eq!(told(&waiting, DialOutcome::UnderWay), vec![(false, false, None); under_way], "{hooks:?}");
        drop(dialling);
        let given_up = seen(&mut observing);
        assert_eq!(
            told(&given_up, DialOutcome::GivenUp),
            vec![(true, true, None); under_way],
            "{hooks:?}: {given_up:?}"
        );
        assert_eq!((given_up.totals.under_way, given_up.dials.len()), (0, 4), "{hooks:?}: {given_up:?}");
    }
}

#[test]
fn what_the_ring_has_no_room_for_is_lost_from_the_list_and_in_the_totals_all_the_same() {
    let kernel = Kernel::read(None).unwrap();
    let mut observing = Observing::start(&kernel, &ask()).unwrap();
    let nowhere = unheard();
    for _ in 0..3_000 {
        TcpStream::connect(nowhere).unwrap_err();
    }
    let seen = seen(&mut observing);
    assert!(observing.lost().unwrap() > 0);
    assert_eq!((seen.totals.dials, seen.totals.refused, seen.dials.len()), (3_000, 3_000, 100));
}

#[test]
fn only_what_was_asked_for_is_seen() {
    let kernel = Kernel::read(None).unwrap();
    let (one, other) = (unheard(), unheard());
    for (ask, count) in [
        (ask(), 2),
        (
            Ask {
                port: Some(one.port()),
                ..ask()
            },
            1,
        ),
        (Ask { pid: Some(1), ..ask() }, 0),
        (
            Ask {
                address: Some("::1".parse().unwrap()),
                ..ask()
            },
            0,
        ),
    ] {
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        TcpStream::connect(one).unwrap_err();
        TcpStream::connect(other).unwrap_err();
        assert_eq!(seen(&mut observing).totals.dials, count, "{ask:?}");
    }
}
