/* Where tasks wait for something else than a CPU, and how long: the stacks with which they went to sleep. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "stacks.h"
#include "tasks.h"

/* A task that sleeps briefly again and again is looked at one time in a few: to unwind its stacks takes longer than most of its sleeps. */
enum { BRIEFLY_NS = 1000000, OFTEN = 16, READ_ONE_OF = 16 };

struct sleeper {
	/* When it went to sleep; zero: it is awake. */
	__u64 began_ns;
	/* Where it was when it was last looked at. */
	struct place place;
	/* Brief sleeps in a row. */
	__u32 brief;
	/* Sleeps that go by without a look. */
	__u32 unread;
	/* Whether this one was looked at. */
	__u32 is_read;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct sleeper);
} sleepers SEC(".maps");

static __always_inline void look(__u64 *ctx, struct sleeper *sleeper)
{
	sleeper->place.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(sleeper->place.command, sizeof(sleeper->place.command));
	read_stacks(ctx, &sleeper->place);
	sleeper->is_read = 1;
	sleeper->unread = sleeper->brief < OFTEN ? 0 : READ_ONE_OF - 1;
	sleeper->began_ns = bpf_ktime_get_ns();
}

static __always_inline void sleeps(__u64 *ctx, __u32 task)
{
	struct sleeper *known = bpf_map_lookup_elem(&sleepers, &task);

	if (!known) {
		struct sleeper sleeper = {};
		look(ctx, &sleeper);
		if (bpf_map_update_elem(&sleepers, &task, &sleeper, BPF_ANY))
			count_lost(LOST_TABLE);
	} else if (known->unread) {
		known->unread -= 1;
		known->is_read = 0;
		known->began_ns = bpf_ktime_get_ns();
	} else {
		look(ctx, known);
	}
}

/* The kernel's stack of a task that is about to run again: it is still where it went to sleep. Only where the kernel knows that it is one. */
static __always_inline __u64 read_stack_of(struct task_struct *task, const int typed)
{
	__u32 only = 0;

	struct stack *stack = bpf_map_lookup_elem(&reading, &only);
	if (!typed)
		return UNREAD_STACK;
	if (!stack)
		return LOST_STACK;
	return number_kept(bpf_get_task_stack(task, stack, sizeof(*stack), 0));
}

static __always_inline void goes_on(struct task_struct *task, struct sleeper *sleeper, const int typed)
{
	__s64 took_ns = bpf_ktime_get_ns() - sleeper->began_ns;

	sleeper->began_ns = 0;
	/* Clocks of two CPUs may differ by a little. */
	if (took_ns < 0)
		return;
	if (took_ns < BRIEFLY_NS) {
		sleeper->brief += 1;
		spend(&sleeper->place, took_ns);
		return;
	}
	if (!sleeper->is_read) {
		sleeper->place.kernel_stack = read_stack_of(task, typed);
		sleeper->place.user_stack = UNREAD_STACK;
	}
	spend(&sleeper->place, took_ns);
	sleeper->brief = 0;
	sleeper->unread = 0;
}

static __always_inline int switches(__u64 *ctx, const int typed)
{
	struct task_struct *previous = (struct task_struct *)ctx[1];
	struct task_struct *next = (struct task_struct *)ctx[2];
	__u32 stops = READ(typed, previous->pid);
	__u32 comes = READ(typed, next->pid);
	unsigned int state = state_of(previous, typed);

	/* One that was made to stop waits for a CPU only. */
	if (stops && !(ctx[0] & 0xff) && state != TASK_RUNNING) {
		if (state & TASK_DEAD)
			bpf_map_delete_elem(&sleepers, &stops);
		else
			sleeps(ctx, stops);
	}
	struct sleeper *found = bpf_map_lookup_elem(&sleepers, &comes);
	if (found && found->began_ns)
		goes_on(next, found, typed);
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
