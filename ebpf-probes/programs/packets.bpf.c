/* Packets by interface and direction: which protocols, which flags, which sizes. Nothing of what they carry. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "packet.h"

enum protocol { PROTOCOL_TCP, PROTOCOL_UDP, PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_ARP, PROTOCOL_OTHER_IP, PROTOCOL_OTHER, PROTOCOLS };
enum { FLAGS = 8, SIZES = 17 };
enum { FLAG_SYN = 0x02, FLAG_ACK = 0x10 };

struct side {
	struct interface interface;
	__u32 direction;
	__u32 unused;
};

struct counted {
	char name[16];
	__u64 packets;
	__u64 bytes;
	__u64 protocols[PROTOCOLS];
	/* By bit, FIN first. A segment with several counts for each. */
	__u64 flags[FLAGS];
	__u64 syn_acks;
	/* By the power of two that a packet's length reaches. */
	__u64 sizes[SIZES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct side);
	__type(value, struct counted);
} sides SEC(".maps");

/* Too large for the stack: what a new side begins with. Only the name in it is ever written. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counted);
} fresh SEC(".maps");

static __always_inline struct counted *counted_of(const struct side *side, struct sk_buff *skb, const int typed)
{
	__u32 only = 0;
	struct counted *known = bpf_map_lookup_elem(&sides, side);
	if (known)
		return known;
	struct counted *first = bpf_map_lookup_elem(&fresh, &only);
	if (!first)
		return 0;
	struct net_device *device = READ(typed, skb->dev);
	if (device)
		bpf_probe_read_kernel(first->name, sizeof(first->name), &device->name);
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&sides, side, first, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&sides, side);
	if (!known)
		count_lost(LOST_TABLE);
	return known;
}

static __always_inline enum protocol protocol_of(const struct packet *packet)
{
	if (packet->ends.family) {
		switch (packet->protocol) {
		case IPPROTO_TCP:
			return PROTOCOL_TCP;
		case IPPROTO_UDP:
			return PROTOCOL_UDP;
		case IPPROTO_ICMP:
			return PROTOCOL_ICMP;
		case IPPROTO_ICMPV6:
			return PROTOCOL_ICMPV6;
		default:
			return PROTOCOL_OTHER_IP;
		}
	}
	return packet->ethertype == ETH_P_ARP ? PROTOCOL_ARP : PROTOCOL_OTHER;
}

static __always_inline __u32 size_slot(__u32 bytes)
{
	__u32 slot = 0;

	for (int bits = 8; bits; bits /= 2)
		if (bytes >> bits) {
			bytes >>= bits;
			slot += bits;
		}
	return slot < SIZES ? slot : SIZES - 1;
}

static __always_inline int count_packet(struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct buffer buffer;
	struct packet packet;

	look_at(&buffer, skb, direction, typed);
	if (!read_packet(&packet, &buffer, skb, direction, typed) || was_check_packet(&packet))
		return 0;
	struct side side = {.interface = packet.interface, .direction = direction};
	struct counted *counted = counted_of(&side, skb, typed);
	if (!counted)
		return 0;
	counted->packets += packet.segments;
	counted->bytes += packet.bytes;
	__u32 protocol = protocol_of(&packet);
	if (protocol < PROTOCOLS)
		counted->protocols[protocol] += packet.segments;
	__u32 slot = size_slot(packet.bytes / packet.segments);
	if (slot < SIZES)
		counted->sizes[slot] += packet.segments;
	if (protocol != PROTOCOL_TCP)
		return 0;
	for (int bit = 0; bit < FLAGS; bit++)
		if (packet.tcp_flags & (1 << bit))
			counted->flags[bit] += packet.segments;
	if ((packet.tcp_flags & (FLAG_SYN | FLAG_ACK)) == (FLAG_SYN | FLAG_ACK))
		counted->syn_acks += packet.segments;
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int packet_in(__u64 *ctx)
{
	return COSTED(0, count_packet((struct sk_buff *)ctx[0], DIRECTION_IN, TYPED));
}

SEC("raw_tp/netif_receive_skb")
int packet_in_plain(__u64 *ctx)
{
	return COSTED(0, count_packet((struct sk_buff *)ctx[0], DIRECTION_IN, PLAIN));
}

SEC("tp_btf/net_dev_start_xmit")
int packet_out(__u64 *ctx)
{
	return COSTED(1, count_packet((struct sk_buff *)ctx[0], DIRECTION_OUT, TYPED));
}

SEC("raw_tp/net_dev_start_xmit")
int packet_out_plain(__u64 *ctx)
{
	return COSTED(1, count_packet((struct sk_buff *)ctx[0], DIRECTION_OUT, PLAIN));
}
