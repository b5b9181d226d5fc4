/* Who runs short of memory: page faults of programs, waiting for the kernel to free pages, and who was killed for want of any. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "since.h"

/* Set before the program is loaded. Zero: every process. */
const volatile __u32 only_pid = 0;

/* Of a fault's code (x86): the page was to be written. */
enum { FAULT_WRITE = 2 };

struct user {
	__u32 pid;
	char command[16];
};

struct pressure {
	__u64 faults;
	__u64 write_faults;
	/* How often it had to free pages before it got one, itself. */
	__u64 reclaims;
	__u64 reclaimed;
	__u64 total_ns;
	__u64 max_ns;
};

struct victim {
	__u64 at_ns;
	__u32 pid;
	char command[16];
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct user);
	__type(value, struct pressure);
} users SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} told SEC(".maps");

/* For the reader's description of the types: a ring has none of its own. */
const struct victim *const unused_victim __attribute__((unused));

static __always_inline struct pressure *pressure_of_current(void)
{
	struct user user = {};

	user.pid = bpf_get_current_pid_tgid() >> 32;
	if (only_pid && user.pid != only_pid)
		return 0;
	bpf_get_current_comm(user.command, sizeof(user.command));
	struct pressure *known = bpf_map_lookup_elem(&users, &user);
	if (known)
		return known;
	struct pressure fresh = {};
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&users, &user, &fresh, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&users, &user);
	if (!known)
		count_lost(LOST_TABLE);
	return known;
}

static __always_inline int fault(__u64 *ctx)
{
	note_check();
	struct pressure *pressure = pressure_of_current();
	if (!pressure)
		return 0;
	__sync_fetch_and_add(&pressure->faults, 1);
	if (ctx[2] & FAULT_WRITE)
		__sync_fetch_and_add(&pressure->write_faults, 1);
	return 0;
}

static __always_inline int reclaim_begins(void)
{
	wait_begins((__u32)bpf_get_current_pid_tgid(), bpf_ktime_get_ns());
	return 0;
}

static __always_inline int reclaim_ends(__u64 *ctx)
{
	__s64 took_ns = wait_ends((__u32)bpf_get_current_pid_tgid());
	struct pressure *pressure = pressure_of_current();

	if (!pressure)
		return 0;
	__sync_fetch_and_add(&pressure->reclaims, 1);
	__sync_fetch_and_add(&pressure->reclaimed, ctx[0]);
	/* Its beginning may have been before all this. */
	if (took_ns < 0)
		return 0;
	__sync_fetch_and_add(&pressure->total_ns, took_ns);
	if ((__u64)took_ns > pressure->max_ns)
		pressure->max_ns = took_ns;
	return 0;
}

/* Who is to die is told as a task since 6.8, as its number before. */
static __always_inline int killed(__u64 *ctx, const int typed)
{
	struct victim victim = {.at_ns = bpf_ktime_get_ns()};

	if (KERNEL_HAS_FIELD(((struct trace_event_raw_mark_victim *)0)->uid)) {
		struct task_struct *task = (struct task_struct *)ctx[0];
		victim.pid = READ(typed, task->tgid);
		bpf_probe_read_kernel(victim.command, sizeof(victim.command), &task->comm);
	} else {
		victim.pid = ctx[0];
	}
	if (only_pid && victim.pid != only_pid)
		return 0;
	if (bpf_ringbuf_output(&told, &victim, sizeof(victim), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
	return 0;
}

SEC("tp_btf/page_fault_user")
int faults(__u64 *ctx)
{
	return COSTED(0, fault(ctx));
}

SEC("raw_tp/page_fault_user")
int faults_plain(__u64 *ctx)
{
	return COSTED(0, fault(ctx));
}

SEC("tp_btf/mm_vmscan_direct_reclaim_begin")
int reclaim_begin(__u64 *ctx)
{
	return COSTED(1, reclaim_begins());
}

SEC("raw_tp/mm_vmscan_direct_reclaim_begin")
int reclaim_begin_plain(__u64 *ctx)
{
	return COSTED(1, reclaim_begins());
}

SEC("tp_btf/mm_vmscan_direct_reclaim_end")
int reclaim_end(__u64 *ctx)
{
	return COSTED(2, reclaim_ends(ctx));
}

SEC("raw_tp/mm_vmscan_direct_reclaim_end")
int reclaim_end_plain(__u64 *ctx)
{
	return COSTED(2, reclaim_ends(ctx));
}

/* The same at the limit of a control group. */
SEC("tp_btf/mm_vmscan_memcg_reclaim_begin")
int group_begin(__u64 *ctx)
{
	return COSTED(3, reclaim_begins());
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_begin")
int group_begin_plain(__u64 *ctx)
{
	return COSTED(3, reclaim_begins());
}

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int group_end(__u64 *ctx)
{
	return COSTED(4, reclaim_ends(ctx));
}

SEC("raw_tp/mm_vmscan_memcg_reclaim_end")
int group_end_plain(__u64 *ctx)
{
	return COSTED(4, reclaim_ends(ctx));
}

SEC("tp_btf/mark_victim")
int killing(__u64 *ctx)
{
	return COSTED(5, killed(ctx, TYPED));
}

SEC("raw_tp/mark_victim")
int killing_plain(__u64 *ctx)
{
	return COSTED(5, killed(ctx, PLAIN));
}
