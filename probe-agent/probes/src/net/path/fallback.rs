//! Datagrams along a path without raw sockets: a connected socket for each, whose error queue tells which ICMP error it met. Each leaves
//! from a port of its own, so that routers may send them different ways, and errors come without what they quote.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::{Content, PathAnswer, PathArrival, PathError, PathProbe};
use crate::clock::Moment;
use crate::net::icmp::Receipt;
use crate::net::udp::{Heard, UdpFlow};

/// The sockets of a flow.
#[derive(Debug)]
pub(super) struct Fallback {
    target: IpAddr,
    outlet: mpsc::Sender<PathArrival>,
    listening: Mutex<Listening>,
}

#[derive(Debug, Default)]
struct Listening {
    tasks: JoinSet<()>,
    handles: VecDeque<AbortHandle>,
}

impl Fallback {
    pub(super) fn new(target: IpAddr, outlet: mpsc::Sender<PathArrival>) -> Self {
        Self {
            target,
            outlet,
            listening: Mutex::default(),
        }
    }

    /// Sends packet `index` from a socket of its own and listens to that from then on.
    pub(super) fn send(&self, index: u32, probe: &PathProbe) -> Result<Moment, Errno> {
        let own = |error: std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        let flow = UdpFlow::open(SocketAddr::new(self.target, probe.destination_port)).map_err(own)?;
        flow.set_header(probe.ttl, probe.dscp, probe.fragmentation).map_err(own)?;
        let moment = flow.send(&self.payload(probe))?;
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        while listening.tasks.try_join_next().is_some() {}
        if listening.handles.len() >= SOCKETS
            && let Some(oldest) = listening.handles.pop_front()
        {
            oldest.abort();
        }
        let handle = listening.tasks.spawn(listen(flow, index, probe.destination_port, self.outlet.clone()));
        listening.handles.push_back(handle);
        Ok(moment)
    }

    fn payload(&self, probe: &PathProbe) -> Vec<u8> {
        let header_bytes = match self.target {
            IpAddr::V4(_) => 28,
            IpAddr::V6(_) => 48,
        };
        match &probe.content {
            Content::Sized(whole) => (0..=u8::MAX).cycle().take(whole.saturating_sub(header_bytes)).collect(),
            Content::Payload(payload) => payload.clone(),
        }
    }
}

/// Hands over what a socket tells, until its flow ends.
async fn listen(flow: UdpFlow, index: u32, port: u16, outlet: mpsc::Sender<PathArrival>) {
    let mut buffer = vec![0; DATAGRAM_BYTES];
    while let Ok(heard) = flow.hear(&mut buffer).await {
        let receipt = |at_ns, moment, length: usize| Receipt {
            at_ns,
            moment,
            ttl: None,
            bytes: u32::try_from(length).unwrap_or(u32::MAX),
        };
        let what = match heard {
            Heard::Transmitted { at_ns } => PathAnswer::Transmitted { at_ns },
            Heard::Datagram { length, at_ns, moment } => PathAnswer::Udp {
                bytes: buffer.get(..length).unwrap_or_default().to_vec(),
                port,
                receipt: receipt(at_ns, moment, length),
            },
            Heard::Refused {
                kind,
                from,
                mtu,
                at_ns,
                moment,
            } => PathAnswer::Error(Box::new(PathError {
                from,
                kind,
                mtu,
                quoted: Vec::new(),
                extensions: Vec::new(),
                receipt: receipt(at_ns, moment, 0),
            })),
            // The error queue tells it again, with who sent it.
            Heard::Failed(_) => continue,
        };
        if outlet.send(PathArrival { index: Some(index), what }).await.is_err() {
            return;
        }
    }
}

/// Sockets that a flow listens to at once; beyond, the oldest is closed.
const SOCKETS: usize = 128;
const DATAGRAM_BYTES: usize = 2_048;
