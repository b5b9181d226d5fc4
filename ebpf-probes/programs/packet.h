/* A packet at an interface: between whom it goes, how large it is, what it is. */
#ifndef PROBEOPS_PACKET_H
#define PROBEOPS_PACKET_H

#include "check.h"
#include "endpoint.h"
#include "reading.h"

enum { ETH_P_IP = 0x0800, ETH_P_ARP = 0x0806, ETH_P_IPV6 = 0x86dd };
enum { IPPROTO_ICMP = 1, IPPROTO_TCP = 6, IPPROTO_UDP = 17, IPPROTO_ICMPV6 = 58 };
enum { DIRECTION_IN = 0, DIRECTION_OUT = 1 };
/* A link's header is shorter; where there is none, the kernel has no place for it. */
enum { LINK_HEADER_MAX = 255 };
/* Of the 16 bits of an IPv4 header's fragment field: where in the whole a piece begins. */
enum { FRAGMENT_OFFSET = 0x1fff };

/* The interface of a namespace; an index names it only there. */
struct interface {
	__u32 namespace;
	__u32 index;
};

/* `ends` is as seen from here: what comes in has the local end as its destination. Ports are zero where there are none. */
struct packet {
	struct endpoints ends;
	struct interface interface;
	/* With the header of the link. What was put together from several on the way in, or is to be cut up on the way out, has one header. */
	__u32 bytes;
	/* On the wire: what was put together counts as what it was put together from. */
	__u32 segments;
	/* What UDP carries, by its own header: all of a datagram that travels in pieces. */
	__u32 datagram_bytes;
	__u16 ethertype;
	/* 0 where there is neither IPv4 nor IPv6. */
	__u8 protocol;
	__u8 tcp_flags;
	/* Where the transport's header lies, and where what lies together ends. */
	const unsigned char *transport;
	const unsigned char *end;
};

/* The parts of a header that are looked at, as they lie in memory. */
struct ipv4 {
	__u8 words;
	__u8 service;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct ipv6 {
	__u8 version[4];
	__be16 payload_length;
	__u8 next;
	__u8 hops;
	__u8 source[16];
	__u8 destination[16];
};

/* UDP's, and as much of TCP's. */
struct transport {
	__be16 source_port;
	__be16 destination_port;
	__be16 datagram_bytes;
	__u8 rest[7];
	__u8 tcp_flags;
};

enum { UDP_HEADER = 8 };

static __always_inline void set_ends(struct packet *packet, const __u8 *source, const __u8 *destination, const __u32 bytes, const __u32 direction)
{
	__builtin_memcpy(direction == DIRECTION_OUT ? packet->ends.local : packet->ends.remote, source, bytes);
	__builtin_memcpy(direction == DIRECTION_OUT ? packet->ends.remote : packet->ends.local, destination, bytes);
}

static __always_inline void read_transport(struct packet *packet, const unsigned char *header, const __u32 direction)
{
	struct transport transport = {};

	packet->transport = header;
	if (packet->protocol == IPPROTO_TCP) {
		if (bpf_probe_read_kernel(&transport, sizeof(transport), header))
			return;
		packet->tcp_flags = transport.tcp_flags;
	} else if (packet->protocol == IPPROTO_UDP) {
		if (bpf_probe_read_kernel(&transport, UDP_HEADER, header))
			return;
		/* Nobody has looked yet at what a sender says: less than its own header is nothing. */
		__u16 said = __builtin_bswap16(transport.datagram_bytes);
		packet->datagram_bytes = said > UDP_HEADER ? said - UDP_HEADER : 0;
	} else {
		return;
	}
	__u16 source = __builtin_bswap16(transport.source_port);
	__u16 destination = __builtin_bswap16(transport.destination_port);
	packet->ends.local_port = direction == DIRECTION_OUT ? source : destination;
	packet->ends.remote_port = direction == DIRECTION_OUT ? destination : source;
}

static __always_inline void read_network(struct packet *packet, const unsigned char *header, const __u32 direction)
{
	if (packet->ethertype == ETH_P_IP) {
		struct ipv4 ipv4 = {};
		if (bpf_probe_read_kernel(&ipv4, sizeof(ipv4), header))
			return;
		packet->ends.family = AF_INET;
		packet->protocol = ipv4.protocol;
		set_ends(packet, ipv4.source, ipv4.destination, 4, direction);
		__u32 own = (ipv4.words & 0xf) * 4;
		/* All pieces but the first have no ports. */
		if (!(__builtin_bswap16(ipv4.fragment) & FRAGMENT_OFFSET))
			read_transport(packet, header + own, direction);
	} else if (packet->ethertype == ETH_P_IPV6) {
		struct ipv6 ipv6 = {};
		if (bpf_probe_read_kernel(&ipv6, sizeof(ipv6), header))
			return;
		packet->ends.family = AF_INET6;
		/* Headers between are not gone through: what has any counts as what its first is. */
		packet->protocol = ipv6.next;
		set_ends(packet, ipv6.source, ipv6.destination, 16, direction);
		read_transport(packet, header + sizeof(ipv6), direction);
	}
}

/* Zero where it has no interface. A packet that comes in lies with its network header in front; one that goes out, with its link's. */
static __always_inline int read_packet(struct packet *packet, struct sk_buff *skb, const __u32 direction, const int typed)
{
	__builtin_memset(packet, 0, sizeof(*packet));
	struct net_device *device = READ(typed, skb->dev);
	if (!device)
		return 0;
	struct net *net = READ(typed, device->nd_net.net);
	packet->interface.index = READ(typed, device->ifindex);
	packet->interface.namespace = READ(typed, net->ns.inum);
	unsigned char *head = READ(typed, skb->head);
	unsigned char *data = READ(typed, skb->data);
	packet->bytes = READ(typed, skb->len);
	packet->end = data + packet->bytes - READ(typed, skb->data_len);
	packet->ethertype = __builtin_bswap16(READ(typed, skb->protocol));
	struct skb_shared_info *shared = (struct skb_shared_info *)(head + READ(typed, skb->end));
	__u16 segments = READ(PLAIN, shared->gso_segs);
	packet->segments = segments ? segments : 1;
	if (direction == DIRECTION_IN) {
		__u16 link = data - head - READ(typed, skb->mac_header);
		packet->bytes += link <= LINK_HEADER_MAX ? link : 0;
		read_network(packet, data, direction);
	} else {
		read_network(packet, head + READ(typed, skb->network_header), direction);
	}
	return 1;
}

/* Whether it is of the connection by which the programs are checked: it is noted, and counts nowhere else. */
static __always_inline int was_check_packet(const struct packet *packet)
{
	if (!check_port || packet->ends.family != AF_INET || packet->ends.remote[0] != 127 || packet->protocol != IPPROTO_TCP)
		return 0;
	if (packet->ends.remote_port != check_port && packet->ends.local_port != check_port)
		return 0;
	note_check();
	return 1;
}

#endif
