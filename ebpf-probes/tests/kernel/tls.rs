//! OpenSSL: functions that are called as its are, which the test itself has and calls.
#![expect(
    unsafe_code,
    reason = "a function has its own name in a file only if nobody changes it, which the compiler cannot look after"
)]

use std::hint::black_box;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use ebpf_probes::{Ask, Kernel, ObserveError, Observing, call_function};
use shared_protocol::report::{Masked, Seen, SelfCheck, TlsCalls, TlsKind, TlsSeen};
use shared_protocol::spec::Observation;

/// Waits, and answers what it is told to. What its first argument is, only its name says.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_do_handshake(connection: u64, answer: i32, wait_ms: u64) -> i32 {
    let (_nobody, silence) = mpsc::channel::<()>();
    silence.recv_timeout(Duration::from_millis(wait_ms)).unwrap_err();
    black_box(connection);
    answer
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_connect(connection: u64, answer: i32, wait_ms: u64) -> i32 {
    black_box("as OpenSSL has it");
    SSL_do_handshake(connection, answer, wait_ms)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_read(connection: u64, answer: i32) -> i32 {
    black_box((connection, 1));
    answer
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_write_ex(connection: u64, answer: i32) -> i32 {
    black_box((connection, 2));
    answer
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_get_error(connection: u64, answer: i32) -> i32 {
    black_box((connection, 3));
    answer
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn SSL_free(connection: u64) {
    black_box((connection, 4));
}

/// What `SSL_get_error` says.
const FAILED: i32 = 1;
const WANTS_TO_READ: i32 = 2;
const BROKE_OFF: i32 = 5;

fn observing(masked: &[Masked]) -> Observing {
    let ask = Ask {
        top: 100,
        pid: Some(std::process::id()),
        libraries: &[PathBuf::from("/proc/self/exe")],
        masked,
        check_port: 7,
        ..Ask::everything(Observation::TlsLatency)
    };
    Observing::start(&Kernel::read(None).unwrap(), &ask).unwrap()
}

fn seen(observing: &mut Observing) -> TlsSeen {
    let Seen::TlsLatency(seen) = observing.seen().unwrap() else {
        panic!("another observation")
    };
    seen
}

/// Of each kind one, as one thread does all of it.
fn of(seen: &TlsSeen, kind: TlsKind) -> &TlsCalls {
    let own: Vec<&TlsCalls> = seen.calls.iter().filter(|calls| calls.kind == kind).collect();
    assert_eq!((own.len(), own[0].pid), (1, std::process::id()), "{seen:?}");
    own[0]
}

/// All in one: other tests of this process would call the same functions meanwhile.
#[test]
fn handshakes_reads_and_writes_are_counted_with_how_long_they_took_and_what_failed() {
    let mut observing = observing(&[]);
    assert!(observing.attachment().missing.is_empty(), "{:?}", observing.attachment());
    assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
    call_function(8);
    assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed, "somebody else's check");
    call_function(7);
    assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);

    // At once, by a function that calls the other.
    assert_eq!(SSL_connect(10, 1, 0), 1);
    // In several calls, between which it waits as long as in one of them.
    for (answer, wait_ms) in [(-1, 40), (-1, 0), (1, 40)] {
        SSL_do_handshake(20, answer, wait_ms);
        if answer < 0 {
            SSL_get_error(20, WANTS_TO_READ);
        }
    }
    // One that fails, which nobody counts twice; one that breaks off; and one that is let go of before it has come to anything.
    SSL_connect(30, -1, 0);
    SSL_get_error(30, FAILED);
    SSL_get_error(30, FAILED);
    SSL_free(30);
    SSL_do_handshake(40, 0, 0);
    SSL_get_error(40, BROKE_OFF);
    SSL_do_handshake(50, -1, 0);
    SSL_free(50);
    SSL_free(10);
    for answer in [5, -1, 17, 0, 1, -1] {
        SSL_read(20, answer);
        if answer < 0 {
            SSL_get_error(20, WANTS_TO_READ);
        }
    }
    SSL_read(20, -1);
    SSL_get_error(20, BROKE_OFF);
    for _ in 0..4 {
        SSL_write_ex(20, 1);
    }
    // After what came to something nobody asks about what did not.
    SSL_get_error(20, FAILED);

    let seen = seen(&mut observing);
    let totals = seen.totals;
    assert_eq!((totals.handshakes, totals.handshakes_failed), (2, 3), "{seen:?}");
    assert_eq!(
        (totals.reads, totals.reads_failed, totals.writes, totals.writes_failed),
        (3, 1, 4, 0),
        "{seen:?}"
    );
    assert_eq!(observing.lost().unwrap(), 0);
    assert_eq!(seen.libraries, ["/proc/self/exe"]);
    let handshakes = of(&seen, TlsKind::Handshake);
    assert_eq!((handshakes.count, handshakes.failed), (2, 3));
    let latencies = handshakes.latencies.as_ref().unwrap();
    assert!(latencies.max_us >= 80_000, "{latencies:?}");
    assert_eq!(seen.handshakes.as_ref(), Some(latencies));
    assert_eq!(latencies.slots.iter().sum::<u64>(), 2);
    assert_eq!(of(&seen, TlsKind::Read).latencies.as_ref().unwrap().slots.iter().sum::<u64>(), 3);
    let own = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
    assert!(seen.calls.iter().all(|calls| calls.command.as_deref() == Some(own.trim_end())), "{seen:?}");

    names_are_hidden_and_what_costs_most_goes_first();
}

fn names_are_hidden_and_what_costs_most_goes_first() {
    let mut observing = observing(&[Masked::Commands]);
    SSL_do_handshake(10, 1, 0);
    // So many that one run that an emulated processor holds up does not count for more.
    for _ in 0..300 {
        SSL_write_ex(10, 1);
    }
    SSL_read(10, 1);
    assert!(seen(&mut observing).calls.iter().all(|calls| calls.command.is_none()));
    let before = observing.cost().unwrap();
    // To get to a program costs more than the program.
    assert!(before.run_ns > before.runs * 5_000, "{before:?}");
    assert_eq!(observing.give_up_one(), Some("SSL_write"));
    assert!(observing.cost().unwrap().runs >= before.runs);
    SSL_write_ex(10, 1);
    SSL_read(10, 1);
    SSL_do_handshake(11, 1, 0);
    let totals = seen(&mut observing).totals;
    assert_eq!((totals.handshakes, totals.reads, totals.writes), (2, 2, 300));
    assert_eq!((observing.give_up_one(), observing.give_up_one()), (Some("SSL_read"), None));
    assert_eq!(observing.attachment().missing.len(), 2);
}

#[test]
fn a_file_without_such_functions_is_named_as_what_is_missing() {
    let ask = Ask {
        libraries: &[PathBuf::from("/proc/version"), PathBuf::from("/nonexistent/libssl.so")],
        ..Ask::everything(Observation::TlsLatency)
    };
    let error = Observing::start(&Kernel::read(None).unwrap(), &ask).err().unwrap();
    assert!(matches!(error, ObserveError::NoLibrary { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("/proc/version: ") && text.contains("/nonexistent/libssl.so: "), "{text}");
    assert!(error.remedy().contains("observe.tls_libraries"));
}
