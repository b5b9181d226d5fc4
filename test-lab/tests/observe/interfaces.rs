//! What goes through interfaces, beside what the kernel counts at them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::network::Namespace;
use test_lab::stand::Stand;

use crate::asked::Asked;

/// Two namespaces with a wire between them on which nothing is said of itself.
fn wired() -> (Namespace, Namespace) {
    let (near, far) = (Namespace::new().unwrap(), Namespace::new().unwrap());
    for side in [&near, &far] {
        side.set("ipv6/conf/all/disable_ipv6", "1").unwrap();
        side.set("ipv6/conf/default/disable_ipv6", "1").unwrap();
        side.set("ipv4/icmp_ratelimit", "0").unwrap();
    }
    near.configure(&[
        format!("link add name lab0 type veth peer name lab1 netns {}", far.path()),
        "address add 192.0.2.1/24 dev lab0".to_owned(),
        "link set lab0 up".to_owned(),
    ])
    .unwrap();
    far.configure(&["address add 192.0.2.2/24 dev lab1".to_owned(), "link set lab1 up".to_owned()])
        .unwrap();
    (near, far)
}

/// What the two say to each other: 137 datagrams of 100 bytes, 20 that nobody takes, and a connection.
fn talk(near: &Namespace, far: &Namespace) {
    let (taker, listener) = far
        .within(|| (UdpSocket::bind("192.0.2.2:4000").unwrap(), TcpListener::bind("192.0.2.2:4001").unwrap()))
        .unwrap();
    near.within(|| {
        let sender = UdpSocket::bind("192.0.2.1:4002").unwrap();
        for _ in 0..137 {
            sender.send_to(&[1; 100], "192.0.2.2:4000").unwrap();
            taker.recv_from(&mut [0; 100]).unwrap();
        }
        for _ in 0..20 {
            sender.send_to(&[1; 7], "192.0.2.2:4003").unwrap();
        }
        let mut here = TcpStream::connect("192.0.2.2:4001").unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.write_all(&[1; 500]).unwrap();
        drop(here);
        there.read_to_end(&mut Vec::new()).unwrap();
    })
    .unwrap();
}

/// What the kernel counts at an interface: packets and bytes received and sent.
fn counters(namespace: &Namespace, interface: &str) -> [u64; 4] {
    let text = namespace.within(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap()).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{interface}:"))).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().map(|number| number.parse().unwrap()).collect();
    [numbers[1], numbers[0], numbers[9], numbers[8]]
}

fn inode(namespace: &Namespace) -> u64 {
    namespace.within(|| std::fs::metadata("/proc/thread-self/ns/net").unwrap().ino()).unwrap()
}

fn entry<'a>(seen: &'a Value, namespace: u64, direction: &str) -> &'a Value {
    let found = seen["interfaces"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["namespace"] == namespace && one["direction"] == direction);
    found.unwrap_or_else(|| panic!("nothing of {namespace} {direction} in {seen}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packets_are_what_the_interface_counted_by_protocol_flag_and_size() {
    let (near, far) = wired();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["packets", "--from", "seen", "--for", "2s", "--top", "100"]).await;
    talk(&near, &far);
    let report = asked.report().await;
    let (findings, seen) = (&report["findings"], &report["findings"]["seen"]);
    assert_eq!(
        (&report["status"], &findings["self_check"], &findings["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    for (namespace, interface) in [(&near, "lab0"), (&far, "lab1")] {
        let [received, received_bytes, sent, sent_bytes] = counters(namespace, interface);
        for (direction, packets, bytes) in [("received", received, received_bytes), ("sent", sent, sent_bytes)] {
            let entry = entry(seen, inode(namespace), direction);
            assert_eq!(
                (&entry["name"], &entry["packets"], &entry["bytes"]),
                (&interface.into(), &packets.into(), &bytes.into()),
                "{entry}"
            );
            let protocols: u64 = entry["protocols"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
            let sizes: u64 = entry["sizes"].as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum();
            assert_eq!((protocols, sizes), (packets, packets), "{entry}");
        }
    }
    let (sent, received) = (entry(seen, inode(&near), "sent"), entry(seen, inode(&near), "received"));
    assert_eq!((&sent["protocols"]["udp"], &received["protocols"]["icmp"]), (&157.into(), &20.into()));
    assert!(sent["protocols"]["arp"].as_u64().unwrap() > 0, "{sent}");
    let flags = |entry: &Value, flag: &str| entry["tcp_flags"][flag].as_u64().unwrap();
    assert_eq!((flags(sent, "syn"), flags(sent, "syn_ack"), flags(sent, "fin")), (1, 0, 1), "{sent}");
    assert_eq!((flags(received, "syn"), flags(received, "syn_ack")), (1, 1), "{received}");
    // 14 bytes of Ethernet, 20 of IPv4 and 8 of UDP before the 100.
    assert!(sent["sizes"][7].as_u64().unwrap() >= 137, "{sent}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traffic_is_what_the_interface_counted_and_by_whom_it_is_with() {
    let (near, far) = wired();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["interface", "--from", "seen", "--for", "2s", "--top", "100"]).await;
    talk(&near, &far);
    let report = asked.report().await;
    let (findings, seen) = (&report["findings"], &report["findings"]["seen"]);
    assert_eq!(
        (&report["status"], &findings["self_check"], &findings["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let of = |list: &str, namespace: u64| -> Vec<&Value> {
        let entries = seen[list].as_array().unwrap().iter();
        entries.filter(|one| one["namespace"] == namespace).collect()
    };
    let numbers = |entry: &Value| ["received_packets", "received_bytes", "sent_packets", "sent_bytes"].map(|name| entry[name].as_u64().unwrap());
    for (namespace, interface, other) in [(&near, "lab0", "192.0.2.2"), (&far, "lab1", "192.0.2.1")] {
        let (interfaces, talkers) = (of("interfaces", inode(namespace)), of("talkers", inode(namespace)));
        let [entry] = interfaces.as_slice() else {
            panic!("one interface moved anything: {seen}")
        };
        assert_eq!((&entry["name"], numbers(entry)), (&interface.into(), counters(namespace, interface)), "{seen}");
        let [talker] = talkers.as_slice() else {
            panic!("it spoke with one other: {seen}")
        };
        assert_eq!(talker["address"], other, "{talker}");
        // Of what went through, only ARP is not between addresses: 42 bytes each.
        let ([packets, bytes, ..], [of_ip, of_ip_bytes, ..]) = (numbers(entry), numbers(talker));
        assert!(packets > of_ip, "{entry} {talker}");
        assert_eq!(bytes - of_ip_bytes, (packets - of_ip) * 42, "{entry} {talker}");
    }
}

/// Sends a datagram whose header says that it is shorter than its header.
fn say_nothing(to: SocketAddrV4) {
    use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};
    let raw = socket(AddressFamily::Inet, SockType::Raw, SockFlag::empty(), SockProtocol::Udp).unwrap();
    let port = to.port().to_be_bytes();
    let datagram = [port[0], port[1], port[0], port[1], 0, 0, 0, 0];
    sendto(std::os::fd::AsRawFd::as_raw_fd(&raw), &datagram, &SockaddrIn::from(to), MsgFlags::empty()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn datagrams_are_counted_by_flow_and_those_without_room_by_socket() {
    let (near, far) = wired();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["udp_flows", "--from", "seen", "--for", "2s", "--top", "100"]).await;
    talk(&near, &far);
    near.within(|| say_nothing("192.0.2.2:4006".parse().unwrap())).unwrap();
    // The smallest buffer that there is takes less than these.
    let taken = far
        .within(|| {
            let small = UdpSocket::bind("192.0.2.2:4004").unwrap();
            nix::sys::socket::setsockopt(&small, nix::sys::socket::sockopt::RcvBuf, &1).unwrap();
            near.within(|| {
                let sender = UdpSocket::bind("192.0.2.1:4005").unwrap();
                for _ in 0..50 {
                    sender.send_to(&[1; 1_000], "192.0.2.2:4004").unwrap();
                }
            })
            .unwrap();
            small.set_nonblocking(true).unwrap();
            let mut taken = 0;
            while small.recv_from(&mut [0; 1_000]).is_ok() {
                taken += 1;
            }
            taken
        })
        .unwrap();
    let report = asked.report().await;
    let (findings, seen) = (&report["findings"], &report["findings"]["seen"]);
    assert_eq!(
        (&report["status"], &findings["self_check"], &findings["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let flow = |namespace: &Namespace, local: &str, remote: &str| {
        let flows = seen["flows"].as_array().unwrap().iter();
        let mut found = flows.filter(|one| one["namespace"] == inode(namespace) && one["local"] == local && one["remote"] == remote);
        let flow = found.next().unwrap_or_else(|| panic!("no flow {local} {remote} in {seen}"));
        assert!(found.next().is_none(), "{seen}");
        ["sent", "sent_bytes", "received", "received_bytes"].map(|name| flow[name].as_u64().unwrap())
    };
    assert_eq!(flow(&near, "192.0.2.1:4002", "192.0.2.2:4000"), [137, 13_700, 0, 0]);
    assert_eq!(flow(&far, "192.0.2.2:4000", "192.0.2.1:4002"), [0, 0, 137, 13_700]);
    assert_eq!(flow(&far, "192.0.2.2:4003", "192.0.2.1:4002"), [0, 0, 20, 140]);
    assert_eq!(
        flow(&far, "192.0.2.2:4006", "192.0.2.1:4006"),
        [0, 0, 1, 0],
        "what a header makes up is no length"
    );
    assert_eq!(flow(&far, "192.0.2.2:4004", "192.0.2.1:4005"), [0, 0, 50, 50_000]);
    assert!((1..50).contains(&taken), "{taken}");
    let full = seen["full"].as_array().unwrap().iter().find(|one| one["local"] == "192.0.2.2:4004").unwrap();
    assert_eq!(
        (full["datagrams"].as_u64(), full["namespace"].as_u64()),
        (Some(50 - taken), Some(inode(&far))),
        "{seen}"
    );
}

/// A question (RFC 1035, section 4.1) for the addresses of a name of two labels.
fn question(id: u16, label: &str) -> Vec<u8> {
    let length = u8::try_from(label.len()).unwrap();
    let head = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
    [&head[..], &[length], label.as_bytes(), b"\x04test\0\0\x01\0\x01"].concat()
}

/// Answers three questions: one at once, one after a time, one with an error; the one for `never` not at all.
fn serve(server: &UdpSocket, delay: Duration) {
    for _ in 0..5 {
        let mut message = [0; 512];
        let (length, from) = server.recv_from(&mut message).unwrap();
        let message = &mut message[..length];
        message[2] |= 0x80;
        match message[13] {
            b'n' => continue,
            // Whoever asked waits, and asks nothing else.
            b's' => {
                server.set_read_timeout(Some(delay)).unwrap();
                server.recv(&mut [0; 1]).unwrap_err();
                server.set_read_timeout(None).unwrap();
            }
            b'e' => message[3] |= 3,
            _ => {}
        }
        server.send_to(message, from).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_told_with_how_long_their_answers_took() {
    let (near, far) = wired();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["dns_latency", "--from", "seen", "--for", "3s", "--address", "192.0.2.2"]).await;
    let delay = Duration::from_millis(120);
    let server = far.within(|| UdpSocket::bind("192.0.2.2:53").unwrap()).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| serve(&server, delay));
        near.within(|| {
            let client = UdpSocket::bind("192.0.2.1:0").unwrap();
            client.connect("192.0.2.2:53").unwrap();
            for (id, label) in [(1, "fast"), (2, "slow"), (3, "error")] {
                client.send(&question(id, label)).unwrap();
                assert!(client.recv(&mut [0; 512]).unwrap() > 12);
            }
            // Sent twice, and answered never.
            client.send(&question(4, "never")).unwrap();
            client.send(&question(4, "never")).unwrap();
        })
        .unwrap();
    });
    let report = asked.report().await;
    let (findings, seen) = (&report["findings"], &report["findings"]["seen"]);
    assert_eq!(
        (&report["status"], &findings["self_check"], &findings["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let totals = ["questions", "answered", "failed", "unanswered", "sent_again"].map(|name| seen["totals"][name].as_u64().unwrap());
    assert_eq!(totals, [4, 3, 1, 1, 1], "{seen}");
    let told: Vec<_> = seen["questions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            assert_eq!(
                (&one["record_type"], &one["server"], &one["pid"]),
                (&"A".into(), &"192.0.2.2:53".into(), &std::process::id().into()),
                "{one}"
            );
            (one["name"].as_str().unwrap(), one["max_us"].as_u64(), one["rcode"].as_u64())
        })
        .collect();
    let [("never.test.", None, None), ("slow.test.", Some(slow_us), None), rest @ ..] = &told[..] else {
        panic!("the one without an answer first, then the slowest: {told:?}")
    };
    assert!(u128::from(*slow_us) >= delay.as_micros(), "{told:?}");
    assert!(rest.iter().all(|(_, took_us, _)| took_us.is_some_and(|took_us| took_us < *slow_us)), "{told:?}");
    assert!(rest.iter().any(|(name, _, rcode)| (*name, *rcode) == ("error.test.", Some(3))), "{told:?}");
}
