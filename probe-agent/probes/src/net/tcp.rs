//! TCP connections to checked addresses: the one place from which a connection towards a target is opened.

mod dial;
mod failure;
mod info;

pub(crate) use dial::{Dial, Dialler};
pub(crate) use failure::DialError;
#[cfg(test)]
pub(crate) use failure::{Failure, Place};
pub(crate) use info::read as read_info;
