//! A small internet as a plain structure: IP packets of one observer and time go in, IP packets and times come out, and the truth about what
//! became of each can be read afterwards. Development only: it does no I/O, reads no clock, draws its randomness from the seed of the world,
//! and imports nothing of the house.
//!
//! A world is a TOML file: nodes with the links that lead to them, and paths through them.
//! ```
//! use std::time::Duration;
//! use test_internet::World;
//!
//! let mut world = World::from_toml(r#"
//!     seed = 7
//!     [observer]
//!     addresses = ["10.0.0.1"]
//!     [[node]]
//!     name = "router"
//!     count = 2                           # router1, router2
//!     addresses = ["10.0.1.1"]            # and 10.0.1.2
//!     link = { delay_us = 5000, loss = 0.01 }
//!     [[node]]
//!     name = "target"
//!     addresses = ["198.51.100.0/24"]
//!     [[path]]
//!     hops = ["router1..router2", "target"]
//! "#)?;
//! # let request = [0_u8; 0];
//! world.handle(&request, Duration::ZERO);
//! while let Some(at) = world.next_at() {
//!     if let Some(packet) = world.poll(at) {
//!         // for the observer, at this moment
//!         # let _ = packet;
//!     }
//! }
//! println!("{:?}", world.truth());
//! # Ok::<(), test_internet::InvalidWorld>(())
//! ```

mod answer;
mod chance;
mod description;
mod extension;
mod flight;
mod header;
mod icmp;
mod link;
mod node;
mod plan;
mod scenario;
mod transport;
mod truth;
mod world;

pub use description::InvalidWorld;
pub use scenario::Run;
pub use truth::{Cause, Fate, FlowTruth, LinkTruth, PacketTruth, Truth};
pub use world::World;
