//! Schemas in the reference: their members with type, bounds and meaning.

use std::fmt::Write as _;

use serde_json::Value;

use super::html::{escaped, inline, prose};

/// Everything about one schema.
pub(super) fn described(schema: &Value) -> String {
    let mut written = prose(schema.get("description").and_then(Value::as_str).unwrap_or_default());
    written.push_str(&members(schema));
    for part in list(schema, "allOf").iter().chain(list(schema, "oneOf")) {
        if let Some(name) = referred(part) {
            let _ = write!(written, "<p>{}</p>", link(name));
        } else {
            let _ = write!(written, "<div class=\"part\">{}</div>", described(part));
        }
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let _ = write!(written, "<p>One of {}.</p>", one_of(values));
    }
    if written.is_empty() { format!("<p>{}</p>", kind(schema)) } else { written }
}

/// The type in a few words, with its bounds.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(name) = referred(schema) {
        return link(name);
    }
    let parts = [list(schema, "allOf"), list(schema, "oneOf"), list(schema, "anyOf")].concat();
    if !parts.is_empty() {
        return parts.iter().map(kind).collect::<Vec<_>>().join(" or ");
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => vec!["any"],
    };
    let mut written = types.join(" or ");
    if types.contains(&"array") {
        let _ = write!(written, " of {}", schema.get("items").map(kind).unwrap_or_default());
    }
    if let Some(inner) = schema.get("additionalProperties").filter(|inner| inner.is_object()) {
        let _ = write!(written, " of {}", kind(inner));
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str).filter(|format| format.contains("date")) {
        let _ = write!(written, ", {}", escaped(format));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let _ = write!(written, ": {}", one_of(values));
    }
    written.push_str(&bounds(schema));
    written
}

fn members(schema: &Value) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return String::new();
    };
    let required: Vec<&str> = list(schema, "required").iter().filter_map(Value::as_str).collect();
    let mut written = String::from("<div class=\"wide\"><table><thead><tr><th>Member</th><th>Type</th><th>Meaning</th></tr></thead><tbody>");
    for (name, member) in properties {
        let must = if required.contains(&name.as_str()) {
            " <span class=\"must\">required</span>"
        } else {
            ""
        };
        let meaning = inline(member.get("description").and_then(Value::as_str).unwrap_or_default());
        let _ = write!(
            written,
            "<tr><td><code>{}</code>{must}</td><td>{}</td><td>{meaning}</td></tr>",
            escaped(name),
            kind(member)
        );
    }
    written.push_str("</tbody></table></div>");
    written
}

fn bounds(schema: &Value) -> String {
    let number = |name: &str| schema.get(name).map(|value| escaped(&value.to_string()));
    let mut written = String::new();
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => {
            let _ = write!(written, ", {least} to {most}");
        }
        (Some(least), None) => {
            let _ = write!(written, ", at least {least}");
        }
        (None, Some(most)) => {
            let _ = write!(written, ", at most {most}");
        }
        (None, None) => {}
    }
    if let Some(default) = number("default") {
        let _ = write!(written, ", default {default}");
    }
    written
}

fn one_of(values: &[Value]) -> String {
    values
        .iter()
        .map(|value| format!("<code>{}</code>", escaped(value.as_str().unwrap_or_default())))
        .collect::<Vec<_>>()
        .join(", ")
}

fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

fn link(name: &str) -> String {
    format!("<a href=\"#schema-{0}\">{0}</a>", escaped(name))
}

fn list<'a>(schema: &'a Value, name: &str) -> &'a [Value] {
    schema.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}
