//! `cargo xtask lab`: a command of the observer, its exit code, and the truth that is written down.
#![expect(clippy::disallowed_types, reason = "the program is one of this crate")]

use std::process::Command;

use serde_json::Value;

use crate::setting::may_make_networks;

const INTERNET: &str = env!("CARGO_BIN_EXE_internet");

#[test]
fn a_command_runs_in_the_topology_and_its_exit_code_is_kept() {
    if !may_make_networks("truth-shell") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("truth.json");
    let run = |topology: &str, script: &str| {
        let mut command = Command::new(INTERNET);
        command.args([topology, "--truth"]).arg(&file).args(["--", "sh", "-c", script]);
        command.output().unwrap()
    };
    let output = run("chain", "fping -q -C 3 -p 20 198.51.100.7 2>&1; exit 7");
    assert_eq!(output.status.code(), Some(7), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("198.51.100.7 : "));
    let truth: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let flow = &truth["truth"]["flows"][0];
    assert_eq!((flow["sent"].as_u64(), flow["answered"].as_u64()), (Some(3), Some(3)), "{truth:#}");
    assert_eq!(truth["relay"]["lost_before"].as_u64(), Some(0));
    let output = run("diamond-of-kernels", "ip -brief address show to0 2>&1 || ip -brief address show to1");
    assert!(String::from_utf8_lossy(&output.stdout).contains("10.0.1.1/24"), "{output:?}");
}

#[test]
fn the_list_names_what_there_is_and_what_is_not_there_is_refused() {
    let output = Command::new(INTERNET).arg("--list").output().unwrap();
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    for name in ["chain ", "loop-of-kernels ", "mtu_black_hole "] {
        assert!(list.lines().any(|line| line.starts_with(name)), "{name}: {list}");
    }
    if may_make_networks("truth-shell-refusal") {
        let output = Command::new(INTERNET).args(["no-such-world", "--", "true"]).output().unwrap();
        assert!(!output.status.success());
        assert!(String::from_utf8_lossy(&output.stderr).contains("neither in the list"));
    }
}
