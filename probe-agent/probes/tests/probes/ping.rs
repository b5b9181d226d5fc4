//! ICMP echo.

mod hostile;
mod loopback;
mod responder;
mod sweep;
mod unprivileged;

pub(crate) use responder::with_checksum;
