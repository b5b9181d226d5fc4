//! Tiers: what each subscription allows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared_protocol::tier::TierLimits;
use utoipa::ToSchema;

/// A tier and what it allows.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tier {
    /// `free`, `standard` or `enterprise`.
    pub name: String,
    /// Grows with each change; the `ETag` of one tier.
    pub version: i64,
    /// What it allows.
    #[schema(value_type = TierLimitsSchema)]
    pub limits: TierLimits,
}

/// Changes what a tier allows: the values to change, by name; the others stay. For the operator.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = TierLimitsSchema)]
pub struct PatchTier(pub Map<String, Value>);

/// Moves a tenant to another tier; for the operator.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetTenantTier {
    /// `free`, `standard` or `enterprise`.
    pub tier: String,
}

/// What a tier allows, value by value. The bounds that count stand in `shared_protocol::tier`; a test holds the two together.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = TierLimits)]
pub struct TierLimitsSchema {
    /// Share of a saturated agent, relative to the other tiers.
    #[schema(minimum = 1, maximum = 1_000, nullable = false)]
    pub weight: Option<u32>,
    /// Most jobs of one tenant without an end.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    pub open_jobs: Option<u32>,
    /// Most jobs of one tenant handed to agents at the same time.
    #[schema(minimum = 1, maximum = 100_000, nullable = false)]
    pub in_flight: Option<u32>,
    /// Measurements that one API key may ask for in a minute.
    #[schema(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    pub measurements_per_minute_of_key: Option<u32>,
    /// Measurements that one tenant may ask for in a minute.
    #[schema(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    pub measurements_per_minute: Option<u32>,
    /// Most measurements of one tenant accepted in an hour.
    #[schema(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    pub measurements_per_hour: Option<u32>,
    /// Most measurements of one tenant accepted in a day (UTC).
    #[schema(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    pub measurements_per_day: Option<u32>,
    /// Most measurements of one tenant accepted in a calendar month (UTC).
    #[schema(minimum = 1, maximum = 1_000_000_000, nullable = false)]
    pub measurements_per_month: Option<u32>,
    /// Most agents one measurement may choose.
    #[schema(minimum = 1, maximum = 10_000, nullable = false)]
    pub agents_per_measurement: Option<u32>,
    /// Most agents of one tenant that are not revoked.
    #[schema(minimum = 1, maximum = 1_000_000, nullable = false)]
    pub agents: Option<u32>,
    /// Most API keys of one tenant that are neither revoked nor expired.
    #[schema(minimum = 1, maximum = 10_000, nullable = false)]
    pub keys: Option<u32>,
    /// Shortest time between two runs of a check, seconds.
    #[schema(minimum = 1, maximum = 86_400, nullable = false)]
    pub check_interval_s: Option<u32>,
    /// Most standing observations of one tenant.
    #[schema(minimum = 0, maximum = 10_000, nullable = false)]
    pub standing: Option<u32>,
    /// Shortest window of a standing observation, seconds.
    #[schema(minimum = 1, maximum = 3_600, nullable = false)]
    pub standing_window_s: Option<u32>,
    /// How long raw reports of this class are kept, days.
    #[schema(minimum = 1, maximum = 3_650, nullable = false)]
    pub retention_days: Option<u32>,
    /// Names of the probes included; `*` stands for every one.
    #[schema(min_items = 1, max_items = 64, nullable = false)]
    pub probes: Option<Vec<String>>,
    /// Most packets of one ping.
    #[schema(minimum = 1, maximum = 100, nullable = false)]
    pub ping_packets: Option<u32>,
    /// Shortest time between two packets of one ping, milliseconds.
    #[schema(minimum = 10, maximum = 60_000, nullable = false)]
    pub ping_interval_ms: Option<u32>,
    /// Most ports of one probe.
    #[schema(minimum = 1, maximum = 1_024, nullable = false)]
    pub ports: Option<u32>,
    /// Most targets of one probe.
    #[schema(minimum = 1, maximum = 65_536, nullable = false)]
    pub targets: Option<u32>,
    /// HTTP methods included: any of GET, HEAD, OPTIONS, POST, PUT, PATCH, DELETE.
    #[schema(nullable = false)]
    pub http_methods: Option<Vec<String>>,
    /// Longest body of an HTTP request, bytes.
    #[schema(minimum = 0, maximum = 65_536, nullable = false)]
    pub http_body_bytes: Option<u32>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn the_documented_limits_and_bounds_are_those_that_are_enforced() {
        let schema = serde_json::to_value(TierLimitsSchema::schema()).unwrap();
        let documented = schema["properties"].as_object().unwrap();
        let start = TierLimits::starting(shared_protocol::tier::Tier::Free);
        let enforced = serde_json::to_value(&start).unwrap();
        let names = |of: &Map<String, Value>| of.keys().cloned().collect::<std::collections::BTreeSet<_>>();
        assert_eq!(names(documented), names(enforced.as_object().unwrap()));
        let mut bounded = 0;
        for (name, schema) in documented {
            let (Some(minimum), Some(maximum)) = (schema["minimum"].as_i64(), schema["maximum"].as_i64()) else {
                continue;
            };
            bounded += 1;
            for (value, accepted) in [(minimum, true), (maximum, true), (minimum - 1, false), (maximum + 1, false)] {
                let changed = start.changed(&Map::from_iter([(name.clone(), json!(value))]));
                assert_eq!(changed.is_ok(), accepted, "{name}: {value}");
            }
        }
        assert_eq!(bounded, 20);
    }
}
