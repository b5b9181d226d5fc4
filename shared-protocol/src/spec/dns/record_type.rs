//! Types of records that can be asked for, by their mnemonics of the IANA registry or as `TYPE` and a number (RFC 3597).

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// A type of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordType(u16);

impl RecordType {
    /// IPv4 addresses.
    pub const A: Self = Self(1);
    /// Names of addresses.
    pub const PTR: Self = Self(12);

    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self.0
    }

    /// The name of any type, also of one that cannot be asked for.
    pub fn name_of(code: u16) -> String {
        let known = MNEMONICS.iter().chain(&NOT_ASKED).find(|(_, number)| *number == code);
        known.map_or_else(|| format!("TYPE{code}"), |(name, _)| (*name).to_owned())
    }
}

impl FromStr for RecordType {
    type Err = InvalidRecordType;

    fn from_str(text: &str) -> Result<Self, InvalidRecordType> {
        let upper = text.to_ascii_uppercase();
        let known = MNEMONICS.iter().find(|(name, _)| *name == upper).map(|(_, code)| *code);
        let code = known.or_else(|| {
            let digits = upper.strip_prefix("TYPE").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse().ok()
        });
        match code {
            None | Some(0) => Err(InvalidRecordType),
            Some(code) if NOT_ASKED.iter().any(|(_, other)| *other == code) => Err(InvalidRecordType),
            Some(code) => Ok(Self(code)),
        }
    }
}

impl fmt::Display for RecordType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&Self::name_of(self.0))
    }
}

impl Serialize for RecordType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The text names no type that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be the mnemonic of a record type as \"AAAA\", or \"TYPE\" and its number; zone transfers and OPT, TKEY, TSIG cannot be asked for")]
pub struct InvalidRecordType;

/// The IANA registry "Resource Record (RR) TYPEs".
const MNEMONICS: [(&str, u16); 91] = [
    ("A", 1),
    ("NS", 2),
    ("MD", 3),
    ("MF", 4),
    ("CNAME", 5),
    ("SOA", 6),
    ("MB", 7),
    ("MG", 8),
    ("MR", 9),
    ("NULL", 10),
    ("WKS", 11),
    ("PTR", 12),
    ("HINFO", 13),
    ("MINFO", 14),
    ("MX", 15),
    ("TXT", 16),
    ("RP", 17),
    ("AFSDB", 18),
    ("X25", 19),
    ("ISDN", 20),
    ("RT", 21),
    ("NSAP", 22),
    ("NSAP-PTR", 23),
    ("SIG", 24),
    ("KEY", 25),
    ("PX", 26),
    ("GPOS", 27),
    ("AAAA", 28),
    ("LOC", 29),
    ("NXT", 30),
    ("EID", 31),
    ("NIMLOC", 32),
    ("SRV", 33),
    ("ATMA", 34),
    ("NAPTR", 35),
    ("KX", 36),
    ("CERT", 37),
    ("A6", 38),
    ("DNAME", 39),
    ("SINK", 40),
    ("APL", 42),
    ("DS", 43),
    ("SSHFP", 44),
    ("IPSECKEY", 45),
    ("RRSIG", 46),
    ("NSEC", 47),
    ("DNSKEY", 48),
    ("DHCID", 49),
    ("NSEC3", 50),
    ("NSEC3PARAM", 51),
    ("TLSA", 52),
    ("SMIMEA", 53),
    ("HIP", 55),
    ("NINFO", 56),
    ("RKEY", 57),
    ("TALINK", 58),
    ("CDS", 59),
    ("CDNSKEY", 60),
    ("OPENPGPKEY", 61),
    ("CSYNC", 62),
    ("ZONEMD", 63),
    ("SVCB", 64),
    ("HTTPS", 65),
    ("DSYNC", 66),
    ("HHIT", 67),
    ("BRID", 68),
    ("SPF", 99),
    ("UINFO", 100),
    ("UID", 101),
    ("GID", 102),
    ("UNSPEC", 103),
    ("NID", 104),
    ("L32", 105),
    ("L64", 106),
    ("LP", 107),
    ("EUI48", 108),
    ("EUI64", 109),
    ("MAILB", 253),
    ("MAILA", 254),
    ("ANY", 255),
    ("URI", 256),
    ("CAA", 257),
    ("AVC", 258),
    ("DOA", 259),
    ("AMTRELAY", 260),
    ("RESINFO", 261),
    ("WALLET", 262),
    ("CLA", 263),
    ("IPN", 264),
    ("TA", 32768),
    ("DLV", 32769),
];
/// Types that are no question: they belong to the message itself (RFC 6891, RFC 8945, RFC 2930, RFC 9824), or ask for a whole zone (RFC 5936, RFC 1995).
const NOT_ASKED: [(&str, u16); 6] = [("OPT", 41), ("NXNAME", 128), ("TKEY", 249), ("TSIG", 250), ("IXFR", 251), ("AXFR", 252)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mnemonic_reads_back_and_no_number_has_two() {
        for (position, (name, code)) in MNEMONICS.iter().enumerate() {
            let read: RecordType = name.to_lowercase().parse().unwrap();
            assert_eq!((read.code(), read.to_string().as_str()), (*code, *name));
            assert!(
                MNEMONICS.iter().skip(position + 1).all(|(other, number)| other != name && number != code),
                "{name}"
            );
        }
    }

    #[test]
    fn numbers_can_be_asked_for_but_for_what_is_no_question() {
        for (text, shown) in [("TYPE65280", "TYPE65280"), ("type28", "AAAA"), ("any", "ANY"), ("nsap-ptr", "NSAP-PTR")] {
            assert_eq!(text.parse::<RecordType>().unwrap().to_string(), shown);
        }
        for text in [
            "",
            "TYPE",
            "TYPE0",
            "TYPE-1",
            "TYPE+1",
            "TYPE65536",
            "TYPE252",
            "axfr",
            "IXFR",
            "OPT",
            "TSIG",
            "28",
            "A ",
            "Ä",
        ] {
            assert_eq!(text.parse::<RecordType>(), Err(InvalidRecordType), "{text}");
        }
        assert_eq!((RecordType::name_of(41), RecordType::name_of(999)), ("OPT".to_owned(), "TYPE999".to_owned()));
    }
}
