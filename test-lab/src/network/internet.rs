//! A namespace whose only way out leads into a world.

use std::fs::File;
use std::io::Read as _;
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::poll::{PollFd, PollFlags, poll};
use test_internet::World;

use super::device;
use super::namespace::Namespace;
use super::relay::{Outcome, Relay, RelayTruth};
use crate::clock;

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
        let mut file = observer.within(|| device::open(DEVICE))??;
        observer.configure(&commands(world.observer()))?;
        if let Some(own) = world.observer().first() {
            observer.within(|| warm(*own, &mut file))??;
        }
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

/// Sends to itself through the device until something comes out of it: a new interface drops what is sent, and says that it was sent, until
/// the kernel has noticed that its link is up. Nothing of this comes into the world.
fn warm(own: IpAddr, device: &mut File) -> Result<()> {
    let socket = UdpSocket::bind((own, 0)).context("bind to the observer's address")?;
    let to = if own.is_ipv4() { "203.0.113.254:9" } else { "[2001:db8:ffff::254]:9" };
    let began = clock::start();
    let mut buffer = vec![0; 2_048];
    let mut is_up = false;
    while !is_up {
        ensure!(began.elapsed() < UP_WITHIN, "nothing comes out of the new device");
        socket.send_to(SIGN, to).context("send through the new device")?;
        poll(&mut [PollFd::new(device.as_fd(), PollFlags::POLLIN)], LOOK_UP_MS).context("wait for the new device")?;
        // To the last one: those that were sent before it have come out by then.
        while let Ok(length) = device.read(&mut buffer) {
            is_up |= buffer.get(..length).is_some_and(|packet| packet.ends_with(SIGN));
        }
    }
    Ok(())
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

/// What it sends to itself.
const SIGN: &[u8] = b"is this device up?";
const UP_WITHIN: Duration = Duration::from_secs(20);
const LOOK_UP_MS: u16 = 20;
const DEVICE: &str = "internet0";
