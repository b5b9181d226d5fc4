//! What the ICMP errors of both families say, in one set of codes. Pure.

use agent_paths::meaning;
use shared_protocol::fault::ErrorCode;

use super::packet::Family;

/// The code of an ICMP error by its type and code.
pub(crate) const fn code_of(family: Family, kind: (u8, u8)) -> ErrorCode {
    match family {
        Family::V4 => meaning::code_of_v4(kind),
        Family::V6 => meaning::code_of_v6(kind),
    }
}
