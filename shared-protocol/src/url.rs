//! The one parser of what an HTTP probe may fetch: an address of the web in its one plain spelling (RFC 9110 section 4.2).

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

use crate::target::{InvalidTarget, Target};

/// An `http` or `https` address: scheme, host, port, path and query. It has neither user nor fragment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    scheme: Scheme,
    host: Target,
    port: Option<u16>,
    path: String,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In the clear.
    Http,
    /// Over TLS.
    Https,
}

impl HttpUrl {
    /// Parses an address and refuses every spelling that another parser could read differently.
    ///
    /// # Errors
    /// [`InvalidUrl`] tells what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        if text.len() > URL_BYTES {
            return Err(InvalidUrl::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(InvalidUrl::Scheme)?;
        let scheme = if scheme.eq_ignore_ascii_case("http") {
            Scheme::Http
        } else if scheme.eq_ignore_ascii_case("https") {
            Scheme::Https
        } else {
            return Err(InvalidUrl::Scheme);
        };
        let authority_end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        if authority.contains('@') {
            return Err(InvalidUrl::User);
        }
        let (host, port) = split_authority(authority)?;
        Ok(Self {
            scheme,
            host,
            // The scheme's own port says nothing: both spellings are one address.
            port: port.filter(|port| *port != scheme.default_port()),
            path: read_path(path)?,
        })
    }

    /// How the server is spoken to.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host: an address, or a name that the agent resolves.
    pub const fn host(&self) -> &Target {
        &self.host
    }

    /// The port, by default that of the scheme.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(self.scheme.default_port())
    }

    /// Path and query, at least `/`.
    pub fn path_and_query(&self) -> &str {
        &self.path
    }

    /// Host and port as the `Host` header has them: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let host = match &self.host {
            Target::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Target::Address(IpAddr::V4(address)) => address.to_string(),
            Target::Name(name) => name.as_str().to_owned(),
        };
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None => host,
        }
    }

    /// Whether another address has the same scheme, host and port (RFC 6454).
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.host == other.host && self.port() == other.port()
    }
}

impl Scheme {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme.as_str(), self.authority(), self.path)
    }
}

impl Serialize for HttpUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a text is not an address of the web.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Longer than any that is accepted.
    #[error("must be at most {URL_BYTES} characters")]
    TooLong,
    /// Neither `http` nor `https`.
    #[error("must begin with http:// or https://")]
    Scheme,
    /// A user name or password.
    #[error("must not hold a user name or a password")]
    User,
    /// The host is none.
    #[error("host: {0}")]
    Host(#[from] InvalidTarget),
    /// The port is none.
    #[error("port: must be an integer from 1 to 65535")]
    Port,
    /// A fragment, which is never sent.
    #[error("must not hold a fragment ('#'): it is never sent to a server")]
    Fragment,
    /// A character that has to be percent-encoded.
    #[error("path and query: must be visible ASCII without spaces, quotes and backslashes; percent-encode everything else")]
    Character,
}

fn split_authority(authority: &str) -> Result<(Target, Option<u16>), InvalidUrl> {
    let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
        let (address, port) = bracketed.split_once(']').ok_or(InvalidTarget::Address6)?;
        let host = Target::parse(address)?;
        if !matches!(host, Target::Address(IpAddr::V6(_))) {
            return Err(InvalidTarget::Address6.into());
        }
        let port = if port.is_empty() {
            None
        } else {
            Some(port.strip_prefix(':').ok_or(InvalidUrl::Port)?)
        };
        (host, port)
    } else {
        let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
        (Target::parse(host)?, port)
    };
    let digits = |port: &str| {
        let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
        plain.then(|| port.parse::<u16>().ok()).flatten().ok_or(InvalidUrl::Port)
    };
    Ok((host, port.map(digits).transpose()?))
}

fn read_path(path: &str) -> Result<String, InvalidUrl> {
    if path.contains('#') {
        return Err(InvalidUrl::Fragment);
    }
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`');
    if !path.bytes().all(plain) {
        return Err(InvalidUrl::Character);
    }
    // An empty path is `/` (RFC 9110 section 4.2.3).
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

/// Longest address accepted, bytes.
pub const URL_BYTES: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_in_one_way() {
        for (text, shown, port) in [
            ("http://127.0.0.1", "http://127.0.0.1/", 80),
            ("HTTPS://Example.TEST:443/a?b=c&d[]=%20", "https://example.test/a?b=c&d[]=%20", 443),
            ("https://example.test:8443?q", "https://example.test:8443/?q", 8443),
            ("http://[::1]:8080/x", "http://[::1]:8080/x", 8080),
            ("http://[2001:DB8::1]/{x}|~", "http://[2001:db8::1]/{x}|~", 80),
        ] {
            let url = HttpUrl::parse(text).unwrap();
            assert_eq!((url.to_string().as_str(), url.port()), (shown, port));
            assert_eq!(HttpUrl::parse(shown).unwrap().to_string(), shown);
        }
    }

    #[test]
    fn job_05_other_schemes_and_job_07_other_spellings_are_refused() {
        for (text, why) in [
            ("", InvalidUrl::Scheme),
            ("file:///etc/passwd", InvalidUrl::Scheme),
            ("gopher://127.0.0.1/", InvalidUrl::Scheme),
            ("//127.0.0.1/", InvalidUrl::Scheme),
            ("http:/127.0.0.1/", InvalidUrl::Scheme),
            (" http://127.0.0.1/", InvalidUrl::Scheme),
            ("http://", InvalidUrl::Host(InvalidTarget::Empty)),
            ("http:///x", InvalidUrl::Host(InvalidTarget::Empty)),
            ("http://user@127.0.0.1/", InvalidUrl::User),
            ("http://user:x@127.0.0.1/", InvalidUrl::User),
            ("http://127.0.0.1\\@example.test/", InvalidUrl::Character),
            ("http://0x7f.1/", InvalidUrl::Host(InvalidTarget::Address4)),
            ("http://2130706433/", InvalidUrl::Host(InvalidTarget::Address4)),
            ("http://[fe80::1%eth0]/", InvalidUrl::Host(InvalidTarget::Address6)),
            ("http://[127.0.0.1]/", InvalidUrl::Host(InvalidTarget::Address6)),
            ("http://[::1/", InvalidUrl::Host(InvalidTarget::Address6)),
            ("http://[::1]x/", InvalidUrl::Port),
            ("http://::1/", InvalidUrl::Host(InvalidTarget::Empty)),
            ("http://a b/", InvalidUrl::Host(InvalidTarget::Character)),
            ("http://b\u{fc}cher.test/", InvalidUrl::Host(InvalidTarget::Character)),
            ("http://example.test:/", InvalidUrl::Port),
            ("http://example.test:0/", InvalidUrl::Port),
            ("http://example.test:080/", InvalidUrl::Port),
            ("http://example.test:65536/", InvalidUrl::Port),
            ("http://example.test:+80/", InvalidUrl::Port),
            ("http://example.test/#x", InvalidUrl::Fragment),
            ("http://example.test#x", InvalidUrl::Fragment),
            ("http://example.test/a b", InvalidUrl::Character),
            ("http://example.test/\r\nx", InvalidUrl::Character),
            ("http://example.test/\u{e4}", InvalidUrl::Character),
            ("http://example.test/\0", InvalidUrl::Character),
        ] {
            assert_eq!(HttpUrl::parse(text), Err(why), "{text:?}");
        }
        let long = format!("http://example.test/{}", "a".repeat(URL_BYTES));
        assert_eq!(HttpUrl::parse(&long), Err(InvalidUrl::TooLong));
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let url = |text| HttpUrl::parse(text).unwrap();
        assert!(url("http://a.test/x").is_same_origin(&url("http://A.test:80/y")));
        for other in ["https://a.test/", "http://a.test:81/", "http://b.test/"] {
            assert!(!url("http://a.test/").is_same_origin(&url(other)), "{other}");
        }
    }

    #[test]
    fn the_port_of_the_scheme_makes_no_other_address() {
        assert_eq!(HttpUrl::parse("https://example.test:443/"), HttpUrl::parse("https://example.test/"));
        assert_ne!(HttpUrl::parse("https://example.test:80/"), HttpUrl::parse("https://example.test/"));
    }
}
