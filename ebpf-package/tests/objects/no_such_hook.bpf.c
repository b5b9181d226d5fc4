/* A bad twin: its tracepoint is in no kernel. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

SEC("raw_tp/tracepoint_of_a_kernel_to_come")
int run(__u64 *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
