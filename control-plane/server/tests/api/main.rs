//! The HTTP API against a real server on a loopback port, with real services on a temporary directory.

mod bodies;
mod document;
mod matrix;
mod requests;
mod server;
