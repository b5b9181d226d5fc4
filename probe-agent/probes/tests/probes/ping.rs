//! ICMP echo.

mod hostile;
mod loopback;
mod responder;
mod unprivileged;

pub(crate) use responder::with_checksum;
