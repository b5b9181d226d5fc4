/* Who dials whom: one message for each try to connect that has come to something; those under way stand in a map. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "endpoint.h"

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, TCP_SYN_RECV = 3, IPPROTO_TCP = 6 };
enum { EACCES = 13, ENETUNREACH = 101, ETIMEDOUT = 110, ECONNREFUSED = 111, EHOSTDOWN = 112, EHOSTUNREACH = 113 };

/* What a try came to, by its place in `counts`, and that one began. */
enum outcome { ESTABLISHED, REFUSED, TIMED_OUT, UNREACHABLE, GIVEN_UP, FAILED, BEGAN, COUNTS };

/* Set before the program is loaded. Zero: every process. */
const volatile __u32 only_pid = 0;

struct dial {
	__u64 began_ns;
	/* Zero while it is under way; what follows from its end is not known then either. */
	__u64 ended_ns;
	struct endpoints ends;
	__u32 pid;
	__u32 user;
	__u32 outcome;
	__s32 error;
	char command[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct dial);
} under_way SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTS);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 18);
} told SEC(".maps");

static __always_inline void count(__u32 place)
{
	__u64 *number = bpf_map_lookup_elem(&counts, &place);
	if (number)
		*number += 1;
}

/* A socket of IPv6 may speak with an address of IPv4: it is told, and asked for, as what it speaks. */
static __always_inline void unmap(struct endpoints *ends)
{
	__u32 *local = (__u32 *)ends->local, *remote = (__u32 *)ends->remote;

	if (ends->family != AF_INET6 || remote[0] || remote[1] || remote[2] != __builtin_bswap32(0xffff))
		return;
	ends->family = AF_INET;
	local[0] = local[3];
	remote[0] = remote[3];
	local[2] = local[3] = 0;
	remote[2] = remote[3] = 0;
}

/* Whoever dials is at work: the state changes in its own call. Its port is not chosen yet, unless it chose one itself. */
static __always_inline void begin(struct sock *sk, const int typed)
{
	__u64 key = (__u64)sk;
	struct dial dial = {};

	if (!read_endpoints(sk, &dial.ends, typed))
		return;
	unmap(&dial.ends);
	if (was_check(&dial.ends) || !wanted(&dial.ends))
		return;
	dial.pid = bpf_get_current_pid_tgid() >> 32;
	if (only_pid && dial.pid != only_pid)
		return;
	dial.began_ns = bpf_ktime_get_ns();
	dial.user = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(dial.command, sizeof(dial.command));
	if (bpf_map_update_elem(&under_way, &key, &dial, BPF_ANY))
		count_lost(LOST_TABLE);
	else
		count(BEGAN);
}

/* Without an error somebody closed the socket, or no port was left for it. */
static __always_inline enum outcome outcome_of(int state, const struct dial *dial)
{
	if (state == TCP_ESTABLISHED)
		return ESTABLISHED;
	switch (dial->error) {
	case 0:
		return dial->ends.local_port ? GIVEN_UP : FAILED;
	case ECONNREFUSED:
		return REFUSED;
	case ETIMEDOUT:
		return TIMED_OUT;
	/* The last is what a firewall says to IPv6 where it says the one before to IPv4. */
	case ENETUNREACH:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case EACCES:
		return UNREACHABLE;
	default:
		return FAILED;
	}
}

static __always_inline void end(struct sock *sk, int new_state, const int typed)
{
	__u64 key = (__u64)sk;
	struct dial *known = bpf_map_lookup_elem(&under_way, &key);

	if (!known)
		return;
	struct dial dial = *known;
	bpf_map_delete_elem(&under_way, &key);
	dial.ended_ns = bpf_ktime_get_ns();
	/* The socket has given its port back where it is closed, and still knows which it was. */
	dial.ends.local_port = __builtin_bswap16(READ(PLAIN, ((struct inet_sock *)sk)->inet_sport));
	dial.error = new_state == TCP_ESTABLISHED ? 0 : READ(typed, sk->sk_err);
	dial.outcome = outcome_of(new_state, &dial);
	count(dial.outcome);
	if (bpf_ringbuf_output(&told, &dial, sizeof(dial), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

static __always_inline int state_changes(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	int old_state = (int)ctx[1];
	int new_state = (int)ctx[2];

	if (READ(typed, sk->sk_protocol) != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_SYN_SENT)
		begin(sk, typed);
	/* Both ends may dial each other at once: there is a step between. */
	else if (new_state != TCP_SYN_RECV && (old_state == TCP_SYN_SENT || old_state == TCP_SYN_RECV))
		end(sk, new_state, typed);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int dialled(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, TYPED));
}

SEC("raw_tp/inet_sock_set_state")
int dialled_plain(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, PLAIN));
}
