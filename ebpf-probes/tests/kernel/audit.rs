//! Who runs, opens and calls what: what the test itself does, by each kind of hook.
#![expect(clippy::disallowed_types, reason = "what is seen is that a program was run: the test runs itself")]

use std::fs::File;
use std::path::Path;
use std::process::Command;

use ebpf_probes::{Ask, Hooks, Kernel, Observing, check_file, check_name};
use rustix::process::Pid;
use shared_protocol::report::{Execution, FilesSeen, Masked, Seen, SelfCheck};
use shared_protocol::spec::Observation;

fn executions(observing: &mut Observing) -> Vec<Execution> {
    let Seen::Exec(seen) = observing.seen().unwrap() else {
        panic!("another observation")
    };
    assert_eq!(seen.totals.executions + seen.totals.refused, u64::try_from(seen.executions.len()).unwrap());
    seen.executions
}

/// Runs this program once more, under a name; what it is asked for, it does not do.
fn run(name: &str, argument: &str) {
    use std::os::unix::process::CommandExt;
    let itself = std::env::current_exe().unwrap();
    Command::new(itself).arg0(name).arg(argument).output().unwrap();
}

#[test]
fn what_is_run_and_what_cannot_be_is_seen_with_how_it_ended_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let ask = Ask {
            top: 100,
            pid: Some(std::process::id()),
            check_port: 7,
            ..Ask::everything(Observation::Exec)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        assert!(observing.attachment().missing.is_empty(), "{:?}", observing.attachment());
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
        run(&check_name(7), "--list");
        run("first", "--list");
        run("second", "--no-such-option");
        Command::new("/nonexistent/program").output().unwrap_err();
        let seen = executions(&mut observing);
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        let arguments: Vec<_> = seen.iter().map(|one| one.arguments.as_deref()).collect();
        assert_eq!(arguments, [None, Some("second --no-such-option"), Some("first --list")], "{hooks:?}");
        let ends: Vec<_> = seen.iter().map(|one| (one.exit_code, one.signal, one.errno)).collect();
        assert_eq!(ends[0], (None, None, Some(2)), "{hooks:?}");
        assert!(
            ends[1].0.is_some_and(|code| code != 0) && ends[2] == (Some(0), None, None),
            "{hooks:?}: {ends:?}"
        );
        assert_eq!(seen[0].file.as_deref(), Some("/nonexistent/program"));
        let itself = std::env::current_exe().unwrap();
        for one in &seen[1..] {
            // The first 127 bytes are told.
            assert!(
                itself.starts_with(Path::new(one.file.as_deref().unwrap())) || one.file.as_ref().unwrap().len() == 127,
                "{one:?}"
            );
            assert!(one.ran_us.is_some_and(|ran_us| ran_us > 0) && one.parent == std::process::id(), "{one:?}");
        }
        assert_eq!(observing.lost().unwrap(), 0);
    }
}

#[test]
fn what_the_owner_hides_is_not_told() {
    let kernel = Kernel::read(None).unwrap();
    let ask = Ask {
        top: 100,
        pid: Some(std::process::id()),
        masked: &[Masked::Commands],
        ..Ask::everything(Observation::Exec)
    };
    let mut observing = Observing::start(&kernel, &ask).unwrap();
    run("secret", "--list");
    Command::new("/nonexistent/secret").output().unwrap_err();
    let seen = executions(&mut observing);
    assert_eq!(seen.len(), 2);
    for one in seen {
        assert_eq!((one.command, one.file, one.arguments), (None, None, None));
    }
}

fn files(observing: &mut Observing) -> FilesSeen {
    let Seen::Files(seen) = observing.seen().unwrap() else {
        panic!("another observation")
    };
    seen
}

#[test]
fn what_is_opened_and_what_cannot_be_is_seen_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let ask = Ask {
            top: 10_000,
            pid: Some(std::process::id()),
            check_port: FILES_CHECK,
            ..Ask::everything(Observation::Files)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
        File::open(check_file(FILES_CHECK)).unwrap_err();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        // Only the name is the test's: whatever runs beside it opens files too.
        for _ in 0..5 {
            File::open("/proc/self/../self/stat").unwrap();
        }
        for _ in 0..3 {
            File::options().write(true).open("/nonexistent/file").unwrap_err();
        }
        let seen = files(&mut observing);
        let of = |file: &str| {
            let all = seen.openings.iter().filter(|one| one.file.as_deref() == Some(file));
            all.map(|one| (one.errno, one.writes)).collect::<Vec<_>>()
        };
        assert_eq!(of("/proc/self/../self/stat"), [(None, false); 5], "{hooks:?}");
        assert_eq!(of("/nonexistent/file"), [(Some(2), true); 3], "{hooks:?}");
        assert_eq!(of(&check_file(FILES_CHECK)), [], "{hooks:?}");
        assert!(seen.totals.opened >= 5 && seen.totals.failed >= 3, "{hooks:?}: {seen:?}");
        assert!(seen.openers.iter().all(|one| one.pid == std::process::id()), "{seen:?}");
        assert_eq!(observing.lost().unwrap(), 0);
    }
}

#[test]
fn what_the_ring_has_no_room_for_is_lost_from_the_list_and_counted_all_the_same() {
    let kernel = Kernel::read(None).unwrap();
    let ask = Ask {
        pid: Some(std::process::id()),
        ..Ask::everything(Observation::Files)
    };
    let mut observing = Observing::start(&kernel, &ask).unwrap();
    for _ in 0..5_000 {
        File::open("/nonexistent/file").unwrap_err();
    }
    let seen = files(&mut observing);
    assert!(observing.lost().unwrap() > 0);
    assert!(seen.totals.failed >= 5_000, "{seen:?}");
    assert_eq!(seen.openings.len(), 1);
}

#[test]
fn calls_are_counted_by_name_with_their_errors_by_every_kind_of_hook() {
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let ask = Ask {
            top: 512,
            pid: Some(std::process::id()),
            check_port: CALLS_CHECK,
            ..Ask::everything(Observation::Syscalls)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        File::open(check_file(CALLS_CHECK)).unwrap_err();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        for _ in 0..137 {
            rustix::process::getpriority_process(None).unwrap();
        }
        for _ in 0..11 {
            rustix::process::getpriority_process(Pid::from_raw(i32::MAX)).unwrap_err();
        }
        let Seen::Syscalls(seen) = observing.seen().unwrap() else {
            panic!("another observation")
        };
        let rare = seen.calls.iter().find(|one| one.name == "getpriority").unwrap();
        assert_eq!((rare.count, rare.failed), (148, 11), "{hooks:?}");
        let (avg_ns, max_ns) = (rare.avg_ns.unwrap(), rare.max_ns.unwrap());
        assert!(0 < avg_ns && avg_ns <= max_ns && rare.total_us <= 148 * max_ns / 1_000, "{hooks:?}: {rare:?}");
        assert!(seen.totals.calls >= 148 && seen.totals.failed >= 11);
        assert_eq!(observing.lost().unwrap(), 0);
        // What is left to give up is how long they take.
        assert_eq!(observing.give_up_one(), Some("sys_enter"));
    }
}

/// A check is seen whoever on this host makes it: each test has one of its own.
const FILES_CHECK: u16 = 7;
const CALLS_CHECK: u16 = 8;
