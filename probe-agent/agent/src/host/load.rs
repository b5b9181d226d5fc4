//! How busy the host is: one reading of processors, memory, disks and interfaces.

use std::collections::BTreeMap;

use shared_protocol::host::{DiskLoad, HostLoad, InterfaceLoad};
use shared_protocol::limits::{HOST_DISKS, HOST_INTERFACES};
use shared_protocol::time::MonotonicMicros;
use sysinfo::{DiskRefreshKind, Disks, Networks, System};

use super::facts::{bounded, most_telling};

/// Reads how busy the host is; keeps what the next reading is compared with.
#[derive(Debug)]
pub struct LoadReader {
    system: Option<System>,
    networks: Option<Networks>,
    /// The share of used time needs two readings.
    is_first: bool,
}

impl LoadReader {
    /// A reader that has read nothing yet. What the system does not show is absent from every reading.
    pub fn new() -> Self {
        Self {
            system: System::new().ok(),
            networks: Networks::new().ok(),
            is_first: true,
        }
    }

    /// Reads now.
    pub fn read(&mut self, now: MonotonicMicros) -> HostLoad {
        let mut load = HostLoad {
            monotonic_us: now,
            load_average: System::load_average().ok().map(|averages| [averages.one, averages.five, averages.fifteen]),
            disks: mounted(),
            ..HostLoad::default()
        };
        if let Some(system) = &mut self.system {
            system.refresh_cpu_usage();
            system.refresh_memory();
            if !self.is_first {
                load.cpu_ratio = ratio(system.global_cpu_usage());
            }
            let has_memory = system.total_memory() > 0;
            load.memory_used_bytes = has_memory.then(|| system.used_memory());
            load.memory_available_bytes = has_memory.then(|| system.available_memory());
            load.swap_used_bytes = has_memory.then(|| system.used_swap());
        }
        if let Some(networks) = &mut self.networks {
            networks.refresh(true);
            load.interfaces = most_telling(networks, HOST_INTERFACES)
                .into_iter()
                .map(|(name, data)| InterfaceLoad {
                    name,
                    received_bytes: data.total_received(),
                    sent_bytes: data.total_transmitted(),
                    received_packets: data.total_packets_received(),
                    sent_packets: data.total_packets_transmitted(),
                    received_errors: data.total_errors_on_received(),
                    sent_errors: data.total_errors_on_transmitted(),
                })
                .collect();
        }
        self.is_first = false;
        load
    }
}

impl Default for LoadReader {
    fn default() -> Self {
        Self::new()
    }
}

/// The disks, each once under the shortest of its mount points: in a container the same one shows under many.
pub(super) fn mounted() -> Vec<DiskLoad> {
    let kind = DiskRefreshKind::nothing().with_storage().with_io_usage();
    let Ok(disks) = Disks::new_with_refreshed_list_specifics(kind) else {
        return Vec::new();
    };
    let mut by_name: BTreeMap<String, DiskLoad> = BTreeMap::new();
    for disk in disks.iter().filter(|disk| disk.total_space() > 0) {
        let usage = disk.usage();
        let load = DiskLoad {
            mount: bounded(disk.mount_point().to_string_lossy().into_owned()),
            total_bytes: disk.total_space(),
            available_bytes: disk.available_space(),
            read_bytes: usage.total_read_bytes,
            written_bytes: usage.total_written_bytes,
        };
        let name = disk.name().to_string_lossy().into_owned();
        let is_shorter = |known: &DiskLoad| (load.mount.len(), &load.mount) < (known.mount.len(), &known.mount);
        if by_name.get(&name).is_none_or(is_shorter) {
            by_name.insert(name, load);
        }
    }
    let mut disks: Vec<DiskLoad> = by_name.into_values().collect();
    disks.sort_unstable_by(|one, other| one.mount.cmp(&other.mount));
    disks.truncate(HOST_DISKS);
    disks
}

fn ratio(percent: f32) -> Option<f64> {
    let percent = f64::from(percent);
    (percent.is_finite() && percent >= 0.0).then(|| (percent / 100.0).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_holds_what_this_host_shows_and_its_first_one_no_share_of_time() {
        let mut reader = LoadReader::new();
        let first = reader.read(MonotonicMicros::from_micros(1));
        assert_eq!((first.monotonic_us, first.cpu_ratio), (MonotonicMicros::from_micros(1), None));
        assert!(first.memory_available_bytes.is_some() && first.load_average.is_some());
        let second = reader.read(MonotonicMicros::from_micros(2));
        assert!(second.cpu_ratio.is_some_and(|ratio| (0.0..=1.0).contains(&ratio)), "{:?}", second.cpu_ratio);
        let lo = |load: &HostLoad| load.interfaces.iter().find(|interface| interface.name == "lo").map(|lo| lo.received_bytes);
        assert!(lo(&second) >= lo(&first) && lo(&first).is_some());
        assert!(second.disks.len() <= HOST_DISKS && second.interfaces.len() <= HOST_INTERFACES);
    }

    #[test]
    fn a_share_of_time_that_cannot_be_is_absent() {
        assert_eq!(ratio(f32::NAN), None);
        assert_eq!(ratio(-1.0), None);
        assert_eq!(ratio(100.4), Some(1.0));
    }
}
