//! Values out of the schemas of the OpenAPI document, and what a careless or hostile caller makes of them.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// Draws values; the same seed draws the same.
pub(super) struct Maker<'a> {
    document: &'a Value,
    random: StdRng,
}

impl<'a> Maker<'a> {
    pub(super) fn new(document: &'a Value, seed: u64) -> Self {
        Self {
            document,
            random: StdRng::seed_from_u64(seed),
        }
    }

    /// Whether something happens that happens once in so many times.
    pub(super) fn once_in(&mut self, times: u32) -> bool {
        self.random.random_range(0..times) == 0
    }

    pub(super) fn one_of<'b, T>(&mut self, all: &'b [T]) -> &'b T {
        &all[self.random.random_range(0..all.len())]
    }

    /// A value that the schema describes, as far as it says.
    pub(super) fn value(&mut self, schema: &Value, depth: u32) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let meant = self.document.pointer(&reference[1..]).unwrap();
            return self.value(meant, depth);
        }
        if let Some(example) = schema.get("example")
            && self.once_in(2)
        {
            return example.clone();
        }
        if let Some(all) = schema["enum"].as_array() {
            return self.one_of(all).clone();
        }
        if let Some(all) = schema["oneOf"].as_array() {
            let one = self.one_of(all).clone();
            return self.value(&one, depth);
        }
        if let Some(parts) = schema["allOf"].as_array() {
            return parts.iter().fold(json!({}), |whole, part| joined(whole, self.value(part, depth)));
        }
        let kind = if let Some(kinds) = schema["type"].as_array() {
            self.one_of(kinds).as_str().unwrap_or("null").to_owned()
        } else {
            schema["type"].as_str().unwrap_or("object").to_owned()
        };
        match kind.as_str() {
            "null" => Value::Null,
            "boolean" => json!(self.once_in(2)),
            "integer" => self.number(schema),
            "number" => json!(self.random.random_range(-1.0..100.0)),
            "string" => Value::String(self.text(schema)),
            "array" => {
                let most = if depth > DEPTH { 0 } else { 3 };
                let least = schema["minItems"].as_u64().unwrap_or(0);
                let count = least.max(self.random.random_range(0..=most));
                (0..count).map(|_| self.value(&schema["items"], depth + 1)).collect()
            }
            _ => self.object(schema, depth),
        }
    }

    /// An id, or what somebody takes for one.
    pub(super) fn id(&mut self, owned: &str) -> String {
        match self.random.random_range(0..10) {
            0 => self.uuid(),
            1 => self.hostile_text(),
            2 => owned.to_uppercase(),
            _ => owned.to_owned(),
        }
    }

    /// Changes a value somewhere inside.
    pub(super) fn bend(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) if !members.is_empty() && !self.once_in(6) => {
                let names: Vec<String> = members.keys().cloned().collect();
                let name = self.one_of(&names).clone();
                if self.once_in(6) {
                    members.remove(&name);
                } else if self.once_in(10) {
                    members.insert("unheard_of".to_owned(), json!(1));
                } else if let Some(member) = members.get_mut(&name) {
                    self.bend(member);
                }
            }
            Value::Array(items) if !items.is_empty() && !self.once_in(6) => {
                let place = self.random.random_range(0..items.len());
                if self.once_in(6) {
                    items.push(items[place].clone());
                } else {
                    self.bend(&mut items[place]);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => *value = self.hostile(),
        }
    }

    /// A text that a reader may stumble over.
    pub(super) fn hostile_text(&mut self) -> String {
        match self.random.random_range(0..12) {
            0 => String::new(),
            1 => "x".repeat(self.random.random_range(200..9_000)),
            2 => "\0".to_owned(),
            3 => "a\u{202e}b\u{0301}\u{feff}".to_owned(),
            4 => "../../etc/passwd".to_owned(),
            5 => "' OR 1=1 --".to_owned(),
            6 => "%00%2f%zz".to_owned(),
            7 => "9223372036854775808".to_owned(),
            8 => "-1".to_owned(),
            9 => "2026-02-30T25:61:61Z".to_owned(),
            10 => "{\"a\":[}".to_owned(),
            _ => "\u{10ffff}\r\nSet-Cookie: a=b".to_owned(),
        }
    }

    fn hostile(&mut self) -> Value {
        match self.random.random_range(0..12) {
            0 => Value::Null,
            1 => json!(-1),
            2 => json!(i64::MIN),
            3 => json!(u64::MAX),
            4 => json!(1.5e308),
            5 => json!([]),
            6 => json!({}),
            7 => json!(true),
            8 => (0..self.random.random_range(1..40)).fold(json!(1), |inner, _| json!([inner])),
            9 => (0..self.random.random_range(1..2_000)).map(|number| json!(number)).collect(),
            _ => Value::String(self.hostile_text()),
        }
    }

    fn uuid(&mut self) -> String {
        Uuid::from_bytes(self.random.random()).to_string()
    }

    fn number(&mut self, schema: &Value) -> Value {
        let (least, most) = (schema["minimum"].as_i64().unwrap_or(0), schema["maximum"].as_i64().unwrap_or(1 << 40));
        match self.random.random_range(0..4) {
            0 => json!(least),
            1 => json!(most),
            _ => json!(self.random.random_range(least..=most)),
        }
    }

    fn text(&mut self, schema: &Value) -> String {
        match schema["format"].as_str() {
            Some("uuid") => self.uuid(),
            Some("date-time") => (*self.one_of(&["2026-11-27T00:00:00Z", "1970-01-01T00:00:00.000001Z", "2999-12-31T23:59:59+14:00"])).to_owned(),
            _ => {
                let most = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(40);
                let mut text = (*self.one_of(&WORDS)).to_owned();
                if self.once_in(20) {
                    text = "a".repeat(most);
                }
                text
            }
        }
    }

    fn object(&mut self, schema: &Value, depth: u32) -> Value {
        let mut members = Map::new();
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            if required.contains(&name.as_str()) || (depth < DEPTH && self.once_in(3)) {
                members.insert(name.clone(), self.value(of, depth + 1));
            }
        }
        if schema["additionalProperties"].is_object() {
            for _ in 0..self.random.random_range(0..3) {
                let name = (*self.one_of(&WORDS)).to_owned();
                members.insert(name, self.value(&schema["additionalProperties"], depth + 1));
            }
        }
        Value::Object(members)
    }
}

fn joined(whole: Value, part: Value) -> Value {
    match (whole, part) {
        (Value::Object(mut whole), Value::Object(part)) => {
            whole.extend(part);
            Value::Object(whole)
        }
        (_, part) => part,
    }
}

/// How deep optional members are drawn.
const DEPTH: u32 = 4;
/// What texts are made of where the schema says no more.
const WORDS: [&str; 12] = [
    "a",
    "lab",
    "127.0.0.1",
    "::1",
    "a.example",
    "http://127.0.0.1/",
    "drops",
    "ping.loss",
    "free",
    "30s",
    "2026-11-27T00:00:00Z",
    "1-9",
];
