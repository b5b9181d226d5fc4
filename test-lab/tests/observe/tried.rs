//! Packages that are only given to a kernel, which says what it thinks of them: on their host, and from afar.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;
use tokio::process::Command;

use crate::custom::{Workshop, packages, path, until_nothing_is_held};

/// Signs a package that no kernel takes, and says where its manifest is.
async fn sign_twin(stand: &Stand, workshop: &Workshop) -> PathBuf {
    let twins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf-package/tests/objects");
    let manifest = workshop.path().join("twin.toml");
    let text = "name = \"twin\"\nversion = \"1\"\n[[programs]]\nname = \"run\"\nattach = \"raw_tp/sys_enter\"\n[[maps]]\nname = \"rows\"\nread = \"rows\"\n";
    std::fs::write(&manifest, text).unwrap();
    workshop.sign_of(stand, &twins.join("verifier_refuses.bpf.o"), &manifest, "twin").await;
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_says_from_afar_what_its_kernel_thinks_of_a_package_and_runs_it_not() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    let digest = workshop.sign(&stand, "tcp-states").await;
    sign_twin(&stand, &workshop).await;
    workshop.sign(&stand, "opens-by-process").await;
    let observer = stand
        .add_observed_agent("seen", &workshop.owner("\"custom:tcp-states\", \"custom:twin\""))
        .await
        .unwrap();
    let check = async |name: &str| {
        let mut command = Command::new(stand.program("probectl"));
        command.args(["--url", &stand.url(""), "-o", "json", "packages", "check"]);
        command.args([path(&workshop.package(name)), "--on", "seen"]);
        let said = command.env("PROBEOPS_TOKEN", &stand.key).output().await.unwrap();
        let document: Value = serde_json::from_slice(&said.stdout).unwrap();
        (said.status.code(), document["reports"][0]["report"].clone(), document)
    };
    let (code, report, document) = check("tcp-states").await;
    assert_eq!((code, &report["status"]), (Some(0), &"ok".into()), "{document}");
    let findings = &report["findings"];
    assert_eq!(
        (&findings["seen"]["sha256"], &findings["windows"]),
        (&digest.as_str().into(), &0.into()),
        "{findings}"
    );
    let program = &findings["tried"]["programs"][0];
    assert_eq!(
        (&program["name"], &program["attach"], program.get("refused")),
        (&"changed".into(), &"tp_btf/inet_sock_set_state".into(), None),
        "{findings}"
    );
    assert!(program["instructions"].as_u64().is_some_and(|instructions| instructions > 0), "{findings}");
    let (code, report, document) = check("twin").await;
    assert_ne!(code, Some(0), "{document}");
    assert_eq!(
        (&report["status"], &report["error"]["code"]),
        (&"failed".into(), &"package_refused".into()),
        "{document}"
    );
    let log = report["findings"]["tried"]["programs"][0]["log"].as_str().unwrap();
    assert!(log.contains("invalid mem access") && log.len() <= 4_096, "{log}");
    // The owner's word holds here too.
    let (_, _, document) = check("opens-by-process").await;
    assert_eq!(document["measurement"]["jobs"][0]["reason"], "policy_denied", "{document}");
    until_nothing_is_held(observer.pid().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_says_what_it_would_do_with_a_package_without_running_it() {
    let stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    let digest = workshop.sign(&stand, "tcp-states").await;
    let manifest = sign_twin(&stand, &workshop).await;
    let config = workshop.path().join("agent.toml");
    std::fs::write(&config, format!("[observe]\n{}\n", workshop.owner("\"custom:tcp-states\""))).unwrap();
    let check = async |name: &str| {
        let mut command = Command::new(stand.program("probe-agent"));
        command.args(["observe", "check", path(&workshop.package(name)), "--config", path(&config)]);
        let said = command.output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (said.status.code(), text(said.stdout), text(said.stderr))
    };
    let (code, said, _) = check("tcp-states").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&digest) && said.contains("program  changed for tp_btf/inet_sock_set_state: taken"),
        "{said}"
    );
    let (code, said, error) = check("twin").await;
    assert!(code == Some(1) && error.contains("does not take this package"), "{said}{error}");
    assert!(said.contains("NOT TAKEN") && said.contains("invalid mem access"), "{said}");
    assert!(said.contains("allowed  NO"), "{said}");
    // A key, a manifest or an object that is none, and a package that would be refused, are not signed.
    let bad = packages(
        &stand,
        &[
            "sign",
            path(&config),
            "--manifest",
            path(&manifest),
            "--key",
            path(&workshop.path().join("key")),
            "--out",
            "x",
        ],
    )
    .await;
    assert!(bad.status.code() == Some(2) && String::from_utf8_lossy(&bad.stderr).contains("no ELF file"));
    let again = packages(&stand, &["key", "--out", path(&workshop.path().join("key"))]).await;
    assert_eq!(again.status.code(), Some(2), "a key is not written over");
}
