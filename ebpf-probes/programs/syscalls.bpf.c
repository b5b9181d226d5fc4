/* Calls of the kernel, counted by their number, with how long they took. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "calls.h"
#include "process.h"

/* Numbers end well below; what is above is none of the kernel's. */
enum { NUMBERS = 512 };

/* The numbers of exit and exit_group, which do not come back. */
enum { X86_EXIT = 60, X86_EXIT_GROUP = 231, ARM64_EXIT = 93, ARM64_EXIT_GROUP = 94 };

/* What is no error, but a call that begins anew: ERESTARTSYS to ERESTART_RESTARTBLOCK. */
enum { FIRST_RESTART = 512, LAST_RESTART = 516, LAST_ERROR = 4095 };

struct call {
	__u64 count;
	__u64 failed;
	/* Of them, those whose beginning was seen. */
	__u64 timed;
	__u64 total_ns;
	__u64 max_ns;
};

struct begun {
	__u64 at_ns;
	__u32 thread;
	__u32 number;
};

/* What threads wait for, each in the one place that the last bits of its number name: of two that share one, the call that began first has no
 * time. */
enum { PLACES = 65536 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PLACES);
	__type(key, __u32);
	__type(value, struct begun);
} waiting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NUMBERS);
	__type(key, __u32);
	__type(value, struct call);
} calls SEC(".maps");

static __always_inline int comes_back(struct pt_regs *regs, long number)
{
	if (architecture_of(regs) == X86_64)
		return number != X86_EXIT && number != X86_EXIT_GROUP;
	return number != ARM64_EXIT && number != ARM64_EXIT_GROUP;
}

static __always_inline int begins(__u64 *ctx, const int typed)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	__u64 number = ctx[1];
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u32 place = thread & (PLACES - 1);

	if (!is_wanted_process() || number >= NUMBERS || !comes_back(regs, number) || is_narrow(regs, typed))
		return 0;
	struct begun *begun = bpf_map_lookup_elem(&waiting, &place);
	if (!begun)
		return 0;
	begun->thread = thread;
	begun->number = number;
	begun->at_ns = bpf_ktime_get_ns();
	return 0;
}

static __always_inline int ends(__u64 *ctx, const int typed)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	long answer = ctx[1];
	long number = number_of(regs, typed);
	__u32 thread = (__u32)bpf_get_current_pid_tgid();
	__u32 place = number;

	if (number < 0 || number >= NUMBERS || is_narrow(regs, typed))
		return 0;
	if (answer == -ENOENT && was_check((const void *)second_of(regs, typed), answer))
		return 0;
	if (!is_wanted_process())
		return 0;
	struct call *call = bpf_map_lookup_elem(&calls, &place);
	if (!call)
		return 0;
	call->count += 1;
	if (answer < 0 && answer >= -LAST_ERROR && !(answer <= -FIRST_RESTART && answer >= -LAST_RESTART))
		call->failed += 1;
	place = thread & (PLACES - 1);
	struct begun *begun = bpf_map_lookup_elem(&waiting, &place);
	/* It may be older, where the end of another was not told. */
	if (!begun || begun->thread != thread || begun->number != number)
		return 0;
	__s64 took_ns = bpf_ktime_get_ns() - begun->at_ns;
	begun->thread = 0;
	if (took_ns < 0)
		return 0;
	call->timed += 1;
	call->total_ns += took_ns;
	if ((__u64)took_ns > call->max_ns)
		call->max_ns = took_ns;
	return 0;
}

SEC("tp_btf/sys_enter")
int call_begins(__u64 *ctx)
{
	return COSTED(1, begins(ctx, TYPED));
}

SEC("raw_tp/sys_enter")
int call_begins_plain(__u64 *ctx)
{
	return COSTED(1, begins(ctx, PLAIN));
}

SEC("tp_btf/sys_exit")
int call_ends(__u64 *ctx)
{
	return COSTED(0, ends(ctx, TYPED));
}

SEC("raw_tp/sys_exit")
int call_ends_plain(__u64 *ctx)
{
	return COSTED(0, ends(ctx, PLAIN));
}
