/* Where tasks wait for something else than a CPU, and how long: the stacks with which they went to sleep. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "stacks.h"
#include "tasks.h"

struct asleep {
	__u64 began_ns;
	struct place place;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct asleep);
} sleepers SEC(".maps");

static __always_inline void sleeps(__u64 *ctx, __u32 task)
{
	struct asleep asleep = {};

	asleep.place.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(asleep.place.command, sizeof(asleep.place.command));
	read_stacks(ctx, &asleep.place);
	asleep.began_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&sleepers, &task, &asleep, BPF_ANY))
		count_lost(LOST_TABLE);
}

static __always_inline int switches(__u64 *ctx, const int typed)
{
	struct task_struct *previous = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u32 stops = READ(typed, previous->pid);
	__u32 goes_on = READ(typed, next->pid);

	/* One that was made to stop waits for a CPU only. */
	if (stops && !(ctx[0] & 0xff) && !can_run(previous, typed))
		sleeps(ctx, stops);
	struct asleep *found = bpf_map_lookup_elem(&sleepers, &goes_on);
	if (!found)
		return 0;
	struct asleep asleep = *found;
	bpf_map_delete_elem(&sleepers, &goes_on);
	__s64 took_ns = bpf_ktime_get_ns() - asleep.began_ns;
	/* Clocks of two CPUs may differ by a little. */
	if (took_ns >= 0)
		spend(&asleep.place, took_ns);
	return 0;
}

SEC("tp_btf/sched_switch")
int slept(__u64 *ctx)
{
	return COSTED(0, switches(ctx, TYPED));
}

SEC("raw_tp/sched_switch")
int slept_plain(__u64 *ctx)
{
	return COSTED(0, switches(ctx, PLAIN));
}
