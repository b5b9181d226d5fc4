/* Packets that the kernel drops, counted by its reason. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u64);
} dropped SEC(".maps");

/* Whether it is the first segment of the connection by which the programs are checked. */
static __always_inline int is_check(struct sk_buff *skb, const int typed)
{
	__u16 port = 0;

	if (!check_port)
		return 0;
	unsigned char *head = READ(typed, skb->head);
	__u16 transport = READ(typed, skb->transport_header);
	/* The port that a segment or datagram goes to is its third and fourth byte. */
	if (bpf_probe_read_kernel(&port, sizeof(port), head + transport + 2))
		return 0;
	return __builtin_bswap16(port) == check_port;
}

static __always_inline int count_drop(__u64 *ctx, const int typed)
{
	struct sk_buff *skb = (struct sk_buff *)ctx[0];
	__u32 reason = KERNEL_HAS(enum skb_drop_reason) ? (__u32)ctx[2] : 0;

	if (is_check(skb, typed)) {
		note_check();
		return 0;
	}
	__u64 *count = bpf_map_lookup_elem(&dropped, &reason);
	if (count) {
		*count += 1;
		return 0;
	}
	__u64 first = 1;
	if (bpf_map_update_elem(&dropped, &reason, &first, BPF_ANY))
		count_lost(LOST_TABLE);
	return 0;
}

SEC("tp_btf/kfree_skb")
int drop(__u64 *ctx)
{
	return COSTED(0, count_drop(ctx, TYPED));
}

SEC("raw_tp/kfree_skb")
int drop_plain(__u64 *ctx)
{
	return COSTED(0, count_drop(ctx, PLAIN));
}
