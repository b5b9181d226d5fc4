//! What every comparison needs.

use std::io::Write;
use std::net::IpAddr;

use nix::unistd::geteuid;
use test_internet::Truth;
use test_lab::network::Internet;

pub(crate) const TARGET: &str = "198.51.100.7";

/// The text of a world that comes with the house.
pub(crate) fn scenario(name: &str) -> String {
    let path = format!("{}/../test-internet/scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

/// The world of a scenario in real time.
pub(crate) fn open(name: &str) -> Internet {
    Internet::open(&scenario(name)).unwrap()
}

/// Whether networks can be made here; if not, says so loudly.
pub(crate) fn may_make_networks(id: &str) -> bool {
    if geteuid().is_root() {
        return true;
    }
    let line = format!("SKIP {id}: only root makes network namespaces\n");
    print!("{line}");
    if let Some(log) = std::env::var_os("PROBEOPS_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
    false
}

/// Packets sent to a target and answered, of the truth.
pub(crate) fn sent_and_answered(truth: &Truth, target: &str) -> (u64, u64) {
    truth.target(address(target))
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
