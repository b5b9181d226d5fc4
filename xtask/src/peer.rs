//! Other people's programs beside which ours are shown to be right, and those that wire namespaces.

use crate::debian::Program;

/// What wires namespaces together.
pub(crate) const NETWORK: [Program; 2] = [
    Program {
        name: "ip",
        also_in: "/usr/sbin",
        package: "iproute2",
        why: "wires the namespaces of the lab",
    },
    Program {
        name: "nft",
        also_in: "/usr/sbin",
        package: "nftables",
        why: "rewrites addresses in the lab",
    },
];

/// What tests and benchmarks measure beside.
pub(crate) const PEERS: [Program; 12] = [
    peer("execsnoop", "libbpf-tools"),
    peer("fping", "fping"),
    peer("mtr", "mtr-tiny"),
    peer("nmap", "nmap"),
    peer("opensnoop", "libbpf-tools"),
    peer("openssl", "openssl"),
    peer("runqlat", "libbpf-tools"),
    peer("syscount", "libbpf-tools"),
    peer("tcplife", "libbpf-tools"),
    peer("tracepath", "iputils-tracepath"),
    peer("traceroute", "traceroute"),
    Program {
        name: "bpftool",
        also_in: "/usr/sbin",
        package: "bpftool",
        why: "says which programs are in the kernel",
    },
];

const fn peer(name: &'static str, package: &'static str) -> Program {
    Program {
        name,
        also_in: "/usr/sbin",
        package,
        why: "the same targets are measured with it",
    }
}
