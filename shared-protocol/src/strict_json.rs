//! Reads JSON from strangers: bounded in depth, string length and element count, and a member named twice is an error.
//!
//! Used by the codec of the wire and by the HTTP API's bodies, so that both refuse the same things.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::limits::{JSON_DEPTH, JSON_ELEMENTS, JSON_STRING_BYTES, REPORT_ELEMENTS};

mod check;

/// Parses one JSON document within the bounds of [`crate::limits`].
///
/// # Errors
/// [`InvalidJson`] with the place and the reason.
pub fn parse(text: &str) -> Result<Value, InvalidJson> {
    parse_within(text, JSON_ELEMENTS)
}

/// Looks whether a text would be parsed, and makes nothing of it.
pub(crate) fn check(text: &str) -> Result<(), InvalidJson> {
    check::check_within(text, JSON_ELEMENTS)
}

/// Looks at a report: like [`check`], but for the columns of sweeps, which are longer than anything else.
pub(crate) fn check_report(text: &str) -> Result<(), InvalidJson> {
    check::check_within(text, REPORT_ELEMENTS)
}

fn parse_within(text: &str, elements: usize) -> Result<Value, InvalidJson> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let bounded = Bounded { depth: JSON_DEPTH, elements };
    let value = bounded.deserialize(&mut deserializer).map_err(|error| InvalidJson(error.to_string()))?;
    deserializer.end().map_err(|error| InvalidJson(error.to_string()))?;
    Ok(value)
}

/// The text is not JSON within the bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not acceptable JSON: {0}")]
pub struct InvalidJson(String);

#[derive(Clone, Copy)]
struct Bounded {
    depth: usize,
    elements: usize,
}

impl Bounded {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Bounded {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Value, E> {
        if value.len() > JSON_STRING_BYTES {
            return Err(E::custom("string too long"));
        }
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut elements = Vec::new();
        while let Some(element) = sequence.next_element_seed(inner)? {
            if elements.len() == self.elements {
                return Err(A::Error::custom("array too long"));
            }
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.len() == self.elements.min(JSON_ELEMENTS) || name.len() > JSON_STRING_BYTES {
                return Err(A::Error::custom("object too large"));
            }
            if members.contains_key(&name) {
                return Err(A::Error::custom("a member is named twice"));
            }
            let value = map.next_value_seed(inner)?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frm_08_hostile_json_is_refused_without_harm() {
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        let long = format!("\"{}\"", "a".repeat(JSON_STRING_BYTES + 1));
        let wide = format!("[{}1]", "1,".repeat(JSON_ELEMENTS));
        for bad in [
            deep.as_str(),
            &long,
            &wide,
            "1e400",
            "NaN",
            r#"{"a":1,"a":2}"#,
            r#""\ud800""#,
            "\u{feff}{}",
            "{} {}",
            "",
            "{\"a\":1",
            "{'a':1}",
        ] {
            assert!(parse(bad).is_err(), "{}", bad.get(..40).unwrap_or(bad));
        }
    }

    #[test]
    fn what_is_within_the_bounds_is_read_as_it_stands() {
        let nested = format!("{}1{}", "[".repeat(JSON_DEPTH), "]".repeat(JSON_DEPTH));
        assert!(parse(&nested).is_ok());
        assert!(parse(&format!("[{nested}]")).is_err());
        assert_eq!(
            parse(r#"{"a":[1,-2,0.5,true,null,"x"]}"#).unwrap().to_string(),
            r#"{"a":[1,-2,0.5,true,null,"x"]}"#
        );
    }
}
