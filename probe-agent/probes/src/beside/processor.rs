//! How long this process's threads had no processor though they were ready: what the kernel counts for each (`/proc/self/task/*/schedstat`),
//! which takes no privilege.

use std::collections::BTreeMap;

use shared_protocol::report::ProcessorWait;

/// What the kernel has counted for each thread since it began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Processor(BTreeMap<u32, Counted>);

/// Of one thread, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counted {
    ran_ns: u64,
    waited_ns: u64,
}

impl Processor {
    /// Reads it at this moment; `None` where the kernel does not count.
    pub(super) fn read() -> Option<Self> {
        let tasks = std::fs::read_dir(TASKS).ok()?.take(THREADS).flatten();
        let counted: BTreeMap<u32, Counted> = tasks
            .filter_map(|task| {
                let thread = task.file_name().to_str()?.parse().ok()?;
                // One that has ended meanwhile is none any more.
                let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
                Some((thread, Counted::parse(&text)?))
            })
            .collect();
        // Where it is compiled in and switched off, every thread has zeros, this one too.
        counted.values().any(|counted| counted.ran_ns > 0).then_some(Self(counted))
    }

    /// What came to it since an earlier reading. A thread that began meanwhile counts in full.
    pub(super) fn since(&self, before: &Self) -> ProcessorWait {
        let mut all = Counted::default();
        let mut longest_ns = 0;
        for (thread, now) in &self.0 {
            let then = before.0.get(thread).copied().unwrap_or_default();
            let waited_ns = now.waited_ns.saturating_sub(then.waited_ns);
            all.ran_ns += now.ran_ns.saturating_sub(then.ran_ns);
            all.waited_ns += waited_ns;
            longest_ns = waited_ns.max(longest_ns);
        }
        ProcessorWait {
            waited_us: all.waited_ns / 1_000,
            longest_us: longest_ns / 1_000,
            ran_us: all.ran_ns / 1_000,
        }
    }
}

impl Counted {
    /// Time on a processor, time waiting for one, and turns; the last is not needed.
    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        Some(Self {
            ran_ns: numbers.next()?.ok()?,
            waited_ns: numbers.next()?.ok()?,
        })
    }
}

const TASKS: &str = "/proc/self/task";
/// Most threads that are looked at; the agent has a few for each processor.
const THREADS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(threads: &[(u32, u64, u64)]) -> Processor {
        let counted = |(thread, ran_us, waited_us): &(u32, u64, u64)| {
            let counted = Counted {
                ran_ns: ran_us * 1_000,
                waited_ns: waited_us * 1_000,
            };
            (*thread, counted)
        };
        Processor(threads.iter().map(counted).collect())
    }

    #[test]
    fn what_came_since_is_the_difference_of_each_thread() {
        let before = reading(&[(1, 10, 100), (2, 20, 200), (3, 5, 5)]);
        let after = reading(&[(1, 11, 150), (2, 22, 230), (4, 4, 40)]);
        let expected = ProcessorWait {
            waited_us: 120,
            longest_us: 50,
            ran_us: 7,
        };
        assert_eq!(after.since(&before), expected);
    }

    #[test]
    fn what_is_no_reading_is_none() {
        for text in ["", "7", "7 x 1", "-1 5 1", "99999999999999999999999 1 1"] {
            assert_eq!(Counted::parse(text), None, "{text}");
        }
        let expected = Counted { ran_ns: 7, waited_ns: 8 };
        assert_eq!(Counted::parse("7 8 9\n"), Some(expected));
    }

    #[test]
    fn a_thread_that_works_is_seen_to_work() {
        let before = Processor::read().expect("this kernel counts");
        let mut sum = 0_u64;
        while before.0.len() < 1_000 && Processor::read().unwrap().since(&before).ran_us < 5_000 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(Processor::read().unwrap().since(&before).ran_us >= 5_000);
    }
}
