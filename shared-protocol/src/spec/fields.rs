//! Takes the options out of a JSON object one by one, so that every refusal names the field and says what would be accepted.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::{Map, Value};

use super::AddressFamily;
use crate::target::Target;

/// A field that is not acceptable, and what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct InvalidField {
    /// The field's name; empty where the whole document is meant.
    pub field: String,
    /// What would be accepted.
    pub message: String,
}

impl InvalidField {
    /// Says what is wrong with a field.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
        }
    }
}

pub(super) struct Fields {
    members: Map<String, Value>,
}

impl Fields {
    pub(super) fn new(value: Value) -> Result<Self, InvalidField> {
        if let Value::Object(members) = value {
            Ok(Self { members })
        } else {
            Err(InvalidField::new("", "must be an object"))
        }
    }

    pub(super) fn target(&mut self, name: &str) -> Result<Target, InvalidField> {
        let text = self.text(name)?.ok_or_else(|| InvalidField::new(name, "is required"))?;
        Target::parse(&text).map_err(|error| InvalidField::new(name, error.to_string()))
    }

    /// An integer within bounds; without a default the field is required.
    pub(super) fn integer(&mut self, name: &str, bounds: RangeInclusive<u32>, default: Option<u32>) -> Result<u32, InvalidField> {
        let Some(value) = self.members.remove(name) else {
            return default.ok_or_else(|| InvalidField::new(name, "is required"));
        };
        value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| bounds.contains(number))
            .ok_or_else(|| InvalidField::new(name, format!("must be an integer from {} to {}", bounds.start(), bounds.end())))
    }

    /// A number within bounds, where one is given.
    pub(super) fn optional_integer(&mut self, name: &str, bounds: RangeInclusive<u32>) -> Result<Option<u32>, InvalidField> {
        if self.members.contains_key(name) {
            self.integer(name, bounds, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A text that a type reads; without a default the field is required.
    pub(super) fn parsed<T>(&mut self, name: &str, default: Option<&str>) -> Result<T, InvalidField>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let text = match (self.members.contains_key(name), default) {
            (false, Some(default)) => Some(default.to_owned()),
            (true, _) | (false, None) => self.text(name)?,
        };
        let text = text.ok_or_else(|| InvalidField::new(name, "is required"))?;
        text.parse().map_err(|error: T::Err| InvalidField::new(name, error.to_string()))
    }

    /// A text that a type reads, where one is given.
    pub(super) fn optional<T>(&mut self, name: &str) -> Result<Option<T>, InvalidField>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        if self.members.contains_key(name) {
            self.parsed(name, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// A port that something can listen on; without a default the field is required.
    pub(super) fn port(&mut self, name: &str, default: Option<u16>) -> Result<u16, InvalidField> {
        let port = self.integer(name, 1..=u32::from(u16::MAX), default.map(u32::from))?;
        u16::try_from(port).map_err(|_| InvalidField::new(name, "must be an integer from 1 to 65535"))
    }

    /// A port that something can listen on, where one is given.
    pub(super) fn optional_port(&mut self, name: &str) -> Result<Option<u16>, InvalidField> {
        if self.members.contains_key(name) {
            self.port(name, None).map(Some)
        } else {
            Ok(None)
        }
    }

    /// An address in plain spelling, where one is given.
    pub(super) fn optional_address(&mut self, name: &str) -> Result<Option<IpAddr>, InvalidField> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let address = text.parse().map_err(|_| InvalidField::new(name, "must be an IP address"))?;
        Ok(Some(address))
    }

    /// Which addresses of a name may be used.
    pub(super) fn family(&mut self, name: &str) -> Result<AddressFamily, InvalidField> {
        Ok(match self.choice(name, &["auto", "4", "6"], Some("auto"))?.as_str() {
            "4" => AddressFamily::V4,
            "6" => AddressFamily::V6,
            _ => AddressFamily::Auto,
        })
    }

    pub(super) fn boolean(&mut self, name: &str, default: bool) -> Result<bool, InvalidField> {
        match self.members.remove(name) {
            None => Ok(default),
            Some(Value::Bool(value)) => Ok(value),
            Some(_) => Err(InvalidField::new(name, "must be true or false")),
        }
    }

    /// One of the texts given; without a default the field is required.
    pub(super) fn choice(&mut self, name: &str, choices: &[&str], default: Option<&str>) -> Result<String, InvalidField> {
        let refusal = || InvalidField::new(name, format!("must be one of {}", choices.join(", ")));
        let present = self.members.contains_key(name);
        let text = self.text(name).map_err(|_| refusal())?;
        match (text, default) {
            (Some(text), _) if choices.contains(&text.as_str()) => Ok(text),
            (None, Some(default)) if !present => Ok(default.to_owned()),
            (None, None) => Err(InvalidField::new(name, "is required")),
            _ => Err(refusal()),
        }
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<(), InvalidField> {
        match self.members.keys().next() {
            None => Ok(()),
            Some(name) => Err(InvalidField::new(&name.chars().take(NAME_SHOWN).collect::<String>(), "is not known")),
        }
    }

    pub(super) fn required_text(&mut self, name: &str) -> Result<String, InvalidField> {
        self.text(name)?.ok_or_else(|| InvalidField::new(name, "is required"))
    }

    /// A text of at most so many bytes.
    pub(super) fn optional_text(&mut self, name: &str, bytes: usize) -> Result<Option<String>, InvalidField> {
        match self.text(name)? {
            Some(text) if text.len() > bytes => Err(InvalidField::new(name, format!("must be at most {bytes} bytes"))),
            text => Ok(text),
        }
    }

    /// A member as it came, for options of a shape of their own.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.members.remove(name)
    }

    fn text(&mut self, name: &str) -> Result<Option<String>, InvalidField> {
        match self.members.remove(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidField::new(name, "must be a string")),
        }
    }
}

/// How much of an unknown field's name is repeated to whoever sent it, characters.
const NAME_SHOWN: usize = 64;
