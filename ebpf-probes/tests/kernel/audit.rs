//! Who ran what: what the test itself runs, by each kind of hook.
#![expect(clippy::disallowed_types, reason = "what is seen is that a program was run: the test runs itself")]

use std::path::Path;
use std::process::Command;

use ebpf_probes::{Ask, Hooks, Kernel, Observing, check_name};
use shared_protocol::report::{Execution, Masked, Seen, SelfCheck};
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
