/* A bad twin: a map that would stay behind. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
	__uint(pinning, 1);
} rows SEC(".maps");

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
