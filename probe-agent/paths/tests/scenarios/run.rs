//! One run of a machine against a world, and the comparison with what is expected.

use std::net::IpAddr;
use std::time::Duration;

use agent_paths::machine::{self, Machine};
use agent_paths::{Moment, SendFailure};
use serde::Deserialize;
use serde_json::json;
use shared_protocol::report::{ClockQuality, PolicyVerdict, Report, Verdict};
use shared_protocol::spec::ProbeSpec;
use shared_protocol::target::Target;
use shared_protocol::time::{MonotonicMicros, UnixMicros};
use test_internet::{Run, World};

use crate::wire::Wire;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    observer: Observer,
}

#[derive(Deserialize, Default)]
struct Observer {
    #[serde(default)]
    addresses: Vec<IpAddr>,
}

/// The spec of a run, which keeps what it sends and what comes.
pub(crate) fn spec_of(run: &Run) -> ProbeSpec {
    let mut spec = run.spec.clone();
    spec["raw"] = json!(true);
    ProbeSpec::from_value(spec).unwrap()
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
        evidence: None,
        standing: None,
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
