//! Where it is measured: two namespaces on a pair of interfaces, and the addresses that are swept.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use test_lab::network::Namespace;

/// Two namespaces on one wire; the far one answers for 198.18.0.0/16.
pub(crate) struct Wire {
    pub(crate) observer: Namespace,
    pub(crate) peer: Namespace,
}

impl Wire {
    pub(crate) fn build() -> Result<Self> {
        let (observer, peer) = (Namespace::new()?, Namespace::new()?);
        peer.set("ipv4/icmp_ratelimit", "0")?;
        peer.set("ipv4/icmp_msgs_per_sec", "1000000")?;
        let commands = |own: &str, more: &str| {
            [
                "link set wire up".to_owned(),
                format!("addr add {own}/30 dev wire"),
                format!("route replace {more}"),
            ]
        };
        observer.configure(&[format!("link add wire type veth peer name wire netns {}", peer.path())])?;
        peer.configure(&commands("10.0.0.2", "local 198.18.0.0/16 dev lo"))?;
        observer.configure(&commands("10.0.0.1", "198.18.0.0/16 via 10.0.0.2"))?;
        let wire = Self { observer, peer };
        wire.warm()?;
        Ok(wire)
    }

    /// Until the first echo has come back: a new interface drops what is sent before its link is up.
    fn warm(&self) -> Result<()> {
        for _ in 0..100 {
            let ran = test_lab::peer::run(&self.observer, "fping", &["-c", "1", "-t", "100", "-q", "198.18.0.1"])?;
            if ran.status.success() {
                return Ok(());
            }
        }
        bail!("the wire does not come up")
    }
}

/// Blocks of addresses, as both programs are given them.
pub(crate) struct Targets {
    blocks: Vec<(Ipv4Addr, u32)>,
}

impl Targets {
    /// So many blocks of 198.18.0.0/16 that they hold about as many addresses as asked for, without those of network and broadcast.
    pub(crate) fn about(wanted: u32) -> Self {
        let mut blocks = Vec::new();
        let (mut next, mut left) = (u32::from(Ipv4Addr::new(198, 18, 0, 0)), wanted.min(65_536));
        // Blocks of falling size begin where they may; a rest of less than a /24 is left out.
        for bits in (8..=16).rev() {
            while left >= 1 << bits {
                blocks.push((Ipv4Addr::from(next), 32 - bits));
                next += 1 << bits;
                left -= 1 << bits;
            }
        }
        Self { blocks }
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.blocks.iter().flat_map(|(first, prefix)| {
            let first = u32::from(*first);
            (1..(1_u32 << (32 - prefix)) - 1).map(move |offset| IpAddr::V4(Ipv4Addr::from(first + offset)))
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.addresses().count()
    }

    /// The spec of a ping of all of them.
    pub(crate) fn spec(&self, count: u32, interval_ms: u32, wait_ms: u32) -> String {
        let blocks: Vec<String> = self.blocks.iter().map(|(first, prefix)| format!("{first}/{prefix}")).collect();
        json!({"probe": "ping", "targets": blocks, "count": count, "interval_ms": interval_ms, "wait_ms": wait_ms}).to_string()
    }

    /// A file with one a line, as fping reads them.
    pub(crate) fn file(&self) -> Result<NamedTempFile> {
        let mut file = NamedTempFile::new().context("make a file of targets")?;
        let lines: String = self.addresses().map(|address| format!("{address}\n")).collect::<Vec<_>>().concat();
        file.write_all(lines.as_bytes()).context("write the targets")?;
        Ok(file)
    }
}

/// A number of a report.
pub(crate) fn number(report: &Value, pointer: &str) -> Result<u64> {
    let found = report.pointer(pointer).and_then(Value::as_u64);
    found.with_context(|| format!("no {pointer} in the report"))
}
