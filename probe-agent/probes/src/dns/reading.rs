//! What a message says, read record by record: bounded, whatever its counts claim. Pure.

use hickory_resolver::proto::op::{Header, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::{DNSClass, Name};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder, DecodeError};
use shared_protocol::report::{DnsAnswer, DnsEdns, DnsExtendedError, DnsFlags, DnsRecord, DnsTry};

use super::question::Question;
use super::record::{self, Raw};
use crate::record::Completeness;

/// What a message is to the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It answers it.
    Answer(Box<Message>),
    /// It answers it, and was cut to fit a datagram.
    Truncated,
    /// It answers another question, or none.
    Foreign,
    /// It cannot be read.
    Malformed,
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    rcode: String,
    flags: DnsFlags,
    counts: (u16, u16, u16),
    sections: [Vec<DnsRecord>; 3],
    edns: Option<DnsEdns>,
    soa_serial: Option<u32>,
    completeness: Completeness,
}

/// An answer with the try that got it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub told: DnsAnswer,
    pub completeness: Completeness,
}

/// How a cut message is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhenCut {
    /// It is asked for again.
    AskAgain,
    /// There is nothing longer to be had.
    Take,
}

/// Reads a message that came for a question asked under an identifier.
pub(super) fn read(bytes: &[u8], question: &Question, id: u16, when_cut: WhenCut) -> Reading {
    let mut decoder = BinDecoder::new(bytes);
    let Ok(header) = Header::read(&mut decoder) else {
        return Reading::Malformed;
    };
    if header.id != id || header.message_type != MessageType::Response || header.op_code != OpCode::Query {
        return Reading::Foreign;
    }
    match (header.counts.queries, Query::read(&mut decoder)) {
        (1, Ok(query)) if question.is_repeated_by(&query) => {}
        (1, Err(_)) => return Reading::Malformed,
        // Some servers that could not, or would not, read the question do not repeat it.
        (0, _) if is_refusal(header.response_code) => decoder = BinDecoder::new(bytes).clone(HEADER_BYTES),
        _ => return Reading::Foreign,
    }
    if header.truncation && when_cut == WhenCut::AskAgain {
        return Reading::Truncated;
    }
    match Message::read(&header, &mut decoder) {
        Ok(message) => Reading::Answer(Box::new(message)),
        Err(_) => Reading::Malformed,
    }
}

impl Message {
    fn read(header: &Header, decoder: &mut BinDecoder<'_>) -> Result<Self, DecodeError> {
        let counts = (header.counts.answers, header.counts.authorities, header.counts.additionals);
        let mut message = Self {
            rcode: String::new(),
            flags: DnsFlags {
                aa: header.authoritative,
                tc: header.truncation,
                rd: header.recursion_desired,
                ra: header.recursion_available,
                ad: header.authentic_data,
                cd: header.checking_disabled,
            },
            counts,
            sections: Default::default(),
            edns: None,
            soa_serial: None,
            completeness: Completeness::Whole,
        };
        let (mut rcode_high, mut room) = (0, Room::default());
        for (section, count) in [counts.0, counts.1, counts.2].into_iter().enumerate() {
            // Each record takes eleven bytes at least, so the message ends long before a count that lies.
            for _ in 0..count {
                let raw = Raw::read(decoder)?;
                if raw.code == OPT {
                    rcode_high = message.take_edns(&raw);
                    continue;
                }
                let told = record::told(&raw);
                if section < 2 && message.soa_serial.is_none() {
                    message.soa_serial = record::soa_serial(&raw);
                }
                match message.sections.get_mut(section) {
                    Some(records) if room.take(&told) => records.push(told),
                    _ => message.completeness = Completeness::Truncated,
                }
            }
        }
        message.rcode = mnemonic(ResponseCode::from(rcode_high, header.response_code.low()));
        Ok(message)
    }

    /// Takes what an OPT record says, and gives the upper bits of the response code (RFC 6891 section 6.1.3).
    fn take_edns(&mut self, raw: &Raw<'_>) -> u8 {
        let [rcode_high, version, flags, _] = raw.ttl.to_be_bytes();
        let mut edns = DnsEdns {
            version,
            udp_size: raw.class,
            r#do: flags & 0x80 != 0,
            nsid: None,
            ede: Vec::new(),
        };
        let mut rest = raw.data;
        while let Some((code, value, after)) = option(rest) {
            match code {
                NSID if edns.nsid.is_none() => edns.nsid = Some(identifier(value)),
                EXTENDED_ERROR if edns.ede.len() < EXTENDED_ERRORS_MAX => edns.ede.extend(extended_error(value)),
                _ => {}
            }
            rest = after;
        }
        // A second OPT record is against RFC 6891; the first counts.
        self.edns.get_or_insert(edns);
        rcode_high
    }

    /// The answer of a try.
    pub(super) fn into_answer(self, tried: &DnsTry) -> Answer {
        let [answer, authority, additional] = self.sections;
        let told = DnsAnswer {
            server: tried.server,
            transport: tried.transport,
            tc_retried: false,
            rcode: self.rcode,
            flags: self.flags,
            rtt_us: tried.rtt_us,
            user_rtt_us: tried.user_rtt_us,
            connect_us: tried.connect_us,
            bytes: tried.bytes.unwrap_or_default(),
            answer,
            authority,
            additional,
            counts: self.counts,
            edns: self.edns,
            soa_serial: self.soa_serial,
        };
        Answer {
            told,
            completeness: self.completeness,
        }
    }
}

impl Answer {
    pub(super) fn with_tc_retried(mut self, retried: bool) -> Self {
        self.told.tc_retried = retried;
        self
    }
}

/// What is left of the room for records in a report.
struct Room {
    records: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            records: RECORDS_MAX,
            bytes: RECORD_BYTES_MAX,
        }
    }
}

impl Room {
    /// Takes the room of a record, if there is that much.
    fn take(&mut self, told: &DnsRecord) -> bool {
        let bytes = told.name.len() + told.rdata.len() + told.wire.as_ref().map_or(0, String::len) + RECORD_MEMBERS_BYTES;
        match (self.records.checked_sub(1), self.bytes.checked_sub(bytes)) {
            (Some(records), Some(bytes)) => {
                *self = Self { records, bytes };
                true
            }
            _ => false,
        }
    }
}

const fn is_refusal(code: ResponseCode) -> bool {
    matches!(
        code,
        ResponseCode::FormErr | ResponseCode::ServFail | ResponseCode::NotImp | ResponseCode::Refused
    )
}

fn option(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    let [code_high, code_low, length_high, length_low] = *head;
    let (value, after) = rest.split_at_checked(u16::from_be_bytes([length_high, length_low]).into())?;
    Some((u16::from_be_bytes([code_high, code_low]), value, after))
}

/// Identifiers are any bytes, and mostly text.
fn identifier(value: &[u8]) -> String {
    let value = value.get(..IDENTIFIER_MAX).unwrap_or(value);
    let text = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_graphic()));
    text.map_or_else(|| format!("0x{}", record::hexadecimal(value)), str::to_owned)
}

fn extended_error(value: &[u8]) -> Option<DnsExtendedError> {
    let (code, text) = value.split_first_chunk::<2>()?;
    let text = text.get(..EXTRA_TEXT_MAX).unwrap_or(text);
    Some(DnsExtendedError {
        code: u16::from_be_bytes(*code),
        text: String::from_utf8_lossy(text).into_owned(),
    })
}

/// The mnemonic of a response code in the IANA registry.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's codes; those without a mnemonic have their number")]
pub(super) fn mnemonic(code: ResponseCode) -> String {
    let known = match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::YXDomain => "YXDOMAIN",
        ResponseCode::YXRRSet => "YXRRSET",
        ResponseCode::NXRRSet => "NXRRSET",
        ResponseCode::NotAuth => "NOTAUTH",
        ResponseCode::NotZone => "NOTZONE",
        ResponseCode::BADVERS | ResponseCode::BADSIG => "BADVERS",
        ResponseCode::BADCOOKIE => "BADCOOKIE",
        other => return format!("RCODE{}", u16::from(other)),
    };
    known.to_owned()
}

/// The class of a record by its mnemonic.
pub(super) fn class_name(class: u16) -> String {
    let known = DNSClass::from(class);
    if let DNSClass::Unknown(number) = known {
        format!("CLASS{number}")
    } else {
        known.to_string()
    }
}

/// A name without its trailing dot, but for the root.
pub(super) fn plain(name: &Name) -> String {
    let text = name.to_ascii();
    match text.strip_suffix('.') {
        Some(plain) if !plain.is_empty() => plain.to_owned(),
        _ => text,
    }
}

const HEADER_BYTES: u16 = 12;
const OPT: u16 = 41;
/// Options of RFC 5001 and RFC 8914.
const NSID: u16 = 3;
const EXTENDED_ERROR: u16 = 15;
const EXTENDED_ERRORS_MAX: usize = 8;
const EXTRA_TEXT_MAX: usize = 255;
const IDENTIFIER_MAX: usize = 255;
/// Records of an answer that a report holds.
const RECORDS_MAX: usize = 2_000;
/// Text of records that a report holds: escaped as JSON it stays below the longest report.
const RECORD_BYTES_MAX: usize = 160 * 1024;
/// What the names of a record's members take.
const RECORD_MEMBERS_BYTES: usize = 80;

#[cfg(test)]
mod tests;
