//! What a package saw as rows: entries of its maps, and its events.

use serde_json::Value;
use shared_protocol::report::CustomSeen;

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for CustomSeen {
    fn summary(&self) -> String {
        let maps = self.maps.iter().map(|map| format!("{}: {} entries", map.map, map.entries));
        let events = self.events.iter().map(|ring| match ring.malformed {
            0 => format!("{}: {} events", ring.map, ring.seen),
            malformed => format!("{}: {} events, {malformed} of them of another size than the package says", ring.map, ring.seen),
        });
        let all: Vec<String> = maps.chain(events).collect();
        let digest = self.sha256.to_string();
        format!(
            "{} {} ({}): {}",
            self.package,
            self.version,
            digest.get(..12).unwrap_or_default(),
            all.join("; ")
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![
            ("entries", self.maps.iter().map(|map| map.entries).sum::<u64>().into()),
            ("events", self.events.iter().map(|ring| ring.seen).sum::<u64>().into()),
        ]
    }

    fn details(&self) -> Details {
        rows(self, &Value::to_string)
    }

    fn table(&self) -> Details {
        rows(self, &plain)
    }
}

/// The columns: a map's name, then what the package says; an event has no key.
const COLUMNS: &[&str] = &["map", "key", "value"];

/// A value as people write it: no quotes and brackets around what needs none.
fn plain(value: &Value) -> String {
    let Value::Object(fields) = value else { return within(value) };
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", within(value)));
    fields.collect::<Vec<_>>().join(" ")
}

fn within(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(each) => format!("[{}]", each.iter().map(within).collect::<Vec<_>>().join(" ")),
        Value::Object(_) => format!("({})", plain(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

fn rows(seen: &CustomSeen, text: &dyn Fn(&Value) -> String) -> Details {
    let entries = seen.maps.iter().flat_map(|map| {
        let row = |row: &shared_protocol::report::CustomRow| vec![map.map.as_str().into(), text(&row.key).into(), text(&row.value).into()];
        map.rows.iter().map(row).collect::<Vec<_>>()
    });
    let events = seen.events.iter().flat_map(|ring| {
        let row = |event: &Value| vec![ring.map.as_str().into(), Cell::Absent, text(event).into()];
        ring.events.iter().map(row).collect::<Vec<_>>()
    });
    Details {
        columns: COLUMNS,
        rows: entries.chain(events).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_package_says_is_read_as_people_write_and_kept_as_it_is_for_programs() {
        let seen: CustomSeen = serde_json::from_value(json!({
            "package": "mine", "version": "1.0", "sha256": "0f".repeat(32),
            "maps": [{"map": "opens", "entries": 7, "rows": [{"key": {"pid": 1, "command": "a b"}, "value": {"count": 3, "slots": [1, 2]}}]}],
            "events": [{"map": "changes", "seen": 2, "events": [{"from": "CLOSED", "inner": {"yes": true}}]}],
        }))
        .unwrap();
        assert_eq!(seen.summary(), "mine 1.0 (0f0f0f0f0f0f): opens: 7 entries; changes: 2 events");
        let shown = |details: Details| -> Vec<String> { details.rows.iter().flatten().map(Cell::shown).collect() };
        assert_eq!(
            shown(seen.table()),
            [
                "opens",
                "pid=1 command=a b",
                "count=3 slots=[1 2]",
                "changes",
                "-",
                "from=CLOSED inner=(yes=true)"
            ]
        );
        assert_eq!(
            shown(seen.details()),
            [
                "opens",
                r#"{"pid":1,"command":"a b"}"#,
                r#"{"count":3,"slots":[1,2]}"#,
                "changes",
                "-",
                r#"{"from":"CLOSED","inner":{"yes":true}}"#
            ]
        );
    }
}
