//! One record: taken from the message as it stands, told as a zone file has it. Pure.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinDecoder, BinEncodable, BinEncoder, DecodeError, Restrict};
use shared_protocol::report::DnsRecord;
use shared_protocol::spec::RecordType as Mnemonic;

use super::reading::{class_name, plain};

mod dnssec;

/// A record as it stands in its message.
pub(super) struct Raw<'a> {
    owner: Name,
    pub code: u16,
    pub class: u16,
    pub ttl: u32,
    pub data: &'a [u8],
    /// The data; `None` where it is not what its type demands.
    parsed: Option<RData>,
}

impl<'a> Raw<'a> {
    /// Reads the next record. Data that is malformed in itself spoils nothing: its length says where the next record begins.
    pub(super) fn read(decoder: &mut BinDecoder<'a>) -> Result<Self, DecodeError> {
        let owner = Name::read(decoder)?;
        let code = decoder.read_u16()?.unverified(/* any number is a type */);
        let class = decoder.read_u16()?.unverified(/* any number is a class */);
        let ttl = decoder.read_u32()?.unverified(/* any number is a time to live */);
        let length = decoder.read_u16()?.unverified(/* the slice below is checked against what there is */);
        // A message is at most 65,535 bytes, so is every place in it.
        let start = u16::try_from(decoder.index()).map_err(|_| DecodeError::InsufficientBytes)?;
        let data = decoder.read_slice(length.into())?.unverified(/* looked at byte by byte */);
        let mut inner = decoder.clone(start);
        let parsed = (length > 0 && code != OPT).then(|| RData::read(&mut inner, RecordType::from(code), Restrict::new(length)));
        Ok(Self {
            owner,
            code,
            class,
            ttl,
            data,
            parsed: parsed.and_then(Result::ok),
        })
    }
}

/// A record as a report has it.
pub(super) fn told(raw: &Raw<'_>) -> DnsRecord {
    DnsRecord {
        name: plain(&raw.owner),
        r#type: Mnemonic::name_of(raw.code),
        class: class_name(raw.class),
        ttl: raw.ttl,
        rdata: text(raw),
        wire: wire(raw),
    }
}

/// The serial of a SOA record.
pub(super) fn soa_serial(raw: &Raw<'_>) -> Option<u32> {
    match &raw.parsed {
        Some(RData::SOA(soa)) => Some(soa.serial),
        _ => None,
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn text(raw: &Raw<'_>) -> String {
    let text = match &raw.parsed {
        Some(data) => presentation(data, raw),
        None => None,
    };
    let text = text.filter(|text| text.len() <= TEXT_MAX).unwrap_or_else(|| generic(raw.data));
    escape_controls(&text)
}

/// The data as a zone file has it; `None` where only the generic form is left.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "another crate's types, whose own text is good enough for the rare ones"
)]
fn presentation(data: &RData, raw: &Raw<'_>) -> Option<String> {
    Some(match data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(aaaa) => aaaa.0.to_string(),
        RData::NS(name) => name.0.to_ascii(),
        RData::CNAME(name) => name.0.to_ascii(),
        RData::PTR(name) => name.0.to_ascii(),
        RData::MX(mx) => format!("{} {}", mx.preference, mx.exchange.to_ascii()),
        RData::SRV(srv) => format!("{} {} {} {}", srv.priority, srv.weight, srv.port, srv.target.to_ascii()),
        RData::SOA(soa) => format!(
            "{} {} {} {} {} {} {}",
            soa.mname.to_ascii(),
            soa.rname.to_ascii(),
            soa.serial,
            soa.refresh,
            soa.retry,
            soa.expire,
            soa.minimum
        ),
        RData::TXT(txt) => {
            let strings: Vec<String> = txt.txt_data.iter().map(|string| quoted(string)).collect();
            strings.join(" ")
        }
        RData::Unknown { .. } | RData::NULL(_) => return dnssec::presentation(raw.code, raw.data),
        other => other.to_string(),
    })
}

/// A character string of RFC 1035 section 5.1.
fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b' '..=b'~' => text.push(char::from(*byte)),
            other => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\{other:03}");
            }
        }
    }
    text.push('"');
    text
}

/// Data of a type without a form of its own (RFC 3597 section 5).
fn generic(data: &[u8]) -> String {
    let shown = data.get(..DATA_MAX).unwrap_or(data);
    let more = if shown.len() < data.len() { "..." } else { "" };
    format!("\\# {} {}{more}", data.len(), hexadecimal(shown)).trim_end().to_owned()
}

fn escape_controls(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "\\{:03}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// The data in the canonical form of RFC 4034 section 6.2; as it came where it cannot be read.
fn wire(raw: &Raw<'_>) -> Option<String> {
    let mut bytes = Vec::new();
    let canonical = raw.parsed.as_ref().and_then(|data| {
        let mut encoder = BinEncoder::new(&mut bytes);
        encoder.set_canonical_form(true);
        data.emit(&mut encoder).ok()
    });
    let bytes = if canonical.is_some() { bytes.as_slice() } else { raw.data };
    (bytes.len() <= DATA_MAX).then(|| STANDARD.encode(bytes))
}

const OPT: u16 = 41;
/// Bytes of a record's data that are shown.
const DATA_MAX: usize = 4_096;
/// Longest text of a record's data.
const TEXT_MAX: usize = 16 * 1024;
