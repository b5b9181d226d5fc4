//! Who is on a link: our `neighbor` beside nmap and the kernel's own table.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{LinkAddr, MsgFlags, SockaddrStorage, sendto};
use shared_protocol::fault::{ErrorCode, Fault, Status};
use shared_protocol::mac_address::MacAddress;
use shared_protocol::report::{Findings, NeighborFindings, NeighborResult, NeighborState, Report};
use socket2::{Domain, Socket, Type};
use test_lab::network::{Capture, Captured, Ethernet, Namespace};
use test_lab::peer::{Agent, nmap_link, run};

use crate::setting::{address, may_make_networks};

const POLICY: &str = r#"allow_probes = ["neighbor"]
allow_cidrs = ["2001:db8::/32", "10.0.0.0/8"]"#;

fn agent(more: &str) -> Agent {
    Agent::with_policy(&format!("{POLICY}\n{more}")).unwrap()
}

fn ask(agent: &Agent, host: &Namespace, target: &str, options: &str) -> Report {
    let spec = format!(r#"{{"probe":"neighbor","target":"{target}","wait_ms":300,"rate_pps":500{options}}}"#);
    agent.report(host, &spec).unwrap().0
}

#[track_caller]
fn found(report: &Report) -> &NeighborFindings {
    let Some(Findings::Neighbor(findings)) = &report.findings else {
        panic!("no findings: {report:?}")
    };
    findings
}

#[track_caller]
fn of<'a>(findings: &'a NeighborFindings, text: &str) -> &'a NeighborResult {
    let result = findings.neighbors.iter().find(|result| result.address == address(text));
    result.unwrap_or_else(|| panic!("{text} is not among {findings:?}"))
}

/// Those that are there, with their addresses on the link.
fn present(findings: &NeighborFindings) -> BTreeMap<IpAddr, MacAddress> {
    let present = findings.neighbors.iter().filter(|result| result.state == NeighborState::Present);
    present.map(|result| (result.address, result.mac.unwrap())).collect()
}

/// What the kernel has noted of its neighbours.
fn kernels_table(host: &Namespace) -> BTreeMap<IpAddr, MacAddress> {
    let told = run(host, "ip", &["neigh", "show", "dev", "eth0"]).unwrap();
    let noted = told.out.lines().filter_map(|line| {
        let (address, rest) = line.split_once(" lladdr ")?;
        Some((address.parse().ok()?, rest.split(' ').next()?.parse().ok()?))
    });
    noted.collect()
}

#[test]
fn who_is_on_a_link_is_who_nmap_and_the_kernel_say() {
    if !may_make_networks("truth-neighbors") {
        return;
    }
    let link = Ethernet::of(&[
        &["203.0.113.1/28", "2001:db8:9::1/64"],
        &["203.0.113.2/28", "2001:db8:9::2/64"],
        &["203.0.113.3/28", "203.0.113.4/28", "2001:db8:9::3/64"],
        &["203.0.113.14/28", "2001:db8:9::e/64"],
    ])
    .unwrap();
    let observer = link.host(0).unwrap();
    link.host(3).unwrap().set("ipv6/conf/all/forwarding", "1").unwrap();
    let agent = agent("");
    let (theirs, table) = (nmap_link(observer, "203.0.113.0/28").unwrap(), kernels_table(observer));
    let report = ask(&agent, observer, "203.0.113.0/28", "");
    let four = found(&report);
    assert_eq!((report.status, report.fault), (Status::Ok, Fault::None), "{report:?}");
    assert_eq!(
        (four.interface.as_str(), four.address, four.mac),
        ("eth0", address("203.0.113.1"), Ethernet::mac(0))
    );
    assert_eq!(present(four), theirs, "nmap");
    assert_eq!(present(four).len(), 4);
    let own = of(four, "203.0.113.1");
    assert_eq!(
        (own.state, own.mac, own.tries),
        (NeighborState::Own, Some(Ethernet::mac(0)), 0),
        "its owner lets no packet leave for it"
    );
    let silent: u32 = four.silent.iter().map(|run| run.count).sum();
    assert_eq!((four.statistics.silent, silent, four.statistics.sent), (9, 9, 4 + 9 * 2));
    // As it is asked for without options: who answers for an address that others may answer for too waits up to 0.8 s before it does.
    let (report, _) = agent.report(observer, r#"{"probe":"neighbor","target":"2001:db8:9::/124"}"#).unwrap();
    let six = found(&report);
    assert_eq!(six.address, address("2001:db8:9::1"));
    // The first address of a network is that of its routers, all of them (RFC 4291 section 2.6.1).
    let expected =
        [("2001:db8:9::", 3), ("2001:db8:9::2", 1), ("2001:db8:9::3", 2), ("2001:db8:9::e", 3)].map(|(text, place)| (address(text), Ethernet::mac(place)));
    assert_eq!(present(six), expected.into());
    let routers: Vec<bool> = ["2001:db8:9::2", "2001:db8:9::e"].map(|text| of(six, text).router).into();
    assert_eq!(routers, [false, true]);
    for result in four
        .neighbors
        .iter()
        .chain(&six.neighbors)
        .filter(|result| result.state == NeighborState::Present)
    {
        assert!(result.rtt_us.is_some() && result.rtt_us <= result.user_rtt_us, "{result:?}");
        if result.address != address("2001:db8:9::") {
            assert_eq!(table.get(&result.address), result.mac.as_ref(), "the kernel's table: {table:?}");
        }
    }
}

#[test]
fn nbr_06_two_hosts_with_one_address_are_a_conflict_also_where_one_of_them_is_ours() {
    if !may_make_networks("truth-neighbors-conflict") {
        return;
    }
    let link = Ethernet::of(&[
        &["203.0.113.1/28", "2001:db8:9::1/64"],
        &["203.0.113.5/28", "2001:db8:9::5/64"],
        &["203.0.113.5/28", "2001:db8:9::5/64"],
        &["203.0.113.1/28", "2001:db8:9::1/64"],
    ])
    .unwrap();
    let agent = agent("allow_local = true");
    let observer = link.host(0).unwrap();
    for (five, one) in [("203.0.113.5", "203.0.113.1"), ("2001:db8:9::5", "2001:db8:9::1")] {
        let report = ask(&agent, observer, five, "");
        let result = of(found(&report), five);
        let mut owners: Vec<MacAddress> = result.mac.iter().chain(&result.others).copied().collect();
        owners.sort_unstable();
        assert_eq!((result.state, owners), (NeighborState::Conflict, vec![Ethernet::mac(1), Ethernet::mac(2)]));
        assert_eq!((report.status, report.fault), (Status::Degraded, Fault::Target));
        assert_eq!(report.error.unwrap().code, ErrorCode::AddressConflict);
        let report = ask(&agent, observer, one, "");
        let result = of(found(&report), one);
        assert_eq!(
            (result.state, result.mac, &result.others[..]),
            (NeighborState::Conflict, Some(Ethernet::mac(0)), &[Ethernet::mac(3)][..]),
            "{one}"
        );
    }
}

/// For whom packets that leave ask.
fn asked_for(packets: &[Captured]) -> Vec<IpAddr> {
    let leaving = packets.iter().filter(|packet| packet.outgoing);
    let targets = leaving.filter_map(|packet| -> Option<IpAddr> {
        match packet.bytes.as_slice() {
            [0, 1, 8, 0, 6, 4, 0, 1, rest @ ..] => Some(<[u8; 4]>::try_from(rest.get(16..20)?).ok()?.into()),
            [0x60, ..] if packet.bytes.get(40) == Some(&135) => Some(<[u8; 16]>::try_from(packet.bytes.get(48..64)?).ok()?.into()),
            _ => None,
        }
    });
    targets.collect()
}

#[test]
fn job_01_nbr_04_nothing_leaves_for_an_address_that_is_not_allowed() {
    if !may_make_networks("truth-neighbors-denied") {
        return;
    }
    let link = Ethernet::of(&[&["203.0.113.1/28", "2001:db8:9::1/64"], &["203.0.113.2/28"]]).unwrap();
    let observer = link.host(0).unwrap();
    let agent = agent(r#"deny_cidrs = ["203.0.113.8/30", "2001:db8:9::8/125"]"#);
    let capture = Capture::start(observer, 128).unwrap();
    let four = ask(&agent, observer, "203.0.113.0/28", "");
    let six = ask(&agent, observer, "2001:db8:9::/124", "");
    let (denied, _) = agent.probe(observer, r#"{"probe":"neighbor","target":"203.0.113.9"}"#).unwrap();
    assert!(denied.is_none(), "one address alone is refused before it begins");
    let all = ask(&agent, observer, "203.0.113.8/31", "");
    assert_eq!((all.status, all.fault), (Status::Failed, Fault::Policy));
    let left = asked_for(&capture.finish().unwrap());
    for (report, rule) in [(&four, "deny_cidrs"), (&six, "deny_cidrs")] {
        let denied = &found(report).denied;
        assert_eq!((denied.len(), denied[0].rule.as_str()), (1, rule), "{denied:?}");
        for run in denied {
            assert!(run.run.addresses().all(|address| !left.contains(&address)), "{left:?}");
        }
    }
    assert_eq!((found(&four).denied[0].run.count, found(&six).denied[0].run.count), (4, 8));
    assert_eq!((four.status, four.fault), (Status::Degraded, Fault::Policy));
    for (text, expected) in [("203.0.113.2", true), ("203.0.113.12", true), ("2001:db8:9::7", true), ("203.0.113.1", false)] {
        assert_eq!(
            left.contains(&address(text)),
            expected,
            "{text}: what is allowed leaves, and our own is not asked for: {left:?}"
        );
    }
}

#[test]
fn nbr_03_nbr_05_what_lies_on_no_link_or_behind_one_that_is_down_is_refused_by_a_code_and_nothing_leaves() {
    if !may_make_networks("truth-neighbors-elsewhere") {
        return;
    }
    let link = Ethernet::of(&[&["203.0.113.1/28", "10.0.0.1/8"], &["203.0.113.2/28"]]).unwrap();
    let observer = link.host(0).unwrap();
    let agent = agent("allow_loopback = true\nmax_targets_per_job = 1024");
    let capture = Capture::start(observer, 128).unwrap();
    for (target, options, code) in [
        ("203.0.113.17", "", ErrorCode::NotOnLink),
        ("203.0.113.0/27", "", ErrorCode::NotOnLink),
        ("2001:db8:9::2", "", ErrorCode::NotOnLink),
        ("127.0.0.1", "", ErrorCode::NotOnLink),
        ("203.0.113.2", r#","interface":"eth7""#, ErrorCode::NotOnLink),
        ("203.0.113.2", r#","interface":"lo""#, ErrorCode::NotOnLink),
    ] {
        let report = ask(&agent, observer, target, options);
        assert_eq!((report.status, report.fault), (Status::Failed, Fault::Path), "{target} {options}");
        assert_eq!(report.error.unwrap().code, code, "{target} {options}");
        assert_eq!(report.findings, None);
    }
    assert_eq!(asked_for(&capture.finish().unwrap()), Vec::<IpAddr>::new());
    let large = ask(&agent, observer, "10.1.0.0/22", r#","tries":1"#);
    assert_eq!(found(&large).statistics.addresses, 1_022);
    assert_eq!((large.status, large.error.unwrap().code), (Status::Timeout, ErrorCode::Timeout));
    observer.configure(&["link set eth0 down".to_owned()]).unwrap();
    let down = ask(&agent, observer, "203.0.113.2", "");
    assert_eq!((down.fault, down.error.unwrap().code), (Fault::Agent, ErrorCode::LinkDown));
}

/// A frame to the first host.
fn frame(protocol: [u8; 2], message: &[u8]) -> Vec<u8> {
    [&Ethernet::mac(0).octets()[..], &Ethernet::mac(2).octets(), &protocol, message].concat()
}

/// An answer of ARP.
fn answer(owner: [u8; 6], address: [u8; 4], to: ([u8; 6], [u8; 4])) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, 2][..], &owner, &address, &to.0, &to.1].concat()
}

/// Every way of saying something about an address that nobody has that must not be believed, and about who nobody asks for.
fn lies() -> Vec<Vec<u8>> {
    let (us, liar) = (Ethernet::mac(0).octets(), Ethernet::mac(2).octets());
    let (here, there) = ([203, 0, 113, 1], [203, 0, 113, 9]);
    let said = answer(liar, there, (us, here));
    let mut lies: Vec<Vec<u8>> = (0..said.len()).map(|length| said[..length].to_vec()).collect();
    lies.extend((0..8).map(|place| {
        let mut other = said.clone();
        other[place] ^= 0x40;
        other
    }));
    lies.extend([
        answer([0xff; 6], there, (us, here)),
        answer([1, 0, 0x5e, 0, 0, 1], there, (us, here)),
        answer([0; 6], there, (us, here)),
        answer(liar, there, (liar, here)),
        answer(liar, there, (us, [203, 0, 113, 77])),
        answer(liar, there, (us, [0; 4])),
        answer(liar, [198, 51, 100, 1], (us, here)),
        answer(liar, [203, 0, 113, 99], (us, here)),
    ]);
    let mut frames: Vec<Vec<u8>> = lies.iter().map(|lie| frame([8, 6], lie)).collect();
    // An advertisement whose checksum is wrong, then the same cut everywhere.
    let ends: Vec<u8> = ["2001:db8:9::9", "2001:db8:9::1"]
        .iter()
        .flat_map(|text| text.parse::<std::net::Ipv6Addr>().unwrap().octets())
        .collect();
    let target = &ends[..16];
    let six = [
        &[0x60, 0, 0, 0, 0, 32, 58, 255][..],
        &ends,
        &[136, 0, 0, 0, 0x60, 0, 0, 0],
        target,
        &[2, 1],
        &liar,
    ]
    .concat();
    frames.extend((0..=six.len()).map(|length| frame([0x86, 0xdd], &six[..length])));
    frames
}

/// Says all of it again and again until it is told to stop; how often it was said.
fn shout(host: &Namespace, stop: &AtomicBool) -> u64 {
    let frames = lies();
    host.within(|| {
        let link: LinkAddr = getifaddrs()
            .unwrap()
            .filter(|entry| entry.interface_name == "eth0")
            .find_map(|entry| entry.address.as_ref().and_then(SockaddrStorage::as_link_addr).copied())
            .unwrap();
        let socket = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        let mut said = 0;
        while !stop.load(Ordering::Relaxed) {
            for frame in &frames {
                match sendto(socket.as_raw_fd(), frame, &link, MsgFlags::empty()) {
                    Ok(_) => said += 1,
                    // Shorter than a frame's header.
                    Err(Errno::EINVAL | Errno::ENOBUFS) => {}
                    Err(errno) => panic!("shout: {errno}"),
                }
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        said
    })
    .unwrap()
}

#[test]
fn nbr_07_what_is_malformed_for_others_or_about_others_counts_for_nothing_however_often_it_is_said() {
    if !may_make_networks("truth-neighbors-hostile") {
        return;
    }
    let link = Ethernet::of(&[
        &["203.0.113.1/28", "2001:db8:9::1/64"],
        &["203.0.113.2/28", "2001:db8:9::2/64"],
        &["203.0.113.3/28", "2001:db8:9::3/64"],
    ])
    .unwrap();
    let (observer, agent, stop) = (link.host(0).unwrap(), agent(""), AtomicBool::new(false));
    let (four, six, said) = std::thread::scope(|scope| {
        let shouting = scope.spawn(|| shout(link.host(2).unwrap(), &stop));
        let four = ask(&agent, observer, "203.0.113.0/28", "");
        let six = ask(&agent, observer, "2001:db8:9::/124", "");
        stop.store(true, Ordering::Relaxed);
        (four, six, shouting.join().unwrap())
    });
    assert!(said > 10_000, "{said}");
    for (report, hosts) in [(&four, ["203.0.113.2", "203.0.113.3"]), (&six, ["2001:db8:9::2", "2001:db8:9::3"])] {
        let expected = [(address(hosts[0]), Ethernet::mac(1)), (address(hosts[1]), Ethernet::mac(2))];
        assert_eq!(present(found(report)), expected.into(), "{report:?}");
        assert_eq!(found(report).statistics.conflicts, 0);
        assert_eq!(report.status, Status::Ok, "{report:?}");
    }
}
