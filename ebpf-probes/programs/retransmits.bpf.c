/* Segments of TCP that are sent again: counted by connection. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "endpoint.h"

enum { TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, TCP_NEW_SYN_RECV = 12, IPPROTO_TCP = 6 };

struct resent {
	__u64 segments;
	/* Of them, those that open a connection. */
	__u64 opening;
	/* The connection's state when the last was sent. */
	__u32 state;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct endpoints);
	__type(value, struct resent);
} flows SEC(".maps");

static __always_inline struct resent *resent_of(const struct endpoints *ends)
{
	struct resent *known = bpf_map_lookup_elem(&flows, ends);
	if (known)
		return known;
	struct resent fresh = {};
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&flows, ends, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&flows, ends);
}

static __always_inline int note(const struct endpoints *ends, __u32 state, __u32 segments)
{
	if (!wanted(ends))
		return 0;
	struct resent *resent = resent_of(ends);
	if (!resent) {
		count_lost(LOST_TABLE);
		return 0;
	}
	__sync_fetch_and_add(&resent->segments, segments);
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV || state == TCP_NEW_SYN_RECV)
		__sync_fetch_and_add(&resent->opening, segments);
	resent->state = state;
	return 0;
}

static __always_inline int sent_again(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct sk_buff *skb = (struct sk_buff *)ctx[1];
	struct endpoints ends;
	__u16 segments = 1;

	if (!read_endpoints(sk, &ends, typed))
		return 0;
	/* One buffer may hold several segments, which the interface takes apart: the kernel's own counter has each. */
	struct tcp_skb_cb *control = (struct tcp_skb_cb *)skb->cb;
	bpf_probe_read_kernel(&segments, sizeof(segments), &control->tcp_gso_segs);
	return note(&ends, READ(typed, sk->__sk_common.skc_state), segments ? segments : 1);
}

SEC("tp_btf/tcp_retransmit_skb")
int resend(__u64 *ctx)
{
	return COSTED(0, sent_again(ctx, TYPED));
}

SEC("raw_tp/tcp_retransmit_skb")
int resend_plain(__u64 *ctx)
{
	return COSTED(0, sent_again(ctx, PLAIN));
}

/* The answer to a first segment, sent again before there is a connection: a request begins as a socket does. */
static __always_inline int answered_again(__u64 *ctx, const int typed)
{
	struct sock *request = (struct sock *)ctx[1];
	struct endpoints ends;

	if (!read_endpoints(request, &ends, typed))
		return 0;
	return note(&ends, TCP_SYN_RECV, 1);
}

SEC("tp_btf/tcp_retransmit_synack")
int answer_again(__u64 *ctx)
{
	return COSTED(1, answered_again(ctx, TYPED));
}

SEC("raw_tp/tcp_retransmit_synack")
int answer_again_plain(__u64 *ctx)
{
	return COSTED(1, answered_again(ctx, PLAIN));
}

/* Nothing is sent again on purpose: the check is that the connection made for it is seen at all. */
static __always_inline int check_state(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	struct endpoints ends;

	if (check_port && READ(typed, sk->sk_protocol) == IPPROTO_TCP && read_endpoints(sk, &ends, typed))
		was_check(&ends);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int resend_check(__u64 *ctx)
{
	return COSTED(2, check_state(ctx, TYPED));
}

SEC("raw_tp/inet_sock_set_state")
int resend_check_plain(__u64 *ctx)
{
	return COSTED(2, check_state(ctx, PLAIN));
}
