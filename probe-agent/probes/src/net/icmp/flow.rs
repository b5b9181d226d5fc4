//! One exchange with one address: what a probe holds to send requests and to hear the answers to exactly these.

use std::net::IpAddr;
use std::sync::Arc;

use nix::errno::Errno;

use super::Shared;
use super::option::Fragmentation;
use super::packet::{self, COOKIE_BYTES, Family};
use super::registry::{EchoNumber, FlowId};
use super::socket::HeaderFields;
use crate::clock::Moment;
use crate::net::departures::NoRoom;
use crate::net::gate::{Denial, Gate};

/// How every request of a flow looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EchoRequest {
    pub payload_bytes: usize,
    pub ttl: u8,
    pub dscp: u8,
    pub fragmentation: Fragmentation,
    /// Identifier on a raw socket, and the first sequence.
    pub first: (u16, u16),
}

/// When a request was handed to the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Departure {
    pub moment: Moment,
}

/// Why a request did not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The owner's policy says no.
    #[error("the policy denies the address: {0}")]
    Denied(Denial),
    /// The owner's rates let nothing leave, or not in time.
    #[error("the agent's packet rates leave no room")]
    NoRoom,
    /// Every echo number is in use.
    #[error("every echo number is in use")]
    NumbersExhausted,
    /// There is no socket for the family.
    #[error("there is no ICMP socket for the address family")]
    NoSocket,
    /// The kernel refused.
    #[error("the kernel refused to send: {0}")]
    Kernel(Errno),
}

/// An exchange with one address. Dropping it ends it.
pub(crate) struct IcmpFlow {
    shared: Arc<Shared>,
    id: FlowId,
    target: IpAddr,
    cookie: [u8; COOKIE_BYTES],
    request: EchoRequest,
}

impl IcmpFlow {
    pub(super) fn new(shared: Arc<Shared>, id: FlowId, target: IpAddr, cookie: [u8; COOKIE_BYTES], request: EchoRequest) -> Self {
        Self {
            shared,
            id,
            target,
            cookie,
            request,
        }
    }

    /// Waits until what stands in the sockets has been read, as whoever is about to give something up does.
    pub(crate) async fn catch_up(&self) {
        self.shared.catch_up().await;
    }

    /// Sends request `index` once it has its place under the owner's rates, if the owner's policy lets it.
    pub(crate) async fn send(&self, index: u32, gate: &dyn Gate) -> Result<Departure, SendError> {
        self.shared
            .departures
            .wait(self.target, gate.pace())
            .await
            .map_err(|NoRoom| SendError::NoRoom)?;
        gate.check_address(self.target).map_err(SendError::Denied)?;
        self.send_at_once(index)
    }

    fn send_at_once(&self, index: u32) -> Result<Departure, SendError> {
        let family = Family::of(self.target);
        let channel = self.shared.channel(family, self.request.fragmentation).ok_or(SendError::NoSocket)?;
        let (identifier, first) = self.request.first;
        let wished = EchoNumber {
            family,
            identifier: channel.socket().identifier.unwrap_or(identifier),
            // Sequences wrap around at 16 bits.
            sequence: first.wrapping_add(u16::try_from(index & 0xffff).unwrap_or_default()),
        };
        let number = self.shared.reserve(self.id, index, wished).ok_or(SendError::NumbersExhausted)?;
        let message = packet::echo_request(family, number.identifier, number.sequence, &self.cookie, self.request.payload_bytes);
        let fields = HeaderFields {
            ttl: self.request.ttl,
            dscp: self.request.dscp,
        };
        let left = channel.send(self.id, index, &message, self.target, fields);
        let moment = left
            .inspect_err(|_| self.shared.deliver_ready(channel.take_ready()))
            .map_err(SendError::Kernel)?;
        Ok(Departure { moment })
    }
}

impl Drop for IcmpFlow {
    fn drop(&mut self) {
        self.shared.registry().close(self.id);
    }
}
