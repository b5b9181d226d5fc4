/* A bad twin: a value that means nothing outside of the kernel. */
#include "observe.h"

struct row {
	__u64 count;
	const void *address;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct row);
} rows SEC(".maps");

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
