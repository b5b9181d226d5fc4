//! Every benchmark runs in its quick form and says what it is to say; how fast this machine is today is no test.
#![expect(clippy::disallowed_types, reason = "the benchmarks are programs of this crate")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test may panic and print; its helpers too")]

use std::process::Command;

use serde_json::Value;

fn quick(program: &str, more: &[&str]) -> Value {
    let output = Command::new(program).args(["--quick", "--json"]).args(more).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{record}");
    record
}

fn number(record: &Value, pointer: &str) -> f64 {
    record
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no {pointer} in {record}"))
}

#[test]
fn path_follows_every_measurement_to_its_report() {
    let record = quick(env!("CARGO_BIN_EXE_path"), &["--agents", "2", "--rate", "20", "--seconds", "2"]);
    let measurements = number(&record, "/measurements");
    assert!(measurements > 10.0);
    for figure in ["/post_to_accepted", "/post_to_first_finding", "/post_to_report_readable"] {
        assert!((number(&record, &format!("{figure}/n")) - measurements).abs() < f64::EPSILON, "{figure}");
        assert!(number(&record, &format!("{figure}/p50_ms")) > 0.0);
    }
}

#[test]
fn queue_counts_back_what_it_was_promised() {
    let record = quick(env!("CARGO_BIN_EXE_queue"), &["--agents", "4", "--clients", "4", "--seconds", "1"]);
    let promised = number(&record, "/counted_back/promised");
    assert!(promised > 100.0);
    for found in ["completed", "reports"] {
        assert!((number(&record, &format!("/counted_back/{found}")) - promised).abs() < f64::EPSILON);
    }
    assert!(number(&record, "/share_of_floor") > 0.0 && number(&record, "/floor/rows_per_second") > 0.0);
}

#[test]
fn probes_are_measured_beside_other_peoples() {
    let record = quick(env!("CARGO_BIN_EXE_probes"), &[]);
    // Loss is never invented, however fast: that is no matter of how fast this machine is today.
    assert!((number(&record, "/exact/agent/exact_runs") - number(&record, "/exact/agent/runs")).abs() < f64::EPSILON);
    assert!((number(&record, "/wire/agent/answered_of_all") - 1.0).abs() < f64::EPSILON);
    assert!(number(&record, "/wire/agent_of_fping") > 0.0);
    assert!(number(&record, "/timing/idle/packets") > 100.0);
    for part in ["eight_hops", "two_of_them_silent"] {
        assert!(number(&record, &format!("/path/traceroute/{part}/agent_ms")) >= 20.0);
    }
    assert!((number(&record, "/path/mtr/hops_by_agent") - number(&record, "/path/mtr/hops_by_mtr")).abs() < f64::EPSILON);
}

#[test]
fn ebpf_is_measured_beside_the_bare_host_and_other_peoples_programs() {
    let record = quick(env!("CARGO_BIN_EXE_ebpf"), &[]);
    for situation in ["default_set", "everything", "tcp_flows", "runqlat", "audits", "peer_tcplife", "peer_runqlat"] {
        assert!(number(&record, &format!("/rate_of_bare/{situation}/median")) > 0.0);
    }
    for program in ["flow_segment", "switched", "call_ends"] {
        assert!(number(&record, &format!("/program_ns_a_run/{program}/median")) > 0.0);
    }
    for program in ["exec_begin", "complete", "issue", "question_out", "dialled"] {
        assert!(number(&record, &format!("/program_ns_a_run_at_work/{program}/median")) > 0.0);
    }
    assert!(number(&record, "/ten_thousand_round_trips_a_second/cpu_share_of_programs") > 0.0);
    for resident in [
        "/ten_thousand_round_trips_a_second/observer_resident_kib",
        "/agent_resident_kib/without_observer",
        "/agent_resident_kib/beside_one",
    ] {
        assert!(number(&record, resident) > 1_000.0);
    }
}

#[test]
fn auth_tells_a_known_request_from_an_unknown_one() {
    let record = quick(env!("CARGO_BIN_EXE_auth"), &["--requests", "400"]);
    assert!(number(&record, "/processor_us_with_key") > 0.0 && number(&record, "/processor_us_authenticate_alone") > 0.0);
}

#[test]
fn res_07_net_12_a_fleet_comes_idles_and_comes_back() {
    let record = quick(env!("CARGO_BIN_EXE_fleet"), &["--agents", "100"]);
    assert!(number(&record, "/lost_while_idle").abs() < f64::EPSILON);
    assert!(number(&record, "/storm/back/n") >= 100.0 && number(&record, "/storm/dials") >= 100.0);
}

#[test]
fn res_08_the_control_plane_itself_keeps_a_quiet_tenant_out_of_a_flood() {
    let record = quick(env!("CARGO_BIN_EXE_fair"), &[]);
    assert!(number(&record, "/live/quiet_enterprise_wait/n") >= 1.0);
    assert!(number(&record, "/live/free_longest_time_between_starts_ms") > 0.0);
    assert!(number(&record, "/saturation/0/share_off_by_at_most") <= number(&record, "/goals/share_off_by_at_most"));
}
