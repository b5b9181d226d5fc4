/* Since when tasks wait. Each has the one place that the last bits of its number name: to find it takes no search, and leaving it no lock. Two
 * that share one and wait at the same time are told apart by their whole number; of these the earlier is lost, which is counted. */
#ifndef PROBEOPS_SINCE_H
#define PROBEOPS_SINCE_H

/* The time is kept in steps of 256 ns, so that it fits beside the number and both are written at once: it comes round after 18 minutes, and no
 * task waits for a CPU that long. */
enum { SINCE_PLACES = 65536, SINCE_SHIFT = 8 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SINCE_PLACES);
	__type(key, __u32);
	__type(value, __u64);
} since SEC(".maps");

static __always_inline void wait_begins(__u32 task, __u64 now_ns)
{
	__u32 place = task & (SINCE_PLACES - 1);
	volatile __u64 *found = bpf_map_lookup_elem(&since, &place);
	if (!found)
		return;
	__u64 before = *found;
	if (before && before >> 32 != task)
		count_lost(LOST_TABLE);
	*found = (__u64)task << 32 | (__u32)(now_ns >> SINCE_SHIFT);
}

/* How long it waited; below zero: nobody knows of a wait. */
static __always_inline __s64 wait_ends(__u32 task)
{
	__u32 place = task & (SINCE_PLACES - 1);
	volatile __u64 *found = bpf_map_lookup_elem(&since, &place);
	if (!found)
		return -1;
	__u64 began = *found;
	if (began >> 32 != task)
		return -1;
	*found = 0;
	__s32 steps = (__u32)(bpf_ktime_get_ns() >> SINCE_SHIFT) - (__u32)began;
	return (__s64)steps << SINCE_SHIFT;
}

#endif
