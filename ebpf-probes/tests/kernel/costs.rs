//! What programs say they cost, beside what the kernel says.

use std::net::{TcpListener, TcpStream};

use ebpf_probes::{Accounting, Ask, Kernel, Observing};
use shared_protocol::spec::Observation;

/// How often the programs ran that this process holds, as the kernel counts.
fn runs_by_the_kernel() -> u64 {
    let descriptors = std::fs::read_dir("/proc/self/fdinfo").unwrap();
    let told = descriptors.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap_or_default());
    let runs = |told: String| told.lines().find_map(|line| line.strip_prefix("run_cnt:"))?.trim().parse::<u64>().ok();
    told.filter_map(runs).sum()
}

/// Each test is a process of its own, or no other runs beside it.
#[test]
fn programs_count_their_runs_as_the_kernel_does() {
    let _counted = Accounting::begin().unwrap();
    let kernel = Kernel::read(None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut compared = 0;
    let without = [Observation::Custom, Observation::TlsLatency];
    for observation in Observation::ALL.into_iter().filter(|observation| !without.contains(observation)) {
        // Some kernels lack the hooks of some.
        let Ok(mut observing) = Observing::start(&kernel, &Ask::everything(observation)) else {
            continue;
        };
        for _ in 0..200 {
            let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            drop((there, listener.accept().unwrap()));
        }
        observing.gather();
        let least = runs_by_the_kernel();
        let ours = observing.cost().map_or(0, |cost| cost.runs);
        let most = runs_by_the_kernel();
        // A program counts when it begins, the kernel when it is done.
        assert!((least..=most + 64).contains(&ours), "{observation}: {least} to {most}, and {ours}");
        compared += usize::from(ours > 0);
    }
    assert!(compared >= 10, "{compared}");
}
