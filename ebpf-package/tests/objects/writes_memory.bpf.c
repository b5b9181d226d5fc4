/* A bad twin: it writes into a program's memory. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

static long (*bpf_probe_write_user)(void *to, const void *from, __u32 size) = (void *)36;

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	bpf_probe_write_user((void *)ctx[0], &key, sizeof(key));
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
