//! Partial findings of `http`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::report::HttpPhase;
use crate::spec::HttpMethod;

/// What an HTTP probe tells while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum HttpEvent {
    /// A request begins.
    Hop {
        /// Its number, from 0; each redirect is one more.
        hop: u32,
        /// What is asked for.
        url: String,
        /// The method.
        method: HttpMethod,
    },
    /// The address that is connected to is known.
    Connecting {
        /// Number of the request.
        hop: u32,
        /// The address.
        remote: SocketAddr,
    },
    /// A part of a request is over.
    Phase {
        /// Number of the request.
        hop: u32,
        /// Which part.
        phase: HttpPhase,
        /// How long it took, microseconds.
        took_us: u64,
        /// How long after the beginning of the request it ended, microseconds.
        at_us: u64,
    },
    /// The head of an answer is there.
    Response {
        /// Number of the request.
        hop: u32,
        /// Status code.
        status: u16,
        /// `1.0`, `1.1` or `2`.
        version: String,
    },
}
