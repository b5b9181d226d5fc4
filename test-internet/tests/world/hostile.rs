//! Bytes that nobody would send.

use proptest::prelude::*;

use std::time::Duration;

use crate::packet::{echo, tcp_syn, udp};
use crate::setting::{OBSERVER, TARGET, scenario};

proptest! {
    #[test]
    fn no_bytes_make_a_world_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), flips in proptest::collection::vec((0_usize..120, any::<u8>()), 0..6)) {
        for name in ["chain", "nat", "labels", "liars", "rewritten_quotes", "version_six", "mtu_told"] {
            let mut world = scenario(name);
            world.handle(&bytes, Duration::ZERO);
            for base in [echo(OBSERVER, TARGET, 3, 1, 1, 60), udp(OBSERVER, TARGET, 3, 1, 1, &[1; 60]), tcp_syn(OBSERVER, TARGET, 3, 1, 443, 1), echo("2001:db8::1", "2001:db8:2::1", 4, 1, 1, 40)] {
                let mut packet = base;
                for (at, byte) in &flips {
                    if let Some(place) = packet.get_mut(*at) {
                        *place ^= byte;
                    }
                }
                world.handle(&packet, Duration::ZERO);
            }
            while let Some(at) = world.next_at() {
                world.poll(at);
            }
            let truth = world.truth();
            let counted = truth.flows.iter().map(|flow| flow.sent).sum::<u64>() + truth.unasking + truth.unreadable;
            prop_assert_eq!(counted, 5);
        }
    }
}
