/* The connection by which whoever asked for an observation checks that its programs see anything. */
#ifndef PROBEOPS_CHECK_H
#define PROBEOPS_CHECK_H

#include "reading.h"

/* The loopback port that it goes to. Set before the program is loaded; zero: there is none. */
const volatile __u16 check_port = 0;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} checked SEC(".maps");

static __always_inline void note_check(void)
{
	__u32 only = 0;
	__u64 *count = bpf_map_lookup_elem(&checked, &only);
	if (count)
		*count += 1;
}

#endif
