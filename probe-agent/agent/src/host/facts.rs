//! What the agent tells about its host in `hello`.

use shared_protocol::frame::HostFacts;
use shared_protocol::limits::AGENT_TEXT_BYTES;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Reads the facts; what cannot be read is left empty.
pub fn read() -> HostFacts {
    let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    HostFacts {
        hostname: hostname(),
        os: bounded(System::long_os_version().unwrap_or_default()),
        kernel: bounded(System::kernel_version().unwrap_or_default()),
        architecture: bounded(System::cpu_arch()),
        cpus: std::thread::available_parallelism().map_or(0, |cpus| u32::try_from(cpus.get()).unwrap_or(u32::MAX)),
        memory_bytes: System::new_with_specifics(memory).map_or(0, |system| system.total_memory()),
    }
}

/// The host's name for itself.
pub fn hostname() -> String {
    bounded(System::host_name().unwrap_or_default())
}

fn bounded(mut text: String) -> String {
    text.retain(|character| !character.is_control());
    text.truncate(text.floor_char_boundary(AGENT_TEXT_BYTES));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_of_this_host_are_there_and_bounded() {
        let facts = read();
        assert!(!facts.hostname.is_empty() && !facts.kernel.is_empty() && facts.cpus > 0 && facts.memory_bytes > 0);
        assert_eq!(facts.architecture, std::env::consts::ARCH);
    }

    #[test]
    fn enr_16_control_characters_leave_and_length_is_bounded() {
        assert_eq!(bounded("a\r\nb\u{1b}[31m".to_owned()), "ab[31m");
        assert_eq!(bounded("ü".repeat(1_000)).len(), 254);
    }
}
