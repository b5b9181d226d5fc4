/* What goes through interfaces: packets and bytes of each, and who the others are. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "packet.h"

/* Both ways, by direction. */
struct traffic {
	__u64 packets[2];
	__u64 bytes[2];
};

struct through {
	char name[16];
	struct traffic traffic;
};

/* The other end, by where it is reached. */
struct talker {
	struct interface interface;
	__u8 address[16];
	__u32 family;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct interface);
	__type(value, struct through);
} interfaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct talker);
	__type(value, struct traffic);
} talkers SEC(".maps");

static __always_inline void count_interface(const struct packet *packet, struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct through *through = bpf_map_lookup_elem(&interfaces, &packet->interface);
	if (!through) {
		struct through fresh = {};
		struct net_device *device = READ(typed, skb->dev);
		if (device)
			bpf_probe_read_kernel(fresh.name, sizeof(fresh.name), &device->name);
		/* Somebody else may have been faster. */
		bpf_map_update_elem(&interfaces, &packet->interface, &fresh, BPF_NOEXIST);
		through = bpf_map_lookup_elem(&interfaces, &packet->interface);
	}
	if (!through) {
		count_lost(LOST_TABLE);
		return;
	}
	through->traffic.packets[direction] += packet->segments;
	through->traffic.bytes[direction] += packet->bytes;
}

static __always_inline void count_talker(const struct packet *packet, const __u32 direction)
{
	struct talker talker = {.interface = packet->interface, .family = packet->ends.family};

	if (!talker.family)
		return;
	__builtin_memcpy(talker.address, packet->ends.remote, sizeof(talker.address));
	struct traffic *traffic = bpf_map_lookup_elem(&talkers, &talker);
	if (!traffic) {
		struct traffic fresh = {};
		bpf_map_update_elem(&talkers, &talker, &fresh, BPF_NOEXIST);
		traffic = bpf_map_lookup_elem(&talkers, &talker);
	}
	if (!traffic) {
		count_lost(LOST_TABLE);
		return;
	}
	__sync_fetch_and_add(&traffic->packets[direction], packet->segments);
	__sync_fetch_and_add(&traffic->bytes[direction], packet->bytes);
}

static __always_inline int count_packet(struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct buffer buffer;
	struct packet packet;

	look_at(&buffer, skb, direction, typed);
	if (!read_packet(&packet, &buffer, skb, direction, typed) || was_check_packet(&packet))
		return 0;
	count_interface(&packet, skb, direction, typed);
	count_talker(&packet, direction);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int traffic_in(__u64 *ctx)
{
	return COSTED(0, count_packet((struct sk_buff *)ctx[0], DIRECTION_IN, TYPED));
}

SEC("raw_tp/netif_receive_skb")
int traffic_in_plain(__u64 *ctx)
{
	return COSTED(0, count_packet((struct sk_buff *)ctx[0], DIRECTION_IN, PLAIN));
}

SEC("tp_btf/net_dev_start_xmit")
int traffic_out(__u64 *ctx)
{
	return COSTED(1, count_packet((struct sk_buff *)ctx[0], DIRECTION_OUT, TYPED));
}

SEC("raw_tp/net_dev_start_xmit")
int traffic_out_plain(__u64 *ctx)
{
	return COSTED(1, count_packet((struct sk_buff *)ctx[0], DIRECTION_OUT, PLAIN));
}
