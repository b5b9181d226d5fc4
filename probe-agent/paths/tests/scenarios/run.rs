//! One run of a machine against a world, and the comparison with what is expected.

use std::net::IpAddr;
use std::time::Duration;

use agent_paths::machine::{self, Machine};
use agent_paths::{Moment, SendFailure};
use serde::Deserialize;
use serde_json::{Value, json};
use shared_protocol::report::{ClockQuality, PolicyVerdict, Report, Verdict};
use shared_protocol::spec::ProbeSpec;
use shared_protocol::target::Target;
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use test_internet::World;

use crate::wire::Wire;

/// What to run, and what to expect.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) spec: ProbeSpec,
    pub(crate) expect: Value,
    pub(crate) within_ms: Option<u64>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    run: Vec<Table>,
    #[serde(default)]
    observer: Observer,
}

#[derive(Deserialize, Default)]
struct Observer {
    #[serde(default)]
    addresses: Vec<IpAddr>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    spec: Value,
    expect: Value,
    within_ms: Option<u64>,
}

impl Run {
    /// Every run of a file; all of them keep what they sent and what came.
    pub(crate) fn all(text: &str) -> Vec<Self> {
        let file: File = toml::from_str(text).unwrap();
        let read = |table: Table| {
            let mut spec = table.spec;
            spec["raw"] = json!(true);
            Self {
                spec: ProbeSpec::from_value(spec).unwrap(),
                expect: table.expect,
                within_ms: table.within_ms,
            }
        };
        file.run.into_iter().map(read).collect()
    }
}

/// Runs a spec against a world; the report, and how long it took.
pub(crate) fn run(text: &str, spec: &ProbeSpec) -> (Report, Duration) {
    let file: File = toml::from_str(text).unwrap();
    let mut world = World::from_toml(text).unwrap();
    let Some(Target::Address(target)) = spec.target() else {
        panic!("a scenario's target is an address")
    };
    let source = file.observer.addresses.into_iter().find(|source| source.is_ipv4() == target.is_ipv4()).unwrap();
    let mut wire = Wire::new(source, *target, spec);
    let mut machine = Machine::begin(spec, *target, moment(Duration::ZERO), Some(source)).unwrap();
    let mut now = Duration::ZERO;
    for _ in 0..STEPS_MAX {
        machine.handle_timeout(monotonic(now));
        while machine.poll_event().is_some() {}
        if machine.is_finished(monotonic(now)) {
            return (report(spec, *target, &machine), now);
        }
        if let Some(departing) = machine.poll_send(monotonic(now)) {
            if departing.bytes > INTERFACE_BYTES {
                machine.handle_send_failed(departing.number, monotonic(now), SendFailure::Kernel(libc::EMSGSIZE));
                continue;
            }
            let packet = wire.build(&departing);
            machine.handle_sent(departing.number, moment(now), wire.ports(departing.number));
            machine.handle_transmitted(departing.number, nanos(now));
            world.handle(&packet, now);
            continue;
        }
        let timer = machine.poll_timeout().map(since_epoch);
        let arrival = world.next_at();
        now = [timer, arrival]
            .into_iter()
            .flatten()
            .min()
            .expect("a machine that waits says until when")
            .max(now);
        if arrival.is_some_and(|at| at <= now)
            && let Some(packet) = world.poll(now)
            && let Some((number, arrival)) = wire.parse(&packet, moment(now))
        {
            machine.handle_arrival(number, arrival);
        }
    }
    panic!("it does not end: {machine:?}")
}

fn report(spec: &ProbeSpec, target: IpAddr, machine: &Machine) -> Report {
    let (findings, verdict) = machine::findings(spec, target, machine.book()).unwrap();
    Report {
        schema_version: 1,
        status: verdict.status,
        fault: verdict.fault,
        error: verdict.error,
        started_at_us: UnixMicros::from_micros(0),
        duration_us: 0,
        clock: ClockQuality::default(),
        resolved: Vec::new(),
        policy: PolicyVerdict {
            verdict: Verdict::Allowed,
            rule: "owner_policy".to_owned(),
        },
        findings: Some(findings),
        truncated: false,
        raw: Some(machine.book().log()),
    }
}

/// What an expected value asks for that a found one does not have: members of objects that are named, every element of arrays.
pub(crate) fn missing(expected: &Value, found: &Value, at: &str) -> Vec<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .flat_map(|(name, value)| missing(value, found.get(name).unwrap_or(&Value::Null), &format!("{at}.{name}")))
            .collect(),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => expected
            .iter()
            .zip(found)
            .enumerate()
            .flat_map(|(place, (expected, found))| missing(expected, found, &format!("{at}[{place}]")))
            .collect(),
        (expected, found) if expected == found => Vec::new(),
        // TOML has no null.
        (Value::String(text), Value::Null) if text == "absent" => Vec::new(),
        (expected, Value::Array(found)) => vec![format!("{at}: {expected}, but {} elements", found.len())],
        (expected, found) => vec![format!("{at}: {expected}, but {found}")],
    }
}

/// A reading of both clocks: the wall clock stands at the epoch when monotonic time does.
pub(crate) fn moment(now: Duration) -> Moment {
    Moment {
        monotonic: monotonic(now),
        wall_offset_ns: 0,
    }
}

fn monotonic(now: Duration) -> MonotonicMicros {
    MonotonicMicros::from_micros(u64::try_from((EPOCH + now).as_micros()).unwrap())
}

pub(crate) fn nanos(now: Duration) -> i64 {
    i64::try_from((EPOCH + now).as_nanos()).unwrap()
}

pub(crate) fn since_epoch(at: MonotonicMicros) -> Duration {
    Duration::from_micros(at.micros()).checked_sub(EPOCH).unwrap()
}

/// Runs do not begin at 0, which would hide what is not relative.
const EPOCH: Duration = Duration::from_secs(1_000);
/// The interface of the observer's host.
const INTERFACE_BYTES: u32 = 9_000;
const STEPS_MAX: u32 = 200_000;
