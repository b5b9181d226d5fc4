//! A map's entries as JSON: how many there are, and those with most to tell.

use std::cmp::Reverse;

use ebpf_package::{Shape, decode, sum};
use serde_json::Value;
use shared_protocol::report::{CustomRow, CustomRows};

use super::load::CustomError;
use super::raw_map::{Entry, RawMap};

/// A map that is told.
pub(super) struct Rows {
    map: RawMap,
    key: Shape,
    value: Shape,
    order_by: Option<String>,
}

impl Rows {
    pub(super) fn new(map: RawMap, (key, value): (Shape, Shape), order_by: Option<String>) -> Self {
        Self { map, key, value, order_by }
    }

    pub(super) fn is_empty(&self) -> Result<bool, CustomError> {
        self.map.is_empty()
    }

    /// The first rows, as many as are wanted and as there is room for, in bytes.
    pub(super) fn told(&self, top: usize, room: &mut usize) -> Result<CustomRows, CustomError> {
        let mut entries = 0;
        let mut first: Vec<(Reverse<i128>, Vec<u8>, Value)> = Vec::new();
        self.map.each(|entry| {
            entries += 1;
            let value = self.value(&entry);
            first.push((Reverse(self.rank(&value)), entry.key, value));
            if first.len() >= KEPT.max(2 * top) {
                sort(&mut first);
                first.truncate(top);
            }
        })?;
        sort(&mut first);
        let mut rows = Vec::new();
        for (_, key, value) in first.into_iter().take(top) {
            let row = CustomRow {
                key: decode(&self.key, &key),
                value,
            };
            let Some(left) = room.checked_sub(length(&row.key) + length(&row.value)) else {
                break;
            };
            *room = left;
            rows.push(row);
        }
        Ok(CustomRows {
            map: self.map.name().to_owned(),
            entries,
            rows,
        })
    }

    fn value(&self, entry: &Entry) -> Value {
        let mut each: Vec<Value> = entry.values.iter().map(|value| decode(&self.value, value)).collect();
        match each.len() {
            1 => each.pop().unwrap_or_default(),
            _ if self.value.adds_up() => sum(&each),
            _ => Value::Array(each),
        }
    }

    /// By what rows are chosen: the number that the package names, or the first one.
    fn rank(&self, value: &Value) -> i128 {
        let number = |value: &Value| value.as_u64().map(i128::from).or_else(|| value.as_i64().map(i128::from));
        let of = match (&self.order_by, value) {
            (Some(name), Value::Object(fields)) => fields.get(name).and_then(number),
            (None, Value::Object(fields)) => fields.values().find_map(number),
            (_, value) => number(value),
        };
        of.unwrap_or_default()
    }
}

fn sort(rows: &mut [(Reverse<i128>, Vec<u8>, Value)]) {
    rows.sort_by(|(one, one_key, _), (other, other_key, _)| (one, one_key).cmp(&(other, other_key)));
}

/// Bytes as JSON, with what stands between values.
pub(super) fn length(value: &Value) -> usize {
    serde_json::to_string(value).map_or(0, |text| text.len()) + BETWEEN
}

/// Rows that are kept before the last are forgotten.
const KEPT: usize = 512;
/// Names, commas and brackets around a value.
const BETWEEN: usize = 16;
