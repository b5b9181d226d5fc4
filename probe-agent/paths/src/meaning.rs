//! What the ICMP errors of both families say, in one set of codes and in the marks that traceroute has always printed.

use std::net::IpAddr;

use shared_protocol::fault::ErrorCode;

/// The code of an ICMP error by its type and code, in the family of an address.
pub const fn code_of(address: IpAddr, kind: (u8, u8)) -> ErrorCode {
    match address {
        IpAddr::V4(_) => code_of_v4(kind),
        IpAddr::V6(_) => code_of_v6(kind),
    }
}

/// Whether an error says no more than that the time to live ran out on the way.
pub const fn is_time_exceeded(address: IpAddr, kind: (u8, u8)) -> bool {
    matches!((address, kind), (IpAddr::V4(_), (11, 0)) | (IpAddr::V6(_), (3, 0)))
}

/// The code of an error of ICMP: RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
pub const fn code_of_v4((kind, code): (u8, u8)) -> ErrorCode {
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

/// The code of an error of `ICMPv6`: RFC 4443 section 3.
pub const fn code_of_v6((kind, code): (u8, u8)) -> ErrorCode {
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
