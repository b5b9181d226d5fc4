//! What every test needs: a scenario, and somebody who asks it.

use std::net::IpAddr;
use std::time::Duration;

use test_internet::World;

use crate::packet::{Parsed, parse, sum_is_right};

pub(crate) const OBSERVER: &str = "10.0.0.1";
pub(crate) const TARGET: &str = "198.51.100.7";

pub(crate) fn scenario(name: &str) -> World {
    let path = format!("{}/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    World::from_toml(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Sends one packet, at this time or when the last one is over, and gives everything that comes back, with the time it took.
pub(crate) fn ask(world: &mut World, packet: &[u8], at: Duration) -> Vec<(Duration, Vec<u8>)> {
    world.handle(packet, at);
    let sent = world.packets().last().map_or(at, |packet| Duration::from_nanos(packet.at));
    let mut answers = Vec::new();
    while let Some(next) = world.next_at() {
        if let Some(answer) = world.poll(next) {
            answers.push((next.saturating_sub(sent), answer));
        }
    }
    answers
}

pub(crate) fn ask_once(world: &mut World, packet: &[u8]) -> Parsed {
    let answers = ask(world, packet, Duration::ZERO);
    assert_eq!(answers.len(), 1, "{answers:02x?}");
    assert!(sum_is_right(&answers[0].1), "{:02x?}", answers[0].1);
    parse(&answers[0].1)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
