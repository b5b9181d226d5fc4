//! How busy an agent's host is, as numbers that become samples: what was read, and what counters say about the time between two readings.
//!
//! Nothing is invented: a number that was not read is absent, and so is a rate where a counter began again, where two readings are not of
//! one run of the agent, or lie so far apart that they say nothing about now.

use std::time::Duration;

use shared_protocol::host::{DiskLoad, HostLoad, InterfaceLoad};

/// A number with its name, whose end is its unit; behind a dot stands which disk or interface, in letters, digits and `_` alone.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// The name.
    pub name: String,
    /// The number.
    pub value: f64,
}

/// The numbers of a reading. `before` is the one before in the same session; without it there are no rates.
pub fn numbers(before: Option<&HostLoad>, now: &HostLoad) -> Vec<Number> {
    let mut numbers = Numbers(Vec::new());
    numbers.add("cpu_ratio", now.cpu_ratio);
    let [one, five, fifteen] = now.load_average.map_or([None; 3], |averages| averages.map(Some));
    numbers.add("load_1m", one);
    numbers.add("load_5m", five);
    numbers.add("load_15m", fifteen);
    numbers.add("memory_used_bytes", now.memory_used_bytes.map(float));
    numbers.add("memory_available_bytes", now.memory_available_bytes.map(float));
    numbers.add("swap_used_bytes", now.swap_used_bytes.map(float));
    let between = before.and_then(|before| Some((before, seconds_between(before, now)?)));
    for disk in &now.disks {
        let known = between.and_then(|(before, seconds)| Some((before.disks.iter().find(|known| known.mount == disk.mount)?, seconds)));
        numbers.disk(disk, known);
    }
    for interface in &now.interfaces {
        let known = between.and_then(|(before, seconds)| Some((before.interfaces.iter().find(|known| known.name == interface.name)?, seconds)));
        if let Some((known, seconds)) = known {
            numbers.interface(interface, known, seconds);
        }
    }
    numbers.0
}

struct Numbers(Vec<Number>);

impl Numbers {
    fn add(&mut self, name: &str, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite()) {
            self.0.push(Number { name: name.to_owned(), value });
        }
    }

    fn disk(&mut self, disk: &DiskLoad, known: Option<(&DiskLoad, f64)>) {
        let mount = plain(disk.mount.trim_matches('/'), "root");
        let used = disk.total_bytes.checked_sub(disk.available_bytes).filter(|_| disk.total_bytes > 0);
        self.add(&format!("disk_used_ratio.{mount}"), used.map(|used| float(used) / float(disk.total_bytes)));
        if let Some((known, seconds)) = known {
            let bytes = [
                ("disk_read_bytes_per_s", known.read_bytes, disk.read_bytes),
                ("disk_written_bytes_per_s", known.written_bytes, disk.written_bytes),
            ];
            for (name, before, now) in bytes {
                self.add(&format!("{name}.{mount}"), rate(before, now, seconds));
            }
        }
    }

    /// Counters of an interface begin again together: where one of them did, none is believed.
    fn interface(&mut self, now: &InterfaceLoad, before: &InterfaceLoad, seconds: f64) {
        let counters = [
            ("received_bytes_per_s", before.received_bytes, now.received_bytes),
            ("sent_bytes_per_s", before.sent_bytes, now.sent_bytes),
            ("received_packets_per_s", before.received_packets, now.received_packets),
            ("sent_packets_per_s", before.sent_packets, now.sent_packets),
            ("received_errors_per_s", before.received_errors, now.received_errors),
            ("sent_errors_per_s", before.sent_errors, now.sent_errors),
        ];
        if counters.iter().all(|(_, before, now)| now >= before) {
            let named = plain(&now.name, "unnamed");
            for (name, before, count) in counters {
                self.add(&format!("{name}.{named}"), rate(before, count, seconds));
            }
        }
    }
}

/// What may stand in the name of a metric.
fn plain(text: &str, otherwise: &str) -> String {
    let kept = |character: char| if character.is_ascii_alphanumeric() { character } else { '_' };
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text.chars().take(PLAIN_CHARACTERS).map(kept).collect()
    }
}

fn rate(before: u64, now: u64, seconds: f64) -> Option<f64> {
    Some(float(now.checked_sub(before)?) / seconds)
}

/// How much later the reading is, by the agent's monotonic clock; absent where that says nothing.
fn seconds_between(before: &HostLoad, now: &HostLoad) -> Option<f64> {
    let apart = now.monotonic_us.since(before.monotonic_us);
    (APART_MIN..=APART_MAX).contains(&apart).then_some(apart.as_secs_f64())
}

#[expect(
    clippy::cast_precision_loss,
    clippy::as_conversions,
    reason = "a share of 2^-53 of a host's bytes is of no account"
)]
const fn float(number: u64) -> f64 {
    number as f64
}

/// Longest name of a disk or interface within a metric's name, characters.
const PLAIN_CHARACTERS: usize = 48;
/// Readings closer to each other give no rate worth the name.
const APART_MIN: Duration = Duration::from_secs(1);
/// Readings further apart say nothing about now; four were missed.
const APART_MAX: Duration = Duration::from_secs(75);

#[cfg(test)]
mod tests {
    use shared_protocol::time::MonotonicMicros;

    use super::*;

    fn reading(seconds: u64, counters: u64) -> HostLoad {
        HostLoad {
            monotonic_us: MonotonicMicros::from_micros(seconds * 1_000_000),
            cpu_ratio: Some(0.5),
            disks: vec![DiskLoad {
                mount: "/".to_owned(),
                total_bytes: 100,
                available_bytes: 25,
                read_bytes: counters,
                written_bytes: counters * 2,
            }],
            interfaces: vec![InterfaceLoad {
                name: "eth0".to_owned(),
                received_bytes: counters,
                sent_bytes: counters * 3,
                ..InterfaceLoad::default()
            }],
            ..HostLoad::default()
        }
    }

    fn value(numbers: &[Number], name: &str) -> Option<f64> {
        numbers.iter().find(|number| number.name == name).map(|number| number.value)
    }

    #[test]
    fn what_was_read_is_there_and_what_was_not_is_absent() {
        let first = numbers(None, &reading(10, 1_000));
        assert_eq!(value(&first, "cpu_ratio"), Some(0.5));
        assert_eq!(value(&first, "disk_used_ratio.root"), Some(0.75));
        assert_eq!(first.len(), 2, "no averages, no memory, and no rate without a reading before: {first:?}");
    }

    #[test]
    fn disks_and_interfaces_are_named_in_plain_letters() {
        for (mount, named) in [("/", "root"), ("/var/lib", "var_lib"), ("/mnt/a b;--", "mnt_a_b___"), ("", "root")] {
            assert_eq!(plain(mount.trim_matches('/'), "root"), named);
        }
        assert_eq!(plain(&"x".repeat(255), "root").len(), 48);
        assert_eq!(plain("br-1.20@eth0", "unnamed"), "br_1_20_eth0");
    }

    #[test]
    fn counters_become_rates_over_the_agents_own_time() {
        let both = numbers(Some(&reading(10, 1_000)), &reading(25, 4_000));
        assert_eq!(value(&both, "received_bytes_per_s.eth0"), Some(200.0));
        assert_eq!(value(&both, "sent_bytes_per_s.eth0"), Some(600.0));
        assert_eq!(value(&both, "disk_written_bytes_per_s.root"), Some(400.0));
        assert_eq!(value(&both, "received_errors_per_s.eth0"), Some(0.0));
    }

    #[test]
    fn a_counter_that_began_again_a_clock_that_jumped_and_a_new_interface_give_no_rate() {
        let is_rate = |number: &Number| number.name.contains("_per_s");
        for (before, now) in [
            (reading(10, 4_000), reading(25, 1_000)),
            (reading(25, 1_000), reading(10, 4_000)),
            (reading(10, 1_000), reading(10, 4_000)),
            (reading(10, 1_000), reading(4_000, 4_000)),
        ] {
            let both = numbers(Some(&before), &now);
            assert_eq!(both.iter().filter(|number| is_rate(number)).count(), 0, "{both:?}");
        }
        let mut partly = reading(25, 4_000);
        partly.interfaces[0].sent_bytes = 1;
        let both = numbers(Some(&reading(10, 1_000)), &partly);
        assert!(
            both.iter().all(|number| !number.name.contains("eth0")),
            "none of its counters is believed: {both:?}"
        );
        let mut renamed = reading(25, 4_000);
        renamed.interfaces[0].name = "eth1".to_owned();
        let both = numbers(Some(&reading(10, 1_000)), &renamed);
        assert!(both.iter().all(|number| !number.name.contains("eth1")));
    }
}
