use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::policy::ByteCount;

struct Case {
    rules: PolicyRules,
    local: LocalAddresses,
    control_plane: Vec<IpAddr>,
}

impl Case {
    fn new(rules: PolicyRules) -> Self {
        Self {
            rules,
            local: LocalAddresses::default(),
            control_plane: vec![ip("203.0.113.9"), ip("127.0.0.1")],
        }
    }

    fn check(&self, address: &str) -> Result<(), &'static str> {
        self.rules().check(ip(address))
    }

    fn rules(&self) -> AddressRules<'_> {
        AddressRules {
            rules: &self.rules,
            local: &self.local,
            control_plane: &self.control_plane,
        }
    }

    fn check_spec(&self, text: &str) -> Result<(), Refused> {
        check_spec(&self.rules, &self.rules(), &ProbeSpec::parse(text).unwrap())
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Allows all that can be allowed.
fn permissive() -> PolicyRules {
    PolicyRules {
        allow_cidrs: networks(&["0.0.0.0/0", "::/0"]),
        allow_loopback: true,
        allow_local: true,
        ..PolicyRules::default()
    }
}

#[test]
fn job_01_job_02_metadata_is_denied_even_by_a_policy_that_allows_everything() {
    let case = Case::new(permissive());
    for address in [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "::ffff:a9fe:a9fe",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "fd00:ec2::254",
        "169.254.170.2",
        "169.254.170.23",
        "100.100.100.200",
        "192.0.0.192",
        "fe80::1",
    ] {
        assert!(case.check(address).is_err(), "{address}");
        let spec = format!(r#"{{"probe":"ping","target":"{address}"}}"#);
        assert_eq!(case.check_spec(&spec).unwrap_err().reason, RefuseReason::PolicyDenied, "{address}");
    }
    assert_eq!(
        case.check_spec(r#"{"probe":"ping","target":"metadata.google.internal"}"#).unwrap_err().rule,
        "metadata"
    );
}

#[test]
fn job_08_the_host_itself_and_its_gateways_need_the_owners_word() {
    let local = LocalAddresses {
        own: [ip("203.0.113.7"), ip("10.0.0.7")].into(),
        gateways: [ip("10.0.0.1")].into(),
        broadcast: [ip("10.0.0.255")].into(),
    };
    let mut case = Case::new(PolicyRules {
        allow_cidrs: networks(&["10.0.0.0/8"]),
        ..PolicyRules::default()
    });
    case.local = local;
    for address in ["203.0.113.7", "10.0.0.7", "10.0.0.1"] {
        assert_eq!(case.check(address), Err("allow_local"), "{address}");
    }
    for address in ["127.0.0.2", "127.255.255.255", "::1"] {
        assert_eq!(case.check(address), Err("allow_loopback"), "{address}");
    }
    case.rules.allow_local = true;
    case.rules.allow_loopback = true;
    for address in ["203.0.113.7", "10.0.0.7", "10.0.0.1", "127.0.0.2", "::1"] {
        assert_eq!(case.check(address), Ok(()), "{address}");
    }
    for address in ["0.0.0.0", "255.255.255.255", "10.0.0.255", "224.0.0.1", "ff02::1", "240.0.0.1"] {
        assert!(case.check(address).is_err(), "{address} is denied always");
    }
}

#[test]
fn job_08_the_control_plane_is_denied_always_but_on_an_allowed_loopback() {
    let mut case = Case::new(permissive());
    assert_eq!(case.check("203.0.113.9"), Err("control_plane"));
    assert_eq!(case.check("127.0.0.1"), Ok(()));
    case.rules.allow_loopback = false;
    assert_eq!(case.check("127.0.0.1"), Err("control_plane"));
}

#[test]
fn job_09_private_networks_are_denied_until_they_are_listed() {
    let private = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd12::1"];
    let mut case = Case::new(PolicyRules::default());
    for address in private {
        assert_eq!(case.check(address), Err("allow_cidrs"), "{address}");
    }
    assert_eq!(case.check("1.1.1.1"), Ok(()));
    case.rules.allow_cidrs = networks(&["10.0.0.0/8", "fd12::/16"]);
    assert_eq!(case.check("10.1.2.3"), Ok(()));
    assert_eq!(case.check("fd12::1"), Ok(()));
    assert_eq!(case.check("192.168.1.1"), Err("allow_cidrs"));
    case.rules.deny_cidrs = networks(&["10.1.0.0/16"]);
    assert_eq!(case.check("10.1.2.3"), Err("deny_cidrs"));
    case.rules.allow_public = false;
    assert_eq!(case.check("1.1.1.1"), Err("allow_public"));
}

#[test]
fn job_11_a_probe_that_the_owner_has_switched_off_is_refused_as_such() {
    let case = Case::new(PolicyRules {
        allow_probes: ["dns".to_owned()].into(),
        ..permissive()
    });
    let refused = case.check_spec(r#"{"probe":"ping","target":"1.1.1.1"}"#).unwrap_err();
    assert_eq!((refused.reason, refused.rule), (RefuseReason::KindDisabled, "allow_probes"));
}

#[test]
fn job_13_a_spec_beyond_a_cap_is_refused_and_never_clamped() {
    let ping = |options: &str| format!(r#"{{"probe":"ping","target":"1.1.1.1"{options}}}"#);
    let case = |change: fn(&mut PolicyRules)| {
        let mut rules = PolicyRules::default();
        change(&mut rules);
        Case::new(rules)
    };
    let refused = |case: Case, options: &str| case.check_spec(&ping(options)).map_err(|refused| (refused.reason, refused.rule));
    let exceeded = |rule| Err((RefuseReason::CapExceeded, rule));
    assert_eq!(refused(case(|_| ()), r#","count":100,"interval_ms":10"#), Ok(()));
    assert_eq!(
        refused(case(|rules| rules.per_target_pps = 4), r#","interval_ms":200"#),
        exceeded("per_target_pps")
    );
    assert_eq!(refused(case(|rules| rules.max_pps = 4), r#","interval_ms":200"#), exceeded("max_pps"));
    assert_eq!(refused(case(|rules| rules.per_target_pps = 5), r#","interval_ms":200"#), Ok(()));
    let small = |rules: &mut PolicyRules| rules.max_bytes_per_job = ByteCount(400);
    assert_eq!(refused(case(small), r#","count":4,"payload_bytes":56"#), exceeded("max_bytes_per_job"));
    assert_eq!(refused(case(small), r#","count":4,"payload_bytes":52"#), Ok(()));
}

#[test]
fn job_13_a_sweep_is_held_to_the_owners_targets_bytes_and_rate() {
    let refused = |change: fn(&mut PolicyRules), options: &str| {
        let mut rules = permissive();
        change(&mut rules);
        let spec = format!(r#"{{"probe":"ping",{options}}}"#);
        Case::new(rules).check_spec(&spec).map_err(|refused| (refused.reason, refused.rule))
    };
    let exceeded = |rule| Err((RefuseReason::CapExceeded, rule));
    let block = r#""target":"10.0.0.0/24","count":3"#;
    assert_eq!(refused(|_| (), block), Ok(()));
    assert_eq!(refused(|rules| rules.max_targets_per_job = 253, block), exceeded("max_targets_per_job"));
    assert_eq!(
        refused(|rules| rules.max_bytes_per_job = ByteCount(79_000), block),
        exceeded("max_bytes_per_job")
    );
    assert_eq!(refused(|rules| rules.max_pps = 761, block), exceeded("max_pps"), "762 packets within a second");
    assert_eq!(refused(|rules| rules.max_pps = 762, block), Ok(()));
    assert_eq!(
        refused(|_| (), r#""targets":["10.0.0.1","metadata.google.internal"]"#),
        Err((RefuseReason::PolicyDenied, "metadata"))
    );
}

#[test]
fn job_13_a_scan_is_off_until_the_owner_lets_it_and_held_to_ports_rate_and_bytes() {
    let refused = |change: fn(&mut PolicyRules), options: &str| {
        let mut rules = PolicyRules {
            allow_probes: ["port".to_owned()].into(),
            ..permissive()
        };
        change(&mut rules);
        let spec = format!(r#"{{"probe":"port","target":"10.0.0.1",{options}}}"#);
        Case::new(rules).check_spec(&spec).map_err(|refused| (refused.reason, refused.rule))
    };
    let exceeded = |rule| Err((RefuseReason::CapExceeded, rule));
    let ports = r#""ports":"1-100""#;
    assert_eq!(refused(|_| (), ports), Ok(()));
    let default = |rules: &mut PolicyRules| rules.allow_probes = PolicyRules::default().allow_probes;
    assert_eq!(refused(default, ports), Err((RefuseReason::KindDisabled, "allow_probes")));
    assert_eq!(refused(|rules| rules.scan_max_ports = 99, ports), exceeded("scan_max_ports"));
    assert_eq!(refused(|rules| rules.per_target_pps = 49, ports), exceeded("per_target_pps"));
    assert_eq!(refused(|rules| rules.per_target_pps = 49, r#""ports":"1-100","rate_pps":40"#), Ok(()));
    assert_eq!(
        refused(|rules| rules.max_bytes_per_job = ByteCount(200 * 480 - 1), ports),
        exceeded("max_bytes_per_job")
    );
    // An empty datagram and a request of NTP, each sent twice.
    let small = |rules: &mut PolicyRules| rules.max_bytes_per_job = ByteCount(2 * (48 + 48 + 48));
    assert_eq!(refused(small, r#""ports":"9,123","mode":"udp""#), Ok(()));
    assert_eq!(refused(small, r#""ports":"53,123","mode":"udp""#), exceeded("max_bytes_per_job"));
    let listed = |rules: &mut PolicyRules| rules.allow_ports = AllowPorts::Listed([80, 443].into());
    assert_eq!(refused(listed, r#""ports":"80,443""#), Ok(()));
    assert_eq!(refused(listed, r#""ports":"80-81""#), Err((RefuseReason::PolicyDenied, "allow_ports")));
}

#[test]
fn job_13_a_scan_of_many_targets_is_held_to_the_owners_targets_and_to_both_rates() {
    let refused = |change: fn(&mut PolicyRules), options: &str| {
        let mut rules = PolicyRules {
            allow_probes: ["port".to_owned()].into(),
            ..permissive()
        };
        change(&mut rules);
        let spec = format!(r#"{{"probe":"port",{options}}}"#);
        Case::new(rules).check_spec(&spec).map_err(|refused| (refused.reason, refused.rule))
    };
    let exceeded = |rule| Err((RefuseReason::CapExceeded, rule));
    let block = r#""target":"10.0.0.0/24","ports":"22,80""#;
    assert_eq!(refused(|_| (), block), Ok(()));
    assert_eq!(refused(|rules| rules.max_targets_per_job = 253, block), exceeded("max_targets_per_job"));
    assert_eq!(refused(|rules| rules.max_pps = 49, block), exceeded("max_pps"));
    assert_eq!(
        refused(|rules| rules.per_target_pps = 1, block),
        Ok(()),
        "each target has its share of the rate only"
    );
    assert_eq!(
        refused(|rules| rules.per_target_pps = 24, r#""targets":["10.0.0.1","10.0.0.2"],"ports":"22,80""#),
        exceeded("per_target_pps")
    );
    assert_eq!(
        refused(|rules| rules.max_bytes_per_job = ByteCount(254 * 2 * 2 * 480 - 1), block),
        exceeded("max_bytes_per_job")
    );
    assert_eq!(
        refused(|_| (), r#""targets":["10.0.0.1","metadata.google.internal"],"ports":"80""#),
        Err((RefuseReason::PolicyDenied, "metadata"))
    );
}

#[test]
fn job_13_job_11_nbr_04_a_link_is_not_asked_until_the_owner_lets_it_and_within_targets_rate_and_bytes() {
    let refused = |change: fn(&mut PolicyRules), target: &str| {
        let mut rules = PolicyRules {
            allow_probes: ["neighbor".to_owned()].into(),
            ..permissive()
        };
        change(&mut rules);
        let spec = format!(r#"{{"probe":"neighbor","target":"{target}"}}"#);
        Case::new(rules).check_spec(&spec).map_err(|refused| (refused.reason, refused.rule))
    };
    let exceeded = |rule| Err((RefuseReason::CapExceeded, rule));
    let block = "10.0.0.0/24";
    assert_eq!(refused(|_| (), block), Ok(()));
    let default = |rules: &mut PolicyRules| rules.allow_probes = PolicyRules::default().allow_probes;
    assert_eq!(refused(default, block), Err((RefuseReason::KindDisabled, "allow_probes")));
    assert_eq!(refused(|rules| rules.max_targets_per_job = 253, block), exceeded("max_targets_per_job"));
    assert_eq!(refused(|rules| rules.max_pps = 99, block), exceeded("max_pps"));
    assert_eq!(
        refused(|rules| rules.max_bytes_per_job = ByteCount(508 * 86 - 1), block),
        exceeded("max_bytes_per_job")
    );
    let denied = |rules: &mut PolicyRules| rules.deny_cidrs = vec!["10.0.0.9/32".parse().unwrap()];
    assert_eq!(refused(denied, "10.0.0.9"), Err((RefuseReason::PolicyDenied, "deny_cidrs")));
    assert_eq!(refused(denied, block), Ok(()), "which of a block is told apart when it is asked for");
    assert_eq!(refused(|_| (), "fe80::1"), Err((RefuseReason::PolicyDenied, "link_local_or_metadata")));
    assert_eq!(refused(|_| (), "169.254.169.254"), Err((RefuseReason::PolicyDenied, "link_local_or_metadata")));
}

/// The allowed set written down a second time, by ranges of numbers instead of by networks and classes.
fn allowed_by_definition(rules: &PolicyRules, address: IpAddr) -> bool {
    let within = |networks: &[IpNet]| {
        networks.iter().any(|network| match (network, address) {
            (IpNet::V4(network), IpAddr::V4(v4)) => (network.network()..=network.broadcast()).contains(&v4),
            (IpNet::V6(network), IpAddr::V6(v6)) => (network.network()..=network.broadcast()).contains(&v6),
            _ => false,
        })
    };
    if within(&rules.deny_cidrs) {
        return false;
    }
    let (never, loopback, private) = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let metadata =
                [[169, 254], [100, 100], [192, 0]].contains(&[a, b]) && (a == 169 || v4.octets() == [100, 100, 100, 200] || v4.octets() == [192, 0, 0, 192]);
            let private = a == 10
                || (a == 172 && (16..32).contains(&b))
                || (a == 192 && b == 168)
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (b == 18 || b == 19))
                || (a, b, c) == (192, 0, 2)
                || (a, b, c) == (198, 51, 100);
            (metadata || a == 0 || a >= 224, a == 127, private)
        }
        IpAddr::V6(v6) => {
            let [a, b, c, ..] = v6.segments();
            let carries_v4 = v6.to_ipv4_mapped().is_some() || a == 0x2002 || (a, b) == (0x2001, 0);
            let nat64 = (a, b) == (0x64, 0xff9b) && (c == 1 || v6.segments()[2..6] == [0; 4]);
            let metadata = v6 == ip("fd00:ec2::254") || v6 == ip("fd20:ce::254");
            let never = v6.is_unspecified() || carries_v4 || nat64 || metadata || a & 0xffc0 == 0xfe80 || a >= 0xff00;
            (never, v6.is_loopback(), a & 0xfe00 == 0xfc00 || (a, b) == (0x2001, 0xdb8))
        }
    };
    match (never, loopback, private) {
        (true, ..) => false,
        (_, true, _) => rules.allow_loopback,
        (.., true) => within(&rules.allow_cidrs),
        _ => rules.allow_public || within(&rules.allow_cidrs),
    }
}

fn interesting_address() -> impl Strategy<Value = IpAddr> {
    let special_v4 = prop::sample::select(vec![
        [0, 0],
        [10, 0],
        [100, 64],
        [100, 100],
        [100, 127],
        [127, 0],
        [169, 254],
        [172, 16],
        [172, 31],
        [172, 32],
        [192, 0],
        [192, 168],
        [198, 18],
        [198, 20],
        [198, 51],
        [203, 0],
        [224, 0],
        [240, 0],
        [255, 255],
    ]);
    let special_v6 = prop::sample::select(vec![
        [0, 0, 0],
        [0x64, 0xff9b, 0],
        [0x64, 0xff9b, 1],
        [0x2001, 0, 0],
        [0x2001, 0xdb8, 0],
        [0x2002, 0x7f00, 1],
        [0xfc00, 0, 0],
        [0xfd00, 0xec2, 0],
        [0xfd20, 0xce, 0],
        [0xfe80, 0, 0],
        [0xfebf, 0, 0],
        [0xfec0, 0, 0],
        [0xff02, 0, 0],
    ]);
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
        (special_v4, any::<[u8; 2]>()).prop_map(|([a, b], [c, d])| IpAddr::from([a, b, c, d])),
        (
            special_v6,
            prop_oneof![
                Just([0; 5]),
                Just([0, 0, 0, 0, 0x254]),
                any::<[u16; 5]>(),
                any::<[u16; 2]>().prop_map(|[g, h]| [0, 0, 0xffff, g, h])
            ]
        )
            .prop_map(|([a, b, c], [d, e, f, g, h])| IpAddr::from([a, b, c, d, e, f, g, h])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn exactly_the_allowed_set_is_allowed(address in interesting_address(), loopback: bool, public: bool, listed in 0_u8..4) {
        let rules = PolicyRules {
            allow_loopback: loopback,
            allow_public: public,
            allow_cidrs: networks(&["10.0.0.0/8", "fc00::/7", "0.0.0.0/0"][..usize::from(listed)]),
            deny_cidrs: networks(&["172.16.0.0/13", "fd00:ec2::/32"]),
            ..PolicyRules::default()
        };
        let (local, control_plane) = (LocalAddresses::default(), []);
        let checked = AddressRules { rules: &rules, local: &local, control_plane: &control_plane }.check(address);
        prop_assert_eq!(checked.is_ok(), allowed_by_definition(&rules, address), "{}: {:?}", address, checked);
    }
}

#[test]
fn a_port_the_owner_has_not_listed_is_denied_before_the_job_begins() {
    let case = Case::new(PolicyRules {
        allow_ports: AllowPorts::Listed([443].into()),
        ..permissive()
    });
    let denied = case.check_spec(r#"{"probe":"tcp","target":"127.0.0.1","port":22}"#).unwrap_err();
    assert_eq!((denied.reason, denied.rule), (RefuseReason::PolicyDenied, "allow_ports"));
    assert_eq!(case.check_spec(r#"{"probe":"tcp","target":"127.0.0.1","port":443}"#), Ok(()));
    assert_eq!(case.check_spec(r#"{"probe":"ping","target":"127.0.0.1"}"#), Ok(()));
}

#[test]
fn job_09_a_private_network_is_connected_to_only_when_it_is_listed() {
    let spec = r#"{"probe":"tcp","target":"10.1.2.3"}"#;
    assert_eq!(Case::new(PolicyRules::default()).check_spec(spec).unwrap_err().rule, "allow_cidrs");
    let listed = PolicyRules {
        allow_cidrs: networks(&["10.0.0.0/8"]),
        ..PolicyRules::default()
    };
    assert_eq!(Case::new(listed).check_spec(spec), Ok(()));
}

#[test]
fn job_13_connections_faster_than_the_owner_allows_are_refused() {
    let case = Case::new(PolicyRules {
        per_target_pps: 50,
        ..permissive()
    });
    let refused = case.check_spec(r#"{"probe":"tcp","target":"127.0.0.1","interval_ms":10}"#).unwrap_err();
    assert_eq!((refused.reason, refused.rule), (RefuseReason::CapExceeded, "per_target_pps"));
}

#[test]
fn the_hosts_own_name_servers_may_be_asked_unless_they_are_denied() {
    let case = Case::new(PolicyRules {
        deny_cidrs: networks(&["10.9.0.0/16"]),
        ..PolicyRules::default()
    });
    for address in ["127.0.0.53", "10.0.0.2", "8.8.8.8"] {
        assert_eq!(case.rules().check_resolver(ip(address)), Ok(()), "{address}");
    }
    for (address, rule) in [
        ("10.9.0.2", "deny_cidrs"),
        ("203.0.113.9", "control_plane"),
        ("169.254.169.254", "link_local_or_metadata"),
        ("224.0.0.251", "multicast"),
    ] {
        assert_eq!(case.rules().check_resolver(ip(address)), Err(rule), "{address}");
    }
}

#[test]
fn job_09_a_server_that_the_job_names_is_a_target_like_any_other() {
    let case = Case::new(PolicyRules::default());
    for (server, refused) in [
        ("10.0.0.2", Some("allow_cidrs")),
        ("127.0.0.53", Some("allow_loopback")),
        ("169.254.169.254:53", Some("link_local_or_metadata")),
        ("8.8.8.8", None),
        ("system", None),
    ] {
        let spec = format!(r#"{{"probe":"dns","name":"a.test","server":"{server}"}}"#);
        assert_eq!(case.check_spec(&spec).err().map(|refused| refused.rule), refused, "{server}");
    }
}
