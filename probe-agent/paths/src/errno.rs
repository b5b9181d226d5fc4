//! What the kernel's error numbers say about a packet or a connection that did not leave. Pure.

use shared_protocol::fault::{ErrorCode, Fault};

/// Whose fault it is that the kernel did not send.
pub const fn judge(errno: i32) -> (Fault, ErrorCode) {
    match errno {
        libc::EPERM | libc::EACCES => (Fault::Agent, ErrorCode::PermissionMissing),
        libc::ENETUNREACH => (Fault::Path, ErrorCode::UnreachableNet),
        libc::EHOSTUNREACH => (Fault::Path, ErrorCode::UnreachableHost),
        libc::EMSGSIZE => (Fault::Path, ErrorCode::FragNeeded),
        libc::ENETDOWN | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT => (Fault::Agent, ErrorCode::UnreachableNet),
        libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN | libc::EMFILE | libc::ENFILE => (Fault::Agent, ErrorCode::Resource),
        _ => (Fault::Agent, ErrorCode::Internal),
    }
}
