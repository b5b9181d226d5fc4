/* A bad twin: a map of programs, by which it would go on to one that nobody looked at. */
#include "observe.h"

struct {
	__uint(type, 3);
	__uint(max_entries, 1);
	__uint(key_size, 4);
	__uint(value_size, 4);
} rows SEC(".maps");

static long (*bpf_tail_call)(void *ctx, void *map, __u32 index) = (void *)12;

SEC("raw_tp/sys_enter")
int run(__u64 *ctx)
{
	bpf_tail_call(ctx, &rows, 0);
	return 0;
}
