/* A bad twin: a kind of program that decides what the kernel does. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

SEC("lsm/file_open")
int run(__u64 *ctx)
{
	__u32 key = 0;
	return bpf_map_lookup_elem(&rows, &key) ? -1 : 0;
}
