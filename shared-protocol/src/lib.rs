//! What travels between agent and control plane: frames, their codec and limits, ids, time, tiers, the target parser,
//! the special address ranges, every probe's options, events and findings, and the two session machines.
//!
//! Imports serde, `serde_json`, `serde_path_to_error`, uuid and thiserror only. It does no I/O, reads no clock and draws no
//! random number: both come in as arguments, so all of it is tested as plain functions.
//!
//! ```
//! use shared_protocol::spec::ProbeSpec;
//!
//! let spec = ProbeSpec::parse(r#"{"probe":"ping","target":"127.0.0.1","count":2}"#).unwrap();
//! assert_eq!(spec.kind().as_str(), "ping");
//! let refused = ProbeSpec::parse(r#"{"probe":"ping","target":"0x7f000001"}"#).unwrap_err();
//! assert_eq!(refused.field, "target");
//! ```

pub mod address;
pub mod block;
pub mod close;
pub mod codec;
pub mod end;
pub mod event;
pub mod fault;
pub mod frame;
pub mod host;
pub mod id;
pub mod limits;
pub mod mac_address;
pub mod package;
pub mod report;
pub mod session;
pub mod spec;
pub mod standing;
pub mod strict_json;
pub mod target;
pub mod tier;
pub mod time;
pub mod url;
