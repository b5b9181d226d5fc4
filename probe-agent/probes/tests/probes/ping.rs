//! ICMP echo.

mod hostile;
mod loopback;
mod responder;
mod unprivileged;
