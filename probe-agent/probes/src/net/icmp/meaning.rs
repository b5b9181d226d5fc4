//! What the ICMP errors of both families say, in one set of codes. Pure.

use shared_protocol::fault::ErrorCode;

use super::packet::Family;

/// The code of an ICMP error by its type and code.
pub(crate) const fn code_of(family: Family, (kind, code): (u8, u8)) -> ErrorCode {
    match family {
        Family::V4 => code_of_v4(kind, code),
        Family::V6 => code_of_v6(kind, code),
    }
}

/// RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
const fn code_of_v4(kind: u8, code: u8) -> ErrorCode {
    match (kind, code) {
        (11, _) => ErrorCode::TtlExceeded,
        (3, 2) | (12, _) => ErrorCode::UnreachableProto,
        (3, 3) => ErrorCode::UnreachablePort,
        (3, 4) => ErrorCode::FragNeeded,
        (3, 9 | 10 | 13 | 14 | 15) => ErrorCode::UnreachableAdmin,
        (3, 1 | 7 | 8 | 12) => ErrorCode::UnreachableHost,
        _ => ErrorCode::UnreachableNet,
    }
}

/// RFC 4443 section 3.
const fn code_of_v6(kind: u8, code: u8) -> ErrorCode {
    match (kind, code) {
        (2, _) => ErrorCode::FragNeeded,
        (3, _) => ErrorCode::TtlExceeded,
        (4, _) => ErrorCode::UnreachableProto,
        (1, 1 | 5 | 6) => ErrorCode::UnreachableAdmin,
        (1, 3) => ErrorCode::UnreachableHost,
        (1, 4) => ErrorCode::UnreachablePort,
        _ => ErrorCode::UnreachableNet,
    }
}
