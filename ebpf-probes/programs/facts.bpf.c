/* What becomes of the connections and packets of a few peers, which whoever asks names before it speaks with them. Nothing is noted of others. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "endpoint.h"

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_CLOSE = 7 };
enum { IPPROTO_TCP = 6, IPPROTO_UDP = 17 };
enum { ETH_P_IP = 0x0800, ETH_P_IPV6 = 0x86dd };

/* The network namespace of whoever asks: other ones may use the same addresses. Set before the program is loaded. */
const volatile __u32 only_namespace = 0;

struct peer {
	__u8 address[16] __attribute__((aligned(8)));
	__u16 port;
	__u16 family;
	__u32 protocol;
};

struct connection {
	struct endpoints ends;
	__u64 syn_sent_ns;
	__u64 established_ns;
	__u64 closed_ns;
	__u64 reset_received_ns;
	__u64 reset_sent_ns;
	__u32 srtt_us;
	__u32 retransmits;
};

struct dropping {
	struct endpoints ends;
	__u32 protocol;
	__u32 reason;
	/* From this host to the peer, or to this host. */
	__u32 outward;
	__u32 unused;
};

struct dropped {
	__u64 packets;
	__u64 last_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct peer);
	__type(value, __u32);
} peers SEC(".maps");

/* Connections that are not over, by their sockets: they have no port of their own yet when they begin. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, __u64);
	__type(value, struct connection);
} open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct endpoints);
	__type(value, struct connection);
} ended SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct dropping);
	__type(value, struct dropped);
} drops SEC(".maps");

static __always_inline int is_named(const __u8 *address, __u16 port, __u16 family, __u32 protocol)
{
	struct peer peer = {};

	__builtin_memcpy(peer.address, address, sizeof(peer.address));
	peer.port = port;
	peer.family = family;
	peer.protocol = protocol;
	return bpf_map_lookup_elem(&peers, &peer) != 0;
}

static __always_inline int is_here(struct net *net)
{
	return net && READ(PLAIN, net->ns.inum) == only_namespace;
}

/* The numbers that a socket has at this moment. When it closes it gives its port back, and yet has it in the header of what it sends. */
static __always_inline void read_socket(struct connection *connection, struct sock *sk)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u16 port = __builtin_bswap16(READ(PLAIN, ((struct inet_sock *)sk)->inet_sport));

	if (port)
		connection->ends.local_port = port;
	connection->srtt_us = READ(PLAIN, tcp->srtt_us) >> 3;
	connection->retransmits = READ(PLAIN, tcp->total_retrans);
}

static __always_inline int begins(struct sock *sk, __u64 key, const int typed)
{
	struct connection fresh = {};

	if (!read_endpoints(sk, &fresh.ends, typed))
		return 0;
	if (!is_named(fresh.ends.remote, fresh.ends.remote_port, fresh.ends.family, IPPROTO_TCP))
		return 0;
	if (!is_here(READ(PLAIN, sk->__sk_common.skc_net.net)))
		return 0;
	fresh.syn_sent_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&open, &key, &fresh, BPF_ANY))
		count_lost(LOST_TABLE);
	return 0;
}

static __always_inline int state_changes(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	int new_state = (int)ctx[2];
	__u64 key = (__u64)sk;

	if (READ(typed, sk->sk_protocol) != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_SYN_SENT)
		return begins(sk, key, typed);
	struct connection *connection = bpf_map_lookup_elem(&open, &key);
	if (!connection)
		return 0;
	read_socket(connection, sk);
	if (new_state == TCP_ESTABLISHED)
		connection->established_ns = bpf_ktime_get_ns();
	if (new_state != TCP_CLOSE)
		return 0;
	connection->closed_ns = bpf_ktime_get_ns();
	struct endpoints ends = connection->ends;
	if (bpf_map_update_elem(&ended, &ends, connection, BPF_ANY))
		count_lost(LOST_TABLE);
	bpf_map_delete_elem(&open, &key);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int fact_state(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, TYPED));
}

SEC("raw_tp/inet_sock_set_state")
int fact_state_plain(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, PLAIN));
}

/* The connection that an event is about. A reset may be sent that belongs to no socket, and is when a socket is closed already. */
static __always_inline struct connection *connection_of(__u64 *ctx)
{
	struct sock *sk = (struct sock *)ctx[0];
	__u64 key = (__u64)sk;
	struct endpoints ends;

	struct connection *connection = bpf_map_lookup_elem(&open, &key);
	if (connection) {
		read_socket(connection, sk);
		return connection;
	}
	if (!sk || !read_endpoints(sk, &ends, PLAIN))
		return 0;
	ends.local_port = __builtin_bswap16(READ(PLAIN, ((struct inet_sock *)sk)->inet_sport));
	return bpf_map_lookup_elem(&ended, &ends);
}

static __always_inline int reset_received(__u64 *ctx)
{
	struct connection *connection = connection_of(ctx);

	if (connection)
		connection->reset_received_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/tcp_receive_reset")
int fact_reset_received(__u64 *ctx)
{
	return COSTED(2, reset_received(ctx));
}

SEC("raw_tp/tcp_receive_reset")
int fact_reset_received_plain(__u64 *ctx)
{
	return COSTED(2, reset_received(ctx));
}

static __always_inline int reset_sent(__u64 *ctx)
{
	struct connection *connection = connection_of(ctx);

	if (connection)
		connection->reset_sent_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/tcp_send_reset")
int fact_reset_sent(__u64 *ctx)
{
	return COSTED(3, reset_sent(ctx));
}

SEC("raw_tp/tcp_send_reset")
int fact_reset_sent_plain(__u64 *ctx)
{
	return COSTED(3, reset_sent(ctx));
}

SEC("tp_btf/tcp_retransmit_skb")
int fact_retransmit(__u64 *ctx)
{
	return COSTED(4, (connection_of(ctx), 0));
}

SEC("raw_tp/tcp_retransmit_skb")
int fact_retransmit_plain(__u64 *ctx)
{
	return COSTED(4, (connection_of(ctx), 0));
}

/* What stands in a packet's headers: `local` sent it. Where headers follow each other, the ports are not looked for. */
static __always_inline int read_packet(struct sk_buff *skb, struct dropping *packet)
{
	unsigned char *network = READ(PLAIN, skb->head) + READ(PLAIN, skb->network_header);
	__u16 kind = __builtin_bswap16(READ(PLAIN, skb->protocol));
	__u8 first = 0, protocol = 0;
	__u16 ports[2] = {};
	__u32 length = 40;

	if (kind == ETH_P_IP) {
		packet->ends.family = AF_INET;
		if (bpf_probe_read_kernel(&first, 1, network) || bpf_probe_read_kernel(&protocol, 1, network + 9))
			return 0;
		bpf_probe_read_kernel(packet->ends.local, 4, network + 12);
		bpf_probe_read_kernel(packet->ends.remote, 4, network + 16);
		length = (first & 0xf) * 4;
	} else if (kind == ETH_P_IPV6) {
		packet->ends.family = AF_INET6;
		if (bpf_probe_read_kernel(&protocol, 1, network + 6))
			return 0;
		bpf_probe_read_kernel(packet->ends.local, 16, network + 8);
		bpf_probe_read_kernel(packet->ends.remote, 16, network + 24);
	} else {
		return 0;
	}
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return 0;
	if (bpf_probe_read_kernel(ports, sizeof(ports), network + length))
		return 0;
	packet->ends.local_port = __builtin_bswap16(ports[0]);
	packet->ends.remote_port = __builtin_bswap16(ports[1]);
	packet->protocol = protocol;
	return 1;
}

/* Turns the ends, so that `remote` is the peer. */
static __always_inline int towards_named(struct dropping *packet)
{
	struct endpoints *ends = &packet->ends;
	__u8 sender[16] __attribute__((aligned(8)));
	__u16 port = ends->local_port;

	packet->outward = is_named(ends->remote, ends->remote_port, ends->family, packet->protocol);
	if (packet->outward)
		return 1;
	if (!is_named(ends->local, port, ends->family, packet->protocol))
		return 0;
	__builtin_memcpy(sender, ends->local, sizeof(sender));
	__builtin_memcpy(ends->local, ends->remote, sizeof(sender));
	__builtin_memcpy(ends->remote, sender, sizeof(sender));
	ends->local_port = ends->remote_port;
	ends->remote_port = port;
	return 1;
}

/* What is sent belongs to its socket before it has an interface. */
static __always_inline int is_packet_here(struct sk_buff *skb)
{
	struct sock *sk = READ(PLAIN, skb->sk);

	if (sk)
		return is_here(READ(PLAIN, sk->__sk_common.skc_net.net));
	struct net_device *interface = READ(PLAIN, skb->dev);
	return interface && is_here(READ(PLAIN, interface->nd_net.net));
}

static __always_inline int packet_drops(__u64 *ctx)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	struct dropping packet = {};

	if (!read_packet(skb, &packet) || !towards_named(&packet) || !is_packet_here(skb))
		return 0;
	packet.reason = KERNEL_HAS(enum skb_drop_reason) ? (__u32)ctx[2] : 0;
	struct dropped *known = bpf_map_lookup_elem(&drops, &packet);
	if (!known) {
		struct dropped fresh = {};
		/* Somebody else may have been faster. */
		bpf_map_update_elem(&drops, &packet, &fresh, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&drops, &packet);
	}
	if (!known) {
		count_lost(LOST_TABLE);
		return 0;
	}
	__sync_fetch_and_add(&known->packets, 1);
	known->last_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/kfree_skb")
int fact_drop(__u64 *ctx)
{
	return COSTED(1, packet_drops(ctx));
}

SEC("raw_tp/kfree_skb")
int fact_drop_plain(__u64 *ctx)
{
	return COSTED(1, packet_drops(ctx));
}
