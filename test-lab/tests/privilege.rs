//! What the real agent may still do once it works: nothing that needs privilege.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic; its helpers too")]
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Ends its process when the test does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn agent() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let found = own
        .ancestors()
        .skip(1)
        .take(3)
        .map(|folder| folder.join("probe-agent"))
        .find(|program| program.is_file());
    found.expect("probe-agent is built beside this test: cargo build --workspace")
}

#[test]
fn an_agent_at_work_has_no_capability_in_any_thread_and_still_measures_with_raw_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("agent.toml");
    fs::write(&config, "[policy]\nallow_loopback = true\n").unwrap();
    for spec in [
        r#"{"probe":"ping","target":"127.0.0.1","count":20,"interval_ms":500}"#,
        r#"{"probe":"tcp","target":"127.0.0.1","port":9,"mode":"syn","count":20,"interval_ms":500}"#,
    ] {
        let mut command = Command::new(agent());
        command.args(["probe", spec, "--output", "json", "--config"]).arg(&config);
        let mut running = Running(command.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines();
        assert!(lines.next().unwrap().unwrap().contains("resolved"));
        let measured = lines.next().unwrap().unwrap();
        // Without raw sockets the half-open tries would not have begun; a ping that fell back would say so in its report only.
        assert!(measured.contains("rtt_us"), "{measured}");
        let threads = fs::read_dir(format!("/proc/{}/task", running.0.id())).unwrap();
        let mut seen = 0;
        for thread in threads {
            let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
            let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(value(set), "0000000000000000", "{set} {status}");
            }
            assert_eq!(value("NoNewPrivs:"), "1");
            seen += 1;
        }
        assert!(seen > 0);
    }
}
