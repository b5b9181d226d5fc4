/* A bad twin: each map is within its bounds, all together are not. */
#include "observe.h"

struct large {
	__u64 words[512];
};

#define LARGE(name)                                \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_HASH);   \
		__uint(max_entries, 4000);         \
		__type(key, __u32);                \
		__type(value, struct large);       \
	} name SEC(".maps")

LARGE(rows);
LARGE(more);

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&rows, &key) != bpf_map_lookup_elem(&more, &key);
}
