//! Options of `dns`: one question to one name server, and its whole answer (RFC 1035; terms of RFC 9499).

use std::time::Duration;

use serde::Serialize;

use super::fields::{Fields, InvalidField};
use crate::target::Target;

mod name;
mod record_type;
mod server;

pub use name::{InvalidQueryName, QueryName};
pub use record_type::{InvalidRecordType, RecordType};
pub use server::NameServer;

/// What a DNS probe is asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "these are the flags of a question")]
pub struct DnsSpec {
    /// The name asked about; always absolute, no search list is used.
    pub name: QueryName,
    /// The type of records asked for.
    pub r#type: RecordType,
    /// The class of records asked for.
    pub class: DnsClass,
    /// Who is asked.
    pub server: NameServer,
    /// Its port, 1 to 65,535; always 53 of the host's own.
    pub port: u16,
    /// What carries the question; over UDP a truncated answer is asked for again over TCP.
    pub transport: DnsTransport,
    /// Recursion desired.
    pub rd: bool,
    /// Checking disabled (RFC 4035).
    pub cd: bool,
    /// Wish to see whether the data is authentic (RFC 6840 section 5.7).
    pub ad: bool,
    /// DNSSEC records wanted (RFC 3225).
    pub r#do: bool,
    /// Whether the question carries an OPT record (RFC 6891).
    pub edns: bool,
    /// Longest answer over UDP that is asked for, 512 to 4,096 bytes.
    pub edns_size: u32,
    /// Asks the server for its identifier (RFC 5001).
    pub nsid: bool,
    /// Further tries after one without an answer, 0 to 5.
    pub retries: u32,
    /// How long an answer is waited for in each try, 100 to 10,000 milliseconds.
    pub timeout_ms: u32,
}

/// The class of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub enum DnsClass {
    /// The Internet.
    #[default]
    #[serde(rename = "IN")]
    In,
    /// Chaos, in which servers tell about themselves (RFC 4892).
    #[serde(rename = "CH")]
    Ch,
}

impl DnsClass {
    /// The mnemonic.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "IN",
            Self::Ch => "CH",
        }
    }
}

/// What carries a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DnsTransport {
    /// Datagrams.
    #[default]
    Udp,
    /// A connection (RFC 7766).
    Tcp,
}

impl DnsSpec {
    /// A question about a name with every option at its default.
    pub const fn new(name: QueryName) -> Self {
        Self {
            name,
            r#type: RecordType::A,
            class: DnsClass::In,
            server: NameServer::System,
            port: 53,
            transport: DnsTransport::Udp,
            rd: true,
            cd: false,
            ad: false,
            r#do: false,
            edns: true,
            edns_size: 1_232,
            nsid: false,
            retries: 1,
            timeout_ms: 3_000,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let defaults = Self::new(fields.parsed("name", None)?);
        let (server, named_port) = fields.parsed("server", Some("system")).map(server::ServerText::into_parts)?;
        let port = fields.port("port", Some(named_port.unwrap_or(defaults.port)))?;
        if named_port.is_some_and(|named| named != port) {
            return Err(InvalidField::new("port", "must be the one that server names, or be left out"));
        }
        // The owner's word for the host's own name servers is for asking them, not for reaching whatever else they serve.
        if server == NameServer::System && port != defaults.port {
            return Err(InvalidField::new("port", "is for a server that is named by its address"));
        }
        let spec = Self {
            r#type: fields.parsed("type", Some("A"))?,
            class: match fields.choice("class", &["IN", "CH"], Some("IN"))?.as_str() {
                "CH" => DnsClass::Ch,
                _ => DnsClass::In,
            },
            server,
            port,
            transport: match fields.choice("transport", &["udp", "tcp"], Some("udp"))?.as_str() {
                "tcp" => DnsTransport::Tcp,
                _ => DnsTransport::Udp,
            },
            rd: fields.boolean("rd", defaults.rd)?,
            cd: fields.boolean("cd", defaults.cd)?,
            ad: fields.boolean("ad", defaults.ad)?,
            r#do: fields.boolean("do", defaults.r#do)?,
            edns: fields.boolean("edns", defaults.edns)?,
            edns_size: fields.integer("edns_size", 512..=4_096, Some(defaults.edns_size))?,
            nsid: fields.boolean("nsid", defaults.nsid)?,
            retries: fields.integer("retries", 0..=5, Some(defaults.retries))?,
            timeout_ms: fields.integer("timeout_ms", 100..=10_000, Some(defaults.timeout_ms))?,
            name: defaults.name,
        };
        spec.check_edns()?;
        Ok(spec)
    }

    /// Every try, and one more over TCP where UDP was cut.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.timeout_ms) * u64::from(self.retries + 2))
    }

    /// An answer takes well under a second, wherever there is one.
    pub(super) const fn cost() -> u32 {
        1
    }

    pub(super) const fn target(&self) -> Option<&Target> {
        match &self.server {
            NameServer::System => None,
            NameServer::At(target) => Some(target),
        }
    }

    fn check_edns(&self) -> Result<(), InvalidField> {
        for (name, asked) in [("do", self.r#do), ("nsid", self.nsid)] {
            if asked && !self.edns {
                return Err(InvalidField::new(name, "needs edns"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::spec::ProbeSpec;

    fn parse(options: &str) -> Result<ProbeSpec, crate::spec::InvalidField> {
        ProbeSpec::parse(&format!(r#"{{"probe":"dns","name":"example.test"{options}}}"#))
    }

    #[test]
    fn job_12_options_out_of_bounds_are_refused_by_name() {
        for (option, value) in [
            ("type", "\"AXFR\""),
            ("type", "\"OPT\""),
            ("type", "\"TYPE0\""),
            ("type", "\"TYPE65536\""),
            ("type", "\"NOPE\""),
            ("type", "null"),
            ("type", "1"),
            ("class", "\"HS\""),
            ("server", "\"resolver.example\""),
            ("server", "\"127.0.0.1:0\""),
            ("server", "\"127.1\""),
            ("server", "\"\""),
            ("server", "null"),
            ("port", "0"),
            ("port", "65536"),
            ("transport", "\"dot\""),
            ("rd", "1"),
            ("do", "\"yes\""),
            ("edns_size", "511"),
            ("edns_size", "4097"),
            ("retries", "6"),
            ("timeout_ms", "99"),
            ("timeout_ms", "315360000000"),
            ("target", "\"example.test\""),
        ] {
            assert_eq!(parse(&format!(r#","{option}":{value}"#)).expect_err(option).field, option, "{value}");
        }
        assert_eq!(parse(r#","edns":false,"do":true"#).unwrap_err().field, "do");
        assert_eq!(parse(r#","server":"127.0.0.1:5353","port":53"#).unwrap_err().field, "port");
        assert_eq!(parse(r#","port":8080"#).unwrap_err().field, "port");
        assert_eq!(ProbeSpec::parse(r#"{"probe":"dns"}"#).unwrap_err().field, "name");
    }

    #[test]
    fn a_spec_reads_back_as_it_was_written() {
        let spec = parse(r#","type":"aaaa","server":"[::1]:5353","do":true"#).unwrap();
        let text = serde_json::to_string(&spec).unwrap();
        insta::assert_snapshot!(text, @r#"{"probe":"dns","name":"example.test","type":"AAAA","class":"IN","server":"::1","port":5353,"transport":"udp","rd":true,"cd":false,"ad":false,"do":true,"edns":true,"edns_size":1232,"nsid":false,"retries":1,"timeout_ms":3000}"#);
        assert_eq!(ProbeSpec::parse(&text).unwrap(), spec);
        assert_eq!((spec.port(), spec.target().unwrap().to_string().as_str()), (Some(5353), "::1"));
        let system = parse("").unwrap();
        assert_eq!((system.target(), system.port(), system.cost()), (None, None, 1));
    }
}
