//! Packages of one's own, from the key that signs them through the real programs to typed JSON.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::Stand;
use tokio::process::Command;

use crate::asked::Asked;
use crate::standing::{create, until};
use crate::trouble::{held, until_gone};

/// A folder with a key and packages that it signed.
pub(crate) struct Workshop {
    folder: tempfile::TempDir,
    /// The public half of the key.
    pub(crate) key: String,
}

impl Workshop {
    pub(crate) async fn new(stand: &Stand) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = packages(stand, &["key", "--out", path(&folder.path().join("key"))]).await;
        let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        assert!(made.status.success() && key.starts_with("ed25519:"), "{key}");
        Self { folder, key }
    }

    /// Where the packages lie.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Signs a sample, and says by which hash it is known.
    pub(crate) async fn sign(&self, stand: &Stand, name: &str) -> String {
        let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/observe");
        self.sign_of(stand, &samples.join(format!("{name}.bpf.o")), &samples.join(format!("{name}.toml")), name)
            .await
    }

    /// Signs a package that looks at what this thread asks for, and at nothing else.
    async fn sign_shapes(&self, stand: &Stand) -> String {
        let twins = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ebpf-package/tests/objects");
        let mut object = std::fs::read(twins.join("shapes.bpf.o")).unwrap();
        let place = object.windows(4).position(|bytes| bytes == 0x5eed_ca11_u32.to_le_bytes()).unwrap();
        object[place..place + 4].copy_from_slice(&rustix::thread::gettid().as_raw_nonzero().get().to_le_bytes());
        let (file, manifest) = (self.path().join("shapes.bpf.o"), self.path().join("shapes.toml"));
        std::fs::write(&file, object).unwrap();
        std::fs::write(&manifest, SHAPES).unwrap();
        self.sign_of(stand, &file, &manifest, "shapes").await
    }

    pub(crate) async fn sign_of(&self, stand: &Stand, object: &Path, manifest: &Path, name: &str) -> String {
        let (key, out) = (self.path().join("key"), self.package(name));
        let arguments = [
            "sign",
            path(object),
            "--manifest",
            path(manifest),
            "--key",
            path(&key),
            "--out",
            path(&out),
            "-o",
            "json",
        ];
        let signed = packages(stand, &arguments).await;
        assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
        let told: Value = serde_json::from_slice(&signed.stdout).unwrap();
        told["package"]["sha256"].as_str().unwrap().to_owned()
    }

    pub(crate) fn package(&self, name: &str) -> PathBuf {
        self.path().join(format!("{name}.package"))
    }

    /// Lines of the owner's who trusts this workshop and allows these packages.
    pub(crate) fn owner(&self, allow: &str) -> String {
        format!("allow = [{allow}]\ncustom_keys = [\"{}\"]\npackages = \"{}\"", self.key, self.path().display())
    }
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// `probectl packages …` without a control plane.
pub(crate) async fn packages(stand: &Stand, arguments: &[&str]) -> Output {
    let mut command = Command::new(stand.program("probectl"));
    command.arg("packages").args(arguments).env_clear().output().await.unwrap()
}

/// A call that the kernel does not have, so often.
#[expect(unsafe_code, reason = "a call without arguments that the kernel refuses")]
fn call(times: usize) {
    for _ in 0..times {
        // SAFETY: there is no such call.
        unsafe { libc::syscall(1_000) };
    }
}

const SHAPES: &str = r#"
name = "shapes"
version = "1"
lost = "lost"

[[programs]]
name = "fill"
attach = "raw_tp/sys_enter"

[[maps]]
name = "by_cpu"
read = "rows"

[[maps]]
name = "ring"
read = "events"
type = "event"
"#;

#[tokio::test]
async fn a_package_of_ones_own_tells_its_events_as_typed_json_and_counts_exactly() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    let digest = workshop.sign_shapes(&stand).await;
    workshop.sign(&stand, "opens-by-process").await;
    let owner = workshop.owner("\"custom:shapes\", \"custom:opens-by-process\"");
    let observer = stand.add_observed_agent("seen", &owner).await.unwrap();
    let of = |name| ["custom", "--name", name, "--from", "seen", "--for", "3s", "--top", "100"];
    let shapes = Asked::observe(&stand, &[&of("shapes")[..], &["--sha256", &digest]].concat()).await;
    let opens = Asked::observe(&stand, &of("opens-by-process")).await;
    call(23);
    for _ in 0..23 {
        std::fs::File::open("/nonexistent/probeops").unwrap_err();
    }
    let (shapes, opens) = (shapes.report().await, opens.report().await);
    for report in [&shapes, &opens] {
        let findings = &report["findings"];
        assert_eq!(
            (&report["status"], &findings["self_check"], &findings["lost"], &findings["level"]),
            (&"ok".into(), &"passed".into(), &0.into(), &"full".into()),
            "{report}"
        );
    }
    let seen = &shapes["findings"]["seen"];
    assert_eq!(
        (&seen["observation"], &seen["package"], &seen["version"], &seen["sha256"]),
        (&"custom".into(), &"shapes".into(), &"1".into(), &digest.as_str().into())
    );
    assert_eq!(
        seen["events"],
        json!([{"map": "ring", "seen": 23, "events": vec![json!({"number": 5, "word": "abcd"}); 23]}])
    );
    assert_eq!(seen["maps"][0], json!({"map": "by_cpu", "entries": 1, "rows": [{"key": 42, "value": 23}]}));
    let rows = opens["findings"]["seen"]["maps"][0]["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    // Most first.
    let counts: Vec<_> = rows.iter().map(|row| row["value"]["count"].as_u64().unwrap()).collect();
    assert!(counts.is_sorted_by(|one, other| one >= other), "{counts:?}");
    until_nothing_is_held(observer.pid().unwrap()).await;
}

/// Whoever has been told the end may be faster than the kernel is let go of.
pub(crate) async fn until_nothing_is_held(process: u32) {
    let gone = async {
        while !held(process).is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.expect("nothing of a package stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_costs_more_than_the_owner_allows_ends_and_says_so() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    workshop.sign(&stand, "opens-by-process").await;
    let owner = format!("{}\nmax_cpu_percent = 0.001", workshop.owner("\"custom:opens-by-process\""));
    let observer = stand.add_observed_agent("seen", &owner).await.unwrap();
    let asked = Asked::observe(&stand, &["custom", "--name", "opens-by-process", "--from", "seen", "--for", "60s"]).await;
    // Every call of the kernel runs it.
    let busy = tokio::task::spawn_blocking(|| {
        for _ in 0..2_000_000 {
            call(1);
        }
    });
    let report = asked.report().await;
    busy.await.unwrap();
    let findings = &report["findings"];
    let over = &findings["over_budget"];
    assert_eq!(
        (&report["status"], &over["budget"], &over["ended"]),
        (&"degraded".into(), &json!(10), &json!(true)),
        "{report}"
    );
    assert!(findings["observed_us"].as_u64().unwrap() < 30_000_000, "{findings}");
    assert!(
        !findings["seen"]["maps"][0]["rows"].as_array().unwrap().is_empty(),
        "what was seen until then is told: {findings}"
    );
    until_nothing_is_held(observer.pid().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_stands_like_any_other_observation() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    let digest = workshop.sign(&stand, "opens-by-process").await;
    let owner = format!("{}\nallow_standing = true", workshop.owner("\"custom:opens-by-process\""));
    let _observer = stand.add_observed_agent("eyes", &owner).await.unwrap();
    let id = create(&stand, &["custom", "--package", "opens-by-process", "--window", "1s", "--from", "eyes"]).await;
    let windows = until(&stand, &id, "two windows", |windows| windows.len() >= 2).await;
    for window in &windows[..2] {
        let report = &window["report"];
        let seen = &report["findings"]["seen"];
        assert_eq!((&report["status"], &seen["sha256"]), (&"ok".into(), &digest.as_str().into()), "{report}");
        assert!(!seen["maps"][0]["rows"].as_array().unwrap().is_empty(), "{seen}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_is_uploaded_reaches_its_agents_and_is_rolled_back_there() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    workshop.sign(&stand, "tcp-states").await;
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/observe");
    let manifest = workshop.path().join("second.toml");
    let text = std::fs::read_to_string(samples.join("tcp-states.toml")).unwrap();
    std::fs::write(&manifest, text.replace("1.0.0", "2.0.0")).unwrap();
    workshop.sign_of(&stand, &samples.join("tcp-states.bpf.o"), &manifest, "second").await;
    let owner = format!("allow = [\"custom:tcp-states\"]\ncustom_keys = [\"{}\"]", workshop.key);
    let observer = stand.add_observed_agent("seen", &owner).await.unwrap();
    let asked = async |arguments: &[&str]| {
        let mut command = Command::new(stand.program("probectl"));
        command.args(["--url", &stand.url(""), "-o", "json", "packages"]).args(arguments);
        let said = command.env("PROBEOPS_TOKEN", &stand.key).output().await.unwrap();
        assert!(said.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&said.stderr));
        serde_json::from_slice::<Value>(&said.stdout).unwrap_or_default()
    };
    let before = ended(&stand, &["--name", "tcp-states"]).await;
    assert_eq!(before.0, json!(["failed", "agent", "package_missing"]), "{}", before.1);
    let upload = async |name: &str| {
        let kept = asked(&["upload", path(&workshop.package(name))]).await;
        kept["package"]["sha256"].as_str().unwrap().to_owned()
    };
    let (first, second) = (upload("tcp-states").await, upload("second").await);
    let version = async |arguments: &[&str]| {
        let asked = Asked::begin(
            &stand,
            &[&["custom", "--name", "tcp-states", "--from", "seen", "--for", "1s"], arguments].concat(),
        );
        let report = asked.report().await;
        assert_eq!(report["status"], "ok", "{report}");
        report["findings"]["seen"]["version"].as_str().unwrap().to_owned()
    };
    assert_eq!(version(&[]).await, "2.0.0", "the newest, as long as none is deployed");
    assert_eq!(version(&["--sha256", &first]).await, "1.0.0");
    asked(&["deploy", &first, "--to", "seen"]).await;
    assert_eq!(version(&[]).await, "1.0.0");
    asked(&["deploy", &second, "--to", "all"]).await;
    assert_eq!(version(&[]).await, "2.0.0");
    let acted = asked(&["roll-back", &second, "--to", "seen"]).await;
    assert_eq!(acted["acted"]["agents"], json!(["seen"]));
    assert_eq!(version(&[]).await, "1.0.0");
    let shown = asked(&["show", &first]).await;
    let on = &shown["package"]["agents"][0];
    assert_eq!(
        (
            &on["agent_name"],
            &on["sha256"],
            &on["previous"],
            &on["health"]["status"],
            &on["health"]["sha256"]
        ),
        (
            &"seen".into(),
            &first.as_str().into(),
            &second.as_str().into(),
            &"ok".into(),
            &first.as_str().into()
        ),
        "{shown}"
    );
    asked(&["delete", &second]).await;
    until_nothing_is_held(observer.pid().unwrap()).await;
}

/// What becomes of a question about a package: how the report ends.
async fn ended(stand: &Stand, arguments: &[&str]) -> (Value, String) {
    let asked = Asked::begin(stand, &[&["custom", "--from", "seen", "--for", "1s"], arguments].concat());
    let report = asked.report().await;
    let message = report["error"]["message"].as_str().unwrap_or_default().to_owned();
    (json!([report["status"], report["fault"], report["error"]["code"]]), message)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_loaded_that_the_owner_did_not_allow_trust_and_name() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let (ours, theirs) = (Workshop::new(&stand).await, Workshop::new(&stand).await);
    ours.sign(&stand, "tcp-states").await;
    theirs.sign(&stand, "opens-by-process").await;
    std::fs::copy(theirs.package("opens-by-process"), ours.package("opens-by-process")).unwrap();
    // A package under another's name.
    std::fs::copy(ours.package("tcp-states"), ours.package("other")).unwrap();
    // One that was changed after it was signed.
    let text = std::fs::read_to_string(ours.package("tcp-states")).unwrap();
    std::fs::write(ours.package("changed"), text.replacen("Each change", "Some change", 1)).unwrap();
    std::fs::write(ours.package("broken"), &text[..text.len() / 2]).unwrap();
    let allow = ["tcp-states", "opens-by-process", "other", "changed", "broken", "absent"]
        .map(|name| format!("\"custom:{name}\""))
        .join(", ");
    let observer = stand.add_observed_agent("seen", &ours.owner(&allow)).await.unwrap();
    let wrong = "0".repeat(64);
    for (arguments, end, why) in [
        (
            vec!["--name", "opens-by-process"],
            json!(["failed", "policy", "policy_denied"]),
            "none of the keys that the owner",
        ),
        (
            vec!["--name", "other"],
            json!(["failed", "agent", "package_refused"]),
            "is called tcp-states, not other",
        ),
        (vec!["--name", "changed"], json!(["failed", "agent", "package_refused"]), "signature is not"),
        (vec!["--name", "broken"], json!(["failed", "agent", "package_missing"]), "no package"),
        (
            vec!["--name", "absent"],
            json!(["failed", "agent", "package_missing"]),
            "neither this host nor its control plane has the package absent",
        ),
        (
            vec!["--name", "tcp-states", "--sha256", &wrong],
            json!(["failed", "agent", "package_missing"]),
            "another one than 0000",
        ),
    ] {
        let (found, message) = ended(&stand, &arguments).await;
        assert!(found == end && message.contains(why), "{arguments:?}: {found} {message}");
    }
    assert_eq!(ended(&stand, &["--name", "tcp-states"]).await.0, json!(["ok", "none", null]));
    until_nothing_is_held(observer.pid().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_03_an_observer_that_is_killed_takes_a_package_along() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let workshop = Workshop::new(&stand).await;
    workshop.sign(&stand, "tcp-states").await;
    let mut observer = stand.add_observed_agent("seen", &workshop.owner("\"custom:tcp-states\"")).await.unwrap();
    let mut asked = Asked::observe(&stand, &["custom", "--name", "tcp-states", "--from", "seen", "--for", "60s"]).await;
    asked.until("window").await;
    let held = held(observer.pid().unwrap());
    assert!(!held.is_empty());
    observer.kill().await.unwrap();
    assert_eq!(asked.report().await["error"]["code"], "observer_lost");
    until_gone(&held).await;
}
