//! The same bounds, held against a text of which nothing is made: what a frame is read into is its own type, straight from the text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};

use super::InvalidJson;
use crate::limits::{JSON_DEPTH, JSON_ELEMENTS, JSON_STRING_BYTES};

/// Looks whether a text is one JSON document within the bounds; arrays may have so many elements.
pub(super) fn check_within(text: &str, elements: usize) -> Result<(), InvalidJson> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let checked = Checked { depth: JSON_DEPTH, elements };
    checked.deserialize(&mut deserializer).map_err(|error| InvalidJson(error.to_string()))?;
    deserializer.end().map_err(|error| InvalidJson(error.to_string()))
}

#[derive(Clone, Copy)]
struct Checked {
    depth: usize,
    elements: usize,
}

impl Checked {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deep"))?;
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Checked {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        if value.is_finite() { Ok(()) } else { Err(E::custom("number out of range")) }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        if value.len() > JSON_STRING_BYTES {
            return Err(E::custom("string too long"));
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut count = 0;
        while sequence.next_element_seed(inner)?.is_some() {
            if count == self.elements {
                return Err(A::Error::custom("array too long"));
            }
            count += 1;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = Names::default();
        let mut count = 0;
        while let Some(name) = map.next_key_seed(Name)? {
            if count == self.elements.min(JSON_ELEMENTS) || name.len() > JSON_STRING_BYTES {
                return Err(A::Error::custom("object too large"));
            }
            if !names.add(name) {
                return Err(A::Error::custom("a member is named twice"));
            }
            map.next_value_seed(inner)?;
            count += 1;
        }
        Ok(())
    }
}

/// The names of an object's members so far; those of most objects are few, and looked through one by one.
#[derive(Default)]
struct Names<'de> {
    few: Vec<Cow<'de, str>>,
    more: BTreeSet<Cow<'de, str>>,
}

impl<'de> Names<'de> {
    /// Whether it was not there yet.
    fn add(&mut self, name: Cow<'de, str>) -> bool {
        if self.few.contains(&name) {
            return false;
        }
        if self.few.len() < FEW {
            self.few.push(name);
            return true;
        }
        self.more.insert(name)
    }
}

/// A member's name, where it can be as it stands in the text.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// More names than these are kept in order.
const FEW: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strict_json::parse_within;

    #[test]
    fn what_is_looked_at_is_refused_as_what_is_parsed_is() {
        let many = |count: usize| (0..count).map(|n| format!("\"m{n}\":{n}")).collect::<Vec<_>>().join(",");
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let texts = [
            nested(JSON_DEPTH),
            nested(JSON_DEPTH + 1),
            format!("{{{}}}", many(100)),
            format!("{{{},\"m7\":0}}", many(100)),
            format!("{{{},\"m70\":0}}", many(100)),
            format!("{{{}}}", many(JSON_ELEMENTS + 1)),
            format!("[{}1]", "1,".repeat(10)),
            format!("[{}1]", "1,".repeat(9)),
            r#"{"a":1,"\u0061":2}"#.to_owned(),
            r#"{"a\n":1,"a":[1,-2,0.5,true,null,"x"]}"#.to_owned(),
            format!("\"{}\"", "a".repeat(JSON_STRING_BYTES + 1)),
            format!("{{\"{}\":1}}", "a".repeat(JSON_STRING_BYTES + 1)),
            "1e400".to_owned(),
            "{} {}".to_owned(),
            "{\"a\":1".to_owned(),
            r#""\ud800""#.to_owned(),
        ];
        for text in texts {
            for elements in [10, JSON_ELEMENTS] {
                let parsed = parse_within(&text, elements).map(drop);
                assert_eq!(check_within(&text, elements), parsed, "{}", text.get(..60).unwrap_or(&text));
            }
        }
    }
}
