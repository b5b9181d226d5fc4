//! Bytes of a map or a ring as JSON.

use serde_json::{Map, Value};

use crate::shape::{Field, Shape};

/// Bytes as what they are. What is cut off is null.
pub fn decode(shape: &Shape, bytes: &[u8]) -> Value {
    match shape {
        Shape::Unsigned(size) => number(bytes, *size).map_or(Value::Null, Value::from),
        Shape::Signed(size) => number(bytes, *size).map_or(Value::Null, |number| Value::from(signed(number, size * 8))),
        Shape::Boolean(size) => number(bytes, *size).map_or(Value::Null, |number| Value::from(number != 0)),
        Shape::Text(size) => bytes.get(..*size).map_or(Value::Null, |bytes| Value::from(text(bytes))),
        Shape::Named {
            bytes: size,
            signed: has_sign,
            names,
        } => number(bytes, *size).map_or(Value::Null, |number| named(number, size * 8, *has_sign, names)),
        Shape::Array { element, stride, count } => {
            let each = (0..*count).map(|place| bytes.get(place * stride..).map_or(Value::Null, |bytes| decode(element, bytes)));
            Value::Array(each.collect())
        }
        Shape::Structure { fields, .. } => {
            let each = fields.iter().map(|one| (one.name.clone(), field(one, bytes)));
            Value::Object(each.collect::<Map<_, _>>())
        }
    }
}

/// What several CPUs have of one value, added up; only of a shape that does.
pub fn sum(values: &[Value]) -> Value {
    let Some((first, rest)) = values.split_first() else { return Value::Null };
    rest.iter().fold(first.clone(), |sum, value| add(&sum, value))
}

fn add(one: &Value, other: &Value) -> Value {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => one.iter().zip(other).map(|(one, other)| add(one, other)).collect(),
        (Value::Object(one), Value::Object(other)) => {
            let both = one.iter().zip(other.values());
            Value::Object(both.map(|((name, one), other)| (name.clone(), add(one, other))).collect())
        }
        _ => match (one.as_u64().zip(other.as_u64()), one.as_i64().zip(other.as_i64())) {
            (Some((one, other)), _) => Value::from(one.saturating_add(other)),
            (None, Some((one, other))) => Value::from(one.saturating_add(other)),
            (None, None) => one.clone(),
        },
    }
}

fn field(field: &Field, bytes: &[u8]) -> Value {
    let from = bytes.get(field.at / 8..);
    let Some(bits) = field.bits else {
        return from.map_or(Value::Null, |bytes| decode(&field.shape, bytes));
    };
    let shift = field.at % 8;
    let Some(word) = from.and_then(|bytes| number(bytes, (shift + bits).div_ceil(8))) else {
        return Value::Null;
    };
    let number = word >> shift & u64::MAX >> (64 - bits.clamp(1, 64));
    match &field.shape {
        Shape::Signed(_) => Value::from(signed(number, bits)),
        Shape::Boolean(_) => Value::from(number != 0),
        Shape::Named { signed, names, .. } => named(number, bits, *signed, names),
        Shape::Unsigned(_) | Shape::Text(_) | Shape::Array { .. } | Shape::Structure { .. } => Value::from(number),
    }
}

/// A number whose lowest byte comes first.
fn number(bytes: &[u8], size: usize) -> Option<u64> {
    let bytes = bytes.get(..size).filter(|_| size <= 8)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

const fn signed(number: u64, bits: usize) -> i64 {
    let unused = 64_usize.saturating_sub(bits);
    (number << unused).cast_signed() >> unused
}

/// A value without a name stays a number.
fn named(number: u64, bits: usize, has_sign: bool, names: &[(i64, String)]) -> Value {
    let value = if has_sign { signed(number, bits) } else { number.cast_signed() };
    match names.iter().find(|(named, _)| *named == value) {
        Some((_, name)) => Value::from(name.as_str()),
        None if has_sign => Value::from(value),
        None => Value::from(number),
    }
}

/// What stands before the first zero, harmless to whoever prints it.
fn text(bytes: &[u8]) -> String {
    let bytes = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field_of(name: &str, at: usize, bits: Option<usize>, shape: Shape) -> Field {
        Field {
            name: name.to_owned(),
            at,
            bits,
            shape,
        }
    }

    #[test]
    fn numbers_of_every_size_and_sign_come_out_as_they_were() {
        let bytes = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        for (size, unsigned) in [(1, 0xfe_u64), (2, 0xfffe), (4, 0xffff_fffe), (8, u64::MAX - 1)] {
            assert_eq!(decode(&Shape::Unsigned(size), &bytes), json!(unsigned));
            assert_eq!(decode(&Shape::Signed(size), &bytes), json!(-2));
        }
        assert_eq!(decode(&Shape::Signed(8), &[0, 0, 0, 0, 0, 0, 0, 0x80]), json!(i64::MIN));
        assert_eq!(decode(&Shape::Boolean(1), &[1]), json!(true));
        assert_eq!(decode(&Shape::Unsigned(4), &[1, 2, 3]), Value::Null);
    }

    #[test]
    fn texts_end_at_their_zero_and_names_stand_for_numbers() {
        assert_eq!(decode(&Shape::Text(8), b"ab\x1bc\0def"), json!("abc"));
        assert_eq!(decode(&Shape::Text(4), &[b'a', 0xff, b'b', b'c']), json!("a\u{fffd}bc"));
        let names = vec![(1, "ONE".to_owned()), (-1, "MINUS".to_owned())];
        let shape = |signed| Shape::Named {
            bytes: 4,
            signed,
            names: names.clone(),
        };
        assert_eq!(decode(&shape(false), &[1, 0, 0, 0]), json!("ONE"));
        assert_eq!(decode(&shape(true), &[0xff; 4]), json!("MINUS"));
        assert_eq!(decode(&shape(false), &[7, 0, 0, 0]), json!(7));
        assert_eq!(decode(&shape(false), &[0xff; 4]), json!(u32::MAX));
    }

    #[test]
    fn fields_of_some_bits_are_read_where_they_lie() {
        let shape = Shape::Structure {
            bytes: 4,
            fields: vec![
                field_of("low", 0, Some(3), Shape::Unsigned(4)),
                field_of("sign", 3, Some(4), Shape::Signed(4)),
                field_of("flag", 7, Some(1), Shape::Boolean(1)),
                field_of("across", 12, Some(9), Shape::Unsigned(4)),
            ],
        };
        let word: u32 = 0b101 | 0b1110 << 3 | 1 << 7 | 0x155 << 12;
        let told = decode(&shape, &word.to_le_bytes());
        assert_eq!(told, json!({"low": 5, "sign": -2, "flag": true, "across": 0x155}));
    }

    #[test]
    fn what_cpus_have_adds_up_in_depth() {
        let one = json!({"count": 3, "slots": [1, 2], "least": -4});
        let other = json!({"count": u64::MAX, "slots": [5, 0], "least": 1});
        assert_eq!(sum(&[one, other]), json!({"count": u64::MAX, "slots": [6, 2], "least": -3}));
    }
}
