//! The relay itself: the oracle of everything else loses nothing of its own.

use std::net::{IpAddr, UdpSocket};

use test_lab::network::Internet;

use crate::setting::may_make_networks;

const WORLD: &str = r#"
seed = 3
[observer]
addresses = ["10.0.0.1"]
[[node]]
name = "router"
addresses = ["10.1.0.1"]
link = { delay_us = 5000, loss = 0.02, back = { delay_us = 5000 } }
[[node]]
name = "everybody"
addresses = ["198.18.0.0/16"]
udp = { others = "open" }
[[path]]
hops = ["router", "everybody"]
"#;

#[test]
fn whatever_is_sent_at_full_speed_comes_into_the_world_and_is_lost_only_there() {
    if !may_make_networks("truth-relay") {
        return;
    }
    let internet = Internet::open(WORLD).unwrap();
    let sent = internet.observer.within(|| {
        let socket = UdpSocket::bind("10.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        for host in 0..30_000_u16 {
            let [high, low] = host.to_be_bytes();
            // A full buffer refuses; what was taken was sent.
            sent += u64::from(socket.send_to(b"?", (IpAddr::from([198, 18, high, low]), 7)).is_ok());
        }
        // Until the last packets have had time to come back: the way is 10 ms long.
        socket.set_nonblocking(false).unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_millis(300))).unwrap();
        while socket.recv(&mut [0; 8]).is_ok() {}
        sent
    });
    let outcome = internet.finish().unwrap();
    let (came, answered, dropped) = outcome.truth.flows.iter().fold((0, 0, 0), |(came, answered, dropped), flow| {
        (came + flow.sent, answered + flow.answered, dropped + flow.dropped.values().sum::<u64>())
    });
    assert_eq!((came, outcome.relay.lost_before), (sent.unwrap(), 0), "{:?}", outcome.relay);
    assert_eq!((outcome.relay.refused, outcome.relay.written), (0, answered));
    assert_eq!(answered + dropped, came);
    assert!(dropped > came / 100 && dropped < came / 30, "{dropped} of {came}");
}
