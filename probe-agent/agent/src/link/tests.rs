//! The link against peers made here: a certification authority of the test's own, TLS servers on 127.0.0.1, and the server's session machine.

mod authority;
mod enrolment;
mod peer;
mod plane;
mod revoked;
mod session;
mod trust;
