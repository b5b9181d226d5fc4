/* Each change of a TCP connection's state, as an event: who, from what to what, between which ports. */
#include "observe.h"

/* The kernel's types as far as they are used; where a field lies is looked up in the running kernel when the program is loaded (CO-RE). */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock_common {
	__u16 skc_dport;
	__u16 skc_num;
	unsigned short skc_family;
};
struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
};
#pragma clang attribute pop

/* include/net/tcp_states.h */
enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT,
	SYN_RECEIVED,
	FIN_WAIT_1,
	FIN_WAIT_2,
	TIME_WAIT,
	CLOSED,
	CLOSE_WAIT,
	LAST_ACK,
	LISTENING,
	CLOSING,
	NEW_SYN_RECEIVED,
};

enum family { IPV4 = 2, IPV6 = 10 };

struct change {
	__u64 at_ns;
	enum tcp_state from;
	enum tcp_state to;
	enum family family;
	__u16 local_port;
	__u16 remote_port;
};

/* A ring has no types of its own: the manifest names this one, and this line keeps its description in the object. */
const struct change *const unused_change __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} changes SEC(".maps");

COUNTER(lost);
COUNTER(checked);

/* The loopback port of a connection that the agent makes to see whether this sees anything. Set when the program is loaded. */
const volatile __u16 check_port = 0;

enum { TCP = 6 };

SEC("tp_btf/inet_sock_set_state")
int changed(__u64 *ctx)
{
	const struct sock *sk = (const struct sock *)ctx[0];
	__u16 local = sk->__sk_common.skc_num, remote = __builtin_bswap16(sk->__sk_common.skc_dport);

	if (sk->sk_protocol != TCP)
		return 0;
	if (check_port && (local == check_port || remote == check_port)) {
		count(&checked);
		return 0;
	}
	struct change *change = bpf_ringbuf_reserve(&changes, sizeof(*change), 0);
	if (!change) {
		count(&lost);
		return 0;
	}
	change->at_ns = bpf_ktime_get_ns();
	change->from = (int)ctx[1];
	change->to = (int)ctx[2];
	change->family = sk->__sk_common.skc_family;
	change->local_port = local;
	change->remote_port = remote;
	bpf_ringbuf_submit(change, 1 /* nobody is woken: the observer looks ten times a second */);
	return 0;
}
