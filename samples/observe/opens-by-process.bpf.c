/* Which process asks for files to be opened, and how often: one row of a map for each. */
#include "observe.h"

/* open, creat, openat and openat2 by their numbers on x86-64, and the last two on arm64. */
#ifdef __TARGET_ARCH_arm64
enum { OPEN = -1, CREAT = -1, OPENAT = 56, OPENAT2 = 437 };
#else
enum { OPEN = 2, CREAT = 85, OPENAT = 257, OPENAT2 = 437 };
#endif

struct process {
	__u32 pid;
	char command[16];
};

struct opens {
	__u64 count;
	__u64 last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct process);
	__type(value, struct opens);
} opens SEC(".maps");

COUNTER(lost);
COUNTER(calls);

/* The arguments are the caller's registers and the number of the call. */
SEC("raw_tp/sys_enter")
int opening(__u64 *ctx)
{
	long call = ctx[1];
	struct process process = {};
	struct opens first = {};

	/* Any call of the kernel shows that this runs. */
	count(&calls);
	if (call != OPENAT && call != OPENAT2 && call != OPEN && call != CREAT)
		return 0;
	process.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(process.command, sizeof(process.command));
	struct opens *opened = bpf_map_lookup_elem(&opens, &process);
	if (!opened) {
		bpf_map_update_elem(&opens, &process, &first, 1 /* unless somebody was faster */);
		opened = bpf_map_lookup_elem(&opens, &process);
	}
	if (!opened) {
		count(&lost);
		return 0;
	}
	__sync_fetch_and_add(&opened->count, 1);
	opened->last_ns = bpf_ktime_get_ns();
	return 0;
}
