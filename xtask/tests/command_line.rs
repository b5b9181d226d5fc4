//! The program as a person calls it, as far as that needs nothing built.
#![expect(clippy::disallowed_types, reason = "starts the program under test")]

use std::net::TcpListener;
use std::process::Command;

#[test]
fn exec_becomes_the_program_and_passes_its_end_on() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["exec", "--", "sh", "-c", "echo out; exit 3"])
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn a_busy_port_is_one_line_that_names_the_process() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["up", "--once", "--json", "--listen", &address, "--data-dir"])
        .arg(data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    assert!(errors[0].contains(&format!("(process {})", std::process::id())), "{said}");
}

#[test]
fn a_missing_compiler_is_one_line_that_says_how_to_get_it() {
    let data = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["up", "--once", "--listen", "127.0.0.1:0", "--agent-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .env("PATH", data.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("error: `cc` is missing") && said.contains("build-essential"), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_document_for_programs_is_only_made_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["up", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--once"));
}
