//! Packages of somebody's own: what they tell of what the test itself does, and what the kernel says to those that it does not take.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use ebpf_package::Package;
use ebpf_probes::{Accounting, Ask, CustomError, Kernel, ObserveError, Observing, try_out};
use serde_json::{Value, json};
use shared_protocol::report::{CustomSeen, Seen, SelfCheck};
use shared_protocol::spec::Observation;

/// A committed object with its manifest.
macro_rules! package {
    ($manifest:expr, $object:literal) => {
        Package::new($manifest.to_owned(), include_bytes!($object).to_vec()).unwrap()
    };
}

const TWIN: &str =
    "name = \"twin\"\nversion = \"1\"\n[[programs]]\nname = \"run\"\nattach = \"raw_tp/sys_enter\"\n[[maps]]\nname = \"rows\"\nread = \"rows\"\n";

const SHAPES: &str = r#"
name = "shapes"
version = "1"
lost = "lost"

[[programs]]
name = "fill"
attach = "raw_tp/sys_enter"

[[maps]]
name = "shapes"
read = "rows"

[[maps]]
name = "by_cpu"
read = "rows"

[[maps]]
name = "ring"
read = "events"
type = "event"
"#;

/// It looks at this thread only.
fn shapes() -> Package {
    let mut object = include_bytes!("../../../ebpf-package/tests/objects/shapes.bpf.o").to_vec();
    let place = object.windows(4).position(|bytes| bytes == 0x5eed_ca11_u32.to_le_bytes()).unwrap();
    object[place..place + 4].copy_from_slice(&rustix::thread::gettid().as_raw_nonzero().get().to_le_bytes());
    Package::new(SHAPES.to_owned(), object).unwrap()
}

fn tcp_states() -> Package {
    package!(
        include_str!("../../../samples/observe/tcp-states.toml"),
        "../../../samples/observe/tcp-states.bpf.o"
    )
}

fn opens() -> Package {
    package!(
        include_str!("../../../samples/observe/opens-by-process.toml"),
        "../../../samples/observe/opens-by-process.bpf.o"
    )
}

fn ask(top: usize, check_port: u16) -> Ask<'static> {
    Ask {
        top,
        check_port,
        ..Ask::everything(Observation::Custom)
    }
}

fn start(package: &Package, top: usize, check_port: u16) -> Observing {
    let _counted = Accounting::begin().unwrap();
    Observing::start_package(&Kernel::read(None).unwrap(), package, &ask(top, check_port)).unwrap()
}

fn refused(package: &Package) -> CustomError {
    let _counted = Accounting::begin().unwrap();
    let started = Observing::start_package(&Kernel::read(None).unwrap(), package, &ask(1, 0));
    let Err(ObserveError::Custom(error)) = started else { panic!("it is taken") };
    error
}

fn custom(seen: Seen) -> CustomSeen {
    let Seen::Custom(seen) = seen else { panic!("another observation") };
    seen
}

/// A call that the kernel does not have, so often.
#[expect(unsafe_code, reason = "a call without arguments that the kernel refuses")]
fn call(times: usize) {
    for _ in 0..times {
        // SAFETY: there is no such call.
        unsafe { libc::syscall(1_000) };
    }
}

#[test]
fn values_of_every_kind_come_out_as_the_program_wrote_them() {
    let mut observing = start(&shapes(), 100, 0);
    call(5);
    let seen = custom(observing.seen().unwrap());
    let expected = json!({
        "byte": 200, "least": -128, "half": 60_000, "minus": -2, "word": 4_000_000_000_u32, "negative": -3,
        "wide": 18_000_000_000_000_000_000_u64, "most": -4, "yes": true, "colour": "GREEN", "unknown": 7, "sign": "MINUS", "text": "word",
        "pair": [{"bytes": [0, 0, 0], "less": 0}, {"bytes": [0, 0, 9], "less": -9}],
        "low": 5, "across": 4_000, "below": -7, "inside": 77,
    });
    let [shapes, by_cpu] = seen.maps.as_slice() else { panic!("{seen:?}") };
    assert_eq!((shapes.entries, &shapes.rows[0].key, &shapes.rows[0].value), (1, &json!(0), &expected));
    assert_eq!(
        (&by_cpu.rows[0].key, &by_cpu.rows[0].value),
        (&json!(42), &json!(5)),
        "counts of all CPUs are added up"
    );
    let [ring] = seen.events.as_slice() else { panic!("{seen:?}") };
    assert_eq!((ring.seen, ring.malformed), (5, 0));
    assert_eq!(ring.events, vec![json!({"number": 5, "word": "abcd"}); 5]);
    assert_eq!((observing.self_check().unwrap(), observing.lost().unwrap()), (SelfCheck::Passed, 0));
    // Live, only what is new is told; at the end what there is.
    assert_eq!(custom(observing.seen().unwrap()).events[0].events, Vec::<Value>::new());
    assert_eq!(custom(observing.found().unwrap()).events[0].events.len(), 5);
}

#[test]
fn what_a_ring_has_no_room_for_is_counted_and_nothing_is_told_twice() {
    let mut observing = start(&shapes(), 3, 0);
    call(1_000);
    let seen = custom(observing.seen().unwrap());
    let lost = observing.lost().unwrap();
    // A page with sixteen bytes for each.
    assert!(lost > 700, "{lost}");
    assert_eq!(seen.events[0].seen + lost, 1_000);
    assert_eq!(seen.events[0].events.len(), 3, "as many as were asked for");
    call(2);
    let seen = custom(observing.seen().unwrap());
    assert_eq!((seen.events[0].seen + lost, seen.events[0].events.len()), (1_002, 2));
}

#[test]
fn the_sample_of_connections_tells_their_states_and_knows_its_own_check() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let check = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let check_port = check.local_addr().unwrap().port();
    drop(check);
    let mut observing = start(&tcp_states(), 1_000, check_port);
    assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed, "nothing has checked it");
    TcpStream::connect((Ipv4Addr::LOCALHOST, check_port)).unwrap_err();
    assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
    let here = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    let own = here.local_addr().unwrap().port();
    let there = listener.accept().unwrap();
    // Only the last messages are told, and the whole host has connections: so it is looked at after each step.
    let opened = custom(observing.seen().unwrap());
    drop(here);
    drop(there);
    let seen = custom(observing.seen().unwrap());
    assert_eq!(
        (seen.package.as_str(), seen.version.as_str(), seen.sha256),
        ("tcp-states", "1.0.0", tcp_states().digest())
    );
    let events = [opened, seen].map(|seen| seen.events[0].events.clone()).concat();
    assert!(
        !events
            .iter()
            .any(|event| event["remote_port"] == check_port || event["local_port"] == check_port)
    );
    // The kernel chooses a port of its own after it has said that it opens a connection.
    let is_ours = |event: &&Value| event["remote_port"] == port && (event["local_port"] == own || event["local_port"] == 0);
    let ours = events.iter().filter(is_ours);
    let steps: Vec<_> = ours
        .map(|event| (event["from"].as_str().unwrap(), event["to"].as_str().unwrap(), &event["family"]))
        .collect();
    let v4 = json!("IPV4");
    assert_eq!(
        steps[..3],
        [
            ("CLOSED", "SYN_SENT", &v4),
            ("SYN_SENT", "ESTABLISHED", &v4),
            ("ESTABLISHED", "FIN_WAIT_1", &v4)
        ]
    );
    assert_eq!(observing.lost().unwrap(), 0);
}

#[test]
fn the_sample_of_opened_files_counts_exactly_and_two_of_one_name_do_not_see_each_other() {
    let (mut first, mut second) = (start(&opens(), 100, 0), None);
    let own = std::process::id();
    let of_this = |observing: &mut Observing| {
        let seen = custom(observing.seen().unwrap());
        let rows = seen.maps[0].rows.iter().filter(|row| row.key["pid"] == own);
        rows.map(|row| row.value["count"].as_u64().unwrap()).sum::<u64>()
    };
    let name = "/nonexistent/probeops";
    let before = of_this(&mut first);
    for _ in 0..7 {
        std::fs::File::open(name).unwrap_err();
        second.get_or_insert_with(|| start(&opens(), 100, 0));
    }
    // Starting the other one opens files of its own, so that only its count is known to be this.
    assert!(of_this(&mut first) >= before + 7);
    let second = second.as_mut().unwrap();
    let before = of_this(second);
    for _ in 0..11 {
        std::fs::File::open(name).unwrap_err();
    }
    assert_eq!(of_this(second), before + 11);
    assert_eq!(second.self_check().unwrap(), SelfCheck::Passed);
}

#[test]
fn what_the_kernel_does_not_take_says_why() {
    let twin = package!(TWIN, "../../../ebpf-package/tests/objects/verifier_refuses.bpf.o");
    let error = refused(&twin);
    let CustomError::Verifier { program, log, .. } = &error else {
        panic!("{error}")
    };
    assert!(program == "run" && log.contains("R0 invalid mem access 'map_value_or_null'"), "{error}");
    let typed = TWIN.replace("raw_tp/sys_enter", "tp_btf/inet_sock_set_state");
    let error = refused(&package!(typed, "../../../ebpf-package/tests/objects/type_of_another_kernel.bpf.o"));
    assert!(matches!(&error, CustomError::NoType { program, .. } if program == "run"), "{error:?}");
    let hook = TWIN.replace("sys_enter", "tracepoint_of_a_kernel_to_come");
    let error = refused(&package!(hook, "../../../ebpf-package/tests/objects/no_such_hook.bpf.o"));
    assert!(matches!(&error, CustomError::NoHook { program, .. } if program == "run"), "{error:?}");
    let error = refused(&package!(TWIN, "../../../ebpf-package/tests/objects/writes_memory.bpf.o"));
    assert!(matches!(error, CustomError::Refused(_)), "{error:?}");
}

#[test]
fn a_package_that_is_tried_out_is_judged_program_by_program_and_sees_nothing() {
    let kernel = Kernel::read(None).unwrap();
    let tried = try_out(&kernel, &shapes()).unwrap();
    assert!(tried.is_taken() && tried.memory_bytes > 4_096, "{tried:?}");
    let twin = package!(TWIN, "../../../ebpf-package/tests/objects/verifier_refuses.bpf.o");
    let tried = try_out(&kernel, &twin).unwrap();
    assert!(!tried.is_taken());
    let error = tried.programs[0].verdict.as_ref().unwrap_err();
    assert!(error.log().unwrap().lines().count() > 3, "all that the verifier says: {error:?}");
}

/// Where the host counts for everybody, it is run; that may be changed meanwhile.
#[test]
fn a_package_is_not_run_where_nobody_counts_what_it_costs() {
    let host_counts = || std::fs::read_to_string("/proc/sys/kernel/bpf_stats_enabled").unwrap().trim() == "1";
    let before = host_counts();
    let started = Observing::start_package(&Kernel::read(None).unwrap(), &tcp_states(), &ask(1, 0));
    let after = host_counts();
    match started {
        Ok(_) => assert!(before || after),
        Err(refused) => {
            assert!(!before || !after);
            assert!(matches!(refused, ObserveError::NotCounted), "{refused}");
            assert!(refused.remedy().contains("probe-agent-observe-packages.conf"));
        }
    }
}
