//! Logs: JSON lines on standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

/// Starts logging with a filter such as `info` or `control_server=debug,info`.
///
/// # Errors
/// When the filter is not one.
pub(crate) fn start(filter: Option<&str>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter.unwrap_or("info")).context("log: not a usable filter")?;
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init()
        .map_err(|error| anyhow::anyhow!("start logging: {error}"))
}
