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
	/* Where the transport's header lies; nowhere where what was met has none. */
	const unsigned char *transport;
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

/* Both headers at once: most of IPv4's have no options between. */
struct headers {
	union {
		struct {
			struct ipv4 ipv4;
			struct transport after_ipv4;
		};
		struct {
			struct ipv6 ipv6;
			struct transport after_ipv6;
		};
	};
};

/* What is read of a socket buffer, each once. */
struct buffer {
	struct headers headers;
	const unsigned char *network;
	__u16 ethertype;
	__u8 protocol;
};

/* Where the network header lies. A packet that comes in has it in front; one that goes out, its link's. */
static __always_inline const unsigned char *network_of(struct sk_buff *skb, const __u32 direction, const int typed)
{
	if (direction == DIRECTION_IN)
		return READ(typed, skb->data);
	return READ(typed, skb->head) + READ(typed, skb->network_header);
}

/* Looks at the headers and no further: what somebody is not interested in costs no more than that. The protocol is 0 where there is none. */
static __always_inline void look_at(struct buffer *buffer, struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct headers *headers = &buffer->headers;

	/* Kernels before 6.3 let nobody read what may be unset, however it is looked at before. */
	__builtin_memset(buffer, 0, sizeof(*buffer));
	buffer->ethertype = __builtin_bswap16(READ(typed, skb->protocol));
	buffer->network = network_of(skb, direction, typed);
	if (buffer->ethertype == ETH_P_IP) {
		if (!bpf_probe_read_kernel(headers, sizeof(struct ipv4) + sizeof(struct transport), buffer->network))
			buffer->protocol = headers->ipv4.protocol;
	} else if (buffer->ethertype == ETH_P_IPV6) {
		/* Headers between are not gone through: what has any counts as what its first is. */
		if (!bpf_probe_read_kernel(headers, sizeof(struct ipv6) + sizeof(struct transport), buffer->network))
			buffer->protocol = headers->ipv6.next;
	}
}

static __always_inline void set_ends(struct packet *packet, const __u8 *source, const __u8 *destination, const __u32 bytes, const __u32 direction)
{
	__builtin_memcpy(direction == DIRECTION_OUT ? packet->ends.local : packet->ends.remote, source, bytes);
	__builtin_memcpy(direction == DIRECTION_OUT ? packet->ends.remote : packet->ends.local, destination, bytes);
}

static __always_inline void read_transport(struct packet *packet, const struct transport *transport, const __u32 direction)
{
	if (packet->protocol == IPPROTO_TCP) {
		packet->tcp_flags = transport->tcp_flags;
	} else if (packet->protocol == IPPROTO_UDP) {
		/* Nobody has looked yet at what a sender says: less than its own header is nothing. */
		__u16 said = __builtin_bswap16(transport->datagram_bytes);
		packet->datagram_bytes = said > UDP_HEADER ? said - UDP_HEADER : 0;
	} else {
		return;
	}
	__u16 source = __builtin_bswap16(transport->source_port);
	__u16 destination = __builtin_bswap16(transport->destination_port);
	packet->ends.local_port = direction == DIRECTION_OUT ? source : destination;
	packet->ends.remote_port = direction == DIRECTION_OUT ? destination : source;
}

static __always_inline void read_ipv4(struct packet *packet, struct buffer *buffer, const __u32 direction)
{
	struct headers *headers = &buffer->headers;
	__u32 own = (headers->ipv4.words & 0xf) * 4;

	packet->ends.family = AF_INET;
	set_ends(packet, headers->ipv4.source, headers->ipv4.destination, 4, direction);
	/* All pieces but the first have no ports. */
	if (__builtin_bswap16(headers->ipv4.fragment) & FRAGMENT_OFFSET)
		return;
	if (own != sizeof(struct ipv4) && bpf_probe_read_kernel(&headers->after_ipv4, sizeof(struct transport), buffer->network + own))
		return;
	packet->transport = buffer->network + own;
	read_transport(packet, &headers->after_ipv4, direction);
}

/* How many were put together, or are to be cut. */
static __always_inline __u32 segments_of(struct sk_buff *skb, const int typed)
{
	struct skb_shared_info *shared = (struct skb_shared_info *)(READ(typed, skb->head) + READ(typed, skb->end));
	__u16 segments = READ(PLAIN, shared->gso_segs);
	return segments ? segments : 1;
}

/* Zero where it has no interface. */
static __always_inline int read_packet(struct packet *packet, struct buffer *buffer, struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct net_device *device = READ(typed, skb->dev);

	__builtin_memset(packet, 0, sizeof(*packet));
	if (!device)
		return 0;
	struct net *net = READ(typed, device->nd_net.net);
	packet->interface.index = READ(typed, device->ifindex);
	packet->interface.namespace = READ(typed, net->ns.inum);
	packet->ethertype = buffer->ethertype;
	packet->protocol = buffer->protocol;
	packet->segments = segments_of(skb, typed);
	packet->bytes = READ(typed, skb->len);
	if (direction == DIRECTION_IN) {
		__u16 link = (__u16)(buffer->network - READ(typed, skb->head)) - READ(typed, skb->mac_header);
		packet->bytes += link <= LINK_HEADER_MAX ? link : 0;
	}
	if (!buffer->protocol)
		return 1;
	if (buffer->ethertype == ETH_P_IP) {
		read_ipv4(packet, buffer, direction);
		return 1;
	}
	packet->ends.family = AF_INET6;
	set_ends(packet, buffer->headers.ipv6.source, buffer->headers.ipv6.destination, 16, direction);
	packet->transport = buffer->network + sizeof(struct ipv6);
	read_transport(packet, &buffer->headers.after_ipv6, direction);
	return 1;
}

/* Where what lies together ends. */
static __always_inline const unsigned char *end_of(struct sk_buff *skb, const int typed)
{
	return READ(typed, skb->data) + READ(typed, skb->len) - READ(typed, skb->data_len);
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

/* The same of headers alone, for programs that look at no segments. */
static __always_inline void note_check_segment(const struct buffer *buffer)
{
	const struct headers *headers = &buffer->headers;
	__be16 port = __builtin_bswap16(check_port);

	if (!port || buffer->protocol != IPPROTO_TCP || buffer->ethertype != ETH_P_IP || headers->ipv4.destination[0] != 127)
		return;
	if (headers->after_ipv4.destination_port == port || headers->after_ipv4.source_port == port)
		note_check();
}

/* Looks for datagrams only: zero for all else. */
static __always_inline int read_datagram(struct packet *packet, struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct buffer buffer;

	if (direction == DIRECTION_OUT) {
		struct sock *sk = READ(typed, skb->sk);
		/* What this host only passes on belongs to none of its sockets. */
		if (!sk)
			return 0;
		/* Its socket says what it is without a look at its headers. */
		if (READ(typed, sk->sk_protocol) == IPPROTO_TCP) {
			if (check_port && READ(typed, sk->__sk_common.skc_dport) == __builtin_bswap16(check_port))
				note_check();
			return 0;
		}
	}
	look_at(&buffer, skb, direction, typed);
	if (buffer.protocol == IPPROTO_UDP)
		/* Of a datagram in pieces the first has the ports, and the length of all. */
		return read_packet(packet, &buffer, skb, direction, typed) && packet->ends.remote_port;
	note_check_segment(&buffer);
	return 0;
}

#endif
