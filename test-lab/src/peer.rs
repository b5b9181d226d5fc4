//! Other people's programs, and our own agent, run by an observer in a network of the lab; what each says, as rows that can be compared.
//! Development only: the product itself starts no program and reads no program's text.

mod agent;
mod fping;
mod mtr;
mod nmap;
mod ran;
mod tracepath;
mod traceroute;

pub use agent::Agent;
pub use fping::Fping;
pub use mtr::{Hub, mtr};
pub use nmap::{PortState, nmap, nmap_link};
pub use ran::{Ran, run};
pub use tracepath::{Tracepath, tracepath};
pub use traceroute::{Hop, Probe, traceroute};
