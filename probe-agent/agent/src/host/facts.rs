//! What the agent tells about its host in `hello`. What cannot be read is absent, never guessed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use shared_protocol::frame::HostFacts;
use shared_protocol::host::{Interface, Place};
use shared_protocol::limits::{AGENT_TEXT_BYTES, HOST_ADDRESSES, HOST_INTERFACES};
use shared_protocol::time::UnixMicros;
use sysinfo::{CpuRefreshKind, MacAddr, MemoryRefreshKind, NetworkData, Networks, RefreshKind, System};

use super::load;

/// Reads the facts; what cannot be read is left empty.
pub fn read(place: Place) -> HostFacts {
    let kind = RefreshKind::nothing()
        .with_memory(MemoryRefreshKind::nothing().with_ram())
        .with_cpu(CpuRefreshKind::nothing());
    let system = System::new_with_specifics(kind).ok();
    HostFacts {
        hostname: hostname(),
        os: bounded(System::long_os_version().unwrap_or_default()),
        kernel: bounded(System::kernel_version().unwrap_or_default()),
        architecture: bounded(System::cpu_arch()),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
        memory_bytes: system.as_ref().map_or(0, System::total_memory),
        place,
        cpu_model: system.as_ref().and_then(|system| system.cpus().first()).and_then(|cpu| told(cpu.brand())),
        cores: System::physical_core_count().ok().and_then(|cores| u32::try_from(cores).ok()),
        disk_bytes: disk_bytes(),
        virtualisation: virtualisation(Path::new("/sys"), Path::new("/proc")),
        container: Some(in_container(Path::new("/"))),
        time_zone: time_zone(Path::new("/etc")),
        booted_at_us: System::boot_time()
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(|seconds| UnixMicros::default().plus(Duration::from_secs(seconds))),
        interfaces: interfaces(),
    }
}

/// The host's name for itself.
pub fn hostname() -> String {
    bounded(System::host_name().unwrap_or_default())
}

/// Text with its control characters gone, held to what the wire takes.
pub(super) fn bounded(mut text: String) -> String {
    text.retain(|character| !character.is_control());
    text.truncate(text.floor_char_boundary(AGENT_TEXT_BYTES));
    text
}

/// Interfaces of which a host that has too many tells: those with an address first, then by name, always the same ones.
pub(super) fn most_telling(networks: &Networks, limit: usize) -> Vec<(String, &NetworkData)> {
    let named: BTreeMap<(bool, String), &NetworkData> = networks
        .iter()
        .map(|(name, data)| ((data.ip_networks().is_empty(), bounded(name.to_string_lossy().into_owned())), data))
        .collect();
    named.into_iter().take(limit).map(|((_, name), data)| (name, data)).collect()
}

fn interfaces() -> Vec<Interface> {
    let Ok(networks) = Networks::new_with_refreshed_list() else {
        return Vec::new();
    };
    most_telling(&networks, HOST_INTERFACES)
        .into_iter()
        .map(|(name, data)| Interface {
            name,
            mac: Some(data.mac_address()).filter(|mac| *mac != MacAddr::UNSPECIFIED).map(|mac| mac.to_string()),
            mtu_bytes: u32::try_from(data.mtu()).ok().filter(|mtu| *mtu > 0),
            speed_mbps: data.transmit_link_speed().and_then(megabits),
            addresses: data.ip_networks().iter().take(HOST_ADDRESSES).map(ToString::to_string).collect(),
        })
        .collect()
}

fn megabits(bits: u64) -> Option<u32> {
    u32::try_from(bits / 1_000_000).ok().filter(|megabits| *megabits > 0)
}

fn disk_bytes() -> Option<u64> {
    let disks = load::mounted();
    (!disks.is_empty()).then(|| disks.iter().map(|disk| disk.total_bytes).fold(0, u64::saturating_add))
}

/// What the firmware says of a guest's maker; a hypervisor that hides there shows in the processor's flags.
fn virtualisation(sys: &Path, proc: &Path) -> Option<String> {
    let is_guest = fs::read_to_string(proc.join("cpuinfo")).is_ok_and(|text| {
        text.lines()
            .filter(|line| line.starts_with("flags"))
            .any(|line| line.split_whitespace().any(|flag| flag == "hypervisor"))
    });
    if !is_guest {
        return None;
    }
    let hypervisor = fs::read_to_string(sys.join("hypervisor/type")).ok();
    let vendor = fs::read_to_string(sys.join("class/dmi/id/sys_vendor")).ok();
    hypervisor.or(vendor).and_then(|text| told(&text)).or_else(|| Some("hypervisor".to_owned()))
}

fn in_container(root: &Path) -> bool {
    let marked = ["run/.containerenv", ".dockerenv", "run/systemd/container"]
        .iter()
        .any(|mark| root.join(mark).exists());
    let grouped = fs::read_to_string(root.join("proc/1/cgroup"))
        .is_ok_and(|text| ["docker", "kubepods", "containerd", "lxc", "libpod"].iter().any(|engine| text.contains(engine)));
    marked || grouped
}

fn time_zone(etc: &Path) -> Option<String> {
    let linked = fs::read_link(etc.join("localtime")).ok();
    let linked = linked.as_deref().and_then(Path::to_str).and_then(|target| target.split_once("zoneinfo/"));
    linked
        .and_then(|(_, name)| told(name))
        .or_else(|| fs::read_to_string(etc.join("timezone")).ok().and_then(|text| told(&text)))
}

fn told(text: &str) -> Option<String> {
    Some(bounded(text.trim().to_owned())).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_this_host_are_there_and_bounded() {
        let facts = read(Place::default());
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty() && facts.cpus > 0 && facts.memory_bytes > 0);
        assert_eq!(facts.architecture, std::env::consts::ARCH);
        assert!(facts.interfaces.len() <= HOST_INTERFACES && facts.interfaces.iter().any(|interface| interface.name == "lo"));
        assert!(facts.booted_at_us.is_some_and(|at| at.micros() > 0));
    }

    #[test]
    fn enr_16_control_characters_leave_and_length_is_bounded() {
        assert_eq!(bounded("a\r\nb\u{1b}[31m".to_owned()), "ab[31m");
        assert_eq!(bounded("ü".repeat(1_000)).len(), 254);
    }

    #[test]
    fn what_the_host_does_not_tell_is_absent() {
        let empty = tempfile::tempdir().unwrap();
        assert_eq!(virtualisation(empty.path(), empty.path()), None);
        assert_eq!(time_zone(empty.path()), None);
        assert!(!in_container(empty.path()));
    }

    #[test]
    fn guests_containers_and_time_zones_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("proc/cpuinfo", "flags\t\t: fpu hypervisor\n");
        assert_eq!(virtualisation(root.path(), &root.path().join("proc")).as_deref(), Some("hypervisor"));
        put("class/dmi/id/sys_vendor", "QEMU\n");
        assert_eq!(virtualisation(root.path(), &root.path().join("proc")).as_deref(), Some("QEMU"));
        put("etc/timezone", "Etc/UTC\n");
        assert_eq!(time_zone(&root.path().join("etc")).as_deref(), Some("Etc/UTC"));
        std::os::unix::fs::symlink("/usr/share/zoneinfo/Europe/Berlin", root.path().join("etc/localtime")).unwrap();
        assert_eq!(time_zone(&root.path().join("etc")).as_deref(), Some("Europe/Berlin"));
        put("proc/1/cgroup", "0::/system.slice/docker-1f.scope\n");
        assert!(in_container(root.path()));
    }
}
