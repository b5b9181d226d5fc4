//! What a standing observation is asked to do: an observation whose duration is the length of its windows.

use serde_json::Value;
use shared_protocol::spec::{InvalidField, ProbeSpec};
use shared_protocol::tier::TierLimits;

use crate::error::ServiceError;
use crate::jobs::within;

/// The spec of one window.
pub(super) struct WindowSpec {
    pub(super) spec: ProbeSpec,
    /// What it is called where nobody says otherwise.
    pub(super) name: String,
}

/// Reads a request's spec; `window_s` stands in the place of its duration.
pub(super) fn window_spec(spec: Value, window_s: u32, limits: &TierLimits) -> Result<WindowSpec, ServiceError> {
    let in_spec = |invalid| ServiceError::Invalid(within("spec", invalid));
    let Value::Object(mut options) = spec else {
        return Err(in_spec(InvalidField::new("", "must be an object")));
    };
    if options.get("probe").and_then(Value::as_str) != Some("observe") {
        return Err(in_spec(InvalidField::new(
            "probe",
            "must be observe: nothing else goes on until it is taken back",
        )));
    }
    if options.contains_key("duration_s") {
        return Err(in_spec(InvalidField::new("duration_s", "is the length of a window here: say it as `window_s`")));
    }
    if !(1..=WINDOW_MAX_S).contains(&window_s) {
        return Err(ServiceError::invalid("window_s", format!("must be from 1 to {WINDOW_MAX_S}")));
    }
    options.insert("duration_s".to_owned(), window_s.into());
    // Nobody watches a window live: its kernel counts are read as seldom as they can be.
    let interval_ms = window_s.saturating_mul(1_000).min(INTERVAL_MAX_MS);
    options.entry("interval_ms").or_insert_with(|| interval_ms.into());
    let spec = ProbeSpec::from_value(Value::Object(options)).map_err(in_spec)?;
    let ProbeSpec::Observe(observe) = &spec else {
        return Err(ServiceError::Internal);
    };
    if observe.try_out {
        return Err(in_spec(InvalidField::new("try_out", "is done once, and nothing stands of it")));
    }
    spec.check_tier(&limits.probe)
        .map_err(|invalid| ServiceError::TierLimit(within("spec", invalid)))?;
    let least = limits.standing_window_s;
    if window_s < least {
        let message = format!("your tier includes windows of {least} seconds and more");
        return Err(ServiceError::TierLimit(InvalidField::new("window_s", message)));
    }
    let name = observe.observation.to_string();
    Ok(WindowSpec { spec, name })
}

/// The spec as it was asked for, and the length of a window, from the spec of one window.
pub(super) fn shown(spec: Value) -> (Value, u32) {
    let Value::Object(mut options) = spec else { return (spec, 0) };
    let window_s = options.remove("duration_s").and_then(|value| value.as_u64());
    (Value::Object(options), window_s.and_then(|seconds| seconds.try_into().ok()).unwrap_or(0))
}

/// Length of a window where the request names none, seconds.
pub(super) const WINDOW_DEFAULT_S: u32 = 60;
/// Longest window, seconds.
const WINDOW_MAX_S: u32 = 3_600;
/// Longest time between two looks of an observation, milliseconds.
const INTERVAL_MAX_MS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared_protocol::tier::Tier;

    use super::*;

    fn read(spec: Value, window_s: u32, tier: Tier) -> Result<Value, ServiceError> {
        window_spec(spec, window_s, &TierLimits::starting(tier)).map(|read| serde_json::to_value(&read.spec).unwrap())
    }

    #[test]
    fn the_window_is_the_duration_and_is_looked_at_seldom() {
        let drops = json!({"probe": "observe", "observation": "drops"});
        let spec = read(drops.clone(), 60, Tier::Standard).unwrap();
        assert_eq!((&spec["duration_s"], &spec["interval_ms"]), (&json!(60), &json!(10_000)));
        assert_eq!(read(drops, 2, Tier::Enterprise).unwrap()["interval_ms"], 2_000);
        let (shown, window_s) = shown(spec);
        assert_eq!((window_s, shown.get("duration_s")), (60, None));
    }

    #[test]
    fn stw_07_what_cannot_be_meant_or_is_not_included_is_refused_by_its_field() {
        let drops = json!({"probe": "observe", "observation": "drops"});
        for (spec, window_s, tier, field) in [
            (json!({"probe": "ping", "target": "127.0.0.1"}), 60, Tier::Standard, "spec.probe"),
            (json!([]), 60, Tier::Standard, "spec"),
            (
                json!({"probe": "observe", "observation": "drops", "duration_s": 5}),
                60,
                Tier::Standard,
                "spec.duration_s",
            ),
            (json!({"probe": "observe", "observation": "all"}), 60, Tier::Standard, "spec.observation"),
            (
                json!({"probe": "observe", "observation": "drops", "interval_ms": 61_000}),
                60,
                Tier::Standard,
                "spec.interval_ms",
            ),
            (
                json!({"probe": "observe", "observation": "custom", "package": "x", "try_out": true}),
                60,
                Tier::Standard,
                "spec.try_out",
            ),
            (drops.clone(), 0, Tier::Enterprise, "window_s"),
            (drops.clone(), 3_601, Tier::Enterprise, "window_s"),
            (drops.clone(), 9, Tier::Standard, "window_s"),
            (drops, 600, Tier::Free, "spec.probe"),
        ] {
            assert_eq!(read(spec.clone(), window_s, tier).unwrap_err().field(), Some(field), "{spec} {window_s}");
        }
    }
}
