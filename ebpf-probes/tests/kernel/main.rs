//! The programs in the running kernel: what they see of connections that the test makes, by each kind of hook.

#[cfg(test)]
mod audit;
#[cfg(test)]
mod beside;
#[cfg(test)]
mod costs;
#[cfg(test)]
mod custom;
#[cfg(test)]
mod dials;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod packets;
#[cfg(test)]
mod tls;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use ebpf_probes::{Ask, Hooks, Kernel, Observing, capabilities};
    use rustix::process::Uid;
    use rustix::system::uname;
    use rustix::thread::{CapabilitySet, CapabilitySets, CpuSet, sched_setaffinity, set_capabilities, set_keep_capabilities, set_thread_res_uid};
    use shared_protocol::frame::{CapabilityLevel, ObservationCapability};
    use shared_protocol::report::{FlowsSeen, Masked, Seen, SelfCheck, StacksSeen};
    use shared_protocol::spec::Observation;

    fn flows(observing: &mut Observing) -> FlowsSeen {
        observing.gather();
        let Seen::TcpFlows(seen) = observing.seen().unwrap() else {
            panic!("another observation")
        };
        seen
    }

    /// Sends so many bytes over a connection of its own, and closes it at both ends.
    fn exchange(listener: &TcpListener, bytes: usize) {
        let mut here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut there, _) = listener.accept().unwrap();
        here.write_all(&vec![1; bytes]).unwrap();
        drop(here);
        assert_eq!(there.read_to_end(&mut Vec::new()).unwrap(), bytes);
    }

    fn ask(port: u16) -> Ask<'static> {
        Ask {
            top: 10,
            port: Some(port),
            ..Ask::everything(Observation::TcpFlows)
        }
    }

    #[test]
    fn hooks_without_types_see_the_same() {
        let kernel = Kernel::read(None).unwrap().with_hooks(Hooks::PlainOnly);
        for address in [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))] {
            let listener = TcpListener::bind(address).unwrap();
            let mut observing = Observing::start(&kernel, &ask(listener.local_addr().unwrap().port())).unwrap();
            exchange(&listener, 30_000);
            let seen = flows(&mut observing);
            assert_eq!(
                (seen.totals.flows, seen.totals.closed, seen.totals.sent_bytes, seen.totals.received_bytes),
                (2, 2, 30_000, 30_000)
            );
            assert!(seen.flows.iter().all(|flow| flow.local.ip() == listener.local_addr().unwrap().ip()), "{seen:?}");
        }
    }

    #[test]
    fn only_what_was_asked_for_is_seen_and_the_check_is_in_no_number() {
        let kernel = Kernel::read(None).unwrap();
        let (one, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let held = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut observing = Observing::start(
            &kernel,
            &Ask {
                check_port: held.port(),
                ..ask(one.local_addr().unwrap().port())
            },
        )
        .unwrap();
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Failed);
        exchange(&one, 10);
        exchange(&other, 20);
        TcpStream::connect(held).unwrap_err();
        let seen = flows(&mut observing);
        assert_eq!((seen.totals.flows, seen.totals.sent_bytes), (2, 10), "{seen:?}");
        assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
        let mut nobody = Observing::start(
            &kernel,
            &Ask {
                address: Some("127.0.0.77".parse().unwrap()),
                ..ask(one.local_addr().unwrap().port())
            },
        )
        .unwrap();
        exchange(&one, 10);
        assert_eq!(flows(&mut nobody).totals.flows, 0);
    }

    #[test]
    fn two_observations_of_the_same_kind_do_not_disturb_each_other() {
        let kernel = Kernel::read(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut first = Observing::start(&kernel, &ask(port)).unwrap();
        exchange(&listener, 100);
        let mut second = Observing::start(&kernel, &ask(port)).unwrap();
        exchange(&listener, 200);
        assert_eq!((flows(&mut first).totals.sent_bytes, flows(&mut second).totals.sent_bytes), (300, 200));
        drop(first);
        exchange(&listener, 400);
        assert_eq!(flows(&mut second).totals.sent_bytes, 600);
    }

    /// Nobody looks at the ring while more connections end than it has room for.
    #[test]
    fn what_the_ring_has_no_room_for_is_counted() {
        let kernel = Kernel::read(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut observing = Observing::start(&kernel, &ask(listener.local_addr().unwrap().port())).unwrap();
        let rounds = 3_300;
        for _ in 0..rounds {
            exchange(&listener, 1);
        }
        let (seen, lost) = (flows(&mut observing), observing.lost().unwrap());
        assert!(lost > 0);
        assert_eq!(seen.totals.flows + lost, 2 * rounds);
    }

    #[test]
    fn what_can_be_done_without_is_given_up_costliest_first_and_what_it_cost_still_counts() {
        let kernel = Kernel::read(None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut observing = Observing::start(&kernel, &ask(listener.local_addr().unwrap().port())).unwrap();
        assert!(observing.attachment().missing.is_empty());
        exchange(&listener, 30_000);
        let before = observing.cost().unwrap();
        assert!(before.runs > 0 && before.run_ns > 0);
        assert_eq!(observing.give_up_one(), Some("tcp_probe"));
        let after = observing.cost().unwrap();
        assert!(after.runs >= before.runs && after.run_ns >= before.run_ns, "{before:?} {after:?}");
        assert_eq!((observing.give_up_one(), observing.give_up_one()), (Some("tcp_retransmit_skb"), None));
        assert_eq!(observing.attachment().level(), CapabilityLevel::Degraded);
        assert_eq!(observing.attachment().missing.len(), 2);
        exchange(&listener, 500);
        let seen = flows(&mut observing);
        assert_eq!((seen.totals.closed, seen.totals.sent_bytes), (4, 30_500), "what is left sees the rest");
        assert!(observing.cost().unwrap().runs > after.runs);
    }

    #[test]
    fn job_26_a_kernel_without_btf_is_unavailable_and_says_what_mends_it() {
        let told = capabilities(&Kernel::read(Some("/nonexistent".as_ref())), &[]);
        assert_eq!(told.len(), Observation::ALL.len());
        for capability in told {
            assert_eq!(capability.level, CapabilityLevel::Unavailable);
            assert!(capability.reason.unwrap().contains("/nonexistent"));
            assert!(capability.remedy.unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
        }
        // A file that holds something else.
        assert!(Kernel::read(Some("/proc/self/exe".as_ref())).is_err());
    }

    /// Runs as a user without rights but these, on a thread of its own: rights belong to threads.
    fn with_rights<T: Send + 'static>(rights: CapabilitySet, task: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(move || {
            set_keep_capabilities(true).unwrap();
            let nobody = Uid::from_raw(65_534);
            set_thread_res_uid(nobody, nobody, nobody).unwrap();
            set_capabilities(
                None,
                CapabilitySets {
                    effective: rights,
                    permitted: rights,
                    inheritable: CapabilitySet::empty(),
                },
            )
            .unwrap();
            task()
        })
        .join()
        .unwrap()
    }

    #[test]
    fn job_26_without_the_right_to_load_it_is_unavailable_and_says_which_is_missing() {
        for rights in [CapabilitySet::empty(), CapabilitySet::BPF, CapabilitySet::PERFMON, CapabilitySet::NET_ADMIN] {
            let told = with_rights(rights, || capabilities(&Kernel::read(None), &[]));
            assert_eq!(told.len(), Observation::ALL.len());
            for capability in told {
                assert_eq!(capability.level, CapabilityLevel::Unavailable, "{rights:?}: {capability:?}");
                let mends = capability.remedy.as_ref().is_some_and(|remedy| remedy.contains("CAP_BPF and CAP_PERFMON"));
                assert!(mends, "{rights:?}: {capability:?}");
            }
        }
    }

    /// What is told of the default set, by the version of the kernel that the test finds itself in.
    #[test]
    fn the_two_rights_of_the_unit_are_enough_for_what_is_observed_by_default() {
        let told = with_rights(CapabilitySet::BPF | CapabilitySet::PERFMON, || capabilities(&Kernel::read(None), &[]));
        for capability in told.iter().filter(|capability| DEFAULT.contains(&capability.observation.as_str())) {
            assert_expected(capability);
        }
        assert!(DEFAULT.iter().all(|name| told.iter().any(|capability| capability.observation == *name)));
    }

    #[test]
    fn everything_is_as_full_as_this_kernel_allows() {
        for capability in capabilities(&Kernel::read(None), &[]) {
            assert_expected(&capability);
        }
    }

    /// Where the verifier refuses it the plain one sees the same, so that nobody would notice.
    #[test]
    fn every_program_with_types_is_accepted() {
        let kernel = Kernel::read(None).unwrap();
        for observation in Observation::ALL {
            let ask = Ask {
                libraries: &[std::path::PathBuf::from("/proc/self/exe")],
                ..Ask::everything(observation)
            };
            let observing = Observing::start(&kernel, &ask).unwrap();
            assert!(observing.attachment().untyped.is_empty(), "{observation:?}: {:?}", observing.attachment());
        }
    }

    fn assert_expected(capability: &ObservationCapability) {
        let (level, reason) = match capability.observation.as_str() {
            "drops" if kernel_version() < (5, 17) => (CapabilityLevel::Degraded, Some("why packets are dropped: this kernel has no reasons")),
            "profile" | "offcpu" if kernel_version() < (5, 12) => {
                (CapabilityLevel::Degraded, Some("which functions of programs they are: task_vma does not load"))
            }
            "tls_latency" if !std::path::Path::new("/usr/lib/x86_64-linux-gnu/libssl.so.3").exists() => (
                CapabilityLevel::Unavailable,
                Some("no OpenSSL was found: no program and none of the usual folders has a libssl"),
            ),
            _ => (CapabilityLevel::Full, None),
        };
        assert_eq!((capability.level, capability.reason.as_deref()), (level, reason), "{capability:?}");
    }

    pub(crate) fn kernel_version() -> (u32, u32) {
        let release = uname();
        let mut numbers = release.release().to_str().unwrap().split('.').map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    }

    /// The connection to a port where nobody listens ends by a dropped segment, on every kernel.
    #[test]
    fn a_dropped_segment_is_counted_by_every_kind_of_hook() {
        for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
            let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
            let nobody = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            let (check, other) = (nobody(), nobody());
            let ask = Ask {
                check_port: check.port(),
                top: 100,
                ..Ask::everything(Observation::Drops)
            };
            let mut observing = Observing::start(&kernel, &ask).unwrap();
            TcpStream::connect(check).unwrap_err();
            assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
            for _ in 0..5 {
                TcpStream::connect(other).unwrap_err();
            }
            let Seen::Drops(seen) = observing.seen().unwrap() else {
                panic!("another observation")
            };
            let reason = if kernel_version() < (5, 17) { "not_specified" } else { "no_socket" };
            let counted = seen
                .reasons
                .iter()
                .find(|dropped| dropped.reason == reason)
                .map_or(0, |dropped| dropped.packets);
            assert!(counted >= 5, "{hooks:?}: {seen:?}");
        }
    }

    /// Whoever begins to observe reads from a disk, where there is one: the kernels that are emulated have none.
    #[test]
    fn a_page_read_past_the_cache_is_a_request_by_every_kind_of_hook() {
        let is_on_a_disk = std::fs::read_dir("/sys/block").is_ok_and(|mut devices| devices.next().is_some());
        for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
            let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
            let mut observing = Observing::start(&kernel, &Ask::everything(Observation::Biolatency)).unwrap();
            let Seen::Biolatency(seen) = observing.seen().unwrap() else {
                panic!("another observation")
            };
            let check = if is_on_a_disk { SelfCheck::Passed } else { SelfCheck::Failed };
            assert_eq!((observing.self_check().unwrap(), observing.lost().unwrap()), (check, 0), "{hooks:?}: {seen:?}");
            assert_eq!(seen.requests > 0, is_on_a_disk, "{hooks:?}: {seen:?}");
            assert!(
                seen.devices.iter().all(|one| !one.device.is_empty() && one.kind.parse::<u32>().is_err()),
                "{seen:?}"
            );
            let told: u64 = seen.latencies.iter().flat_map(|latencies| &latencies.slots).sum();
            assert_eq!(told, seen.requests);
        }
    }

    /// Two threads that never rest share one CPU: while one runs, the other waits.
    #[test]
    fn waits_for_a_cpu_are_as_long_as_what_the_other_runs_by_every_kind_of_hook() {
        for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
            let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
            let mut observing = Observing::start(&kernel, &Ask::everything(Observation::Runqlat)).unwrap();
            let seen = |observing: &mut Observing| {
                let Seen::Runqlat(seen) = observing.seen().unwrap() else {
                    panic!("another observation")
                };
                let avg_us = seen.latencies.as_ref().map_or(0, |latencies| latencies.avg_us);
                (seen.waits * avg_us, seen)
            };
            let (before_us, _) = seen(&mut observing);
            share_a_cpu(Duration::from_secs(1));
            let (after_us, waits) = seen(&mut observing);
            // The average is rounded down.
            assert!(after_us + waits.waits > before_us + 900_000, "{hooks:?}: {before_us} us before, {waits:?}");
            let latencies = waits.latencies.unwrap();
            assert_eq!(latencies.slots.iter().sum::<u64>(), waits.waits);
            assert!(latencies.max_us >= 500, "{hooks:?}: {latencies:?}");
            assert_eq!(
                latencies.slots.len() - 1,
                usize::try_from(latencies.max_us.max(1).ilog2()).unwrap(),
                "{latencies:?}"
            );
            assert_eq!((observing.self_check().unwrap(), observing.lost().unwrap()), (SelfCheck::Passed, 0));
        }
    }

    fn stacks(observing: &mut Observing) -> StacksSeen {
        let (Seen::Profile(seen) | Seen::Offcpu(seen)) = observing.found().unwrap() else {
            panic!("another observation")
        };
        seen
    }

    /// What was counted for this process: all, and for stacks in which a function of this name is the innermost, and for those in which it is.
    fn own(seen: &StacksSeen, function: &str) -> (u64, u64, u64) {
        let mut counted = (0, 0, 0);
        for stack in seen.stacks.iter().filter(|stack| stack.pid == std::process::id()) {
            let is_it = |frame: &u32| seen.functions[usize::try_from(*frame).unwrap()].contains(function);
            counted.0 += stack.value;
            counted.1 += if stack.frames.last().is_some_and(is_it) { stack.value } else { 0 };
            counted.2 += if stack.frames.iter().any(is_it) { stack.value } else { 0 };
        }
        counted
    }

    #[inline(never)]
    fn a_function_that_never_rests(ended: &AtomicBool) -> u64 {
        let mut number = 1_u64;
        while !ended.load(Ordering::Relaxed) {
            // It calls nothing, however it was built.
            let mut rounds = 0;
            while rounds < 1_000_000 {
                number = number * 3 % 1_000_003;
                rounds += 1;
            }
        }
        number
    }

    fn wait(time: Duration) {
        let (_nobody, silence) = mpsc::channel::<()>();
        silence.recv_timeout(time).unwrap_err();
    }

    #[test]
    fn the_time_of_a_cpu_goes_to_the_function_that_never_rests() {
        let kernel = Kernel::read(None).unwrap();
        let ask = Ask {
            top: 100,
            ..Ask::everything(Observation::Profile)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| std::hint::black_box(a_function_that_never_rests(&ended)));
            wait(Duration::from_secs(2));
            ended.store(true, Ordering::Relaxed);
        });
        let seen = stacks(&mut observing);
        assert_eq!((observing.self_check().unwrap(), observing.lost().unwrap()), (SelfCheck::Passed, 0));
        let (all, hot, _) = own(&seen, "a_function_that_never_rests");
        let named = kernel_version() >= (5, 12);
        assert!(all >= 20, "{all} looks found this process in {seen:?}");
        assert_eq!(hot * 10 >= all * 8, named, "{hot} of {all}");
        assert_eq!(seen.stacks.iter().map(|stack| stack.value).sum::<u64>() + seen.others, seen.total);
        // The kernel prints the list of its own functions; how often it has to, until a look finds it there, is chance.
        let kernel_is_named = |seen: &StacksSeen| seen.functions.iter().any(|name| name.ends_with("_[k]") && !name.starts_with('['));
        let found = (0..50).any(|_| {
            assert!(!std::fs::read("/proc/kallsyms").unwrap().is_empty());
            kernel_is_named(&stacks(&mut observing))
        });
        assert!(found, "{:?}", seen.functions);
    }

    #[test]
    fn commands_that_are_hidden_hide_what_they_run() {
        let kernel = Kernel::read(None).unwrap();
        let ask = Ask {
            masked: &[Masked::Commands],
            top: 100,
            ..Ask::everything(Observation::Profile)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| std::hint::black_box(a_function_that_never_rests(&ended)));
            wait(Duration::from_secs(1));
            ended.store(true, Ordering::Relaxed);
        });
        let seen = stacks(&mut observing);
        assert!(seen.stacks.iter().all(|stack| stack.command.is_none()) && !seen.stacks.is_empty());
        let shown = |name: &String| !name.ends_with("_[k]") && !["[hidden]", "[unknown]", "[lost]"].contains(&name.as_str());
        assert!(!seen.functions.iter().any(shown), "{:?}", seen.functions);
        assert!(!seen.hottest.iter().any(|hot| shown(&hot.function)));
    }

    #[test]
    fn tasks_wait_as_long_as_they_sleep_by_every_kind_of_hook() {
        for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
            let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
            let mut observing = Observing::start(&kernel, &Ask::everything(Observation::Offcpu)).unwrap();
            for _ in 0..20 {
                wait(Duration::from_millis(50));
            }
            let seen = stacks(&mut observing);
            assert_eq!(observing.self_check().unwrap(), SelfCheck::Passed);
            let (all, _, futex) = own(&seen, "futex");
            // Other threads of this process may wait meanwhile as well.
            // Whoever is made to stop on the way to sleep waits for a CPU meanwhile, which is no sleep; the kernel itself counts it nowhere.
            assert!(all >= SLEPT_US && futex >= SLEPT_US, "{hooks:?}: {futex} of {all} us in {seen:?}");
            let how_it_was_seen = ["bpf_prog_", "bpf_trace_run", "__schedule"];
            let told = seen.functions.iter().find(|name| how_it_was_seen.iter().any(|how| name.starts_with(how)));
            assert_eq!(told, None, "{seen:?}");
        }
    }

    /// Its stacks are looked at one time in a few by then; where it sleeps long the kernel's is read all the same, if the kernel lets it be read by others.
    #[test]
    fn a_task_that_sleeps_briefly_and_often_is_still_told_of_when_it_sleeps_long() {
        for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
            let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
            let mut observing = Observing::start(&kernel, &Ask::everything(Observation::Offcpu)).unwrap();
            for _ in 0..20 {
                for _ in 0..40 {
                    wait(Duration::from_micros(50));
                }
                wait(Duration::from_millis(50));
            }
            let seen = stacks(&mut observing);
            assert_eq!(observing.lost().unwrap(), 0);
            let (all, _, futex) = own(&seen, "futex");
            let (_, unread, _) = own(&seen, "[not looked at]");
            assert!(all >= SLEPT_US, "{hooks:?}: {all} us in {seen:?}");
            assert!(futex + unread >= SLEPT_US, "{hooks:?}: {futex} and {unread} of {all} us in {seen:?}");
            if let Hooks::TypedFirst = hooks {
                assert!(futex >= SLEPT_US, "{futex} of {all} us in {seen:?}");
            }
        }
    }

    /// Of twenty times 50 ms, what is left on a host on which all CPUs are busy.
    const SLEPT_US: u64 = 750_000;

    /// Two threads on the first CPU, busy for so long.
    fn share_a_cpu(time: Duration) {
        let ended = AtomicBool::new(false);
        let busy = || {
            let mut first = CpuSet::new();
            first.set(0);
            sched_setaffinity(None, &first).unwrap();
            while !ended.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(busy);
            scope.spawn(busy);
            let (_nobody, silence) = mpsc::channel::<()>();
            silence.recv_timeout(time).unwrap_err();
            ended.store(true, Ordering::Relaxed);
        });
    }

    const DEFAULT: [&str; 3] = ["tcp_flows", "connect_latency", "drops"];
}
