/* A bad twin: nothing in it is forbidden, but it looks where it was not told that there is anything. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	__u64 *row = bpf_map_lookup_elem(&rows, &key);
	*row += 1;
	return 0;
}
