//! What goes through interfaces, beside what the kernel counts at them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::MetadataExt as _;

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
