//! Mechanics of the HTTP side, without nouns: sockets, problems, authentication, bodies, pages, live streams, headers, metrics.
//!
//! May not name a resource of the API; those stand in `api`.

pub(crate) mod authenticate;
pub(crate) mod edge;
mod headers;
pub(crate) mod idempotency;
pub(crate) mod if_match;
pub(crate) mod json;
mod listener;
mod metrics;
pub(crate) mod pages;
pub(crate) mod path;
pub(crate) mod probes;
pub(crate) mod problem;
pub(crate) mod problem_catalogue;
pub(crate) mod query;
mod router;
pub(crate) mod sse;
pub(crate) mod state;
pub(crate) mod waiting;
pub(crate) mod websocket;

pub use listener::serve;
