//! The question on the wire. Pure.

use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query};
use hickory_resolver::proto::rr::rdata::opt::{EdnsOption, NSIDPayload};
use hickory_resolver::proto::rr::{DNSClass, Name, RecordType};
use shared_protocol::spec::{DnsClass, DnsSpec};

/// A question that can be asked several times, each time under another identifier.
#[derive(Debug, Clone)]
pub(super) struct Question {
    query: Query,
    message: Message,
}

impl Question {
    pub(super) fn new(spec: &DnsSpec) -> Result<Self, ProtoError> {
        let mut name = Name::from_ascii(spec.name.as_str())?;
        name.set_fqdn(true);
        let mut query = Query::query(name, RecordType::from(spec.r#type.code()));
        query.set_query_class(match spec.class {
            DnsClass::In => DNSClass::IN,
            DnsClass::Ch => DNSClass::CH,
        });
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = spec.rd;
        message.metadata.checking_disabled = spec.cd;
        message.metadata.authentic_data = spec.ad;
        message.add_query(query.clone());
        if spec.edns {
            let mut edns = Edns::new();
            edns.set_max_payload(u16::try_from(spec.edns_size).unwrap_or(u16::MAX));
            edns.set_dnssec_ok(spec.r#do);
            if spec.nsid {
                edns.options_mut().insert(EdnsOption::NSID(NSIDPayload::new(Vec::new())?));
            }
            message.set_edns(edns);
        }
        Ok(Self { query, message })
    }

    /// The message under an identifier.
    pub(super) fn encode(&self, id: u16) -> Result<Vec<u8>, ProtoError> {
        let mut message = self.message.clone();
        message.metadata.id = id;
        message.to_vec()
    }

    /// Whether a message repeats this question; case does not count (RFC 4343).
    pub(super) fn is_repeated_by(&self, query: &Query) -> bool {
        let (mine, theirs) = (&self.query, query);
        mine.name() == theirs.name() && mine.query_type() == theirs.query_type() && mine.query_class() == theirs.query_class()
    }
}

#[cfg(test)]
mod tests {
    use shared_protocol::spec::ProbeSpec;

    use super::*;

    fn question(options: &str) -> Question {
        let spec = ProbeSpec::parse(&format!(r#"{{"probe":"dns"{options}}}"#)).unwrap();
        let ProbeSpec::Dns(spec) = spec else { panic!("another probe") };
        Question::new(&spec).unwrap()
    }

    #[test]
    fn a_plain_question_is_the_bytes_of_the_rfc() {
        let bytes = question(r#","name":"a.test","edns":false"#).encode(0x1234).unwrap();
        let mut expected = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
        expected.extend(b"\x01a\x04test\x00\x00\x01\x00\x01");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn flags_type_class_and_options_are_those_asked_for() {
        let asked = r#","name":".","type":"TYPE65280","class":"CH","rd":false,"cd":true,"ad":true,"do":true,"nsid":true,"edns_size":4096"#;
        let bytes = question(asked).encode(1).unwrap();
        let mut expected = vec![0, 1, 0x00, 0x30, 0, 1, 0, 0, 0, 0, 0, 1];
        expected.extend([0, 0xff, 0x00, 0, 3]);
        // The root, OPT, 4,096 bytes, version 0 with DO, four bytes of options: NSID, empty.
        expected.extend([0, 0, 41, 0x10, 0x00, 0, 0, 0x80, 0x00, 0, 4, 0, 3, 0, 0]);
        assert_eq!(bytes, expected);
    }
}
