/* A bad twin: it wants a field that no kernel has. */
#include "observe.h"

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} rows SEC(".maps");

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock {
	__u32 sk_field_of_a_kernel_to_come;
};
#pragma clang attribute pop

SEC("tp_btf/inet_sock_set_state")
int run(__u64 *ctx)
{
	const struct sock *sk = (const struct sock *)ctx[0];
	__u32 key = sk->sk_field_of_a_kernel_to_come;
	return bpf_map_lookup_elem(&rows, &key) != 0;
}
