//! Asking for a series: which stretch of time in which steps, whether samples or roll-ups answer it, and the points that come of them.

use std::time::Duration;

use shared_protocol::time::UnixMicros;

use super::chunk::Sample;
use super::instant::Hour;
use super::rollup::{Good, Rollup};

/// How a question about a series is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// First instant.
    pub from: UnixMicros,
    /// First instant no more.
    pub to: UnixMicros,
    /// Length of each step.
    pub step: Duration,
    /// What answers it.
    pub source: Source,
}

/// What answers a question about a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The samples themselves.
    Samples,
    /// Hourly roll-ups.
    Hours,
}

/// Everything of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The step's first instant.
    pub at: UnixMicros,
    /// What came together in it.
    pub rollup: Rollup,
}

/// Why a stretch of time cannot be asked for; the field and what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {must}")]
pub struct InvalidRange {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub must: String,
}

/// Fills in what was not said, and refuses what has no answer of a bearable size.
///
/// # Errors
/// [`InvalidRange`] names the field that is not acceptable.
pub fn plan(from: Option<UnixMicros>, to: Option<UnixMicros>, step_s: Option<u32>, now: UnixMicros) -> Result<Plan, InvalidRange> {
    let to = to.unwrap_or(now);
    let from = from.unwrap_or_else(|| to.minus(RANGE_DEFAULT));
    if from >= to {
        return Err(refused("from", "must be before `to`"));
    }
    let range = to.since(from);
    if range > RANGE_MAX {
        return Err(refused("from", format!("must be at most {} days before `to`", RANGE_MAX.as_secs() / DAY_S)));
    }
    let least = range.as_secs().div_ceil(POINTS_MAX).max(1);
    let step = match step_s.map(u64::from) {
        None => STEPS_S.into_iter().find(|step| *step >= range.as_secs() / POINTS_DEFAULT).unwrap_or(DAY_S),
        Some(step) if step < least => {
            return Err(refused(
                "step",
                format!("must be at least {least} seconds for this range: an answer has at most {POINTS_MAX} points"),
            ));
        }
        Some(step) if step > RANGE_MAX.as_secs() => return Err(refused("step", "must be at most 400 days")),
        Some(step) if step >= HOUR_S && step % HOUR_S != 0 => return Err(refused("step", "must be whole hours (a multiple of 3600) from one hour on")),
        Some(step) => step,
    };
    Ok(Plan {
        from,
        to,
        step: Duration::from_secs(step),
        source: if step < HOUR_S { Source::Samples } else { Source::Hours },
    })
}

/// The points that samples come to.
pub fn of_samples(plan: &Plan, samples: &[Sample]) -> Vec<Point> {
    let mut points = Vec::new();
    for sample in samples {
        if let Some(point) = point_at(plan, sample.at(), &mut points) {
            point.rollup.add(sample.value(), Good::Yes);
        }
    }
    points
}

/// The points that roll-ups come to, which are ordered by hour.
pub fn of_rollups(plan: &Plan, rollups: &[(Hour, Rollup)]) -> Vec<Point> {
    let mut points = Vec::new();
    for (hour, rollup) in rollups {
        if let Some(point) = point_at(plan, hour.start(), &mut points) {
            point.rollup.merge(rollup);
        }
    }
    points
}

/// The point of an instant, made where it is the first of its step; none outside of the range. Steps are counted from 1970, so that the
/// same question a minute later has the same steps.
fn point_at<'p>(plan: &Plan, at: UnixMicros, points: &'p mut Vec<Point>) -> Option<&'p mut Point> {
    let first = match plan.source {
        Source::Samples => plan.from,
        Source::Hours => Hour::of(plan.from).start(),
    };
    if at < first || at >= plan.to {
        return None;
    }
    let step = i64::try_from(plan.step.as_micros()).unwrap_or(i64::MAX);
    let start = UnixMicros::from_micros(at.micros().div_euclid(step).saturating_mul(step));
    if points.last().is_none_or(|last| last.at != start) {
        points.push(Point {
            at: start,
            rollup: Rollup::default(),
        });
    }
    points.last_mut()
}

fn refused(field: &'static str, must: impl Into<String>) -> InvalidRange {
    InvalidRange { field, must: must.into() }
}

/// The stretch where none is asked for.
const RANGE_DEFAULT: Duration = Duration::from_hours(1);
/// The longest stretch of one answer.
const RANGE_MAX: Duration = Duration::from_hours(24 * 400);
/// Most points of one series in an answer.
const POINTS_MAX: u64 = 10_000;
/// About how many points there are where no step is asked for.
const POINTS_DEFAULT: u64 = 500;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;
/// Steps taken where none is asked for, seconds.
const STEPS_S: [u64; 12] = [1, 5, 10, 30, 60, 300, 900, 1_800, HOUR_S, 6 * HOUR_S, 12 * HOUR_S, DAY_S];

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UnixMicros {
        UnixMicros::from_micros(1_700_000_000_000_000 + seconds * 1_000_000)
    }

    fn field(from: i64, to: i64, step: Option<u32>) -> Option<&'static str> {
        plan(Some(at(from)), Some(at(to)), step, at(0)).err().map(|refused| refused.field)
    }

    #[test]
    fn api_16_a_range_must_go_forward_and_be_bearable() {
        assert_eq!(field(0, 0, None), Some("from"));
        assert_eq!(field(10, 0, None), Some("from"));
        assert_eq!(field(-401 * 86_400, 0, None), Some("from"));
        assert_eq!(field(-400 * 86_400, 0, None), None);
        assert_eq!(field(-86_400, 0, Some(0)), Some("step"));
        assert_eq!(field(-86_400, 0, Some(8)), Some("step"), "more than 10,000 points");
        assert_eq!(field(-86_400, 0, Some(9)), None);
        assert_eq!(field(-86_400, 0, Some(3_601)), Some("step"));
        assert_eq!(field(-86_400, 0, Some(u32::MAX)), Some("step"));
        let extreme = plan(Some(UnixMicros::from_micros(i64::MIN)), Some(UnixMicros::from_micros(i64::MAX)), None, at(0));
        assert!(extreme.is_err());
    }

    #[test]
    fn what_is_not_asked_for_is_filled_in() {
        let hour = plan(None, None, None, at(0)).unwrap();
        assert_eq!(
            (hour.from, hour.to, hour.step, hour.source),
            (at(-3_600), at(0), Duration::from_secs(10), Source::Samples)
        );
        let month = plan(Some(at(-30 * 86_400)), None, None, at(0)).unwrap();
        assert_eq!((month.step, month.source), (Duration::from_hours(6), Source::Hours));
    }

    #[test]
    fn samples_and_hours_come_together_in_the_same_steps() {
        let minute = Plan {
            from: at(0),
            to: at(120),
            step: Duration::from_mins(1),
            source: Source::Samples,
        };
        let samples: Vec<Sample> = [(-1, 9.0), (0, 1.0), (30, 2.0), (119, 5.0), (120, 9.0)]
            .map(|(second, value)| Sample::new(at(second), value))
            .to_vec();
        let points = of_samples(&minute, &samples);
        let seen: Vec<_> = points.iter().map(|point| (point.rollup.n, point.rollup.min, point.rollup.max)).collect();
        assert_eq!(seen.iter().map(|(n, ..)| n).sum::<u64>(), 3);
        assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));

        let day = Plan {
            from: Hour(48).start(),
            to: Hour(96).start(),
            step: Duration::from_hours(24),
            source: Source::Hours,
        };
        let hours: Vec<_> = (40..100)
            .map(|hour| {
                let mut rollup = Rollup::default();
                rollup.add(1.0, Good::Yes);
                (Hour(hour), rollup)
            })
            .collect();
        let days: Vec<_> = of_rollups(&day, &hours).into_iter().map(|point| (point.at, point.rollup.n)).collect();
        assert_eq!(days, [(Hour(48).start(), 24), (Hour(72).start(), 24)]);
    }
}
