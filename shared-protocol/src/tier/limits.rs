//! What a tier allows, value by value, and the bounds of each value.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Tier;
use crate::spec::{InvalidField, ProbeKind};

/// What a tier allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierLimits {
    /// Share of a saturated agent, relative to the other tiers.
    pub weight: u32,
    /// Most jobs of one tenant without an end.
    pub open_jobs: u32,
    /// Most jobs of one tenant handed to agents at the same time.
    pub in_flight: u32,
    /// Measurements that one API key may ask for in a minute.
    pub measurements_per_minute_of_key: u32,
    /// Measurements that one tenant may ask for in a minute.
    pub measurements_per_minute: u32,
    /// Most measurements of one tenant accepted in an hour.
    pub measurements_per_hour: u32,
    /// Most measurements of one tenant accepted in a day (UTC).
    pub measurements_per_day: u32,
    /// Most measurements of one tenant accepted in a calendar month (UTC).
    pub measurements_per_month: u32,
    /// Most agents one measurement may choose.
    pub agents_per_measurement: u32,
    /// Most agents of one tenant that are not revoked.
    pub agents: u32,
    /// Most API keys of one tenant that are neither revoked nor expired.
    pub keys: u32,
    /// Shortest time between two runs of a check, seconds.
    pub check_interval_s: u32,
    /// Most standing observations of one tenant.
    pub standing: u32,
    /// Shortest window of a standing observation, seconds.
    pub standing_window_s: u32,
    /// How long raw reports of this class are kept, days.
    pub retention_days: u32,
    /// What one probe may be asked to do.
    #[serde(flatten)]
    pub probe: ProbeLimits,
}

/// What one probe may be asked to do. It travels with each `run`, so that the agent goes by the same table.
///
/// What a message does not name is not limited beyond the bounds of the spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProbeLimits {
    /// Names of the probes included; `*` stands for every one.
    pub probes: Vec<String>,
    /// Most packets of one ping; of a traceroute or an mtr, to each hop.
    pub ping_packets: u32,
    /// Shortest time between two packets of one ping, or two rounds of an mtr, milliseconds.
    pub ping_interval_ms: u32,
    /// Most ports of one probe.
    pub ports: u32,
    /// Most targets of one probe.
    pub targets: u32,
    /// HTTP methods included.
    pub http_methods: Vec<String>,
    /// Longest body of an HTTP request, bytes.
    pub http_body_bytes: u32,
}

impl TierLimits {
    /// The figures that a tier starts with, until an operator sets others.
    pub fn starting(tier: Tier) -> Self {
        match tier {
            Tier::Free => Self {
                weight: 1,
                open_jobs: 100,
                in_flight: 5,
                measurements_per_minute_of_key: 30,
                measurements_per_minute: 60,
                measurements_per_hour: 250,
                measurements_per_day: 2_000,
                measurements_per_month: 20_000,
                agents_per_measurement: 10,
                agents: 5,
                keys: 5,
                check_interval_s: 60,
                standing: 1,
                standing_window_s: 300,
                retention_days: 7,
                probe: ProbeLimits {
                    probes: names(&["ping", "tcp", "dns", "http", "traceroute", "mtr", "pmtu", "udp", "port"]),
                    ping_packets: 16,
                    ping_interval_ms: 200,
                    ports: 5,
                    targets: 1,
                    http_methods: names(&["GET", "HEAD", "OPTIONS"]),
                    http_body_bytes: 0,
                },
            },
            Tier::Standard => Self {
                weight: 4,
                open_jobs: 10_000,
                in_flight: 25,
                measurements_per_minute_of_key: 300,
                measurements_per_minute: 600,
                measurements_per_hour: 5_000,
                measurements_per_day: 50_000,
                measurements_per_month: 1_000_000,
                agents_per_measurement: 100,
                agents: 100,
                keys: 50,
                check_interval_s: 10,
                standing: 50,
                standing_window_s: 10,
                retention_days: 30,
                probe: ProbeLimits {
                    ports: 20,
                    targets: 256,
                    http_methods: names(&["GET", "HEAD", "OPTIONS"]),
                    http_body_bytes: 0,
                    ..ProbeLimits::default()
                },
            },
            Tier::Enterprise => Self {
                weight: 16,
                open_jobs: 100_000,
                in_flight: 512,
                measurements_per_minute_of_key: NO_LIMIT,
                measurements_per_minute: NO_LIMIT,
                measurements_per_hour: NO_LIMIT,
                measurements_per_day: NO_LIMIT,
                measurements_per_month: NO_LIMIT,
                agents_per_measurement: 1_000,
                agents: 100_000,
                keys: 1_000,
                check_interval_s: 1,
                standing: 1_000,
                standing_window_s: 1,
                retention_days: 400,
                probe: ProbeLimits::default(),
            },
        }
    }

    /// These limits with some values changed, by their names.
    ///
    /// # Errors
    /// [`InvalidField`] names a value that does not exist, is of the wrong type or out of bounds.
    pub fn changed(&self, changes: &Map<String, Value>) -> Result<Self, InvalidField> {
        let internal = |error: serde_json::Error| InvalidField::new("", error.to_string());
        let Value::Object(mut values) = serde_json::to_value(self).map_err(internal)? else {
            return Err(InvalidField::new("", "must be an object"));
        };
        for (name, value) in changes {
            let known = values.get_mut(name).ok_or_else(|| InvalidField::new(name, "is no limit of a tier"))?;
            if std::mem::discriminant(known) != std::mem::discriminant(value) {
                return Err(InvalidField::new(name, "is of the wrong type"));
            }
            if value
                .as_number()
                .is_some_and(|number| number.as_u64().and_then(|number| u32::try_from(number).ok()).is_none())
            {
                return Err(InvalidField::new(name, "must be a whole number within its bounds"));
            }
            *known = value.clone();
        }
        let new: Self = serde_json::from_value(Value::Object(values)).map_err(internal)?;
        new.within_bounds()?;
        // Names that stood before may be of a version that knows more probes.
        let known = |name: &String| name == ANY_PROBE || ProbeKind::ALL.iter().any(|kind| kind.as_str() == name);
        if changes.contains_key("probes") && !new.probe.probes.iter().all(known) {
            return Err(InvalidField::new("probes", "must be names of probes, or `*` for every one"));
        }
        Ok(new)
    }

    fn within_bounds(&self) -> Result<(), InvalidField> {
        let probe = &self.probe;
        let numbers: [(&str, u32, RangeInclusive<u32>); 21] = [
            ("weight", self.weight, 1..=1_000),
            ("open_jobs", self.open_jobs, 1..=1_000_000),
            ("in_flight", self.in_flight, 1..=100_000),
            ("measurements_per_minute_of_key", self.measurements_per_minute_of_key, RATE),
            ("measurements_per_minute", self.measurements_per_minute, RATE),
            ("measurements_per_hour", self.measurements_per_hour, RATE),
            ("measurements_per_day", self.measurements_per_day, RATE),
            ("measurements_per_month", self.measurements_per_month, RATE),
            ("agents_per_measurement", self.agents_per_measurement, 1..=10_000),
            ("agents", self.agents, 1..=1_000_000),
            ("keys", self.keys, 1..=10_000),
            ("check_interval_s", self.check_interval_s, 1..=86_400),
            ("standing", self.standing, 0..=10_000),
            ("standing_window_s", self.standing_window_s, 1..=3_600),
            ("retention_days", self.retention_days, 1..=3_650),
            ("ping_packets", probe.ping_packets, 1..=100),
            ("ping_interval_ms", probe.ping_interval_ms, 10..=60_000),
            ("ports", probe.ports, 1..=1_024),
            ("targets", probe.targets, 1..=65_536),
            ("http_body_bytes", probe.http_body_bytes, 0..=65_536),
            // The list is not empty, so that a tier always includes something.
            ("probes", u32::try_from(probe.probes.len()).unwrap_or(u32::MAX), 1..=64),
        ];
        for (name, value, bounds) in numbers {
            if !bounds.contains(&value) {
                let (least, most) = (bounds.start(), bounds.end());
                return Err(InvalidField::new(name, format!("must be from {least} to {most}")));
            }
        }
        if probe.http_methods.iter().any(|method| !HTTP_METHODS.contains(&method.as_str())) {
            return Err(InvalidField::new("http_methods", format!("must be any of {}", HTTP_METHODS.join(", "))));
        }
        Ok(())
    }
}

impl ProbeLimits {
    /// Whether a probe is included.
    ///
    /// # Errors
    /// [`InvalidField`] on `probe` where it is not.
    pub fn includes(&self, probe: ProbeKind) -> Result<(), InvalidField> {
        if self.probes.iter().any(|name| name == ANY_PROBE || name == probe.as_str()) {
            return Ok(());
        }
        Err(InvalidField::new("probe", format!("your tier includes {} only", self.probes.join(", "))))
    }
}

impl Default for ProbeLimits {
    /// Everything within the bounds of the specs.
    fn default() -> Self {
        Self {
            probes: names(&[ANY_PROBE]),
            ping_packets: 100,
            ping_interval_ms: 10,
            ports: 1_024,
            targets: 65_536,
            http_methods: names(&HTTP_METHODS),
            http_body_bytes: 65_536,
        }
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

/// A rate "by contract": a billion is as good as none.
pub const NO_LIMIT: u32 = 1_000_000_000;
/// Stands for every probe in a list of their names.
pub const ANY_PROBE: &str = "*";
/// Methods that an HTTP probe can be asked to use (RFC 9110, RFC 5789).
const HTTP_METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
/// Bounds of the measurements in a span of time.
const RATE: RangeInclusive<u32> = 1..=NO_LIMIT;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn change(name: &str, value: &Value) -> Result<TierLimits, InvalidField> {
        TierLimits::starting(Tier::Free).changed(&Map::from_iter([(name.to_owned(), value.clone())]))
    }

    #[test]
    fn the_starting_values_are_within_their_own_bounds() {
        for tier in Tier::ALL {
            TierLimits::starting(tier).within_bounds().unwrap();
        }
    }

    #[test]
    fn every_value_can_be_changed_alone_and_is_kept() {
        let Value::Object(values) = serde_json::to_value(TierLimits::starting(Tier::Standard)).unwrap() else {
            panic!("no object")
        };
        for (name, value) in values {
            let changed = serde_json::to_value(change(&name, &value).unwrap()).unwrap();
            assert_eq!(changed[&name], value, "{name}");
        }
    }

    #[test]
    fn values_out_of_bounds_of_the_wrong_type_or_unknown_are_refused_by_name() {
        for (name, value) in [
            ("weight", json!(0)),
            ("weight", json!(1_001)),
            ("weight", json!(-1)),
            ("weight", json!(1.5)),
            ("weight", json!("16")),
            ("weight", json!(4_294_967_297_u64)),
            ("weight", Value::Null),
            ("open_jobs", json!(1_000_001)),
            ("in_flight", json!(0)),
            ("measurements_per_hour", json!(1_000_000_001)),
            ("retention_days", json!(3_651)),
            ("ping_packets", json!(101)),
            ("ping_interval_ms", json!(9)),
            ("probes", json!([])),
            ("probes", json!(["shell"])),
            ("probes", json!("ping")),
            ("http_methods", json!(["TRACE"])),
            ("tenant_id", json!(1)),
        ] {
            assert_eq!(change(name, &value).unwrap_err().field, name, "{value}");
        }
        assert_eq!(change("probes", &json!([1])).unwrap_err().field, "");
    }

    #[test]
    fn a_probe_outside_the_list_is_refused_and_the_star_includes_all() {
        let only = |list: &[&str]| ProbeLimits {
            probes: names(list),
            ..ProbeLimits::default()
        };
        assert_eq!(only(&["dns"]).includes(ProbeKind::Ping).unwrap_err().field, "probe");
        assert!(only(&["dns", "ping"]).includes(ProbeKind::Ping).is_ok());
        assert!(only(&["*"]).includes(ProbeKind::Ping).is_ok());
    }

    #[test]
    fn what_a_message_does_not_name_is_not_limited_and_what_is_new_is_ignored() {
        let read: ProbeLimits = serde_json::from_value(json!({"ping_packets": 3, "frames": 1})).unwrap();
        assert_eq!(
            read,
            ProbeLimits {
                ping_packets: 3,
                ..ProbeLimits::default()
            }
        );
    }
}
