use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};

use super::*;
use crate::state_dir::StateDirError;

struct Bench {
    _root: tempfile::TempDir,
    state: StateDir,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let state = StateDir::create(&root.path().join("state")).unwrap();
        Self { _root: root, state }
    }

    async fn open(&self) -> Result<Outbox, OutboxError> {
        self.open_with(OutboxSettings::default(), 1).await
    }

    async fn open_with(&self, settings: OutboxSettings, random: u8) -> Result<Outbox, OutboxError> {
        Outbox::open(&self.state, settings, now(), [random; 10]).await
    }

    fn file(&self) -> PathBuf {
        self.state.file(file::FILE)
    }

    fn set_aside_files(&self) -> usize {
        let names = fs::read_dir(self.file().parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("outbox.db.damaged-") && !name.to_string_lossy().ends_with("-wal"))
            .count()
    }
}

fn now() -> UnixMicros {
    UnixMicros::from_micros(1_700_000_000_000_000)
}

fn job(number: u8) -> JobRef {
    JobRef {
        job: JobId::new(now(), [number; 10]),
        attempt: Attempt(1),
    }
}

fn seq(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

#[tokio::test]
async fn reports_are_numbered_read_in_order_and_forgotten_when_acknowledged() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    for number in 1..=5 {
        assert_eq!(
            outbox.append(job(number), &format!("body {number}"), now()).await.unwrap(),
            seq(u64::from(number))
        );
    }
    let read = outbox.read_after(seq(1), 2).await.unwrap();
    assert_eq!(
        read.iter().map(|report| (report.seq, report.job, &*report.body)).collect::<Vec<_>>(),
        [(seq(2), job(2), "body 2"), (seq(3), job(3), "body 3")]
    );
    outbox.acknowledged(seq(3)).await.unwrap();
    assert_eq!(outbox.depth(), 2);
    assert_eq!(outbox.read_after(Sequence::ZERO, 10).await.unwrap().len(), 2);
    assert_eq!(outbox.jobs(10).await.unwrap(), [job(4), job(5)]);
    let state = outbox.state().await.unwrap();
    assert_eq!((state.first_seq, state.next_seq, state.set_aside), (seq(4), seq(6), 0));
}

#[tokio::test]
async fn kil_01_a_report_is_in_the_files_when_it_is_said_to_be_kept() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    for number in 1..=30 {
        outbox.append(job(number), "body", now()).await.unwrap();
        // As a power cut would leave them: nothing but what was written so far.
        let copy = Bench::new();
        for name in ["outbox.db", "outbox.db-wal"] {
            fs::copy(bench.file().with_file_name(name), copy.file().with_file_name(name)).unwrap();
        }
        let copied = copy.open().await.unwrap();
        assert_eq!(copied.last(), seq(u64::from(number)));
        copied.close().await;
    }
}

#[tokio::test]
async fn a_report_is_waited_for_on_its_way_to_disk_and_its_leaving_is_not() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    let synchronous = async || {
        let mut connection = outbox.connection().await.unwrap();
        sqlx::query_scalar::<_, i64>("PRAGMA synchronous").fetch_one(&mut *connection).await.unwrap()
    };
    let (normal, full) = (1, 2);
    for number in 1..=2 {
        outbox.append(job(number), "body", now()).await.unwrap();
        assert_eq!(synchronous().await, full);
        outbox.acknowledged(seq(u64::from(number))).await.unwrap();
        assert_eq!(synchronous().await, normal);
    }
    outbox.begin_new_life(now(), [9; 10]).await.unwrap();
    assert_eq!(synchronous().await, full);
    outbox.close().await;
    assert!(matches!(outbox.append(job(3), "body", now()).await, Err(OutboxError::Storage(_))));
}

#[tokio::test]
async fn kil_01_what_was_kept_is_there_after_a_restart_and_numbers_go_on() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    outbox.append(job(1), "one", now()).await.unwrap();
    outbox.append(job(2), "two", now()).await.unwrap();
    outbox.acknowledged(seq(2)).await.unwrap();
    let before = outbox.state().await.unwrap();
    assert_eq!(before.first_seq, before.next_seq, "nothing is held");
    outbox.close().await;
    let outbox = bench.open_with(OutboxSettings::default(), 2).await.unwrap();
    assert_eq!(outbox.state().await.unwrap(), before, "the incarnation stays, and no number is used twice");
    assert_eq!(outbox.append(job(3), "three", now()).await.unwrap(), seq(3));
}

#[tokio::test]
async fn a_second_agent_on_the_same_directory_is_refused() {
    let bench = Bench::new();
    let _first = bench.open().await.unwrap();
    assert!(matches!(bench.open().await, Err(OutboxError::Locked)));
}

#[tokio::test]
async fn dsk_01_a_full_outbox_takes_no_new_jobs_but_keeps_reports_and_recovers() {
    let bench = Bench::new();
    let settings = OutboxSettings {
        max_bytes: 100,
        max_age_h: 1,
        ..OutboxSettings::default()
    };
    let outbox = bench.open_with(settings, 1).await.unwrap();
    assert_eq!(outbox.room(now()), Room::Free);
    outbox.append(job(1), &"x".repeat(100), now()).await.unwrap();
    assert_eq!(outbox.room(now()), Room::Full);
    outbox.append(job(2), "of a job already taken", now()).await.unwrap();
    outbox.acknowledged(seq(1)).await.unwrap();
    assert_eq!(outbox.room(now()), Room::Free);
    assert_eq!(
        outbox.room(now().plus(Duration::from_secs(3_601))),
        Room::Full,
        "the oldest waits for more than an hour"
    );
}

#[tokio::test]
async fn dsk_01_an_append_that_the_disk_refuses_keeps_nothing_and_may_be_repeated() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    sqlx::query("PRAGMA max_page_count = 12")
        .execute(&mut *outbox.connection().await.unwrap())
        .await
        .unwrap();
    let big = "x".repeat(100_000);
    assert!(matches!(outbox.append(job(1), &big, now()).await, Err(OutboxError::Storage(_))));
    assert_eq!(outbox.depth(), 0);
    sqlx::query("PRAGMA max_page_count = 100000")
        .execute(&mut *outbox.connection().await.unwrap())
        .await
        .unwrap();
    assert_eq!(outbox.append(job(1), &big, now()).await.unwrap(), seq(1));
}

/// The log is written at the commit, after the row of the answer. A limit on the size of files stands for the disk's end.
#[tokio::test]
async fn dsk_01_a_commit_that_the_disk_refuses_keeps_nothing_and_says_so() {
    // Instead of being ended by the signal a write is refused, also on the thread that the file's connection gets.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGXFSZ);
    signals.thread_block().unwrap();
    let (_, highest) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, 100_000, highest).unwrap();
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    let mut kept = 0;
    let refused = loop {
        match outbox.append(job(1), &"x".repeat(10_000), now()).await {
            Ok(_) => kept += 1,
            Err(refused) => break refused,
        }
        assert!(kept < 100, "there is an end to it");
    };
    assert!(matches!(refused, OutboxError::Storage(_)), "{refused:?}");
    assert_eq!(outbox.depth(), kept);
    let read = outbox.read_after(Sequence::ZERO, 100).await.unwrap();
    assert_eq!((u64::try_from(read.len()).unwrap(), outbox.last()), (kept, seq(kept)));
    setrlimit(Resource::RLIMIT_FSIZE, highest, highest).unwrap();
    assert_eq!(outbox.append(job(1), "x", now()).await.unwrap(), seq(kept + 1), "as soon as there is room");
}

#[tokio::test]
async fn dsk_06_a_flipped_byte_in_a_record_drops_that_record_only_and_is_counted() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    for number in 1..=3 {
        outbox.append(job(number), &format!("marker-{number}-of-the-record"), now()).await.unwrap();
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut *outbox.connection().await.unwrap())
        .await
        .unwrap();
    outbox.close().await;
    let mut bytes = fs::read(bench.file()).unwrap();
    let at = bytes.windows(8).position(|window| window == b"marker-2").unwrap();
    bytes[at] ^= 1;
    fs::write(bench.file(), bytes).unwrap();

    let outbox = bench.open().await.unwrap();
    let read = outbox.read_after(Sequence::ZERO, 10).await.unwrap();
    assert_eq!(read.iter().map(|report| report.seq).collect::<Vec<_>>(), [seq(1), seq(3)]);
    assert_eq!(outbox.state().await.unwrap().set_aside, 1);
    assert_eq!(outbox.depth(), 2);
    outbox.close().await;
    assert_eq!(
        bench.open().await.unwrap().state().await.unwrap().set_aside,
        1,
        "the count outlives the process"
    );
}

#[tokio::test]
async fn dsk_06_a_file_that_is_no_database_is_set_aside_and_a_new_incarnation_begins() {
    for damage in [&b"this is no database, however long one looks at it"[..], &[0xff; 8192]] {
        let bench = Bench::new();
        let outbox = bench.open().await.unwrap();
        outbox.append(job(1), "lost", now()).await.unwrap();
        let before = outbox.state().await.unwrap().incarnation;
        outbox.close().await;
        fs::write(bench.file(), damage).unwrap();

        let outbox = bench.open_with(OutboxSettings::default(), 2).await.unwrap();
        let state = outbox.state().await.unwrap();
        assert_ne!(state.incarnation, before);
        assert_eq!((state.next_seq, state.set_aside), (seq(1), 1));
        assert_eq!(bench.set_aside_files(), 1, "the damaged file is kept");
        outbox.append(job(1), "kept", now()).await.unwrap();
    }
}

#[tokio::test]
async fn dsk_06_a_torn_page_is_noticed_when_the_agent_starts() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    for number in 1..=50 {
        outbox.append(job(number), &"x".repeat(2_000), now()).await.unwrap();
    }
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
        .execute(&mut *outbox.connection().await.unwrap())
        .await
        .unwrap();
    outbox.close().await;
    let mut bytes = fs::read(bench.file()).unwrap();
    bytes[8192..20_480].fill(0);
    fs::write(bench.file(), bytes).unwrap();
    let state = bench.open_with(OutboxSettings::default(), 2).await.unwrap().state().await.unwrap();
    assert_eq!((state.set_aside, bench.set_aside_files()), (1, 1));
}

#[tokio::test]
async fn dsk_06_a_link_an_open_mode_or_a_newer_format_is_refused_and_nothing_is_touched() {
    let bench = Bench::new();
    let elsewhere = bench.file().with_file_name("elsewhere");
    fs::write(&elsewhere, "").unwrap();
    fs::set_permissions(&elsewhere, fs::Permissions::from_mode(0o600)).unwrap();
    symlink(&elsewhere, bench.file()).unwrap();
    assert!(matches!(bench.open().await, Err(OutboxError::State(StateDirError::WrongKind { .. }))));
    assert_eq!(fs::metadata(&elsewhere).unwrap().len(), 0);
    fs::remove_file(bench.file()).unwrap();

    symlink(&elsewhere, bench.file().with_file_name("outbox.db-wal")).unwrap();
    assert!(matches!(bench.open().await, Err(OutboxError::State(StateDirError::WrongKind { .. }))));
    assert_eq!(fs::metadata(&elsewhere).unwrap().len(), 0);
    fs::remove_file(bench.file().with_file_name("outbox.db-wal")).unwrap();

    let outbox = bench.open().await.unwrap();
    assert_eq!(fs::metadata(bench.file()).unwrap().mode() & 0o777, 0o600);
    sqlx::query("PRAGMA user_version = 2")
        .execute(&mut *outbox.connection().await.unwrap())
        .await
        .unwrap();
    outbox.close().await;
    assert!(matches!(bench.open().await, Err(OutboxError::Newer { found: 2 })));
    assert_eq!(bench.set_aside_files(), 0);

    fs::set_permissions(bench.file(), fs::Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(bench.open().await, Err(OutboxError::State(StateDirError::TooOpen { .. }))));
}

#[tokio::test]
async fn a_new_life_has_a_new_incarnation_for_every_holder_keeps_the_reports_and_survives_a_restart() {
    let bench = Bench::new();
    let outbox = bench.open().await.unwrap();
    outbox.append(job(1), "kept", now()).await.unwrap();
    let (clone, before) = (outbox.clone(), outbox.state().await.unwrap());
    outbox.begin_new_life(now(), [9; 10]).await.unwrap();
    let after = clone.state().await.unwrap();
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!((after.first_seq, after.next_seq), (before.first_seq, before.next_seq));
    outbox.close().await;
    let reopened = bench.open().await.unwrap();
    assert_eq!(reopened.state().await.unwrap().incarnation, after.incarnation);
    assert_eq!(reopened.read_after(Sequence::ZERO, 9).await.unwrap().len(), 1);
}
