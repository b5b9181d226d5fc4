/* How long tasks wait for a CPU, from being able to run to running: counted by the length of the wait. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "since.h"
#include "slots.h"
#include "tasks.h"

struct waits {
	__u64 total_ns;
	__u64 max_ns;
	__u64 slots[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct waits);
} waited SEC(".maps");

static __always_inline int begin(struct task_struct *task, const int typed)
{
	__u32 pid = READ(typed, task->pid);

	/* What runs when nothing else does waits for nothing. */
	if (pid)
		wait_begins(pid, bpf_ktime_get_ns());
	return 0;
}

static __always_inline int switches(__u64 *ctx, const int typed)
{
	struct task_struct *previous = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u32 pid = READ(typed, next->pid);
	__u32 only = 0;

	/* It was made to stop, or would go on if it were left to: from now on it waits. */
	if ((ctx[0] & 0xff) || can_run(previous, typed))
		begin(previous, typed);
	if (!pid)
		return 0;
	__s64 took_ns = wait_ends(pid);
	/* Clocks of two CPUs may differ by a little. */
	if (took_ns < 0)
		return 0;
	struct waits *waits = bpf_map_lookup_elem(&waited, &only);
	if (!waits)
		return 0;
	__u32 slot = slot_of((__u64)took_ns / 1000);
	waits->total_ns += took_ns;
	if ((__u64)took_ns > waits->max_ns)
		waits->max_ns = took_ns;
	if (slot < SLOTS)
		waits->slots[slot] += 1;
	return 0;
}

SEC("tp_btf/sched_wakeup")
int woken(__u64 *ctx)
{
	return COSTED(1, begin((struct task_struct *)ctx[0], TYPED));
}

SEC("raw_tp/sched_wakeup")
int woken_plain(__u64 *ctx)
{
	return COSTED(1, begin((struct task_struct *)ctx[0], PLAIN));
}

SEC("tp_btf/sched_wakeup_new")
int born(__u64 *ctx)
{
	return COSTED(2, begin((struct task_struct *)ctx[0], TYPED));
}

SEC("raw_tp/sched_wakeup_new")
int born_plain(__u64 *ctx)
{
	return COSTED(2, begin((struct task_struct *)ctx[0], PLAIN));
}

SEC("tp_btf/sched_switch")
int switched(__u64 *ctx)
{
	return COSTED(0, switches(ctx, TYPED));
}

SEC("raw_tp/sched_switch")
int switched_plain(__u64 *ctx)
{
	return COSTED(0, switches(ctx, PLAIN));
}
