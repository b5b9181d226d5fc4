//! The resources of the HTTP API: one file of thin routes for each, and the OpenAPI document made from them.

mod agents;
mod document;
mod jobs;
mod join_tokens;
mod keys;
mod measurements;
mod metrics;
mod packages;
mod permission;
mod reports;
mod standing_observations;
pub(crate) mod stream;
mod tenant;
mod tiers;
mod usage;

pub use document::{document, document_text};

pub(crate) use document::routes;
