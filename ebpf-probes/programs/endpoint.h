/* The two ends of a socket, and whether somebody asked for them. */
#ifndef PROBEOPS_ENDPOINT_H
#define PROBEOPS_ENDPOINT_H

#include "check.h"
#include "reading.h"

enum { AF_INET = 2, AF_INET6 = 10 };

struct endpoints {
	__u8 local[16] __attribute__((aligned(8)));
	__u8 remote[16];
	__u16 local_port;
	__u16 remote_port;
	__u16 family;
	__u16 unused;
};

/* Set before the program is loaded. Zero: every port, every address. */
const volatile __u16 only_port = 0;
const volatile __u16 only_family = 0;
const volatile __u8 only_address[16] = {};
static __always_inline int read_endpoints(struct sock *sk, struct endpoints *ends, const int typed)
{
	__builtin_memset(ends, 0, sizeof(*ends));
	ends->family = READ(typed, sk->__sk_common.skc_family);
	ends->local_port = READ(typed, sk->__sk_common.skc_num);
	ends->remote_port = __builtin_bswap16(READ(typed, sk->__sk_common.skc_dport));
	if (ends->family == AF_INET) {
		__be32 local = READ(typed, sk->__sk_common.skc_rcv_saddr);
		__be32 remote = READ(typed, sk->__sk_common.skc_daddr);
		__builtin_memcpy(ends->local, &local, sizeof(local));
		__builtin_memcpy(ends->remote, &remote, sizeof(remote));
		return 1;
	}
	if (ends->family == AF_INET6) {
		bpf_probe_read_kernel(ends->local, 16, &sk->__sk_common.skc_v6_rcv_saddr);
		bpf_probe_read_kernel(ends->remote, 16, &sk->__sk_common.skc_v6_daddr);
		return 1;
	}
	return 0;
}

static __always_inline int same_address(const __u8 *address)
{
	const __u64 *is = (const __u64 *)address;
	const volatile __u64 *only = (const volatile __u64 *)only_address;
	return is[0] == only[0] && is[1] == only[1];
}

/* Whether it is the connection by which the programs are checked: it is noted, and counts nowhere else. */
static __always_inline int was_check(const struct endpoints *ends)
{
	if (!check_port || ends->remote_port != check_port || ends->family != AF_INET || ends->remote[0] != 127)
		return 0;
	note_check();
	return 1;
}

static __always_inline int wanted(const struct endpoints *ends)
{
	if (only_port && ends->local_port != only_port && ends->remote_port != only_port)
		return 0;
	if (!only_family)
		return 1;
	return ends->family == only_family && (same_address(ends->local) || same_address(ends->remote));
}

#endif
