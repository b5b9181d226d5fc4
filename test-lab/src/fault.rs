//! The way between agents and control plane, with everything that can happen to one: cut, stalled in one direction or both, slow, late,
//! reset in the middle of a frame, refused. Bytes pass through user space, so nothing of the machine's own network is touched.

mod lane;
mod proxy;
mod schedule;

use std::time::Duration;

pub use proxy::Proxy;
pub use schedule::{Act, Schedule};

/// Which way bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the one who dialled.
    Up,
    /// To the one who dialled.
    Down,
}

/// What one direction of a connection does to its bytes; none are ever lost or changed while the connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lane {
    /// Nothing passes, not even the end of the stream; both ends believe that they are connected.
    pub stalled: bool,
    /// Each byte comes this much later.
    pub delay: Duration,
    /// At most so many bytes a second pass.
    pub bytes_per_second: Option<u32>,
}

/// What both directions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Conditions {
    /// From the one who dialled.
    pub up: Lane,
    /// To the one who dialled.
    pub down: Lane,
}

/// Which connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// Those there are and those to come.
    Everybody,
    /// Those there are; one that is made from now on is as good as new.
    Present,
    /// The connection of this number, counted from 0 in the order in which they came.
    One(u64),
}

/// What becomes of somebody who dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Entry {
    /// Is let through.
    #[default]
    Open,
    /// Is connected, and reset at once.
    Refused,
    /// Is let through, and reset once it has sent so many bytes: in the middle of a handshake, an upgrade or a frame.
    ResetAfter(u64),
}

impl Conditions {
    /// Nothing passes in either direction: half open, without a FIN.
    pub fn stalled() -> Self {
        Self {
            up: Lane::stalled(),
            down: Lane::stalled(),
        }
    }

    /// Nothing passes in one direction.
    pub fn one_way(stalled: Direction) -> Self {
        match stalled {
            Direction::Up => Self {
                up: Lane::stalled(),
                down: Lane::default(),
            },
            Direction::Down => Self {
                up: Lane::default(),
                down: Lane::stalled(),
            },
        }
    }

    /// So slow, both ways.
    pub fn slow(bytes_per_second: u32) -> Self {
        let lane = Lane {
            bytes_per_second: Some(bytes_per_second),
            ..Lane::default()
        };
        Self { up: lane, down: lane }
    }

    /// So late, both ways.
    pub fn late(delay: Duration) -> Self {
        let lane = Lane { delay, ..Lane::default() };
        Self { up: lane, down: lane }
    }
}

impl Lane {
    fn stalled() -> Self {
        Self {
            stalled: true,
            ..Self::default()
        }
    }
}
