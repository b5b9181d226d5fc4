//! Development only: the real binaries on a stand of their own, with faults and an independent ledger.
//!
//! May import anything of the workspace, and may start processes; nothing but tests and benches imports it.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use test_lab::stand::Stand;
//!
//! let mut stand = Stand::start().await?;
//! stand.kill_server().await?;
//! stand.start_server().await?;
//! # Ok(())
//! # }
//! ```
#![expect(clippy::disallowed_types, reason = "the lab starts the product's own binaries")]

pub mod arrivals;
pub mod clock;
pub mod database;
pub mod fair;
pub mod fault;
pub mod fleet;
pub mod floor;
pub mod graphile_worker;
pub mod http;
pub mod latency;
pub mod ledger;
pub mod load;
pub mod network;
pub mod peer;
pub mod process;
pub mod stand;
