/* Who connects where, how long that takes, and why it fails: counted by command and remote end. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "endpoint.h"
#include "slots.h"

enum { TCP_ESTABLISHED = 1, TCP_SYN_SENT = 2, IPPROTO_TCP = 6 };

struct attempt {
	__u64 began_ns;
	__u32 pid;
	__u32 unused;
	char command[16];
};

struct whither {
	__u8 remote[16];
	__u16 remote_port;
	__u16 family;
	__u32 unused;
	char command[16];
};

struct connects {
	__u64 established;
	__u64 failed;
	__u64 total_ns;
	__u64 max_ns;
	__u32 pid;
	__s32 error;
	__u32 slots[SLOTS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, struct attempt);
} attempts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, struct whither);
	__type(value, struct connects);
} ended SEC(".maps");

static __always_inline void begin(struct sock *sk)
{
	__u64 key = (__u64)sk;
	struct attempt attempt = {};

	attempt.began_ns = bpf_ktime_get_ns();
	attempt.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(attempt.command, sizeof(attempt.command));
	if (bpf_map_update_elem(&attempts, &key, &attempt, BPF_ANY))
		count_lost(LOST_TABLE);
}

static __always_inline struct connects *connects_of(const struct whither *whither)
{
	struct connects *known = bpf_map_lookup_elem(&ended, whither);
	if (known)
		return known;
	struct connects fresh = {};
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&ended, whither, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&ended, whither);
}

static __always_inline void end(struct sock *sk, int new_state, const int typed)
{
	__u64 key = (__u64)sk;
	struct endpoints ends;
	struct whither whither = {};

	struct attempt *attempt = bpf_map_lookup_elem(&attempts, &key);
	if (!attempt)
		return;
	struct attempt begun = *attempt;
	bpf_map_delete_elem(&attempts, &key);
	if (!read_endpoints(sk, &ends, typed))
		return;
	if (was_check(&ends) || !wanted(&ends))
		return;
	__builtin_memcpy(whither.remote, ends.remote, sizeof(whither.remote));
	__builtin_memcpy(whither.command, begun.command, sizeof(whither.command));
	whither.remote_port = ends.remote_port;
	whither.family = ends.family;
	struct connects *connects = connects_of(&whither);
	if (!connects) {
		count_lost(LOST_TABLE);
		return;
	}
	connects->pid = begun.pid;
	if (new_state != TCP_ESTABLISHED) {
		connects->error = READ(typed, sk->sk_err);
		__sync_fetch_and_add(&connects->failed, 1);
		return;
	}
	__u64 took_ns = bpf_ktime_get_ns() - begun.began_ns;
	__u32 slot = slot_of(took_ns / 1000);
	__sync_fetch_and_add(&connects->established, 1);
	__sync_fetch_and_add(&connects->total_ns, took_ns);
	if (took_ns > connects->max_ns)
		connects->max_ns = took_ns;
	if (slot < SLOTS)
		__sync_fetch_and_add(&connects->slots[slot], 1);
}

static __always_inline int state_changes(__u64 *ctx, const int typed)
{
	struct sock *sk = (struct sock *)ctx[0];
	int old_state = (int)ctx[1];
	int new_state = (int)ctx[2];

	if (READ(typed, sk->sk_protocol) != IPPROTO_TCP)
		return 0;
	if (new_state == TCP_SYN_SENT)
		begin(sk);
	else if (old_state == TCP_SYN_SENT)
		end(sk, new_state, typed);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int connect_state(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, TYPED));
}

SEC("raw_tp/inet_sock_set_state")
int connect_state_plain(__u64 *ctx)
{
	return COSTED(0, state_changes(ctx, PLAIN));
}
