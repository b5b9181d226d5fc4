//! What really passes an interface of a namespace: every packet, with the kernel's own time.

use std::io::IoSliceMut;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, recvmsg, setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};

use super::namespace::{Namespace, joined};

/// One packet.
#[derive(Debug, Clone)]
pub struct Captured {
    /// Kernel's wall-clock time, nanoseconds.
    pub at_ns: u64,
    /// Whether it left the namespace.
    pub outgoing: bool,
    /// From its IP header on.
    pub bytes: Vec<u8>,
}

/// Captures until it is finished.
pub struct Capture {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Captured>>>,
}

impl Capture {
    /// Captures everything that passes any interface of a namespace, keeping so many bytes of each packet.
    ///
    /// # Errors
    /// When the socket cannot be opened.
    pub fn start(namespace: &Namespace, kept: usize) -> Result<Self> {
        let socket = namespace.within(open)??;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || run(&socket, kept, &seen))
            .context("start the capture")?;
        Ok(Self { stop, thread })
    }

    /// Ends it, once nothing more is waiting, and gives what was captured.
    ///
    /// # Errors
    /// When the socket failed.
    pub fn finish(self) -> Result<Vec<Captured>> {
        self.stop.store(true, Ordering::Relaxed);
        joined(self.thread.join())?
    }
}

fn open() -> Result<Socket> {
    let everything = i32::from(u16::try_from(libc::ETH_P_ALL)?.to_be());
    // Of type datagram: link headers are taken off.
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(everything))).context("open a packet socket")?;
    setsockopt(&socket, sockopt::RcvBufForce, &BUFFER_BYTES).context("enlarge the capture's buffer")?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true).context("ask for the kernel's times")?;
    Ok(socket)
}

/// Takes what has come from time to time. Whoever waited for packets would be woken by each, and be part of the time that it takes to
/// answer it.
fn run(socket: &Socket, kept: usize, stop: &AtomicBool) -> Result<Vec<Captured>> {
    let mut captured = Vec::new();
    let mut buffer = vec![0; kept];
    loop {
        // Asked before the wait: what came until then is still read.
        let last = stop.load(Ordering::Relaxed);
        std::thread::park_timeout(LOOK_EVERY);
        while let Some(packet) = take(socket, &mut buffer)? {
            captured.push(packet);
        }
        if last {
            return Ok(captured);
        }
    }
}

fn take(socket: &Socket, buffer: &mut [u8]) -> Result<Option<Captured>> {
    let mut vector = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(nix::sys::time::TimeSpec);
    let (length, at_ns, kind) = match recvmsg::<LinkAddr>(socket.as_raw_fd(), &mut vector, Some(&mut control), MsgFlags::MSG_DONTWAIT) {
        Err(Errno::EAGAIN) => return Ok(None),
        Err(errno) => return Err(errno).context("read the capture"),
        Ok(message) => {
            let at_ns = message.cmsgs()?.find_map(|control| {
                let ControlMessageOwned::ScmTimestampns(time) = control else { return None };
                u64::try_from(time.tv_sec() * 1_000_000_000 + time.tv_nsec()).ok()
            });
            (message.bytes, at_ns, message.address.map(|address| address.pkttype()))
        }
    };
    Ok(Some(Captured {
        at_ns: at_ns.context("the kernel gave no time")?,
        outgoing: kind == Some(libc::PACKET_OUTGOING),
        bytes: buffer.get(..length.min(buffer.len())).unwrap_or_default().to_vec(),
    }))
}

const BUFFER_BYTES: usize = 64 * 1024 * 1024;
const LOOK_EVERY: Duration = Duration::from_millis(20);
