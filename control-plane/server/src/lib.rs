//! The control plane's process: command line, configuration, HTTP API, administration socket, agent port.
//!
//! Routes are thin: read, authenticate, ask one service, answer. May use `control-services`, never the store; a route reaches a tenant's
//! data only with a grant that the extractor of [`http`] got from `control_core::authorize`.
//!
//! ```
//! let document = control_server::api::document();
//! assert!(document.paths.paths.contains_key("/api/v1/measurements"));
//! ```

mod addresses;
mod admin;
mod admin_client;
pub mod agent_port;
pub mod api;
pub mod cli;
pub mod config;
mod handshake;
pub mod http;
mod logging;
mod run;
mod service_manager;
