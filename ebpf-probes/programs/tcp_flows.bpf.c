/* TCP connections: who speaks with whom, how much, how fast, how well. One entry for each socket; a closed one leaves by the ring. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "endpoint.h"

enum {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT = 2,
	TCP_FIN_WAIT1 = 4,
	TCP_CLOSE = 7,
	TCP_LAST_ACK = 9,
	TCP_LISTEN = 10,
};

/* A bit of skc_flags: the peer's FIN came, which bytes_received counts as a byte. */
enum { SOCK_DONE = 1 };

enum { IPPROTO_TCP = 6 };

struct flow {
	struct endpoints ends;
	__u64 socket;
	__u64 first_seen_ns;
	__u64 syn_sent_ns;
	__u64 established_ns;
	__u64 updated_ns;
	/* The kernel's tick in which a segment last brought the numbers up to date. */
	__u64 segment_tick;
	__u64 closed_ns;
	__u64 sent_bytes;
	__u64 received_bytes;
	/* What a connection that was open already had moved when it was first looked at. */
	__u64 sent_before_bytes;
	__u64 received_before_bytes;
	__u32 retransmits_before;
	__u32 srtt_us;
	__u32 min_rtt_us;
	__u32 congestion_window;
	__u32 retransmits;
	__u32 pid;
	__u32 state;
	__s32 error;
	char command[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} closed SEC(".maps");

/* The hooks are those of whole sockets, never of requests that have not become one. */
static __always_inline int is_tcp(struct sock *sk, const int typed)
{
	return READ(typed, sk->sk_protocol) == IPPROTO_TCP;
}

static __always_inline void read_numbers(struct flow *flow, struct sock *sk, const int typed)
{
	struct tcp_sock *tcp = typed ? bpf_skc_to_tcp_sock(sk) : (struct tcp_sock *)sk;
	if (!tcp)
		return;
	flow->sent_bytes = READ(typed, tcp->bytes_sent) - READ(typed, tcp->bytes_retrans);
	flow->received_bytes = READ(typed, tcp->bytes_received);
	if (flow->received_bytes && (READ(typed, sk->__sk_common.skc_flags) & (1UL << SOCK_DONE)))
		flow->received_bytes -= 1;
	flow->srtt_us = READ(typed, tcp->srtt_us) >> 3;
	flow->min_rtt_us = READ(typed, tcp->rtt_min.s[0].v);
	flow->congestion_window = READ(typed, tcp->snd_cwnd);
	flow->retransmits = READ(typed, tcp->total_retrans);
}

static __always_inline void set_owner(struct flow *flow)
{
	flow->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(flow->command, sizeof(flow->command));
}

/* The entry of a socket, made where there is none yet and somebody wants it. */
static __always_inline struct flow *flow_of(struct sock *sk, __u64 now, const int typed)
{
	__u64 key = (__u64)sk;
	struct flow *known = bpf_map_lookup_elem(&flows, &key);
	if (known)
		return known;
	struct flow fresh = {};
	if (!is_tcp(sk, typed) || !read_endpoints(sk, &fresh.ends, typed) || was_check(&fresh.ends) || !wanted(&fresh.ends))
		return 0;
	fresh.socket = key;
	fresh.first_seen_ns = now;
	if (bpf_map_update_elem(&flows, &key, &fresh, BPF_NOEXIST))
		count_lost(LOST_TABLE);
	return bpf_map_lookup_elem(&flows, &key);
}

/* What it had moved before it was first looked at, where its beginning was not seen. */
static __always_inline void read_first(struct flow *flow, struct sock *sk, const int typed)
{
	read_numbers(flow, sk, typed);
	flow->sent_before_bytes = flow->sent_bytes;
	flow->received_before_bytes = flow->received_bytes;
	flow->retransmits_before = flow->retransmits;
}

static __always_inline int state_changes(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	int old_state = (int)ctx[1];
	int new_state = (int)ctx[2];
	__u64 now = bpf_ktime_get_ns();
	__u64 key = (__u64)sk;

	if (new_state == TCP_LISTEN || old_state == TCP_LISTEN)
		return 0;
	struct flow *flow = flow_of(sk, now, typed);
	if (!flow)
		return 0;
	int is_new = !flow->updated_ns;
	flow->state = new_state;
	flow->updated_ns = now;
	if (new_state == TCP_SYN_SENT) {
		flow->syn_sent_ns = now;
		set_owner(flow);
	} else if (new_state == TCP_ESTABLISHED) {
		flow->established_ns = now;
		/* When the first segment left, its port was not chosen yet. */
		read_endpoints(sk, &flow->ends, typed);
	} else if ((new_state == TCP_FIN_WAIT1 || new_state == TCP_LAST_ACK) && !flow->pid) {
		/* Closing is done by whoever owns the socket; most of the rest happens in passing, while another task runs. */
		set_owner(flow);
	}
	if (is_new && !flow->syn_sent_ns && !flow->established_ns)
		read_first(flow, sk, typed);
	else
		read_numbers(flow, sk, typed);
	if (new_state != TCP_CLOSE)
		return 0;
	flow->closed_ns = now;
	flow->error = READ(typed, sk->sk_err);
	if (bpf_ringbuf_output(&closed, flow, sizeof(*flow), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
	bpf_map_delete_elem(&flows, &key);
	return 0;
}

static __always_inline struct flow *look_again(struct sock *sk, const int typed)
{
	__u64 now = bpf_ktime_get_ns();
	struct flow *flow = flow_of(sk, now, typed);
	if (!flow)
		return 0;
	if (!flow->updated_ns) {
		flow->state = TCP_ESTABLISHED;
		flow->updated_ns = now;
		read_first(flow, sk, typed);
	} else {
		flow->updated_ns = now;
		read_numbers(flow, sk, typed);
	}
	return flow;
}

SEC("tp_btf/inet_sock_set_state")
int flow_state(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, TYPED));
}

SEC("raw_tp/inet_sock_set_state")
int flow_state_plain(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, PLAIN));
}

/* Each segment that an established connection receives; what it carries is not in the numbers yet. They only grow or are the latest, so the
 * first segment of a tick (1 to 10 ms) speaks for the others: a connection at full speed costs little more than an idle one. */
static __always_inline int segment_comes(struct sock *sk, const int typed)
{
	__u64 key = (__u64)sk;
	__u64 tick = bpf_jiffies64();
	struct flow *known = bpf_map_lookup_elem(&flows, &key);
	if (known && known->segment_tick == tick)
		return 0;
	known = look_again(sk, typed);
	if (known)
		known->segment_tick = tick;
	return 0;
}

SEC("tp_btf/tcp_probe")
int flow_segment(__u64 *ctx)
{
	return COSTED(1, segment_comes((struct sock *)ctx[0], TYPED));
}

SEC("raw_tp/tcp_probe")
int flow_segment_plain(__u64 *ctx)
{
	return COSTED(1, segment_comes((struct sock *)ctx[0], PLAIN));
}

SEC("tp_btf/tcp_retransmit_skb")
int flow_retransmit(__u64 *ctx)
{
	return COSTED(2, (look_again((struct sock *)ctx[0], TYPED), 0));
}

SEC("raw_tp/tcp_retransmit_skb")
int flow_retransmit_plain(__u64 *ctx)
{
	return COSTED(2, (look_again((struct sock *)ctx[0], PLAIN), 0));
}

/* Every connection that there is, when somebody looks: those that were open before, and the numbers of all as they are then. */
static __always_inline int looks(__u64 *ctx)
{
	struct sock *common = (struct sock *)ctx[1];
	if (!common)
		return 0;
	/* Neither what waits for late segments nor what has not become a connection. */
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(common);
	if (!tcp)
		return 0;
	struct sock *sk = (struct sock *)tcp;
	__u8 state = sk->__sk_common.skc_state;
	if (state == TCP_LISTEN || state == TCP_CLOSE || state == TCP_SYN_SENT)
		return 0;
	look_again(sk, TYPED);
	return 0;
}

SEC("iter/tcp")
int flow_look(__u64 *ctx)
{
	return COSTED(ON_NO_HOOK, looks(ctx));
}
