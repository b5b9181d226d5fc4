//! The tenant's command line, over the public HTTP API and nothing else.
//!
//! Imports `control-api` and `shared-protocol` of ours; never `control-core`, `control-store`, `control-services` or anything of the agent.
//! Standard output carries data, standard error words. Text that came from the control plane or an agent is made harmless before a terminal sees it.
//!
//! ```
//! use clap::Parser;
//!
//! let cli = probectl::cli::Cli::parse_from(["probectl", "ping", "127.0.0.1", "--from", "label:region=eu"]);
//! assert!(matches!(cli.command, probectl::cli::Command::Ping(_)));
//! ```

pub mod cli;
pub mod config;
pub mod error;
pub mod exit;
pub mod output;

mod client;
mod command;
#[cfg(test)]
mod fake_plane;
mod follow;
mod sse;

pub use command::run;
