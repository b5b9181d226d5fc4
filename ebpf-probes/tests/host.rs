//! What takes too long in an emulated kernel, in the running one only.

#[cfg(test)]
mod tests {
    use ebpf_probes::{Ask, Kernel, Observing};
    use shared_protocol::report::SelfCheck;
    use shared_protocol::spec::Observation;

    /// A thread that has ended needs no place any more.
    #[test]
    fn tasks_that_end_take_no_room_among_those_that_sleep() {
        let observing = Observing::start(&Kernel::read(None).unwrap(), &Ask::everything(Observation::Offcpu)).unwrap();
        for _ in 0..ROOM_OF_SLEEPERS + 1_000 {
            std::thread::spawn(|| ()).join().unwrap();
        }
        assert_eq!((observing.lost().unwrap(), observing.self_check().unwrap()), (0, SelfCheck::Passed));
    }

    /// Entries of the map `sleepers`.
    const ROOM_OF_SLEEPERS: u32 = 16_384;
}
