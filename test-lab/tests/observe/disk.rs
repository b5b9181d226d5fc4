//! `biolatency` beside what the device itself counts, and beside the program of the same name of libbpf-tools, on a device that nobody else uses.
#![expect(clippy::disallowed_types, reason = "the lab starts the programs that it looks at")]

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use test_lab::database::Kind;
use test_lab::stand::Stand;
use tokio::process::Command;

use crate::asked::Asked;
use crate::waits::place_of;

/// A block device whose contents stand in a file.
struct Device {
    path: PathBuf,
    #[expect(dead_code, reason = "it goes when this does")]
    folder: tempfile::TempDir,
}

impl Device {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("contents");
        File::create(&file).unwrap().set_len(16 << 20).unwrap();
        let made = std::process::Command::new("losetup").args(["--find", "--show"]).arg(&file).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let path = PathBuf::from(String::from_utf8(made.stdout).unwrap().trim());
        Self { path, folder }
    }

    fn name(&self) -> &str {
        self.path.file_name().unwrap().to_str().unwrap()
    }

    /// Requests that it says it is done with: reads, writes, flushes.
    fn counted(&self) -> [u64; 3] {
        let text = std::fs::read_to_string(Path::new("/sys/block").join(self.name()).join("stat")).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        [numbers[0], numbers[4], numbers[15]]
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _goes_with_this_machine = std::process::Command::new("losetup").arg("--detach").arg(&self.path).status();
    }
}

/// Reads, writes and flushes that the test asks for.
const ASKED: [u64; 3] = [300, 200, 50];

/// What is read and written past the cache has to begin where a page does.
#[repr(align(4096))]
struct Page([u8; 4_096]);

/// Reads so often, writes so often, flushes so often, and says how long all of it took.
fn use_device(device: &Path, [reads, writes, flushes]: [u64; 3]) -> Duration {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(device).unwrap();
    let mut page = Box::new(Page([7; 4_096]));
    let began = test_lab::clock::start();
    for number in 0..reads {
        file.read_exact_at(&mut page.0, number * 4_096).unwrap();
    }
    for number in 0..writes {
        file.write_all_at(&page.0, number * 4_096).unwrap();
    }
    for _ in 0..flushes {
        file.sync_all().unwrap();
    }
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_a_block_device_are_those_that_it_counts_and_took_as_long_as_another_program_sees() {
    let device = Device::new();
    let mut stand = Stand::start_straight(Kind::Sqlite).await.unwrap();
    let _observer = stand.add_observed_agent("seen", "").await.unwrap();
    let asked = Asked::observe(&stand, &["biolatency", "--from", "seen", "--for", "6s", "--top", "100"]).await;
    let before = device.counted();
    let other = Command::new("biolatency")
        .args(["-F", "-D", "4", "1"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // It does not say when it has begun: both of its programs are on their hooks then.
    let number = other.id().unwrap();
    let begun = async {
        while links_of(number) < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3), begun).await.expect("libbpf-tools begin");
    let path = device.path.clone();
    let took = tokio::task::spawn_blocking(move || use_device(&path, ASKED)).await.unwrap();
    let after = device.counted();
    let other = other.wait_with_output().await.unwrap();
    let report = asked.report().await;
    assert_eq!(
        (&report["status"], &report["findings"]["self_check"], &report["findings"]["lost"]),
        (&"ok".into(), &"passed".into(), &0.into()),
        "{report}"
    );
    let seen = &report["findings"]["seen"];
    let of = |kind: &str| -> &Value {
        let devices = seen["devices"].as_array().unwrap();
        let found = devices.iter().find(|one| one["device"] == device.name() && one["kind"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} of {} in {seen}", device.name()))
    };
    // The kernel counts what asks for a flush as a write too, which never reaches the device.
    let [reads, writes, flushes] = std::array::from_fn(|place| after[place] - before[place]);
    assert_eq!([reads, writes - flushes, flushes], ASKED, "as the device counts");
    let mut all_us = 0;
    for (kind, asked, bytes) in [("read", ASKED[0], 4_096), ("write", ASKED[1], 4_096), ("flush", ASKED[2], 0)] {
        let one = of(kind);
        assert_eq!((&one["requests"], &one["bytes"]), (&asked.into(), &(asked * bytes).into()), "{one}");
        let slots = slots_of(one);
        assert_eq!(slots.iter().sum::<u64>(), asked, "{one}");
        all_us += asked * one["latencies"]["avg_us"].as_u64().unwrap();
    }
    // One after the other, each within the call that asked for it.
    assert!(u128::from(all_us) <= took.as_micros(), "{all_us} us in {took:?}");
    let text = String::from_utf8(other.stdout).unwrap();
    for (kind, flag) in [("read", "Read"), ("write", "Write")] {
        let (ours, theirs) = (slots_of(of(kind)), others_of(&text, device.name(), flag));
        assert_eq!(ours.iter().sum::<u64>(), theirs.iter().sum::<u64>(), "{kind} in\n{text}");
        for percent in [50, 90] {
            let (ours, theirs) = (place_of(&ours, percent), place_of(&theirs, percent));
            assert!(ours.abs_diff(theirs) <= 1, "{kind} {percent} %: place {ours}, {theirs} in\n{text}\n{seen}");
        }
    }
}

/// How many programs a process has put onto hooks.
fn links_of(process: u32) -> usize {
    let files = std::fs::read_dir(format!("/proc/{process}/fdinfo")).unwrap();
    let texts = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok());
    texts.filter(|text| text.contains("link_id:")).count()
}

fn slots_of(one: &Value) -> Vec<u64> {
    let slots = one["latencies"]["slots"].as_array().unwrap();
    slots.iter().map(|slot| slot.as_u64().unwrap()).collect()
}

/// What the other program says of a device and a kind of request, over all its flags.
fn others_of(text: &str, device: &str, kind: &str) -> Vec<u64> {
    let mut all = vec![0; 64];
    let mut is_it = false;
    for line in text.lines() {
        if line.starts_with("disk = ") {
            is_it = line.contains(&format!("disk = {device}\t")) && line.contains(kind);
        }
        let count = line
            .split_once(" -> ")
            .and_then(|(_, rest)| rest.split_once(':')?.1.split('|').next()?.trim().parse().ok());
        if let Some(count) = count.filter(|_| is_it) {
            let from: u64 = line.split_once(" -> ").unwrap().0.trim().parse().unwrap();
            let place: usize = if from == 0 { 0 } else { usize::try_from(from.ilog2()).unwrap() };
            let count: u64 = count;
            all[place] += count;
        }
    }
    all
}
