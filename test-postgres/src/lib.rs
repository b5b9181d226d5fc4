//! Real PostgreSQL servers for tests. Development only; it imports nothing of the house and speaks no SQL but to make databases.
//!
//! [`TestDatabase`] is an empty database on a server that all tests share: the first test starts it, in whichever process it runs, and it goes
//! away ten seconds after the last test that used it, however that ended. It does not wait for its disk. [`OwnServer`] belongs to one test,
//! which may stop, kill and start it; it keeps what it committed.

#![expect(
    clippy::disallowed_types,
    reason = "development only: PostgreSQL's own programs are started here, never by the agent or the control plane"
)]

mod error;
mod own;
mod programs;
mod shared;

pub use error::TestPostgresError;
pub use own::OwnServer;
pub use shared::TestDatabase;
