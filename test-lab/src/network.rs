//! Networks of the lab's own: namespaces that reach nothing else, wired to each other or to an internet that is a plain structure. The host's
//! own network is never touched: every interface is made inside a namespace, and goes away with it.

mod capture;
mod device;
mod ethernet;
mod internet;
mod namespace;
mod relay;
mod topology;

pub use capture::{Capture, Captured};
pub use ethernet::Ethernet;
pub use internet::Internet;
pub use namespace::Namespace;
pub use relay::{Outcome, RelayTruth};
pub use topology::{Built, Topology};
