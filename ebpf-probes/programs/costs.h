/* What the programs of an object cost: every run is counted, one in a few is timed and speaks for the others. To time each, as the kernel does
 * where it is told to, costs as much again as most of them. */
#ifndef PROBEOPS_COSTS_H
#define PROBEOPS_COSTS_H

/* Both programs of a hook count at the hook's place in the reader's list; those that are on no hook share the last. */
enum { COST_PLACES = 8, ON_NO_HOOK = 7 };

/* The first runs are timed each, then one in so many: a prime, so that what alternates is met in turn. */
enum { TIMED_OF = 61 };

struct program_cost {
	__u64 runs;
	/* What they took: each timed run as often as it stands for others. */
	__u64 run_ns;
	/* How many more go by untimed. */
	__u64 untimed;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COST_PLACES);
	__type(key, __u32);
	__type(value, struct program_cost);
} costs SEC(".maps");

/* When the run began; zero: it is not timed. */
static __always_inline __u64 run_begins(struct program_cost *cost)
{
	cost->runs += 1;
	if (cost->untimed) {
		cost->untimed -= 1;
		return 0;
	}
	if (cost->runs > TIMED_OF)
		cost->untimed = TIMED_OF - 1;
	return bpf_ktime_get_ns();
}

static __always_inline void run_ends(struct program_cost *cost, __u64 began_ns)
{
	__u64 took_ns = bpf_ktime_get_ns() - began_ns;

	/* The first stand for themselves only: they are cold, and one that was held up would be taken for all that come. */
	cost->run_ns += cost->untimed ? took_ns * TIMED_OF : took_ns;
}

/* Does a program's work at the expense of a place. */
#define COSTED(place, work)                                                    \
	({                                                                     \
		__u32 place_ = (place);                                        \
		struct program_cost *cost_ = bpf_map_lookup_elem(&costs, &place_); \
		__u64 began_ = cost_ ? run_begins(cost_) : 0;                  \
		int done_ = (work);                                            \
		if (cost_ && began_)                                           \
			run_ends(cost_, began_);                               \
		done_;                                                         \
	})

#endif
