//! Topologies of namespaces: what the kernel's own routers answer.

use shared_protocol::fault::Status;
use test_lab::network::Topology;
use test_lab::peer::{Agent, tracepath, traceroute};

use crate::setting::{address, may_make_networks};

#[test]
fn every_topology_has_the_shape_that_it_says() {
    if !may_make_networks("truth-kernels") {
        return;
    }
    let agent = Agent::open().unwrap();
    for topology in Topology::ALL {
        let built = topology.build().unwrap();
        for target in &built.addresses {
            let target = target.to_string();
            let spec = format!(r#"{{"probe":"ping","target":"{target}","count":3,"interval_ms":10}}"#);
            let (report, _) = agent.report(&built.observer, &spec).unwrap();
            assert_eq!(report.status, Status::Ok, "{topology:?} {target}: {report:?}");
            let (hops, ran) = traceroute(&built.observer, &["-q", "1", "-w", "1"], &target).unwrap();
            let expected = match topology {
                Topology::Diamond => 4,
                Topology::Loop => 3,
                Topology::Chain | Topology::Nat | Topology::MtuStep | Topology::VersionSix => 5,
            };
            assert_eq!(hops.len(), expected, "{topology:?}: {}", ran.out);
            assert_eq!(hops.last().unwrap().probes[0].from, Some(address(&target)), "{}", ran.out);
        }
        assert!(!built.map.is_empty());
    }
}

#[test]
fn the_kernel_says_what_the_narrow_link_takes_and_loops_what_it_is_told_to() {
    if !may_make_networks("truth-kernels-mtu") {
        return;
    }
    let built = Topology::MtuStep.build().unwrap();
    for target in &built.addresses {
        let found = tracepath(&built.observer, &[], &target.to_string()).unwrap();
        assert_eq!((found.mtu, found.reached), (Some(1_400), Some(5)), "{}", found.ran.out);
    }
    let built = Topology::Loop.build().unwrap();
    let (hops, ran) = traceroute(&built.observer, &["-q", "1", "-m", "8"], "198.51.100.9").unwrap();
    let from: Vec<_> = hops.iter().filter_map(|hop| hop.probes[0].from).collect();
    assert_eq!((from.len(), &from[0..2]), (8, &from[2..4]), "{}", ran.out);
}
