//! How fast an agent works: cost finished in a second while it had something to do.

use std::time::Duration;

use shared_protocol::time::UnixMicros;

/// A moving average over the time in which the agent was busy; what lies a minute of work back counts a third.
#[derive(Debug, Clone, Copy, Default)]
pub struct DrainRate {
    /// Cost finished, agent-seconds, fading.
    cost: f64,
    /// Time in which it was finished, seconds, fading alike.
    busy: f64,
    /// Up to when the time is counted; none while there is nothing to do.
    counted: Option<UnixMicros>,
}

impl DrainRate {
    /// The agent has something to do from here on.
    pub fn busy(&mut self, now: UnixMicros) {
        self.count(now);
        self.counted.get_or_insert(now);
    }

    /// The agent has nothing to do, or is not there to do it.
    pub fn idle(&mut self, now: UnixMicros) {
        self.count(now);
        self.counted = None;
    }

    /// A job that was expected to cost so much has ended.
    pub fn finished(&mut self, cost: u32, now: UnixMicros) {
        self.count(now);
        self.cost += f64::from(cost);
    }

    /// Cost finished in a second; absent until enough was seen.
    pub fn rate(&self) -> Option<f64> {
        (self.busy >= SEEN_ENOUGH.as_secs_f64() && self.cost > 0.0).then(|| self.cost / self.busy)
    }

    fn count(&mut self, now: UnixMicros) {
        let Some(counted) = self.counted.as_mut() else { return };
        let passed = now.since(*counted).as_secs_f64();
        *counted = now.max(*counted);
        let kept = (-passed / FADES_OVER.as_secs_f64()).exp();
        self.cost *= kept;
        self.busy = self.busy * kept + passed;
    }
}

/// Time of work over which what was seen fades to a third.
const FADES_OVER: Duration = Duration::from_mins(1);
/// Time of work before which nothing is said.
const SEEN_ENOUGH: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> UnixMicros {
        UnixMicros::from_micros(millis * 1_000)
    }

    /// Works for so many seconds, finishing a job of `cost` each 100 ms.
    fn work(drain: &mut DrainRate, from: i64, seconds: i64, cost: u32) -> i64 {
        let until = from + seconds * 1_000;
        for now in (from..until).step_by(100) {
            drain.busy(at(now));
            drain.finished(cost, at(now + 100));
        }
        until
    }

    fn near(drain: &DrainRate, expected: f64) -> bool {
        drain.rate().is_some_and(|rate| (rate / expected - 1.0).abs() < 0.05)
    }

    #[test]
    fn nothing_is_said_before_a_second_of_work_was_seen() {
        let mut drain = DrainRate::default();
        assert_eq!(drain.rate(), None);
        drain.busy(at(0));
        drain.finished(5, at(900));
        assert_eq!(drain.rate(), None);
        drain.finished(6, at(1_100));
        assert!(near(&drain, 10.0), "{:?}", drain.rate());
    }

    #[test]
    fn idle_time_does_not_count() {
        let mut drain = DrainRate::default();
        let mut now = 0;
        for _ in 0..20 {
            now = work(&mut drain, now, 5, 3);
            drain.idle(at(now));
            now += 3_600_000;
        }
        assert!(near(&drain, 30.0), "{:?}", drain.rate());
    }

    #[test]
    fn the_rate_follows_a_change_within_minutes() {
        let mut drain = DrainRate::default();
        let slowed = work(&mut drain, 0, 300, 8);
        assert!(near(&drain, 80.0), "{:?}", drain.rate());
        work(&mut drain, slowed, 300, 1);
        assert!(near(&drain, 10.0), "{:?}", drain.rate());
    }

    #[test]
    fn clk_01_a_clock_that_goes_back_changes_nothing() {
        let mut drain = DrainRate::default();
        let now = work(&mut drain, 10_000, 10, 1);
        let before = drain.rate();
        drain.busy(at(now - 9_000));
        assert_eq!(drain.rate(), before);
    }
}
