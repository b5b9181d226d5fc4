//! What comes back from each kind of world.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use test_internet::{Cause, World};

use crate::packet::{echo, parse, sum_header, sum_is_right, tcp_syn, udp};
use crate::setting::{OBSERVER, TARGET, ask, ask_once, ip, scenario};

#[test]
fn every_scenario_is_a_world() {
    let folder = format!("{}/scenarios", env!("CARGO_MANIFEST_DIR"));
    let mut worlds = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let world = World::from_toml(&std::fs::read_to_string(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!world.observer().is_empty(), "{}", path.display());
        worlds += 1;
    }
    assert!(worlds >= 15, "{worlds}");
}

#[test]
fn each_hop_of_a_chain_answers_for_its_time_to_live_and_no_further() {
    let mut world = scenario("chain");
    for ttl in 1..=9_u8 {
        let request = echo(OBSERVER, TARGET, ttl, 7, u16::from(ttl), 32);
        let answers = ask(&mut world, &request, Duration::ZERO);
        let (after, answer) = &answers[0];
        let parsed = parse(answer);
        let hops = u32::from(ttl.min(7));
        let routers = hops.min(6);
        let wanted = Duration::from_millis(3) * routers + Duration::from_millis(2) * (hops - routers);
        assert_eq!(*after, wanted);
        assert_eq!(u32::from(parsed.ttl), 64 - (hops - 1), "each hop back counts");
        if ttl < 7 {
            assert_eq!((parsed.source, parsed.kind), (IpAddr::V4(Ipv4Addr::new(10, 1, 0, ttl)), (11, 0)));
            let quoted = parse(&parsed.payload[8..]);
            assert_eq!((quoted.ttl, quoted.destination), (1, ip(TARGET)));
            assert_eq!(parsed.payload[28..], request[20..], "quoted as it was sent");
        } else {
            assert_eq!((parsed.source, parsed.kind), (ip(TARGET), (0, 0)));
            assert_eq!(parsed.payload[4..], request[24..]);
        }
    }
    let truth = world.truth();
    assert_eq!(truth.target(ip(TARGET)), (9, 9));
    assert_eq!(truth.hop(ip(TARGET), 3).unwrap().delay_ns, Some((9_000_000, 9_000_000, 9_000_000)));
}

#[test]
fn routers_on_a_path_answer_for_themselves() {
    let mut world = scenario("chain");
    let parsed = ask_once(&mut world, &echo(OBSERVER, "10.1.0.3", 64, 1, 1, 8));
    assert_eq!((parsed.source, parsed.kind), (ip("10.1.0.3"), (0, 0)));
    assert!(ask(&mut world, &echo(OBSERVER, "192.0.2.1", 64, 1, 1, 8), Duration::ZERO).is_empty());
    assert_eq!(world.truth().hop(ip("192.0.2.1"), 64).unwrap().dropped[&Cause::NoRoute], 1);
}

#[test]
fn ports_answer_as_they_are() {
    let mut world = scenario("chain");
    let open = ask_once(&mut world, &tcp_syn(OBSERVER, TARGET, 64, 40_000, 443, 77));
    assert_eq!((open.payload[13], &open.payload[8..12]), (0x12, &78_u32.to_be_bytes()[..]));
    assert_eq!(open.payload[20..24], [2, 4, 5, 180], "the segment size comes first");
    let closed = ask_once(&mut world, &tcp_syn(OBSERVER, TARGET, 64, 40_000, 80, u32::MAX));
    assert_eq!((closed.payload[13], &closed.payload[8..12]), (0x14, &0_u32.to_be_bytes()[..]));
    let echoed = ask_once(&mut world, &udp(OBSERVER, TARGET, 64, 40_000, 7, b"hello"));
    assert_eq!(echoed.payload[8..], *b"hello");
    let refused = ask_once(&mut world, &udp(OBSERVER, TARGET, 64, 40_000, 33_434, b"hello"));
    assert_eq!((refused.kind, refused.source), ((3, 3), ip(TARGET)));
    let before = world.truth();
    let mut reset = tcp_syn(OBSERVER, TARGET, 64, 40_000, 443, 78);
    reset[33] = 0x04;
    assert!(ask(&mut world, &reset, Duration::ZERO).is_empty());
    assert_eq!(
        world.truth().unasking,
        before.unasking + 1,
        "a reset asks for nothing and counts as nothing sent"
    );
    assert_eq!(world.truth().flows, before.flows);
}

#[test]
fn a_silent_hop_says_nothing_and_a_limited_one_little() {
    let mut world = scenario("silent_hops");
    for ttl in [2, 3] {
        assert!(ask(&mut world, &echo(OBSERVER, TARGET, ttl, 1, 1, 8), Duration::ZERO).is_empty());
        assert_eq!(world.truth().hop(ip(TARGET), ttl).unwrap().dropped[&Cause::Silent], 1);
    }
    assert_eq!(ask_once(&mut world, &echo(OBSERVER, TARGET, 4, 1, 1, 8)).source, ip("10.1.0.4"));

    let mut world = scenario("rate_limited");
    let answered: usize = (0..20)
        .map(|tenth| {
            ask(
                &mut world,
                &echo(OBSERVER, TARGET, 3, 1, tenth, 8),
                Duration::from_millis(100) * u32::from(tenth),
            )
            .len()
        })
        .sum();
    assert_eq!(answered, 4, "two a second for two seconds");
    let hop = world.truth().hop(ip(TARGET), 3).unwrap().clone();
    assert_eq!((hop.answered, hop.dropped[&Cause::RateLimited]), (4, 16));
}

#[test]
fn a_loop_goes_round_until_the_packet_dies() {
    let mut world = scenario("loop");
    for (ttl, who) in [(3, "10.1.0.3"), (4, "10.1.0.4"), (29, "10.1.0.3"), (30, "10.1.0.4"), (254, "10.1.0.4")] {
        let answers = ask(&mut world, &echo(OBSERVER, TARGET, ttl, 1, 1, 8), Duration::ZERO);
        if ttl <= 64 {
            assert_eq!(parse(&answers[0].1).source, ip(who));
        } else {
            assert!(answers.is_empty(), "the answer dies on its own way round");
        }
    }
}

#[test]
fn a_flow_keeps_its_way_and_packets_take_turns() {
    let mut world = scenario("balanced_by_flow");
    let mut ways = Vec::new();
    for port in 33_434..33_466 {
        let first = ask_once(&mut world, &udp(OBSERVER, TARGET, 2, 50_000, port, b"x")).source;
        for payload in [&b"a"[..], b"bb"] {
            assert_eq!(ask_once(&mut world, &udp(OBSERVER, TARGET, 2, 50_000, port, payload)).source, first);
        }
        ways.push(first);
    }
    for who in ["10.2.0.1", "10.3.0.1"] {
        assert!(ways.iter().filter(|way| **way == ip(who)).count() >= 8, "{ways:?}");
    }
    let mut world = scenario("balanced_by_packet");
    let third: Vec<IpAddr> = (0..4)
        .map(|number| ask_once(&mut world, &echo(OBSERVER, TARGET, 3, 1, number, 8)).source)
        .collect();
    assert_eq!(third, [ip("10.1.0.2"), ip("10.3.0.2"), ip("10.1.0.2"), ip("10.3.0.2")]);
    let mut world = scenario("route_change");
    let at = |world: &mut World, millisecond| parse(&ask(world, &echo(OBSERVER, TARGET, 2, 1, 1, 8), Duration::from_millis(millisecond))[0].1).source;
    assert_eq!(
        [at(&mut world, 0), at(&mut world, 499), at(&mut world, 500)],
        [ip("10.2.0.1"), ip("10.2.0.1"), ip("10.3.0.1")]
    );
}

#[test]
fn a_nat_is_seen_only_in_the_checksum_that_it_leaves() {
    let mut world = scenario("nat");
    let request = udp(OBSERVER, TARGET, 3, 50_000, 33_434, b"hello");
    let beyond = ask_once(&mut world, &request);
    assert_eq!((beyond.source, beyond.destination), (ip("203.0.113.1"), ip(OBSERVER)));
    let quoted = parse(&beyond.payload[8..]);
    assert_eq!((quoted.source, &quoted.payload[..4]), (ip(OBSERVER), &request[20..24]));
    assert_ne!(quoted.payload[6..8], request[26..28]);
    let target = ask_once(&mut world, &udp(OBSERVER, TARGET, 64, 50_000, 33_434, b"hello"));
    assert_eq!((target.source, target.destination, target.kind), (ip(TARGET), ip(OBSERVER), (3, 3)));
    let before = ask_once(&mut world, &udp(OBSERVER, TARGET, 2, 50_000, 33_434, b"hello"));
    assert_eq!(before.payload[34..36], request[26..28], "the NAT itself has seen the packet as it was");
}

#[test]
fn labels_stand_behind_a_quote_of_128_bytes() {
    let mut world = scenario("labels");
    let answer = ask_once(&mut world, &udp(OBSERVER, TARGET, 3, 50_000, 33_434, &[7; 20]));
    assert_eq!(answer.payload[5], 32, "words of the quoted packet");
    let structure = &answer.payload[8 + 128..];
    assert_eq!(structure[4..8], [0, 12, 1, 1]);
    assert_eq!(u32::from_be_bytes(structure[8..12].try_into().unwrap()) >> 12, 24_002);
    let mut world = scenario("version_six");
    let answer = ask_once(&mut world, &udp("2001:db8::1", "2001:db8:2::5", 4, 50_000, 33_434, &[7; 300]));
    assert_eq!((answer.kind, answer.payload[4]), ((3, 0), 16));
    assert_eq!(answer.payload[8 + 128 + 4..][..4], [0, 8, 1, 1]);
}

#[test]
fn a_router_says_no_as_it_is_told_and_a_wall_says_nothing() {
    let mut world = scenario("unreachable");
    for (last, code) in [(0, 0), (1, 1), (2, 2), (9, 9), (10, 10), (13, 13)] {
        let answer = ask_once(&mut world, &echo(OBSERVER, &format!("198.51.100.{last}"), 64, 1, 1, 8));
        assert_eq!((answer.kind, answer.source), ((3, code), ip("10.1.0.3")));
    }
    assert_eq!(ask_once(&mut world, &echo(OBSERVER, "198.51.100.99", 64, 1, 1, 8)).kind, (0, 0));
    let mut world = scenario("firewall");
    assert!(ask(&mut world, &echo(OBSERVER, TARGET, 64, 1, 1, 8), Duration::ZERO).is_empty());
    assert!(ask(&mut world, &tcp_syn(OBSERVER, TARGET, 64, 1, 80, 1), Duration::ZERO).is_empty());
    assert_eq!(
        ask_once(&mut world, &echo(OBSERVER, TARGET, 3, 1, 1, 8)).source,
        ip("10.1.0.3"),
        "its own hop answers"
    );
    assert_eq!(ask_once(&mut world, &tcp_syn(OBSERVER, TARGET, 64, 1, 443, 1)).payload[13], 0x12);
}

#[test]
fn a_narrow_link_is_told_hidden_or_lied_about() {
    let big = |bytes| echo(OBSERVER, TARGET, 64, 1, 1, bytes);
    let mut world = scenario("mtu_told");
    assert_eq!(ask_once(&mut world, &big(1_372)).kind, (0, 0));
    let told = ask_once(&mut world, &big(1_373));
    assert_eq!((told.kind, told.source), ((3, 4), ip("10.1.0.2")));
    assert_eq!(told.payload[6..8], 1_400_u16.to_be_bytes());
    let mut fragile = big(1_373);
    fragile[6] = 0;
    sum_header(&mut fragile);
    assert_eq!(ask_once(&mut world, &fragile).kind, (0, 0), "what may be fragmented goes through");
    let mut world = scenario("mtu_black_hole");
    assert!(ask(&mut world, &big(1_373), Duration::ZERO).is_empty());
    assert_eq!(world.truth().hop(ip(TARGET), 64).unwrap().dropped[&Cause::TooBig], 1);
    assert_eq!(ask_once(&mut scenario("mtu_lie"), &big(1_373)).payload[6..8], 68_u16.to_be_bytes());
    let six = ask_once(&mut scenario("version_six"), &echo("2001:db8::1", "2001:db8:2::5", 64, 1, 1, 1_373));
    assert_eq!((six.kind, &six.payload[4..8]), ((2, 0), &1_400_u32.to_be_bytes()[..]));
}

#[test]
fn quotes_are_as_wrong_as_they_are_to_be() {
    let mut world = scenario("rewritten_quotes");
    let mut sent = udp(OBSERVER, TARGET, 2, 50_000, 33_434, b"hello, world");
    sent[1] = 46 << 2;
    sum_header(&mut sent);
    let at = |world: &mut World, ttl: u8| {
        let mut packet = sent.clone();
        packet[8] = ttl;
        sum_header(&mut packet);
        ask_once(world, &packet)
    };
    assert_eq!(parse(&at(&mut world, 1).payload[8..]).class, 46 << 2, "before the one that clears marks");
    let eight = at(&mut world, 2);
    assert_eq!((parse(&eight.payload[8..]).class, eight.payload.len()), (0, 8 + 20 + 8));
    assert_eq!(parse(&at(&mut world, 3).payload[8..]).ttl, 4);
    assert_eq!(at(&mut world, 4).payload[34..36], [0, 0]);
    let elsewhere = at(&mut world, 5);
    assert_eq!((elsewhere.source, elsewhere.ttl), (ip("192.0.2.5"), 255 - 9));
}

#[test]
fn liars_lie() {
    let mut world = scenario("liars");
    let request = |ttl| echo(OBSERVER, TARGET, ttl, 7, 300, 32);
    let noise = ask_once(&mut world, &request(1));
    assert_ne!(noise.payload[8..28], request(1)[..20]);
    let early = ask_once(&mut world, &request(2));
    assert_eq!(early.payload[8 + 20 + 6..][..2], 301_u16.to_be_bytes());
    let short = ask_once(&mut world, &request(3));
    assert_eq!(short.payload.len(), 34, "half of the header and sixty bytes");
    let answers = ask(&mut world, &request(4), Duration::ZERO);
    assert!(!sum_is_right(&answers[0].1));
    let broken = ask_once(&mut world, &request(5));
    assert_eq!(broken.payload[8 + 128 + 4..][..2], [255, 255]);
}

#[test]
fn loss_duplicates_and_reordering_are_counted_as_they_happen() {
    let mut world = scenario("lossy_way_back");
    let answered: usize = (0..1_000)
        .map(|number| ask(&mut world, &echo(OBSERVER, TARGET, 64, 1, number, 8), Duration::ZERO).len())
        .sum();
    let truth = world.truth();
    let hop = truth.hop(ip(TARGET), 64).unwrap();
    assert_eq!(usize::try_from(hop.answered).unwrap(), answered);
    assert_eq!(hop.dropped[&Cause::AnswerLost] + hop.answered, 1_000);
    assert!((280..380).contains(&hop.dropped[&Cause::AnswerLost]), "{hop:?}");

    let mut world = scenario("duplicates");
    let answers: usize = (0..100)
        .map(|number| ask(&mut world, &echo(OBSERVER, TARGET, 64, 1, number, 8), Duration::ZERO).len())
        .sum();
    let truth = world.truth();
    assert_eq!(truth.target(ip(TARGET)), (100, 100));
    assert_eq!(truth.hop(ip(TARGET), 64).unwrap().duplicates, u64::try_from(answers).unwrap() - 100);
    assert!(answers > 130, "{answers}");

    let mut world = scenario("reordering");
    for number in 0..100 {
        world.handle(&echo(OBSERVER, TARGET, 64, 1, number, 8), Duration::from_millis(u64::from(number)));
    }
    let mut order = Vec::new();
    while let Some(at) = world.next_at() {
        order.extend(world.poll(at).map(|answer| u16::from_be_bytes(answer[26..28].try_into().unwrap())));
    }
    assert_eq!(order.len(), 100);
    assert!(!order.is_sorted());
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let run = || {
        let mut world = scenario("sweep");
        for host in 0..2_000_u16 {
            let [high, low] = host.to_be_bytes();
            let target = IpAddr::V4(Ipv4Addr::from_octets([198, 18, high, low]));
            world.handle(&echo(OBSERVER, &target.to_string(), 64, 9, host, 16), Duration::from_micros(u64::from(host)));
        }
        while let Some(at) = world.next_at() {
            world.poll(at);
        }
        world.truth()
    };
    let truth = run();
    assert_eq!(truth, run());
    let lost = truth.flows.iter().filter(|flow| flow.answered == 0).count();
    assert!((5..45).contains(&lost), "{lost}");
}

#[test]
fn version_six_answers_in_kind() {
    let mut world = scenario("version_six");
    let target = "2001:db8:2::77";
    let reply = ask_once(&mut world, &echo("2001:db8::1", target, 64, 5, 6, 40));
    assert_eq!((reply.kind, reply.source), ((129, 0), ip(target)));
    let second = ask_once(&mut world, &echo("2001:db8::1", target, 2, 5, 6, 40));
    assert_eq!(second.source, IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 2)));
    assert_eq!(ask_once(&mut world, &tcp_syn("2001:db8::1", target, 64, 5_000, 443, 1)).payload[13], 0x12);
    let closed = ask_once(&mut world, &udp("2001:db8::1", target, 64, 5_000, 33_434, b"x"));
    assert_eq!((closed.kind, closed.source), ((1, 4), ip(target)));
}

#[test]
fn a_text_that_describes_no_world_says_why() {
    for (text, why) in [
        ("[[path]]\nhops = [\"nobody\"]", "no node is called `nobody`"),
        ("[[node]]\nname = \"a\"\n[[node]]\nname = \"a\"", "two nodes are called `a`"),
        ("[[node]]\nname = \"a\"\n[[path]]\nhops = [\"a\"]", "a path has no hop"),
        (
            "[[node]]\nname = \"a\"\ncount = 2\naddresses = [\"10.0.0.0/24\"]",
            "the addresses of `a` cannot be counted on so far",
        ),
        ("[[node]]\nname = \"a\"\nlink = { loss = 2.0 }", "`loss` is out of range"),
        ("[[node]]\nname = \"a\"\nsilnet = true", "silnet"),
    ] {
        let error = World::from_toml(text).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}
