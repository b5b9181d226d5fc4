//! The probe agent: dials the control plane, runs what the host's owner allows, keeps every report until it is acknowledged.
//!
//! It listens on no port and starts no subprocess. Sockets towards targets belong to `agent-probes`; this crate opens only the one
//! connection to its control plane. It must not import anything of the control plane: the two meet in `shared-protocol`.
//!
//! ```
//! use probe_agent::policy::Policy;
//! use shared_protocol::spec::ProbeSpec;
//!
//! let policy = Policy::default(); // what a host without a configuration file allows
//! let spec = ProbeSpec::parse(r#"{"probe":"ping","target":"169.254.169.254"}"#).unwrap();
//! assert_eq!(policy.check_spec(&spec).unwrap_err().rule, "link_local_or_metadata");
//! ```

pub mod agent;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod exit;
pub mod host;
pub mod known;
pub mod link;
pub mod local_probe;
pub mod observer;
pub mod outbox;
pub mod package_shelf;
pub mod policy;
pub mod runner;
pub mod standing;
pub mod state_dir;
