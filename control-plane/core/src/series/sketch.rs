//! A distribution in a few bytes: the counts of a `DDSketch` (Masson, Rim, Lee: VLDB 2019). Every quantile it gives is within 1 % of the true
//! one, and merging two of them gives the sketch of both their values.

use std::collections::BTreeMap;

use super::varint::{self, Damaged};

/// Counts of values by their magnitude; each bin is 2 % wide.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sketch {
    zero: u64,
    positive: Bins,
    negative: Bins,
}

type Bins = BTreeMap<i32, u64>;

impl Sketch {
    /// Counts a value; what is no finite number is left out.
    pub fn add(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        if value.abs() < LEAST {
            self.zero += 1;
        } else if value > 0.0 {
            *self.positive.entry(bin(value)).or_default() += 1;
            hold(&mut self.positive);
        } else {
            *self.negative.entry(bin(-value)).or_default() += 1;
            hold(&mut self.negative);
        }
    }

    /// Takes in everything another sketch counted.
    pub fn merge(&mut self, other: &Self) {
        self.zero += other.zero;
        for (own, others) in [(&mut self.positive, &other.positive), (&mut self.negative, &other.negative)] {
            for (bin, count) in others {
                *own.entry(*bin).or_default() += count;
            }
            hold(own);
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.zero + self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>()
    }

    /// The value below which the share `quantile` (0 to 1) of the values lies, within 1 %; none where nothing was counted.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let last = self.count().checked_sub(1)?;
        let rank = floor(quantile.clamp(0.0, 1.0) * float(last));
        let mut below = 0;
        for (bin, count) in self.negative.iter().rev() {
            below += count;
            if below > rank {
                return Some(-middle(*bin));
            }
        }
        below += self.zero;
        if below > rank {
            return Some(0.0);
        }
        for (bin, count) in &self.positive {
            below += count;
            if below > rank {
                return Some(middle(*bin));
            }
        }
        None
    }

    /// The sketch as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        varint::write(&mut bytes, self.zero);
        write_bins(&mut bytes, &self.positive);
        write_bins(&mut bytes, &self.negative);
        bytes
    }

    /// Reads a stored sketch; none where the bytes are damaged or of another version.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(&[VERSION])?;
        let sketch = Self {
            zero: varint::read(&mut rest).ok()?,
            positive: read_bins(&mut rest).ok()?,
            negative: read_bins(&mut rest).ok()?,
        };
        rest.is_empty().then_some(sketch)
    }
}

/// Keeps the number of bins bounded: the smallest magnitudes are counted as one.
fn hold(bins: &mut Bins) {
    while bins.len() > BINS_MAX {
        let Some((_, count)) = bins.pop_first() else { return };
        if let Some(mut next) = bins.first_entry() {
            *next.get_mut() += count;
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::as_conversions,
    reason = "the logarithm of any finite number is far within an i32"
)]
fn bin(magnitude: f64) -> i32 {
    (magnitude.ln() / width()).ceil() as i32
}

/// The value of a bin that is within 1 % of everything in it.
fn middle(bin: i32) -> f64 {
    2.0 * (f64::from(bin) * width()).exp() / (GROWTH + 1.0)
}

fn width() -> f64 {
    GROWTH.ln()
}

fn write_bins(bytes: &mut Vec<u8>, bins: &Bins) {
    varint::write(bytes, u64::try_from(bins.len()).unwrap_or(0));
    let mut before = 0_i64;
    for (bin, count) in bins {
        varint::write_signed(bytes, i64::from(*bin) - before);
        varint::write(bytes, *count);
        before = i64::from(*bin);
    }
}

fn read_bins(bytes: &mut &[u8]) -> Result<Bins, Damaged> {
    let length = varint::read(bytes)?;
    let mut bins = Bins::new();
    let mut before = 0_i64;
    for _ in 0..length {
        before = before.checked_add(varint::read_signed(bytes)?).ok_or(Damaged)?;
        bins.insert(i32::try_from(before).map_err(|_| Damaged)?, varint::read(bytes)?);
        if bins.len() > BINS_MAX {
            return Err(Damaged);
        }
    }
    Ok(bins)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "counts are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::as_conversions, reason = "a rank is a count")]
fn floor(rank: f64) -> u64 {
    rank.floor() as u64
}

/// Relative accuracy: half of how much wider each bin is than the one before.
const ACCURACY: f64 = 0.01;
const GROWTH: f64 = (1.0 + ACCURACY) / (1.0 - ACCURACY);
/// Magnitudes below this count as zero.
const LEAST: f64 = 1e-9;
/// Most bins of each sign: values that are a factor of 7e8 apart keep their accuracy.
const BINS_MAX: usize = 1_024;
/// First byte of a stored sketch.
const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.add(*value);
        }
        sketch
    }

    fn value() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => 1.0..100_000.0_f64,
            1 => -50_000.0..-1.0_f64,
            1 => Just(0.0),
        ]
    }

    proptest! {
        #[test]
        fn every_quantile_is_within_one_percent(mut values in prop::collection::vec(value(), 1..300), quantile in 0.0..=1.0_f64) {
            let sketch = of(&values);
            values.sort_by(f64::total_cmp);
            let rank = usize::try_from(floor(quantile * float(u64::try_from(values.len() - 1).unwrap()))).unwrap();
            let (true_value, found) = (values[rank], sketch.quantile(quantile).unwrap());
            prop_assert!((found - true_value).abs() <= true_value.abs() * ACCURACY * 1.000_001, "{found} for {true_value}");
        }

        #[test]
        fn merged_sketches_are_the_sketch_of_the_union(left in prop::collection::vec(value(), 0..200), right in prop::collection::vec(value(), 0..200)) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(&merged, &of(&[left, right].concat()));
        }

        #[test]
        fn a_stored_sketch_reads_back(values in prop::collection::vec(value(), 0..200)) {
            let sketch = of(&values);
            prop_assert_eq!(Sketch::from_bytes(&sketch.to_bytes()), Some(sketch));
        }

        #[test]
        fn hostile_bytes_are_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Some(sketch) = Sketch::from_bytes(&bytes) {
                prop_assert!(sketch.positive.len() <= BINS_MAX);
            }
        }
    }

    #[test]
    fn however_far_apart_the_values_a_sketch_stays_small_and_true_at_the_top() {
        let mut sketch = Sketch::default();
        for exponent in -400..400_i32 {
            sketch.add(2.0_f64.powf(f64::from(exponent) / 8.0));
        }
        for exponent in -25_000..25_000_i32 {
            sketch.add((f64::from(exponent) / 1_000.0).exp());
        }
        assert_eq!(sketch.positive.len(), BINS_MAX);
        let top = sketch.quantile(1.0).unwrap();
        assert!((top / 2.0_f64.powf(399.0 / 8.0) - 1.0).abs() < 0.011, "{top}");
        assert_eq!(Sketch::default().quantile(0.5), None);
        assert_eq!(of(&[f64::NAN, f64::INFINITY]).count(), 0);
    }

    #[test]
    fn an_hour_of_minute_samples_takes_about_eighty_bytes() {
        let values: Vec<f64> = (0..60_i32)
            .map(|minute| 20_000.0 + 400.0 * f64::from(minute * 7 % 11) - 30.0 * f64::from(minute % 5))
            .collect();
        let bytes = of(&values).to_bytes().len();
        assert!(bytes <= 90, "{bytes}");
    }
}
