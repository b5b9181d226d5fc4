/* Where the CPUs' time goes: what runs on each is looked at many times a second, with its stacks. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "stacks.h"

/* Looks at a CPU that had nothing to do. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} idle SEC(".maps");

static __always_inline int looks(void *ctx)
{
	struct place place = {};
	__u32 only = 0;

	note_check();
	place.pid = bpf_get_current_pid_tgid() >> 32;
	if (!place.pid) {
		__u64 *count = bpf_map_lookup_elem(&idle, &only);
		if (count)
			*count += 1;
		return 0;
	}
	bpf_get_current_comm(place.command, sizeof(place.command));
	read_stacks(ctx, &place);
	spend(&place, 0);
	return 0;
}

SEC("perf_event")
int look(void *ctx)
{
	return COSTED(ON_NO_HOOK, looks(ctx));
}
