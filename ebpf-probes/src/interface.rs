//! The interfaces of a host's network namespaces, as `programs/packet.h` tells them.

use aya::Pod;
use shared_protocol::report::{Direction, NetworkInterface};

/// `struct interface`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Interface {
    pub(crate) namespace: u32,
    pub(crate) index: u32,
}

/// `struct side`: what goes one way through an interface.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Side {
    pub(crate) interface: Interface,
    pub(crate) direction: u32,
    pub(crate) unused: u32,
}

// SAFETY: they are plain numbers without room between them; every pattern of bits is a value.
unsafe impl Pod for Interface {}
// SAFETY: as above.
unsafe impl Pod for Side {}

impl Interface {
    pub(crate) const fn told(self, name: String) -> NetworkInterface {
        NetworkInterface {
            name,
            index: self.index,
            namespace: self.namespace,
        }
    }
}

impl Side {
    pub(crate) const fn direction(self) -> Direction {
        if self.direction == OUT { Direction::Sent } else { Direction::Received }
    }
}

/// `DIRECTION_OUT`.
const OUT: u32 = 1;
