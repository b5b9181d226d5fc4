//! Methods of a request (RFC 9110 section 9).

use serde::{Deserialize, Serialize};

use crate::spec::fields::{Fields, InvalidField};

/// The method of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// Fetch.
    #[default]
    Get,
    /// Fetch without the body.
    Head,
    /// Ask what can be done.
    Options,
    /// Hand in.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Remove.
    Delete,
}

impl HttpMethod {
    /// All methods.
    pub const ALL: [Self; 7] = [Self::Get, Self::Head, Self::Options, Self::Post, Self::Put, Self::Patch, Self::Delete];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it may change something at the server, and may carry a body.
    pub const fn changes_things(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options => false,
            Self::Post | Self::Put | Self::Patch | Self::Delete => true,
        }
    }

    pub(super) fn read(fields: &mut Fields) -> Result<Self, InvalidField> {
        let name = fields.choice("method", &Self::ALL.map(Self::as_str), Some("GET"))?;
        let method = Self::ALL.into_iter().find(|method| method.as_str() == name);
        method.ok_or_else(|| InvalidField::new("method", "is not known"))
    }
}
