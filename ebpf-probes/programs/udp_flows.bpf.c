/* Datagrams by flow: who speaks with whom, how much; and sockets that had no room for more. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "packet.h"

struct flow {
	struct endpoints ends;
	__u32 namespace;
	__u32 unused;
};

struct datagrams {
	__u64 sent;
	__u64 received;
	__u64 sent_bytes;
	__u64 received_bytes;
	/* Who sent the first. */
	__u32 pid;
	__u32 unused;
	char command[16];
};

/* A socket, by where it listens. */
struct full {
	__u8 local[16];
	__u16 local_port;
	__u16 family;
	__u32 namespace;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct flow);
	__type(value, struct datagrams);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct full);
	__type(value, __u64);
} full SEC(".maps");

static __always_inline struct datagrams *datagrams_of(const struct packet *packet)
{
	struct flow flow = {.ends = packet->ends, .namespace = packet->interface.namespace};
	struct datagrams *known = bpf_map_lookup_elem(&flows, &flow);
	if (known)
		return known;
	struct datagrams fresh = {};
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&flows, &flow, &fresh, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&flows, &flow);
	if (!known)
		count_lost(LOST_TABLE);
	return known;
}

static __always_inline int count_datagram(struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct packet packet;

	if (!read_datagram(&packet, skb, direction, typed) || !wanted(&packet.ends))
		return 0;
	struct datagrams *datagrams = datagrams_of(&packet);
	if (!datagrams)
		return 0;
	if (direction == DIRECTION_IN) {
		__sync_fetch_and_add(&datagrams->received, packet.segments);
		__sync_fetch_and_add(&datagrams->received_bytes, packet.datagram_bytes);
		return 0;
	}
	__sync_fetch_and_add(&datagrams->sent, packet.segments);
	__sync_fetch_and_add(&datagrams->sent_bytes, packet.datagram_bytes);
	if (!datagrams->pid) {
		datagrams->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(datagrams->command, sizeof(datagrams->command));
	}
	return 0;
}

static __always_inline int count_full(struct sock *sk, const int typed)
{
	struct full key = {};
	struct endpoints ends;

	if (!read_endpoints(sk, &ends, typed))
		return 0;
	/* A socket that is not connected has no remote end: of a filter, only the local one can be known. */
	if (only_port && ends.local_port != only_port && ends.remote_port != only_port)
		return 0;
	__builtin_memcpy(key.local, ends.local, sizeof(key.local));
	key.local_port = ends.local_port;
	key.family = ends.family;
	struct net *net = READ(typed, sk->__sk_common.skc_net.net);
	key.namespace = READ(typed, net->ns.inum);
	__u64 *count = bpf_map_lookup_elem(&full, &key);
	if (count) {
		__sync_fetch_and_add(count, 1);
		return 0;
	}
	__u64 first = 1;
	if (bpf_map_update_elem(&full, &key, &first, BPF_NOEXIST))
		count_lost(LOST_TABLE);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int datagram_in(__u64 *ctx)
{
	return COSTED(0, count_datagram((struct sk_buff *)ctx[0], DIRECTION_IN, TYPED));
}

SEC("raw_tp/netif_receive_skb")
int datagram_in_plain(__u64 *ctx)
{
	return COSTED(0, count_datagram((struct sk_buff *)ctx[0], DIRECTION_IN, PLAIN));
}

SEC("tp_btf/net_dev_start_xmit")
int datagram_out(__u64 *ctx)
{
	return COSTED(1, count_datagram((struct sk_buff *)ctx[0], DIRECTION_OUT, TYPED));
}

SEC("raw_tp/net_dev_start_xmit")
int datagram_out_plain(__u64 *ctx)
{
	return COSTED(1, count_datagram((struct sk_buff *)ctx[0], DIRECTION_OUT, PLAIN));
}

/* A datagram that a socket did not take. */
SEC("tp_btf/udp_fail_queue_rcv_skb")
int no_room(__u64 *ctx)
{
	return COSTED(2, count_full((struct sock *)ctx[1], TYPED));
}

SEC("raw_tp/udp_fail_queue_rcv_skb")
int no_room_plain(__u64 *ctx)
{
	return COSTED(2, count_full((struct sock *)ctx[1], PLAIN));
}
