//! How each probe is done, and the only sockets towards targets.
//!
//! [`table::run`] takes a `ProbeSpec` and gives a `Report`; while it runs it tells partial findings. Every address is put to the
//! owner's policy ([`net::gate::Gate`]) before a packet leaves, and every packet waits for its place under the owner's rates.
//!
//! It imports `shared-protocol` and never the agent: the policy comes in as a trait, the events leave by a channel. Algorithms are
//! plain state machines (`ping`, `tcp`, `dns`, and those of `agent-paths`, which can be run again on what a report keeps); only [`net`]
//! opens a socket.
//!
//! ```no_run
//! # async fn example(gate: std::sync::Arc<dyn agent_probes::net::gate::Gate>) -> Option<()> {
//! use std::sync::Arc;
//!
//! use agent_probes::net::icmp::{IcmpEngine, IcmpSockets};
//! use agent_probes::net::resolver::Resolver;
//! use agent_probes::net::tls::TargetRoots;
//! use agent_probes::observe::{NoPackages, Observer};
//! use agent_probes::table::{self, Flows, ProbeContext};
//! use shared_protocol::spec::ProbeSpec;
//!
//! let sockets = IcmpSockets::open(); // while privilege lasts; needs no runtime
//! let context = ProbeContext {
//!     engine: Arc::new(IcmpEngine::start(sockets).ok()?),
//!     gate,
//!     resolver: Resolver::from_system().ok()?,
//!     roots: TargetRoots::from_system(Vec::new()).ok()?,
//!     clock: Default::default(),
//!     observer: Arc::new(Observer::at("/run/probe-agent-observe/observe.sock".into())),
//!     packages: Arc::new(NoPackages),
//!     known: Arc::default(),
//!     flows: Flows::nobody(),
//! };
//! let spec = ProbeSpec::parse(r#"{"probe":"ping","target":"127.0.0.1"}"#).ok()?;
//! let (events, _receiver) = tokio::sync::mpsc::channel(64);
//! let report = table::run(&spec, &context, events, Default::default()).await;
//! # Some(())
//! # }
//! ```

mod asking;
mod beside;
mod clock;
mod denied;
mod dns;
mod http;
pub mod known;
mod many_addresses;
mod neighbor;
pub mod net;
pub mod observe;
mod one_address;
mod path;
mod ping;
mod port;
mod record;
mod resolution;
mod round_trip;
pub mod table;
mod tcp;
mod text;
mod udp;
mod verdict;

pub use port::datagram_bytes;
