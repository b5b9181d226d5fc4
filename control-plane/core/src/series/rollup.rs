//! What an hour of a series comes to: counts, extremes, sum and distribution. Merging is exact, so hours make days and agents make a tenant.

use super::sketch::Sketch;

/// The samples of a series within one hour, or of several such taken together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rollup {
    /// How many samples.
    pub n: u64,
    /// How many of them come from an answer that was as it should be.
    pub ok: u64,
    /// Least value.
    pub min: f64,
    /// Greatest value.
    pub max: f64,
    /// All values added up.
    pub sum: f64,
    /// Their distribution.
    pub sketch: Sketch,
}

impl Rollup {
    /// Takes a sample in; `ok` counts it among the good ones.
    pub fn add(&mut self, value: f64, ok: Good) {
        let good = match ok {
            Good::Yes => 1,
            Good::No => 0,
        };
        let mut sketch = Sketch::default();
        sketch.add(value);
        self.merge(&Self {
            n: 1,
            ok: good,
            min: value,
            max: value,
            sum: value,
            sketch,
        });
    }

    /// Takes in everything of another one.
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        (self.min, self.max) = if self.n == 0 {
            (other.min, other.max)
        } else {
            (self.min.min(other.min), self.max.max(other.max))
        };
        self.n += other.n;
        self.ok += other.ok;
        self.sum += other.sum;
        self.sketch.merge(&other.sketch);
    }

    /// The mean; none without a sample.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0).then(|| self.sum / float(self.n))
    }

    /// A quantile within 1 %, never outside of what was seen; none without a sample.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        self.sketch.quantile(quantile).map(|value| value.clamp(self.min, self.max))
    }
}

/// Whether a sample comes from an answer that was as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Good {
    /// It does.
    Yes,
    /// It does not.
    No,
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "counts are far below 2^53")]
const fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_is_the_same_as_adding_one_by_one() {
        let (mut left, mut right, mut all) = (Rollup::default(), Rollup::default(), Rollup::default());
        for (n, value) in [5.0, -2.0, 0.0, 1_000.0, 7.0].into_iter().enumerate() {
            let ok = if n % 2 == 0 { Good::Yes } else { Good::No };
            if n < 2 { &mut left } else { &mut right }.add(value, ok);
            all.add(value, ok);
        }
        left.merge(&right);
        left.merge(&Rollup::default());
        assert_eq!(left, all);
        assert_eq!((all.n, all.ok, all.min, all.max, all.mean()), (5, 3, -2.0, 1_000.0, Some(202.0)));
        assert_eq!(all.quantile(1.0), Some(1_000.0), "never above what was seen");
        assert_eq!((Rollup::default().mean(), Rollup::default().quantile(0.5)), (None, None));
    }
}
