//! How paths are followed and measured: traceroute, mtr and the search for the path MTU, as plain machines. Packets and time come in, packets
//! to send and findings come out.
//!
//! Everything that is found is derived from a [`Book`]: what left, what came, when. A book can be written down in a report and read again, and
//! then [`explain`] derives the same findings and the same verdict from it, wherever that is done.
//!
//! It imports `shared-protocol` and no crate that does I/O; it reads no clock and draws no random number. It knows no socket: the agent's
//! probes send what a machine asks for, and whoever reads a report needs nothing of an agent to check it.
//!
//! ```
//! use agent_paths::traceroute::{Traceroute, TraceroutePlan};
//! use agent_paths::{Moment, SendFailure};
//! use shared_protocol::spec::{ProbeSpec, TracerouteSpec};
//!
//! let Ok(ProbeSpec::Traceroute(spec)) = ProbeSpec::parse(r#"{"probe":"traceroute","target":"192.0.2.1"}"#) else { return };
//! let begun = Moment::default();
//! let mut machine = Traceroute::new(TraceroutePlan::new("192.0.2.1".parse().unwrap(), &spec), begun, None);
//! let packet = machine.poll_send(begun.monotonic).unwrap();
//! assert_eq!((packet.number, packet.ttl), (0, 1));
//! ```

mod book;
pub mod errno;
pub mod explain;
mod extensions;
mod hop;
mod log;
pub mod machine;
pub mod meaning;
mod moment;
pub mod mtr;
mod outlook;
mod plan;
pub mod pmtu;
mod quoted;
pub mod round_trip;
mod shape;
pub mod statistics;
pub mod traceroute;
pub mod verdict;

pub use book::{Answer, Arrival, Book, IcmpError, Ports, SendFailure};
pub use log::BadLog;
pub use moment::Moment;
pub use plan::{Departing, PathPlan};
