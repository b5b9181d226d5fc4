//! Paths: other people's programs beside the truth, so that the worlds themselves are shown to be right.

use std::net::IpAddr;

use test_lab::network::Outcome;
use test_lab::peer::{Hop, mtr, tracepath, traceroute};

use crate::setting::{TARGET, address, may_make_networks, open};

/// Who answered for each hop, of the truth.
fn true_hop(outcome: &Outcome, target: &str, ttl: u8) -> Vec<IpAddr> {
    let hop = outcome.truth.hop(address(target), ttl);
    hop.map(|hop| hop.by.keys().copied().collect()).unwrap_or_default()
}

fn answerers(hop: &Hop) -> Vec<IpAddr> {
    let mut from: Vec<IpAddr> = hop.probes.iter().filter_map(|probe| probe.from).collect();
    from.sort();
    from.dedup();
    from
}

#[test]
fn traceroute_sees_the_hops_that_there_are() {
    if !may_make_networks("truth-traceroute") {
        return;
    }
    for (world, target) in [("chain", TARGET), ("silent_hops", TARGET), ("labels", TARGET), ("version_six", "2001:db8:2::7")] {
        for method in [&["-q", "1", "-w", "0.3"][..], &["-I", "-q", "1", "-w", "0.3"]] {
            let internet = open(world);
            let (hops, _) = traceroute(&internet.observer, method, target).unwrap();
            let outcome = internet.finish().unwrap();
            for hop in &hops {
                assert_eq!(answerers(hop), true_hop(&outcome, target, hop.number), "{world} {method:?} hop {}", hop.number);
            }
            assert_eq!(answerers(hops.last().unwrap()), [address(target)], "{world} {method:?}");
        }
    }
}

#[test]
fn mtr_counts_the_loss_that_there_is() {
    if !may_make_networks("truth-mtr") {
        return;
    }
    let internet = open("lossy_way_back");
    let (hubs, _) = mtr(&internet.observer, 20, &["-i", "0.1"], TARGET).unwrap();
    let outcome = internet.finish().unwrap();
    assert_eq!(hubs.len(), 4);
    for hub in &hubs {
        let truth = outcome.truth.hop(address(TARGET), u8::try_from(hub.count).unwrap()).unwrap();
        // mtr stops in the middle of a round: what it has not waited for it counts as neither sent nor lost.
        let lost = f64::from(hub.sent) * hub.loss_percent / 100.0;
        let truly = u32::try_from(truth.sent - truth.answered).unwrap();
        assert!(u64::from(hub.sent) <= truth.sent && truth.sent - u64::from(hub.sent) <= 1, "{hub:?} {truth:?}");
        assert!((f64::from(truly) - lost).abs() <= 1.0, "{hub:?} {truth:?}");
        let (least, ..) = truth.delay_ns.unwrap();
        assert!(hub.best_ms * 1e6 >= f64::from(u32::try_from(least).unwrap()), "{hub:?} {truth:?}");
    }
}

#[test]
fn tracepath_finds_the_mtu_that_is_told() {
    if !may_make_networks("truth-tracepath") {
        return;
    }
    for (world, target, hops, mtu) in [
        ("chain", TARGET, 7, 1_500),
        ("mtu_told", TARGET, 4, 1_400),
        ("version_six", "2001:db8:2::7", 5, 1_400),
    ] {
        let internet = open(world);
        let found = tracepath(&internet.observer, &[], target).unwrap();
        assert_eq!((found.mtu, found.reached), (Some(mtu), Some(hops)), "{world}: {}", found.ran.out);
        assert_eq!(found.hops.last().unwrap().1, address(target));
    }
    // Where nobody says so it never arrives: a search has to try smaller packets by itself (RFC 8899).
    let internet = open("mtu_black_hole");
    let found = tracepath(&internet.observer, &["-m", "4"], TARGET).unwrap();
    assert_eq!(found.reached, None, "{}", found.ran.out);
}

#[test]
fn words_of_a_router_are_those_of_traceroute() {
    if !may_make_networks("truth-unreachable-words") {
        return;
    }
    for (last, note) in [(0, "!N"), (1, "!H"), (2, "!P"), (9, "!X"), (10, "!X"), (13, "!X")] {
        let internet = open("unreachable");
        let (hops, _) = traceroute(&internet.observer, &["-q", "1"], &format!("198.51.100.{last}")).unwrap();
        let probe = &hops.last().unwrap().probes[0];
        assert_eq!(
            (probe.note.as_deref(), probe.from),
            (Some(note), Some(address("10.1.0.3"))),
            "code {last}: {hops:?}"
        );
    }
}
