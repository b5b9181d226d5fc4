//! Opening the ICMP sockets of the process, and saying what is missing where some cannot be had.

use std::io;

use shared_protocol::frame::{Capability, CapabilityLevel};
use shared_protocol::report::PingSocket;
use shared_protocol::spec::ProbeKind;

use super::channel::{Channel, Purpose};
use super::option::Fragmentation;
use super::packet::Family;
use super::socket::IcmpSocket;
use super::stamping::ReceiveStamps;
use super::tap::TapSockets;
use crate::net::neighbor::{NeighborParts, NeighborSockets};
use crate::net::path::{PathParts, PathSockets};
use crate::net::stamped::Timestamps;

/// The ICMP sockets of the process, opened once while privilege lasts.
#[derive(Debug)]
pub struct IcmpSockets {
    v4: Sockets,
    v6: Sockets,
    path: PathSockets,
    neighbors: io::Result<NeighborSockets>,
    tap: Option<TapSockets>,
    stamps: Option<ReceiveStamps>,
}

/// What of the sockets is no channel.
pub(super) struct Rest {
    pub(super) path: PathParts,
    pub(super) neighbors: Option<NeighborParts>,
    pub(super) tap: Option<TapSockets>,
    pub(super) stamps: Option<ReceiveStamps>,
}

/// The sockets of a family with what each is for, or why there are none.
type Sockets = Result<Vec<(IcmpSocket, Purpose)>, Refusal>;

#[derive(Debug)]
struct Refusal {
    raw: io::Error,
    datagram: io::Error,
}

impl IcmpSockets {
    /// Opens what the host lets us open: raw sockets, else datagram sockets, else none. Needs no runtime, and never fails:
    /// what is missing is told by [`Self::capabilities`].
    pub fn open() -> Self {
        Self {
            v4: open_best(Family::V4),
            v6: open_best(Family::V6),
            path: PathSockets::open(),
            neighbors: NeighborSockets::open(),
            tap: TapSockets::open()
                .inspect_err(|error| tracing::debug!(%error, "sweeps are heard by their sockets"))
                .ok(),
            stamps: None,
        }
        .with_stamps()
    }

    /// Opens datagram sockets even where raw sockets could be had.
    pub fn open_unprivileged() -> Self {
        let open = |family| {
            open_datagrams(family).map_err(|datagram| Refusal {
                raw: io::ErrorKind::PermissionDenied.into(),
                datagram,
            })
        };
        Self {
            v4: open(Family::V4),
            v6: open(Family::V6),
            path: PathSockets::default(),
            neighbors: Err(io::ErrorKind::PermissionDenied.into()),
            tap: None,
            stamps: None,
        }
        .with_stamps()
    }

    fn with_stamps(mut self) -> Self {
        match ReceiveStamps::ask() {
            Ok(stamps) => {
                match stamps.wait() {
                    Ok(true) => {}
                    Ok(false) => tracing::debug!("the kernel does not stamp received packets yet"),
                    Err(error) => tracing::debug!(%error, "whether the kernel stamps received packets cannot be told"),
                }
                self.stamps = Some(stamps);
            }
            Err(error) => tracing::debug!(%error, "received packets are stamped only while a probe's own socket asks for it"),
        }
        self
    }

    /// What ping, tcp and neighbor can do with these sockets, and what would mend what they cannot.
    pub fn capabilities(&self) -> Vec<Capability> {
        vec![self.echo_capability(), self.segment_capability(), self.link_capability()]
    }

    /// Links are asked by packet sockets, or not at all.
    fn link_capability(&self) -> Capability {
        let refusal = self.neighbors.as_ref().err();
        Capability {
            probe: ProbeKind::Neighbor,
            level: if refusal.is_some() {
                CapabilityLevel::Unavailable
            } else {
                CapabilityLevel::Full
            },
            reason: refusal.map(|error| format!("links are asked by packet sockets, which cannot be had: {error}")),
            remedy: refusal.map(|_| REMEDY_PACKETS.to_owned()),
            observations: Vec::new(),
        }
    }

    /// Connections need no socket of these; half-open tries, and paths over TCP, do.
    fn segment_capability(&self) -> Capability {
        let lacks = !self.path.can_half_open();
        Capability {
            probe: ProbeKind::Tcp,
            level: if lacks { CapabilityLevel::Degraded } else { CapabilityLevel::Full },
            reason: lacks.then(|| "no half-open tries and no paths over TCP: they need raw and packet sockets".to_owned()),
            remedy: lacks.then(|| REMEDY_PACKETS.to_owned()),
            observations: Vec::new(),
        }
    }

    fn echo_capability(&self) -> Capability {
        let mut reasons = Vec::new();
        let mut remedies = Vec::new();
        let mut missing = 0;
        for (name, pair) in [("IPv4", &self.v4), ("IPv6", &self.v6)] {
            match pair {
                Ok(sockets) => {
                    if sockets.iter().any(|(socket, _)| socket.kind == PingSocket::Datagram) {
                        reasons.push(format!("{name} uses datagram sockets, for raw sockets need CAP_NET_RAW"));
                        remedies.push(REMEDY_RAW);
                    }
                    if sockets.iter().any(|(socket, _)| socket.timestamps == Timestamps::Missing) {
                        reasons.push(format!("{name}: the kernel gives no timestamps"));
                        remedies.push(REMEDY_TIMESTAMPS);
                    }
                }
                Err(refusal) => {
                    missing += 1;
                    reasons.push(format!("{name} has no ICMP socket (raw: {}; datagram: {})", refusal.raw, refusal.datagram));
                    remedies.push(if is_unsupported(&refusal.raw) { REMEDY_FAMILY } else { REMEDY_RAW });
                }
            }
        }
        remedies.dedup();
        let level = match (missing, reasons.is_empty()) {
            (2, _) => CapabilityLevel::Unavailable,
            (_, false) => CapabilityLevel::Degraded,
            (_, true) => CapabilityLevel::Full,
        };
        let join = |parts: &[&str]| (!parts.is_empty()).then(|| parts.join("; "));
        Capability {
            probe: ProbeKind::Ping,
            level,
            reason: (!reasons.is_empty()).then(|| reasons.join("; ")),
            remedy: join(&remedies),
            observations: Vec::new(),
        }
    }

    pub(super) fn into_parts(self) -> io::Result<(Vec<Channel>, Rest)> {
        let channels: io::Result<Vec<_>> = [self.v4, self.v6]
            .into_iter()
            .filter_map(Result::ok)
            .flatten()
            .map(|(socket, purpose)| Channel::new(socket, purpose))
            .collect();
        let rest = Rest {
            path: self.path.into_parts()?,
            neighbors: self.neighbors.ok().map(NeighborSockets::into_parts).transpose()?,
            tap: self.tap,
            stamps: self.stamps,
        };
        Ok((channels?, rest))
    }
}

fn open_best(family: Family) -> Sockets {
    let raw = [
        Purpose::Sends(Fragmentation::Allowed),
        Purpose::Sends(Fragmentation::Forbidden),
        Purpose::Receives,
    ]
    .into_iter()
    .map(|purpose| Ok((IcmpSocket::open_raw(family, purpose)?, purpose)));
    raw.collect::<io::Result<_>>()
        .or_else(|raw| open_datagrams(family).map_err(|datagram| Refusal { raw, datagram }))
}

fn open_datagrams(family: Family) -> io::Result<Vec<(IcmpSocket, Purpose)>> {
    [Fragmentation::Allowed, Fragmentation::Forbidden]
        .into_iter()
        .map(|fragmentation| Ok((IcmpSocket::open_datagram(family, fragmentation)?, Purpose::Both(fragmentation))))
        .collect()
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

const REMEDY_RAW: &str = "sudo setcap cap_net_raw+ep \"$(command -v probe-agent)\" (datagram sockets alone: sudo sysctl -w net.ipv4.ping_group_range=\"0 2147483647\"), then start the agent again";
const REMEDY_PACKETS: &str =
    "CAP_NET_RAW, and under systemd the drop-in that allows AF_PACKET (deploy/systemd/probe-agent-paths.conf), then start the agent again";
const REMEDY_TIMESTAMPS: &str = "a kernel with CONFIG_NETWORK_PHY_TIMESTAMPING or SO_TIMESTAMPING is needed";
const REMEDY_FAMILY: &str = "switch the family on in the kernel where it is wanted";
