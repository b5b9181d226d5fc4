//! The HTTP API against a real server on a loopback port, with real services on a temporary directory.

#[cfg(test)]
mod admission;
#[cfg(test)]
mod agents;
#[cfg(test)]
mod bodies;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod document;
#[cfg(test)]
mod matrix;
#[cfg(test)]
mod packages;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod requests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod stream;
#[cfg(test)]
mod tiers;
