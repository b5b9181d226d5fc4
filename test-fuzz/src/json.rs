//! Changes within a text of JSON that leave it one: a value becomes another, a member goes or comes, so that a reader gets past its parser.

use serde_json::{Map, Value};

/// Changes a few values of a text, by numbers drawn below the bounds that are given; nothing where it is no JSON.
pub(crate) fn change(text: &[u8], other: &[u8], mut draw: impl FnMut(usize) -> usize) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(text).ok()?;
    // Mostly one, so that most of it still means what it meant.
    let changes = 1 + draw(2) * draw(3);
    for _ in 0..changes {
        let donor = if draw(2) == 0 { donated(other, &mut draw) } else { None };
        let place = draw(count(&document));
        change_value(nth_mut(&mut document, &mut { place })?, donor, &mut draw);
    }
    serde_json::to_vec(&document).ok()
}

/// A value of another text.
fn donated(other: &[u8], draw: &mut impl FnMut(usize) -> usize) -> Option<Value> {
    let other: Value = serde_json::from_slice(other).ok()?;
    nth(&other, &mut draw(count(&other))).cloned()
}

fn change_value(value: &mut Value, donor: Option<Value>, draw: &mut impl FnMut(usize) -> usize) {
    // Seldom something of another kind, which most readers refuse at once.
    match (draw(12), donor) {
        (0, Some(donor)) => *value = donor,
        (1, _) => *value = Value::Null,
        (2, _) => *value = Value::Array(vec![value.take()]),
        (_, donor) => match value {
            Value::Null => *value = donor.unwrap_or(Value::Bool(true)),
            Value::Bool(truth) => *truth = !*truth,
            Value::Number(number) => {
                let near = number.as_i64().and_then(|whole| whole.checked_add(NEAR.get(draw(NEAR.len())).copied()?));
                let bound = BOUNDS.get(draw(BOUNDS.len())).copied().unwrap_or("0");
                *value = match near {
                    Some(near) if draw(2) == 0 => near.into(),
                    Some(_) | None => serde_json::from_str(bound).unwrap_or_default(),
                };
            }
            Value::String(text) => change_text(text, donor.as_ref().and_then(Value::as_str), draw),
            Value::Array(items) => change_items(items, donor, draw),
            Value::Object(members) => change_members(members, donor, draw),
        },
    }
}

fn change_text(text: &mut String, donor: Option<&str>, draw: &mut impl FnMut(usize) -> usize) {
    let mut characters: Vec<char> = text.chars().collect();
    let place = draw(characters.len());
    match (draw(6), donor) {
        (0 | 1, Some(donor)) => donor.clone_into(text),
        (0, None) => text.clear(),
        (2, _) => *text = text.repeat(2),
        (3, _) => {
            characters.truncate(place);
            *text = characters.into_iter().collect();
        }
        (way, _) => {
            let drawn = ALPHABET.get(draw(ALPHABET.len())).copied().unwrap_or('x');
            match characters.get_mut(place) {
                Some(character) if way == 4 => *character = drawn,
                Some(_) | None => characters.insert(place, drawn),
            }
            *text = characters.into_iter().collect();
        }
    }
}

fn change_items(items: &mut Vec<Value>, donor: Option<Value>, draw: &mut impl FnMut(usize) -> usize) {
    let (place, way) = (draw(items.len()), draw(5));
    let Some(item) = items.get(place).cloned() else {
        items.extend(donor);
        return;
    };
    match way {
        0 => {
            items.remove(place);
        }
        1 => items.insert(place, item),
        2 => items.swap(place, 0),
        3 => items.truncate(place),
        _ => items.extend(std::iter::repeat_n(item, draw(REPEATED))),
    }
}

fn change_members(members: &mut Map<String, Value>, donor: Option<Value>, draw: &mut impl FnMut(usize) -> usize) {
    let place = draw(members.len());
    let Some(name) = members.keys().nth(place).cloned() else {
        members.insert("x".to_owned(), donor.unwrap_or_default());
        return;
    };
    match (draw(4), donor) {
        // What another object has, as far as it is of this kind.
        (0, Some(Value::Object(others))) => members.extend(others),
        (1, Some(donor)) => {
            members.insert(name, donor);
        }
        (2, _) => {
            members.insert("unknown".to_owned(), Value::from(1));
        }
        (_, _) => {
            members.remove(&name);
        }
    }
}

/// How many values there are, this one too.
fn count(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().fold(1, |sum, item| sum + count(item)),
        Value::Object(members) => members.values().fold(1, |sum, member| sum + count(member)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}

/// The value at a place in their order, this one being the first.
fn nth<'a>(value: &'a Value, place: &mut usize) -> Option<&'a Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter().find_map(|item| nth(item, place)),
        Value::Object(members) => members.values().find_map(|member| nth(member, place)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn nth_mut<'a>(value: &'a mut Value, place: &mut usize) -> Option<&'a mut Value> {
    if *place == 0 {
        return Some(value);
    }
    *place -= 1;
    match value {
        Value::Array(items) => items.iter_mut().find_map(|item| nth_mut(item, place)),
        Value::Object(members) => members.values_mut().find_map(|member| nth_mut(member, place)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

const NEAR: [i64; 6] = [-1, 1, 2, -10, 10, 1_000];
const BOUNDS: [&str; 12] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65535",
    "65536",
    "4294967295",
    "4294967296",
    "9223372036854775808",
    "18446744073709551615",
    "0.5",
];
const ALPHABET: [char; 12] = ['a', 'A', '0', '.', '-', ':', '/', '=', '%', '\u{0}', 'ß', '\u{1f600}'];
/// Most copies of an item that are put in at once.
const REPEATED: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that follow from a seed.
    fn drawing(seed: u64) -> impl FnMut(usize) -> usize {
        let mut state = seed;
        move |bound| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap().checked_rem(bound).unwrap_or(0)
        }
    }

    #[test]
    fn what_was_json_is_json_and_mostly_not_the_same() {
        let text = br#"{"a":[1,"b",{"c":null}],"d":true,"e":{},"f":[]}"#;
        let other = br#"[{"g":"h"},7]"#;
        let mut changed = 0;
        for seed in 0..2_000 {
            let after = change(text, other, drawing(seed)).unwrap();
            let document: Value = serde_json::from_slice(&after).unwrap();
            changed += u32::from(document != serde_json::from_slice::<Value>(text).unwrap());
        }
        assert!(changed > 1_700, "{changed}");
    }

    #[test]
    fn every_value_has_a_place() {
        let mut document: Value = serde_json::from_str(r#"{"a":[1,{"b":2}],"c":3}"#).unwrap();
        let all = count(&document);
        let places: Vec<String> = (0..all).map(|mut place| nth(&document, &mut place).unwrap().to_string()).collect();
        assert_eq!(places[1..], [r#"[1,{"b":2}]"#, "1", r#"{"b":2}"#, "2", "3"]);
        for (place, told) in places.iter().enumerate() {
            assert_eq!(nth_mut(&mut document, &mut { place }).unwrap().to_string(), *told);
        }
        assert_eq!(nth(&document, &mut { all }), None);
        assert_eq!(nth_mut(&mut document, &mut { all }), None);
    }

    #[test]
    fn what_is_no_json_is_left_alone() {
        assert_eq!(change(b"{", b"1", drawing(1)), None);
        assert!(change(b"1", b"{", drawing(1)).is_some());
    }
}
