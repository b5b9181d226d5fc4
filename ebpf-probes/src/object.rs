//! The built objects, part of this crate: one for each file in C beside them.

use aya::{Ebpf, EbpfLoader};

use crate::error::ObserveError;
use crate::kernel::Kernel;

/// A built object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
}

impl Object {
    /// Takes the object in with what is set before, and makes its maps. Programs are loaded one by one.
    pub(crate) fn open<'a>(self, kernel: &'a Kernel, check_port: &'a u16, set: impl FnOnce(&mut EbpfLoader<'a>)) -> Result<Ebpf, ObserveError> {
        let mut loader = EbpfLoader::new();
        loader.btf(Some(&kernel.btf));
        set(&mut loader);
        loader.override_global("check_port", check_port, true);
        loader.load(self.bytes).map_err(|source| ObserveError::Load {
            object: self.name,
            source: Box::new(source),
        })
    }
}

pub(crate) const TCP_FLOWS: Object = Object {
    name: "tcp_flows",
    bytes: aya::include_bytes_aligned!("../programs/tcp_flows.bpf.o"),
};

pub(crate) const CONNECT_LATENCY: Object = Object {
    name: "connect_latency",
    bytes: aya::include_bytes_aligned!("../programs/connect_latency.bpf.o"),
};
pub(crate) const CONNECTS: Object = Object {
    name: "connects",
    bytes: aya::include_bytes_aligned!("../programs/connects.bpf.o"),
};
pub(crate) const DROPS: Object = Object {
    name: "drops",
    bytes: aya::include_bytes_aligned!("../programs/drops.bpf.o"),
};
pub(crate) const FACTS: Object = Object {
    name: "facts",
    bytes: aya::include_bytes_aligned!("../programs/facts.bpf.o"),
};
pub(crate) const RETRANSMITS: Object = Object {
    name: "retransmits",
    bytes: aya::include_bytes_aligned!("../programs/retransmits.bpf.o"),
};
pub(crate) const BIOLATENCY: Object = Object {
    name: "biolatency",
    bytes: aya::include_bytes_aligned!("../programs/biolatency.bpf.o"),
};
pub(crate) const PROFILE: Object = Object {
    name: "profile",
    bytes: aya::include_bytes_aligned!("../programs/profile.bpf.o"),
};
pub(crate) const OFFCPU: Object = Object {
    name: "offcpu",
    bytes: aya::include_bytes_aligned!("../programs/offcpu.bpf.o"),
};
pub(crate) const MEMORY: Object = Object {
    name: "memory",
    bytes: aya::include_bytes_aligned!("../programs/memory.bpf.o"),
};
pub(crate) const RUNQLAT: Object = Object {
    name: "runqlat",
    bytes: aya::include_bytes_aligned!("../programs/runqlat.bpf.o"),
};
pub(crate) const PACKETS: Object = Object {
    name: "packets",
    bytes: aya::include_bytes_aligned!("../programs/packets.bpf.o"),
};
pub(crate) const INTERFACE: Object = Object {
    name: "interface",
    bytes: aya::include_bytes_aligned!("../programs/interface.bpf.o"),
};

pub(crate) const FILES: Object = Object {
    name: "files",
    bytes: aya::include_bytes_aligned!("../programs/files.bpf.o"),
};
pub(crate) const SYSCALLS: Object = Object {
    name: "syscalls",
    bytes: aya::include_bytes_aligned!("../programs/syscalls.bpf.o"),
};
pub(crate) const EXEC: Object = Object {
    name: "exec",
    bytes: aya::include_bytes_aligned!("../programs/exec.bpf.o"),
};

pub(crate) const TLS_LATENCY: Object = Object {
    name: "tls_latency",
    bytes: aya::include_bytes_aligned!("../programs/tls_latency.bpf.o"),
};
pub(crate) const UDP_FLOWS: Object = Object {
    name: "udp_flows",
    bytes: aya::include_bytes_aligned!("../programs/udp_flows.bpf.o"),
};
pub(crate) const DNS_LATENCY: Object = Object {
    name: "dns_latency",
    bytes: aya::include_bytes_aligned!("../programs/dns_latency.bpf.o"),
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const OBJECTS: [Object; 19] = [
        BIOLATENCY,
        CONNECTS,
        CONNECT_LATENCY,
        DNS_LATENCY,
        DROPS,
        EXEC,
        FACTS,
        FILES,
        INTERFACE,
        MEMORY,
        OFFCPU,
        PACKETS,
        PROFILE,
        RETRANSMITS,
        RUNQLAT,
        SYSCALLS,
        TCP_FLOWS,
        TLS_LATENCY,
        UDP_FLOWS,
    ];
    const HASHES: &str = include_str!("../programs/objects.sha256");

    #[test]
    fn every_object_has_the_hash_that_stands_beside_it() {
        let listed: BTreeMap<&str, &str> = HASHES
            .lines()
            .filter_map(|line| line.split_once("  ").map(|(hash, file)| (file, hash)))
            .collect();
        let embedded: BTreeMap<String, String> = OBJECTS
            .iter()
            .map(|object| {
                let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, object.bytes);
                let hash: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
                (format!("{}.bpf.o", object.name), hash.concat())
            })
            .collect();
        let listed: BTreeMap<String, String> = listed.into_iter().map(|(file, hash)| (file.to_owned(), hash.to_owned())).collect();
        assert_eq!(embedded, listed);
    }
}
