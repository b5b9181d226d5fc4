//! What the observer does for its programs to see, where the connection that the agent makes to itself shows nothing.
#![expect(clippy::disallowed_types, reason = "it starts itself, which ends at once: no other program")]

use std::io;
use std::process::Stdio;
use std::time::Duration;

use ebpf_probes::{call_function, check_file, check_name};
use shared_protocol::spec::Observation;
use tokio::process::Command;

/// Does it. Whether it was seen is for the programs to say.
pub(super) async fn be_seen(observation: Observation, check_port: u16) {
    if matches!(observation, Observation::Files | Observation::Syscalls | Observation::Custom) {
        let opened = std::fs::File::open(check_file(check_port));
        tracing::trace!(?opened, "looked for a file, to be seen");
    }
    if observation == Observation::TlsLatency {
        call_function(check_port);
    }
    if observation == Observation::Memory {
        let mut fresh = vec![0_u8; FRESH_BYTES];
        if let Some(first) = fresh.first_mut() {
            *first = 1;
        }
        tracing::trace!(last = std::hint::black_box(fresh).last(), "touched a fresh page, to be seen");
    }
    // What a package looks at nobody here knows: it gets all there is.
    if matches!(observation, Observation::Exec | Observation::Custom) {
        let started = tokio::time::timeout(START_TIME, start_itself(check_port)).await;
        tracing::trace!(?started, "started itself, to be seen");
    }
}

async fn start_itself(check_port: u16) -> io::Result<()> {
    let mut itself = Command::new("/proc/self/exe");
    itself
        .arg0(check_name(check_port))
        .arg("--version")
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    itself.status().await.map(|_| ())
}

/// So much is never taken of what was used before (mallopt(3), `M_MMAP_THRESHOLD`): its pages are there once they are touched, of which one is.
const FRESH_BYTES: usize = 40 << 20;
/// How long that may take.
const START_TIME: Duration = Duration::from_secs(2);
