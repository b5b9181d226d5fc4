/* Questions that this host's programs ask of DNS over UDP, and how long the answers take. Of a message only its head and its question are read. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "packet.h"

/* RFC 1035, section 4.1.1: the first bit of the flags tells an answer, the second of them ends with its code. */
enum { DNS_PORT = 53, DNS_ANSWER = 0x80, DNS_CODE = 0x0f };
/* Longest question kept: a name has 255 bytes at most, most have far less. */
enum { QUESTION = 128 };

struct head {
	__be16 id;
	__u8 flags[2];
	__be16 counts[4];
};

struct asked {
	struct endpoints ends;
	__u32 namespace;
	__u16 id;
	__u16 unused;
};

struct question {
	__u64 asked_ns;
	/* How often it was sent. */
	__u32 sent;
	__u32 pid;
	/* Bytes of `name` that are of the message: what follows means nothing. */
	__u32 bytes;
	__u32 unused;
	char command[16];
	__u8 name[QUESTION];
};

struct answered {
	struct asked asked;
	struct question question;
	__u64 at_ns;
	__u32 code;
	__u32 unused;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct asked);
	__type(value, struct question);
} open_questions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} answers SEC(".maps");

/* Too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct answered);
} scratch SEC(".maps");

static __always_inline struct answered *scratch_of(void)
{
	__u32 only = 0;
	return bpf_map_lookup_elem(&scratch, &only);
}

static __always_inline void ask(const struct packet *packet, const struct asked *asked, const unsigned char *end)
{
	struct question *known = bpf_map_lookup_elem(&open_questions, asked);
	if (known) {
		/* Asked once more: whoever waits has waited since the first time. */
		__sync_fetch_and_add(&known->sent, 1);
		return;
	}
	struct answered *space = scratch_of();
	if (!space)
		return;
	struct question *question = &space->question;
	const unsigned char *name = packet->transport + UDP_HEADER + sizeof(struct head);
	__s64 bytes = end - name;
	question->asked_ns = bpf_ktime_get_ns();
	question->sent = 1;
	question->pid = bpf_get_current_pid_tgid() >> 32;
	/* What its header says of its length, whoever made it may have made up. */
	question->bytes = bytes <= 0 ? 0 : bytes < QUESTION ? bytes : QUESTION;
	question->unused = 0;
	bpf_get_current_comm(question->command, sizeof(question->command));
	if (bpf_probe_read_kernel(question->name, QUESTION, name))
		question->bytes = 0;
	if (bpf_map_update_elem(&open_questions, asked, question, BPF_NOEXIST))
		count_lost(LOST_TABLE);
}

static __always_inline void answer(const struct asked *asked, __u32 code)
{
	struct question *question = bpf_map_lookup_elem(&open_questions, asked);
	if (!question)
		return;
	struct answered *answered = scratch_of();
	if (!answered)
		return;
	answered->asked = *asked;
	answered->question = *question;
	answered->at_ns = bpf_ktime_get_ns();
	answered->code = code;
	answered->unused = 0;
	bpf_map_delete_elem(&open_questions, asked);
	if (bpf_ringbuf_output(&answers, answered, sizeof(*answered), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
}

static __always_inline int look(struct sk_buff *skb, const __u32 direction, const int typed)
{
	struct packet packet;
	struct head head = {};

	if (!read_datagram(&packet, skb, direction, typed))
		return 0;
	if (packet.ends.remote_port != DNS_PORT || packet.datagram_bytes < sizeof(head))
		return 0;
	if (!wanted(&packet.ends) || bpf_probe_read_kernel(&head, sizeof(head), packet.transport + UDP_HEADER))
		return 0;
	struct asked asked = {.ends = packet.ends, .namespace = packet.interface.namespace, .id = head.id};
	if (direction == DIRECTION_OUT && !(head.flags[0] & DNS_ANSWER))
		ask(&packet, &asked, end_of(skb, typed));
	else if (direction == DIRECTION_IN && (head.flags[0] & DNS_ANSWER))
		answer(&asked, head.flags[1] & DNS_CODE);
	return 0;
}

SEC("tp_btf/netif_receive_skb")
int answer_in(__u64 *ctx)
{
	return COSTED(1, look((struct sk_buff *)ctx[0], DIRECTION_IN, TYPED));
}

SEC("raw_tp/netif_receive_skb")
int answer_in_plain(__u64 *ctx)
{
	return COSTED(1, look((struct sk_buff *)ctx[0], DIRECTION_IN, PLAIN));
}

SEC("tp_btf/net_dev_start_xmit")
int question_out(__u64 *ctx)
{
	return COSTED(0, look((struct sk_buff *)ctx[0], DIRECTION_OUT, TYPED));
}

SEC("raw_tp/net_dev_start_xmit")
int question_out_plain(__u64 *ctx)
{
	return COSTED(0, look((struct sk_buff *)ctx[0], DIRECTION_OUT, PLAIN));
}
