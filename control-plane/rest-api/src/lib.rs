//! Request and response types of the HTTP API, shared by the server and `probectl`, and the schemas of its OpenAPI document.
//!
//! Imports `shared-protocol` and serialisation only; no I/O and no clock. Times are RFC 3339 in UTC, durations integers with their unit in the name.
//!
//! ```
//! let request: control_api::measurement::CreateMeasurement =
//!     serde_json::from_str(r#"{"spec":{"probe":"ping","target":"127.0.0.1"},"selection":{"count":1}}"#).unwrap();
//! assert_eq!(request.selection.count, Some(1));
//! ```

pub mod agent;
pub mod job;
pub mod join_token;
pub mod key;
pub mod measurement;
pub mod metric;
pub mod package;
pub mod page;
pub mod problem;
pub mod report;
pub mod spec;
pub mod standing;
pub mod stream;
pub mod tenant;
pub mod tier;
pub mod timestamp;
pub mod usage;
