//! Memory: pages that the test itself touches for the first time, by each kind of hook.

use std::hint::black_box;

use ebpf_probes::{Ask, Hooks, Kernel, Observing};
use rustix::thread::disable_transparent_huge_pages;
use shared_protocol::report::{MemorySeen, Seen, SelfCheck};
use shared_protocol::spec::Observation;

const PAGES: usize = 777;
const PAGE_BYTES: usize = 4_096;

/// Memory that was never touched: so much is never taken of what was used before.
fn untouched() -> Vec<u8> {
    vec![0; 40 << 20]
}

fn seen(observing: &mut Observing) -> MemorySeen {
    let Seen::Memory(seen) = observing.seen().unwrap() else {
        panic!("another observation")
    };
    assert_eq!(seen.totals.faults, seen.users.iter().map(|user| user.faults).sum::<u64>());
    seen
}

#[test]
fn pages_that_are_touched_first_are_faults_by_every_kind_of_hook() {
    let pages = u64::try_from(PAGES).unwrap();
    // Otherwise one fault might bring many of them.
    disable_transparent_huge_pages(true).unwrap();
    for hooks in [Hooks::TypedFirst, Hooks::PlainOnly] {
        let kernel = Kernel::read(None).unwrap().with_hooks(hooks);
        let ask = Ask {
            pid: Some(std::process::id()),
            top: 100,
            ..Ask::everything(Observation::Memory)
        };
        let mut observing = Observing::start(&kernel, &ask).unwrap();
        let before = seen(&mut observing).totals;
        let mut memory = untouched();
        for page in 1..=PAGES {
            memory[page * PAGE_BYTES] = 1;
        }
        black_box(memory);
        let written = seen(&mut observing).totals;
        let memory = untouched();
        for page in 1..=PAGES {
            assert_eq!(black_box(&memory)[page * PAGE_BYTES], 0);
        }
        let read = seen(&mut observing).totals;
        // The test itself, and whatever else its process does, faults now and then.
        let few = pages..pages + 100;
        let (written_to, written_all) = (written.write_faults - before.write_faults, written.faults - before.faults);
        assert!(few.contains(&written_to) && few.contains(&written_all), "{hooks:?}: {before:?} {written:?}");
        assert!(few.contains(&(read.faults - written.faults)), "{hooks:?}: {written:?} {read:?}");
        assert!(read.write_faults - written.write_faults < 100, "{hooks:?}: {written:?} {read:?}");
        assert_eq!((observing.self_check().unwrap(), observing.lost().unwrap()), (SelfCheck::Passed, 0));
        assert_eq!((read.killed, read.reclaims), (0, 0));
    }
}
