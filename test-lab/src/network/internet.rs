//! A namespace whose only way out leads into a world.

use std::net::IpAddr;

use anyhow::{Context, Result};
use test_internet::World;

use super::device;
use super::namespace::Namespace;
use super::relay::{Outcome, Relay, RelayTruth};

/// A world in real time, and the namespace of its observer.
pub struct Internet {
    /// Where the observer's programs run.
    pub observer: Namespace,
    relay: Relay,
}

impl Internet {
    /// Opens the world of a text.
    ///
    /// # Errors
    /// When the text describes none, or the namespace or its device cannot be made.
    pub fn open(world: &str) -> Result<Self> {
        let world = World::from_toml(world)?;
        let observer = Namespace::new()?;
        let file = observer.within(|| device::open(DEVICE))??;
        observer.configure(&commands(world.observer()))?;
        Ok(Self {
            relay: Relay::start(world, file)?,
            observer,
        })
    }

    /// Ends the world and tells its truth.
    ///
    /// # Errors
    /// When the relay had failed.
    pub fn finish(self) -> Result<Outcome> {
        // Before the device goes, and its counters with it.
        let lost_before = self.lost_before()?;
        let (world, did) = self.relay.finish()?;
        Ok(Outcome {
            truth: world.truth(),
            packets: world.packets().to_vec(),
            relay: RelayTruth { lost_before, ..did },
        })
    }

    fn lost_before(&self) -> Result<u64> {
        let counters = self.observer.within(|| std::fs::read_to_string("/proc/thread-self/net/dev"))??;
        let line = counters.lines().find_map(|line| line.trim().strip_prefix(DEVICE)?.strip_prefix(':'));
        let dropped = line.context("the device has no counters")?.split_whitespace().nth(11);
        dropped.context("no counter of dropped packets")?.parse().context("read the counter")
    }
}

fn commands(addresses: &[IpAddr]) -> Vec<String> {
    // A queue with room for a sweep at full speed: what the observer sends is lost where the world says so, and nowhere else.
    let mut commands = vec![format!("link set {DEVICE} txqueuelen 400000"), format!("link set {DEVICE} up")];
    for address in addresses {
        let (length, more) = if address.is_ipv4() { (32, "") } else { (128, " nodad") };
        commands.push(format!("addr add {address}/{length} dev {DEVICE}{more}"));
    }
    for (is_v4, everywhere) in [(true, "0.0.0.0/0"), (false, "::/0")] {
        if let Some(source) = addresses.iter().find(|address| address.is_ipv4() == is_v4) {
            commands.push(format!("route add {everywhere} dev {DEVICE} src {source}"));
        }
    }
    commands
}

const DEVICE: &str = "internet0";
