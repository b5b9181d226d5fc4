//! A TUN device: what is routed to it comes out of its file, and what is written to the file comes in from it.
#![expect(unsafe_code, reason = "the device is asked for by ioctl, which has no safe wrapper")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context, Result};

/// Makes the device in the namespace of the calling thread; it goes away with its file. Reads and writes do not wait.
pub(super) fn open(name: &str) -> Result<File> {
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(DEVICE)
        .with_context(|| format!("open {DEVICE} (if it is missing: mkdir -p /dev/net && mknod {DEVICE} c 10 200)"))?;
    // SAFETY: all-zero bytes are a valid `ifreq`, which is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (to, from) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *to = libc::c_char::try_from(from)?;
    }
    // Whole IP packets, with nothing before them.
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)?;
    // SAFETY: the request lives through the call and is the structure that this operation reads and writes.
    let outcome = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
    if outcome != 0 {
        return Err(io::Error::last_os_error()).with_context(|| format!("make the device {name}"));
    }
    Ok(file)
}

const DEVICE: &str = "/dev/net/tun";
