//! What the kernel saw: the programs, and the only crate that loads them.
//!
//! `programs/*.bpf.c` are built by `cargo xtask ebpf` into the objects beside them, which are part of this crate: building it needs neither
//! clang nor kernel headers. [`Observing`] loads those of one observation, decides by trying what this kernel allows, and turns what they
//! count into findings. All that is loaded goes away with it, or with its process.
//!
//! It imports `shared-protocol` and `ebpf-package` only, opens no socket, reads no clock and starts no thread: whoever observes says when to look.
//!
//! ```no_run
//! # fn example() -> Result<(), ebpf_probes::ObserveError> {
//! use ebpf_probes::{Ask, Kernel, Observing};
//! use shared_protocol::spec::{ProbeSpec, Observation};
//!
//! let kernel = Kernel::read(None)?;
//! let ask = Ask { observation: Observation::TcpFlows, top: 20, port: None, address: None, pid: None, libraries: &[], masked: &[], check_port: 0 };
//! let mut observing = Observing::start(&kernel, &ask)?;
//! observing.gather(); // says when to do so again
//! let seen = observing.seen()?;
//! # Ok(())
//! # }
//! ```
#![expect(
    unsafe_code,
    reason = "what programs write is read as the plain data that their BTF says it is; a test compares the two"
)]

mod accounting;
mod attach;
mod biolatency;
mod btf;
mod capability;
mod check;
mod connect_latency;
mod connects;
mod costs;
mod custom;
mod dns_latency;
mod drops;
mod endpoint;
mod entries;
mod error;
mod exec;
mod facts;
mod files;
mod interface;
mod kernel;
#[cfg(test)]
mod layout;
mod memory;
mod message;
mod object;
mod observing;
mod offcpu;
mod packets;
mod profile;
mod programs;
mod reasons;
mod retransmits;
mod runqlat;
mod slots;
mod stacks;
mod syscalls;
mod tcp_flows;
mod text;
mod tls_latency;
mod traffic;
mod udp_flows;

pub use accounting::Accounting;
pub use attach::Attachment;
pub use capability::capabilities;
pub use check::{call_function, check_file, check_name};
pub use custom::{CustomError, Tried, TriedProgram, try_out};
pub use error::ObserveError;
pub use facts::Facts;
pub use kernel::{Hooks, Kernel};
pub use observing::{Ask, Look, Observing};
