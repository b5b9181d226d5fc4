/* A bad twin: it calls a function of the kernel that is no helper. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

extern void bpf_rcu_read_lock(void) __attribute__((section(".ksyms")));

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	__u32 key = 0;
	bpf_rcu_read_lock();
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
