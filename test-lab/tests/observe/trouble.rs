//! What is said when it cannot be observed, or not to the end.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Uid;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_keep_capabilities, set_thread_res_uid};
use serde_json::{Value, json};
use test_lab::database::Kind;
use test_lab::stand::{Stand, items_of, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::asked::Asked;

/// The programs and maps that a process holds in the kernel, by their numbers there.
pub(crate) fn held(process: u32) -> Vec<(&'static str, String)> {
    let mut held = Vec::new();
    for file in std::fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap_or_default();
        for line in text.lines() {
            for (member, kind) in [("prog_id:", "prog"), ("map_id:", "map")] {
                held.extend(line.strip_prefix(member).map(|number| (kind, number.trim().to_owned())));
            }
        }
    }
    held
}

/// Whether the kernel still has one. It lets go of them when nothing can be running in them any more.
fn is_there((kind, number): &(&'static str, String)) -> bool {
    let shown = Command::new("bpftool").args([kind, "show", "id", number]).output().unwrap();
    shown.status.success()
}

pub(crate) async fn until_gone(held: &[(&'static str, String)]) {
    for one in held {
        let gone = async {
            while is_there(one) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone)
            .await
            .unwrap_or_else(|_| panic!("{one:?} stays in the kernel"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kil_03_an_observer_that_is_killed_leaves_nothing_in_the_kernel_and_the_job_says_so() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let mut observer = stand.add_observed_agent("seen", "").await.unwrap();
    assert_eq!(held(observer.pid().unwrap()), [], "what was tried at the start is gone");
    let mut asked = Asked::observe(&stand, &["tcp_flows", "--from", "seen", "--for", "60s", "--interval-ms", "200"]).await;
    asked.until("window").await;
    let second = Asked::observe(&stand, &["tcp_flows", "--from", "seen", "--for", "60s"]).await;
    let held = held(observer.pid().unwrap());
    assert!(
        held.iter().any(|(kind, _)| *kind == "prog") && held.iter().any(|(kind, _)| *kind == "map"),
        "{held:?}"
    );
    assert!(held.iter().all(is_there));
    let status = std::fs::read_to_string(format!("/proc/{}/status", observer.pid().unwrap())).unwrap();
    let value = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    // CAP_PERFMON and CAP_BPF.
    assert_eq!(
        (value("CapPrm:"), value("CapBnd:")),
        ("000000c000000000".to_owned(), "0000000000000000".to_owned())
    );
    let resident: u64 = value("VmRSS:").trim_end_matches(" kB").parse().unwrap();
    println!("an observer of two observations: {resident} KiB resident");
    assert!(resident <= 25 * 1_024, "{resident} KiB");
    observer.kill().await.unwrap();
    for asked in [asked, second] {
        let report = asked.report().await;
        assert_eq!((&report["status"], &report["fault"]), (&"failed".into(), &"agent".into()), "{report}");
        assert_eq!(report["error"]["code"], "observer_lost");
        let message = report["error"]["message"].as_str().unwrap();
        assert!(message.starts_with("the observer ended before the observation did"), "{message}");
    }
    until_gone(&held).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_agent_says_what_it_can_observe_and_the_owner_has_the_last_word() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let observer = stand
        .add_observed_agent("seen", "max_duration_s = 5\nmask = [\"addresses\", \"commands\"]")
        .await
        .unwrap();
    let mode = std::fs::metadata(observer.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let agents = stand.get("/api/v1/agents").await.unwrap();
    let agent = items_of(&agents).next().unwrap();
    let capability = agent["capabilities"].as_array().unwrap().iter().find(|one| one["probe"] == "observe").unwrap();
    assert_eq!(capability["level"], "full", "{capability}");
    // What takes more rights than the two is said to, and how to have it.
    let mut observations = capability["observations"].as_array().unwrap().clone();
    let extra = observations.pop().unwrap();
    assert_eq!(
        (&extra["observation"], &extra["level"]),
        (&"tls_latency".into(), &"unavailable".into()),
        "{extra}"
    );
    assert!(extra["remedy"].as_str().unwrap().contains("CAP_SYS_ADMIN"), "{extra}");
    assert_eq!(
        Value::Array(observations),
        json!([
            {"observation": "tcp_flows", "level": "full"},
            {"observation": "connect_latency", "level": "full"},
            {"observation": "drops", "level": "full"},
            {"observation": "retransmits", "level": "full"},
            {"observation": "runqlat", "level": "full"},
            {"observation": "biolatency", "level": "full"},
            {"observation": "profile", "level": "full"},
            {"observation": "offcpu", "level": "full"},
            {"observation": "memory", "level": "full"},
            {"observation": "exec", "level": "full"},
            {"observation": "files", "level": "full"},
            {"observation": "connects", "level": "full"},
            {"observation": "syscalls", "level": "full"},
            {"observation": "packets", "level": "full"},
            {"observation": "interface", "level": "full"},
            {"observation": "udp_flows", "level": "full"},
            {"observation": "dns_latency", "level": "full"},
        ])
    );
    let report = Asked::begin(&stand, &["tcp_flows", "--from", "seen", "--for", "1s"]).report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["masked"]),
        (&"ok".into(), &json!(["addresses", "commands"])),
        "{report}"
    );
    for flow in report["findings"]["seen"]["flows"].as_array().unwrap() {
        // Whatever else this host is doing is seen too.
        let remote: SocketAddr = flow["remote"].as_str().unwrap().parse().unwrap();
        let hidden = match remote.ip() {
            IpAddr::V4(address) => address.octets()[3] == 0,
            IpAddr::V6(address) => address.octets()[6..] == [0; 10],
        };
        assert!(hidden, "{flow}");
        assert_eq!(flow.get("command"), None);
    }
    let request = json!({
        "spec": {"probe": "observe", "observation": "tcp_flows", "duration_s": 6},
        "selection": {"agents": ["seen"]},
    });
    let asked = stand.post("/api/v1/measurements", &request).await.unwrap();
    let refused = async {
        let path = format!("/api/v1/measurements/{}", text(&asked, "id"));
        while !stand.get(&path).await.unwrap().to_string().contains("cap_exceeded") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refused)
        .await
        .expect("the job is refused for its duration");
}

/// Sends bytes to the observer, and waits until it has hung up.
async fn hung_up(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    // It may hang up before it has read all.
    let _ = stream.write_all(bytes).await;
    let mut told = Vec::new();
    let heard = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut told)).await;
    let _reset_or_ended = heard.expect("the observer hangs up");
    told
}

/// What the observer says to somebody who reaches its socket as this user, with the right to reach any file.
fn told_to(user: u32, socket: PathBuf, question: Vec<u8>) -> Vec<u8> {
    // Users and rights belong to threads.
    let asking = std::thread::spawn(move || {
        set_keep_capabilities(true).unwrap();
        let user = Uid::from_raw(user);
        set_thread_res_uid(user, user, user).unwrap();
        let rights = CapabilitySets {
            effective: CapabilitySet::DAC_OVERRIDE,
            permitted: CapabilitySet::DAC_OVERRIDE,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, rights).unwrap();
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut told = Vec::new();
        // It may have hung up before either is done.
        let _ = std::io::Write::write_all(&mut stream, &question);
        let _ = std::io::Read::read_to_end(&mut stream, &mut told);
        told
    });
    asking.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_observer_tells_nothing_to_another_user_however_it_reached_the_socket() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let observer = stand.add_observed_agent("seen", "").await.unwrap();
    let question = r#"{"ask":"capabilities"}"#;
    let question = [&u32::try_from(question.len()).unwrap().to_be_bytes()[..], question.as_bytes()].concat();
    for (user, answered) in [(65_534, false), (0, true), (1, false)] {
        let (socket, question) = (observer.socket().to_owned(), question.clone());
        let told = tokio::task::spawn_blocking(move || told_to(user, socket, question)).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&told).contains("tcp_flows"), answered, "user {user}");
        assert_eq!(told.is_empty(), !answered, "user {user}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn job_28_what_an_observer_cannot_read_ends_the_conversation_and_nothing_else() {
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let observer = stand.add_observed_agent("seen", "allow = []").await.unwrap();
    let framed = |text: &str| [&u32::try_from(text.len()).unwrap().to_be_bytes()[..], text.as_bytes()].concat();
    let observe = r#"{"ask":"observe","spec":{"probe":"observe","observation":"tcp_flows"},"check_port":1}"#;
    for (bytes, told) in [
        (u32::MAX.to_be_bytes().to_vec(), None),
        (framed(&"[".repeat(4_096)), None),
        (framed("{\"ask\":\"everything\"}"), None),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), None),
        (framed(r#"{"ask":"stop"}"#).repeat(100_000), Some("this is not an observation")),
        (
            framed(&observe.replace("\"observe\",\"observation\":\"tcp_flows\"", "\"ping\",\"target\":\"127.0.0.1\"")),
            Some("this is not an observation"),
        ),
        // The owner's word holds here too, whatever the agent has let pass.
        (framed(observe), Some("observe.allow")),
    ] {
        let answer = hung_up(observer.socket(), &bytes).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        // Whoever goes on talking to somebody who has hung up may lose the answer.
        let flood = bytes.len() > 100_000;
        assert!(flood || told.map_or(answer.is_empty(), |told| answer.contains(told)), "{answer}");
    }
    let capabilities = UnixStream::connect(observer.socket()).await.unwrap();
    let (mut from, mut to) = capabilities.into_split();
    to.write_all(&framed(r#"{"ask":"capabilities"}"#)).await.unwrap();
    let mut told = Vec::new();
    from.read_to_end(&mut told).await.unwrap();
    assert!(String::from_utf8_lossy(&told).contains("tcp_flows"), "it still answers");
}
