//! Socket options that neither `socket2` nor `nix` knows.
#![expect(unsafe_code, reason = "setsockopt has no safe wrapper for these options")]

use std::io;
use std::mem::size_of_val;
use std::os::fd::{AsFd, AsRawFd};

use super::packet::Family;

/// Whether packets may be fragmented on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fragmentation {
    /// By this host, and by routers of IPv4.
    Allowed,
    /// By nobody; the path MTU that the kernel remembers is not looked at either.
    Forbidden,
}

/// Sets whether what leaves the socket may be fragmented.
pub(in crate::net) fn set_fragmentation(socket: &impl AsFd, family: Family, fragmentation: Fragmentation) -> io::Result<()> {
    let (v4, v6, flag) = match fragmentation {
        Fragmentation::Allowed => (libc::IP_PMTUDISC_DONT, libc::IPV6_PMTUDISC_DONT, 0),
        Fragmentation::Forbidden => (libc::IP_PMTUDISC_PROBE, libc::IPV6_PMTUDISC_PROBE, 1),
    };
    match family {
        Family::V4 => set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, &[v4.cast_unsigned()]),
        Family::V6 => {
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, &[v6.cast_unsigned()])?;
            set(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG, &[flag])
        }
    }
}

/// Lets a raw socket receive only messages of these types; without any it only sends.
pub(super) fn set_filter(socket: &impl AsFd, family: Family, wanted: impl Iterator<Item = u8>) -> io::Result<()> {
    // A set bit blocks its type.
    let mut blocked = [u32::MAX; 8];
    for kind in wanted {
        if let Some(word) = blocked.get_mut(usize::from(kind >> 5)) {
            *word &= !(1 << (kind & 31));
        }
    }
    match family {
        Family::V4 => set(socket, libc::SOL_RAW, ICMP_FILTER, blocked.get(..1).unwrap_or_default()),
        Family::V6 => set(socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &blocked),
    }
}

fn set(socket: &impl AsFd, level: i32, name: i32, words: &[u32]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(words)).map_err(io::Error::other)?;
    // SAFETY: the descriptor is borrowed for the call; pointer and length describe `words`, which the kernel only reads.
    let outcome = unsafe { libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, words.as_ptr().cast(), length) };
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// `ICMP_FILTER` of linux/icmp.h: one word of blocked types.
const ICMP_FILTER: i32 = 1;
/// `ICMP6_FILTER` of RFC 3542 section 3.2: eight words of blocked types.
const ICMP6_FILTER: i32 = 1;
