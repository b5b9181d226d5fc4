//! A day of one series in three to four bytes a sample: instants as the change of their distance, values as the change of a decimal number
//! where they are one, else as the bytes that differ from the value before (after Pelkonen and others: Gorilla, VLDB 2015).

use shared_protocol::time::UnixMicros;

use super::varint::{self, Damaged};

/// One number of a series at a moment, which is a whole millisecond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    at_ms: i64,
    value: f64,
}

impl Sample {
    /// A sample; the instant is cut to its millisecond.
    pub const fn new(at: UnixMicros, value: f64) -> Self {
        Self {
            at_ms: at.micros().div_euclid(1_000),
            value,
        }
    }

    /// When.
    pub const fn at(self) -> UnixMicros {
        UnixMicros::from_micros(self.at_ms.saturating_mul(1_000))
    }

    /// How much.
    pub const fn value(self) -> f64 {
        self.value
    }
}

/// Packed samples that cannot be read: damaged, or of another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("packed samples are damaged or of another version")]
pub struct Unreadable;

impl From<Damaged> for Unreadable {
    fn from(_: Damaged) -> Self {
        Self
    }
}

/// Packs samples, ordered by their instants.
pub fn pack(samples: &[Sample]) -> Vec<u8> {
    let mut ordered = samples.to_vec();
    ordered.sort_by_key(|sample| sample.at_ms);
    let scale = scale_of(&ordered);
    let mut bytes = vec![VERSION, scale.unwrap_or(AS_BYTES)];
    varint::write(&mut bytes, u64::try_from(ordered.len()).unwrap_or(0));
    let (mut at, mut distance) = (0_i64, 0_i64);
    let mut before = 0_i64;
    let mut bits = 0_u64;
    for sample in ordered {
        let next = sample.at_ms.wrapping_sub(at);
        varint::write_signed(&mut bytes, next.wrapping_sub(distance));
        (at, distance) = (sample.at_ms, next);
        if let Some(value) = scale.and_then(|scale| decimal(sample.value, scale)) {
            varint::write_signed(&mut bytes, value.wrapping_sub(before));
            before = value;
        } else {
            write_difference(&mut bytes, sample.value.to_bits() ^ bits);
            bits = sample.value.to_bits();
        }
    }
    bytes
}

/// Reads packed samples, in the order of their instants; also several packs one after the other, as adding to them without a look makes them.
///
/// # Errors
/// [`Unreadable`] where the bytes are not what was written.
pub fn unpack(mut bytes: &[u8]) -> Result<Vec<Sample>, Unreadable> {
    let mut samples = Vec::new();
    unpack_one(&mut bytes, &mut samples)?;
    if !bytes.is_empty() {
        while !bytes.is_empty() {
            unpack_one(&mut bytes, &mut samples)?;
        }
        samples.sort_by_key(|sample| sample.at_ms);
    }
    Ok(samples)
}

fn unpack_one(bytes: &mut &[u8], samples: &mut Vec<Sample>) -> Result<(), Unreadable> {
    let Some((&[VERSION, scale], mut rest)) = bytes.split_first_chunk::<2>() else {
        return Err(Unreadable);
    };
    if scale != AS_BYTES && scale > SCALE_MAX {
        return Err(Unreadable);
    }
    let length = varint::read(&mut rest)?;
    let (mut at, mut distance) = (0_i64, 0_i64);
    let mut before = 0_i64;
    let mut bits = 0_u64;
    for _ in 0..length {
        distance = distance.wrapping_add(varint::read_signed(&mut rest)?);
        at = at.wrapping_add(distance);
        let value = if scale == AS_BYTES {
            bits ^= read_difference(&mut rest)?;
            f64::from_bits(bits)
        } else {
            before = before.wrapping_add(varint::read_signed(&mut rest)?);
            undecimal(before, scale)
        };
        samples.push(Sample { at_ms: at, value });
    }
    *bytes = rest;
    Ok(())
}

/// The fewest decimal places with which every value is exact; none where some value needs more.
fn scale_of(samples: &[Sample]) -> Option<u8> {
    (0..=SCALE_MAX).find(|scale| samples.iter().all(|sample| decimal(sample.value, *scale).is_some()))
}

/// The value times ten to the scale, where that is a whole number that gives exactly the value back.
#[expect(clippy::cast_possible_truncation, clippy::as_conversions, reason = "held within 2^53 before")]
fn decimal(value: f64, scale: u8) -> Option<i64> {
    let scaled = (value * power(scale)).round();
    if scaled.is_nan() || scaled.abs() > WHOLE_MAX {
        return None;
    }
    let whole = scaled as i64;
    (undecimal(whole, scale).to_bits() == value.to_bits()).then_some(whole)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "written from numbers within 2^53")]
fn undecimal(whole: i64, scale: u8) -> f64 {
    whole as f64 / power(scale)
}

fn power(scale: u8) -> f64 {
    10.0_f64.powi(i32::from(scale))
}

/// One byte says how many bytes differ, and how many equal ones follow them.
fn write_difference(bytes: &mut Vec<u8>, difference: u64) {
    let all = difference.to_be_bytes();
    let leading = difference.leading_zeros().div_euclid(8).min(7);
    let trailing = difference.trailing_zeros().div_euclid(8);
    if difference == 0 {
        bytes.push(0);
        return;
    }
    let length = 8 - leading - trailing;
    bytes.push(u8::try_from(length << 4 | trailing).unwrap_or(0));
    bytes.extend(
        all.iter()
            .skip(usize::try_from(leading).unwrap_or(0))
            .take(usize::try_from(length).unwrap_or(0)),
    );
}

fn read_difference(bytes: &mut &[u8]) -> Result<u64, Damaged> {
    let (head, rest) = bytes.split_first().ok_or(Damaged)?;
    let (length, trailing) = (usize::from(head >> 4), u32::from(head & 0x0f));
    if length + usize::try_from(trailing).unwrap_or(8) > 8 {
        return Err(Damaged);
    }
    let (own, rest) = rest.split_at_checked(length).ok_or(Damaged)?;
    *bytes = rest;
    let value = own.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    Ok(if value == 0 { 0 } else { value << (8 * trailing) })
}

/// First byte of packed samples.
const VERSION: u8 = 1;
/// In the place of the scale: values are written as the bytes that differ.
const AS_BYTES: u8 = 0xff;
/// Most decimal places tried.
const SCALE_MAX: u8 = 6;
/// 2^53: up to here every whole number has its own float.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            4 => (0..10_000_000_i64).prop_map(|whole| undecimal(whole, 0)),
            2 => (-100_000..100_000_i64).prop_map(|whole| undecimal(whole, 3)),
            1 => any::<f64>().prop_filter("a number", |value| !value.is_nan()),
        ]
    }

    fn sample() -> impl Strategy<Value = Sample> {
        (any::<i32>(), value()).prop_map(|(at, value)| Sample::new(UnixMicros::from_micros(i64::from(at) * 1_000_003), value))
    }

    proptest! {
        #[test]
        fn samples_read_back_as_written_in_order(mut samples in prop::collection::vec(sample(), 0..200)) {
            let read = unpack(&pack(&samples)).unwrap();
            samples.sort_by_key(|sample| sample.at_ms);
            prop_assert_eq!(read, samples);
        }

        #[test]
        fn packs_one_after_the_other_read_as_one(packs in prop::collection::vec(prop::collection::vec(sample(), 0..20), 1..8)) {
            let read = unpack(&packs.iter().flat_map(|samples| pack(samples)).collect::<Vec<_>>()).unwrap();
            let mut samples = packs.concat();
            samples.sort_by_key(|sample| sample.at_ms);
            prop_assert_eq!(read, samples);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack(&[&[VERSION, 3], bytes.as_slice()].concat());
            let _ = unpack(&[&[VERSION, AS_BYTES], bytes.as_slice()].concat());
        }
    }

    fn day(value: impl Fn(i64) -> f64) -> Vec<Sample> {
        // Each minute, up to 40 ms late.
        (0..1_440_i64)
            .map(|minute| Sample::new(UnixMicros::from_micros(minute * 60_000_000 + minute * 7_919 % 40 * 1_000), value(minute)))
            .collect()
    }

    #[test]
    fn steady_data_takes_three_bytes_a_sample_or_less() {
        let bytes = |samples: &[Sample]| f64::from(u32::try_from(pack(samples).len()).unwrap()) / 1_440.0;
        let rtt = bytes(&day(|minute| undecimal(20_000 + minute * 131 % 400, 0)));
        let loss = bytes(&day(|_| 0.0));
        let percent = bytes(&day(|minute| undecimal(3_500 + minute * 37 % 200, 2)));
        let fraction = bytes(&day(|minute| undecimal(minute % 7, 0) / 3.0));
        println!("bytes a sample: round-trip times {rtt:.2}, loss {loss:.2}, percentages {percent:.2}, thirds {fraction:.2}");
        assert!(rtt <= 3.1 && loss <= 2.1 && percent <= 3.1 && fraction <= 11.0);
    }

    #[test]
    fn what_is_cut_is_told() {
        let bytes = pack(&day(|minute| undecimal(minute, 0)));
        assert_eq!(unpack(&bytes[..bytes.len() - 1]), Err(Unreadable));
        assert_eq!(unpack(&[]), Err(Unreadable));
        assert_eq!(unpack(&[2, 0, 0]), Err(Unreadable));
        assert_eq!(unpack(&[&bytes[..], &bytes[..9]].concat()), Err(Unreadable));
    }
}
