//! What an operator does with a whole database: look whether it is sound, back it up, put a backup in its place, move it to the other kind.
//!
//! None of this goes through a running store.

mod backup;
mod check;
mod copy;
mod error;
mod file;
mod restore;
mod table;

pub use backup::backup;
pub use check::{Checked, check};
pub use copy::{Copied, copy};
pub use error::MaintenanceError;
pub use restore::{Restored, restore};

#[cfg(test)]
pub(crate) use check::STATEMENTS;
