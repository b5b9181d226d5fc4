//! Quotas over long spans: measurements in an hour, a day and a calendar month of UTC. They are counted in the database; this says which spans an
//! instant is in, and when each begins anew.

use std::time::Duration;

use shared_protocol::tier::TierLimits;
use shared_protocol::time::UnixMicros;

/// The spans that an instant is in, each by its number since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// The hour.
    pub hour: i64,
    /// The day.
    pub day: i64,
    /// The calendar month.
    pub month: i64,
}

/// Most measurements in each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// In an hour.
    pub hour: u32,
    /// In a day.
    pub day: u32,
    /// In a calendar month.
    pub month: u32,
}

/// Measurements counted in each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted {
    /// In the hour.
    pub hour: u64,
    /// In the day.
    pub day: u64,
    /// In the month.
    pub month: u64,
}

/// Measurements of a tenant, counted in the spans of the latest of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The spans.
    pub spans: Spans,
    /// How many are counted in each.
    pub counted: Counted,
}

/// One of the spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Span {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A calendar month.
    Month,
}

impl Spans {
    /// The spans of an instant.
    pub const fn of(at: UnixMicros) -> Self {
        let day = at.micros().div_euclid(DAY_US);
        let (year, month) = year_and_month(day);
        Self {
            hour: at.micros().div_euclid(HOUR_US),
            day,
            month: (year - 1970) * 12 + month - 1,
        }
    }

    /// How long a span is.
    pub fn length(self, span: Span) -> Duration {
        let before = Self {
            hour: self.hour - 1,
            day: self.day - 1,
            month: self.month - 1,
        };
        self.end(span).since(before.end(span))
    }

    /// When a span ends and the next one begins.
    pub const fn end(self, span: Span) -> UnixMicros {
        UnixMicros::from_micros(match span {
            Span::Hour => (self.hour + 1).saturating_mul(HOUR_US),
            Span::Day => (self.day + 1).saturating_mul(DAY_US),
            Span::Month => first_day(self.month + 1).saturating_mul(DAY_US),
        })
    }
}

impl Span {
    /// All spans, the shortest first.
    pub const ALL: [Self; 3] = [Self::Hour, Self::Day, Self::Month];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

impl Quota {
    /// What a tier allows.
    pub const fn of(limits: &TierLimits) -> Self {
        Self {
            hour: limits.measurements_per_hour,
            day: limits.measurements_per_day,
            month: limits.measurements_per_month,
        }
    }

    /// What it allows in a span.
    pub const fn within(self, span: Span) -> u32 {
        match span {
            Span::Hour => self.hour,
            Span::Day => self.day,
            Span::Month => self.month,
        }
    }

    /// The span whose quota is used up: of several, the one that is so for longest.
    pub fn used_up(self, counted: Counted) -> Option<Span> {
        Span::ALL.into_iter().rev().find(|span| counted.within(*span) >= u64::from(self.within(*span)))
    }
}

impl Account {
    /// One that counts nothing yet.
    pub fn new(spans: Spans) -> Self {
        Self {
            spans,
            counted: Counted::default(),
        }
    }

    /// Counts one more measurement, unless a quota is used up.
    ///
    /// # Errors
    /// The [`Span`] whose quota is; nothing is counted then.
    pub fn count(&mut self, spans: Spans, quota: Quota) -> Result<(), Span> {
        let mut next = self.at(spans);
        if let Some(span) = quota.used_up(next.counted) {
            return Err(span);
        }
        next.counted.hour += 1;
        next.counted.day += 1;
        next.counted.month += 1;
        *self = next;
        Ok(())
    }

    /// How many are counted in these spans.
    pub const fn counted_in(self, spans: Spans) -> Counted {
        self.at(spans).counted
    }

    /// The account once these spans have begun. A clock that goes back counts on in the span it came from.
    const fn at(self, spans: Spans) -> Self {
        let Self { spans: latest, counted } = self;
        let (hour, in_hour) = if latest.hour < spans.hour {
            (spans.hour, 0)
        } else {
            (latest.hour, counted.hour)
        };
        let (day, in_day) = if latest.day < spans.day { (spans.day, 0) } else { (latest.day, counted.day) };
        let (month, in_month) = if latest.month < spans.month {
            (spans.month, 0)
        } else {
            (latest.month, counted.month)
        };
        Self {
            spans: Spans { hour, day, month },
            counted: Counted {
                hour: in_hour,
                day: in_day,
                month: in_month,
            },
        }
    }
}

impl Counted {
    /// What is counted in a span.
    pub const fn within(self, span: Span) -> u64 {
        match span {
            Span::Hour => self.hour,
            Span::Day => self.day,
            Span::Month => self.month,
        }
    }
}

/// Year and month (1 to 12) of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from March here, so that the leap day is their last.
const fn year_and_month(day: i64) -> (i64, i64) {
    let from_march = day + DAYS_BEFORE_1970;
    let era = from_march.div_euclid(DAYS_OF_ERA);
    let day_of_era = from_march.rem_euclid(DAYS_OF_ERA);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400;
    (if month <= 2 { year + 1 } else { year }, month)
}

/// The first day of a month counted from January 1970.
const fn first_day(month: i64) -> i64 {
    let (year, month) = (1970 + month.div_euclid(12), month.rem_euclid(12) + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month_from_march + 2) / 5;
    era * DAYS_OF_ERA + day_of_era - DAYS_BEFORE_1970
}

const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// Days of 400 years, after which the calendar repeats.
const DAYS_OF_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30T23:59:59.999999Z.
    const LAST_OF_NOVEMBER: UnixMicros = UnixMicros::from_micros(1_796_083_199_999_999);

    #[test]
    fn an_instant_is_in_the_spans_of_the_calendar() {
        let spans = Spans::of(LAST_OF_NOVEMBER);
        assert_eq!((spans.month, spans.day), (56 * 12 + 10, 20_787));
        for span in Span::ALL {
            assert!(spans.length(span) <= Duration::from_hours(30 * 24), "November has 30 days");
            assert_eq!(spans.end(span), UnixMicros::from_micros(LAST_OF_NOVEMBER.micros() + 1), "{span:?}");
        }
        let before = Spans::of(UnixMicros::from_micros(-1));
        assert_eq!(before, Spans { hour: -1, day: -1, month: -1 });
    }

    #[test]
    fn every_month_of_800_years_begins_where_the_one_before_ended() {
        let mut day = 0;
        for month in 0..800 * 12 {
            assert_eq!(first_day(month), day, "{month}");
            let (year, of_year) = (1970 + month / 12, month % 12);
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let days = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for of_month in [day, day + days[usize::try_from(of_year).unwrap()] - 1] {
                assert_eq!(year_and_month(of_month), (year, of_year + 1));
            }
            day += days[usize::try_from(of_year).unwrap()];
        }
    }

    #[test]
    fn the_quota_named_as_used_up_is_the_one_that_stays_so_for_longest() {
        let quota = Quota { hour: 2, day: 3, month: 4 };
        let counted = |hour, day, month| Counted { hour, day, month };
        assert_eq!(quota.used_up(counted(1, 2, 3)), None);
        assert_eq!(quota.used_up(counted(2, 2, 3)), Some(Span::Hour));
        assert_eq!(quota.used_up(counted(2, 3, 3)), Some(Span::Day));
        assert_eq!(quota.used_up(counted(9, 9, 9)), Some(Span::Month));
    }

    #[test]
    fn an_account_counts_up_to_each_quota_and_begins_anew_with_the_next_span() {
        let quota = Quota { hour: 2, day: 3, month: 9 };
        let first = Spans::of(LAST_OF_NOVEMBER);
        let mut account = Account::new(first);
        assert_eq!([(); 3].map(|()| account.count(first, quota)), [Ok(()), Ok(()), Err(Span::Hour)]);
        let hour_before = Spans { hour: first.hour - 1, ..first };
        assert_eq!(account.count(hour_before, quota), Err(Span::Hour), "a clock that goes back frees nothing");
        let next_hour = Spans { hour: first.hour + 1, ..first };
        assert_eq!([(); 2].map(|()| account.count(next_hour, quota)), [Ok(()), Err(Span::Day)]);
        assert_eq!(account.counted, Counted { hour: 1, day: 3, month: 3 });
        let next_day = Spans {
            day: first.day + 1,
            ..next_hour
        };
        assert_eq!(account.count(next_day, quota), Ok(()));
        assert_eq!(account.counted, Counted { hour: 2, day: 1, month: 4 });
    }
}
