//! What the kernel knows about a connection (`TCP_INFO`).
#![expect(unsafe_code, reason = "neither `nix` nor `socket2` reads TCP_INFO")]

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd};

use shared_protocol::report::{TcpInfo, TcpOptions};

/// Reads what the kernel knows at this moment.
pub(crate) fn read(socket: &impl AsFd) -> io::Result<TcpInfo> {
    // SAFETY: all-zero bytes are a valid `tcp_info`, which is plain numbers.
    let mut info: libc::tcp_info = unsafe { zeroed() };
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).map_err(io::Error::other)?;
    let descriptor = socket.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `length` bytes, which is the structure's size. An
    // older kernel writes fewer and leaves the rest zero.
    let outcome = unsafe { libc::getsockopt(descriptor, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut length) };
    if outcome == 0 { Ok(told(&info)) } else { Err(io::Error::last_os_error()) }
}

fn told(info: &libc::tcp_info) -> TcpInfo {
    let agreed = |option: u8| info.tcpi_options & option != 0;
    let (send, receive) = (info.tcpi_snd_rcv_wscale & 0x0f, info.tcpi_snd_rcv_wscale >> 4);
    // Bit fields begin at the other end where bytes do.
    let wscale = if cfg!(target_endian = "little") { (send, receive) } else { (receive, send) };
    TcpInfo {
        rtt_us: (info.tcpi_rtt > 0).then(|| u64::from(info.tcpi_rtt)),
        rttvar_us: u64::from(info.tcpi_rttvar),
        // Older kernels write nothing here, later ones the greatest number before the first measurement.
        min_rtt_us: (1..u32::MAX).contains(&info.tcpi_min_rtt).then(|| u64::from(info.tcpi_min_rtt)),
        retransmits: info.tcpi_total_retrans,
        snd_mss: info.tcpi_snd_mss,
        rcv_mss: info.tcpi_rcv_mss,
        snd_cwnd: info.tcpi_snd_cwnd,
        options: TcpOptions {
            sack: agreed(TCPI_OPT_SACK),
            ts: agreed(TCPI_OPT_TIMESTAMPS),
            wscale: agreed(TCPI_OPT_WSCALE).then_some(wscale),
            ecn: agreed(TCPI_OPT_ECN),
        },
    }
}

/// `tcpi_options` of linux/tcp.h.
const TCPI_OPT_TIMESTAMPS: u8 = 1;
const TCPI_OPT_SACK: u8 = 2;
const TCPI_OPT_WSCALE: u8 = 4;
const TCPI_OPT_ECN: u8 = 8;

#[cfg(test)]
mod tests {
    use test_fuzz::{Reading, Target};

    use super::*;

    /// A connection over loopback as Linux 6 told it: some milliseconds old, with every option agreed.
    const TOLD: &str = include_str!("../../../corpus/tcp_info.txt");

    #[test]
    fn fuzz_tcp_info() {
        Target::new("tcp_info", TOLD).survives(|bytes| {
            // SAFETY: all-zero bytes are a valid `tcp_info`, which is plain numbers.
            let mut info: libc::tcp_info = unsafe { zeroed() };
            let length = bytes.len().min(size_of::<libc::tcp_info>());
            // SAFETY: both are at least `length` bytes long and apart, and any bytes are a valid `tcp_info`.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut info).cast::<u8>(), length) };
            let told = told(&info);
            assert!(told.options.wscale.is_none_or(|(send, receive)| send < 16 && receive < 16));
            Reading::of(told.rtt_us.is_some() && told.min_rtt_us.is_some())
        });
    }
}
