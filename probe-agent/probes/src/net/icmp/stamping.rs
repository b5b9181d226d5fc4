//! Has the kernel stamp what it receives, and waits until it does.
//!
//! The kernel switches receive timestamps on for the whole host when the first socket asks for them, and off with the last, each a moment
//! after the call has returned: a reply that comes meanwhile carries none. Datagrams to ourselves over loopback show when it is done, and
//! their socket keeps it so for those that are opened later, which may be the only ones of a process without raw sockets.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, TimestampingFlag, recvmsg, setsockopt, sockopt};

/// Received packets are stamped as long as it lives.
#[derive(Debug)]
pub(in crate::net) struct ReceiveStamps(UdpSocket);

impl ReceiveStamps {
    /// Asks for them.
    pub(super) fn ask() -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let flags = TimestampingFlag::SOF_TIMESTAMPING_SOFTWARE | TimestampingFlag::SOF_TIMESTAMPING_RX_SOFTWARE;
        setsockopt(&socket, sockopt::Timestamping, &flags)?;
        Ok(Self(socket))
    }

    /// Whether received packets are stamped by now. Without loopback nobody can tell, and nothing is waited for.
    pub(super) fn wait(&self) -> io::Result<bool> {
        let Self(socket) = self;
        // The receive timeout is what bounds each try, and what spaces tries that come back empty-handed.
        socket.set_read_timeout(Some(TRY_LIMIT))?;
        // From now on it hears nobody else.
        socket.connect(socket.local_addr()?)?;
        for _ in 0..TRIES {
            socket.send(&[0])?;
            if next_is_stamped(socket)? {
                return Ok(true);
            }
            // Nothing more is on its way, so this lasts as long as the timeout.
            let mut nothing = [0];
            let _ = socket.recv(&mut nothing);
        }
        Ok(false)
    }
}

fn next_is_stamped(socket: &UdpSocket) -> io::Result<bool> {
    let mut data = [0];
    let mut control = [0_u8; 128];
    let mut slices = [IoSliceMut::new(&mut data)];
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::empty())?;
    let stamped = message
        .cmsgs()?
        .any(|control| matches!(control, ControlMessageOwned::ScmTimestampsns(stamps) if stamps.system.tv_sec() > 0));
    Ok(stamped)
}

const TRIES: u32 = 100;
const TRY_LIMIT: Duration = Duration::from_millis(2);
