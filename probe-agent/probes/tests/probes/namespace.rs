//! A network namespace of the test's own: nothing in it but a loopback interface.

use std::os::fd::AsRawFd;
use std::thread;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

use crate::setting::skip;

/// Runs a future on a thread inside a new namespace; loudly not at all where the host does not let us make one.
pub(crate) fn within<F: Future<Output = ()>>(id: &'static str, loopback: Loopback, test: impl FnOnce() -> F + Send + 'static) {
    let thread = thread::spawn(move || match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            if loopback == Loopback::Up {
                bring_loopback_up();
            }
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(test());
        }
        Err(Errno::EPERM) => skip(id, "no network namespace can be made here"),
        Err(errno) => panic!("unshare: {errno}"),
    });
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// State of the loopback interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loopback {
    Up,
    Down,
}

/// Sets a network option of the calling thread's namespace.
pub(crate) fn set_option(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap();
}

/// Whether a packet socket of the calling thread's namespace is handed packets of a protocol that hosts speak.
pub(crate) fn packets_are_looked_at() -> bool {
    let listed = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
    let mut sockets = listed.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Columns 4 and 6: protocol, and whether it runs.
    sockets.any(|columns| columns[5] == "1" && columns[3] != "88b5")
}

/// Sets the longest packet that loopback takes.
pub(crate) fn set_loopback_mtu(bytes: i32) {
    configure_loopback(libc::SIOCSIFMTU, |request| request.ifr_ifru.ifru_mtu = bytes);
}

fn bring_loopback_up() {
    configure_loopback(libc::SIOCSIFFLAGS, |request| {
        request.ifr_ifru.ifru_flags = libc::c_short::try_from(libc::IFF_UP).unwrap();
    });
}

fn configure_loopback(operation: libc::Ioctl, fill: impl FnOnce(&mut libc::ifreq)) {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    // SAFETY: all-zero bytes are a valid `ifreq`, which is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = libc::c_char::try_from(*from).unwrap();
    }
    fill(&mut request);
    // SAFETY: the request lives through the call and is the structure that both operations read.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), operation, &raw mut request) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}
