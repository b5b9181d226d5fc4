/* A value of every kind that can be told, filled with what the test knows; and a count by CPU. */
#include "observe.h"

enum colour { RED = 1, GREEN = 2 };
enum sign { MINUS = -1, PLUS = 1 };

struct inner {
	__u8 bytes[3];
	short less;
};

struct shapes {
	__u8 byte;
	signed char least;
	__u16 half;
	short minus;
	__u32 word;
	__s32 negative;
	__u64 wide;
	__s64 most;
	_Bool yes;
	enum colour colour;
	enum colour unknown;
	enum sign sign;
	char text[8];
	struct inner pair[2];
	__u32 low : 3;
	__u32 across : 12;
	__s32 below : 5;
	struct {
		__u16 inside;
	};
};

struct event {
	__u32 number;
	char word[4];
};

const struct event *const unused_event __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct shapes);
} shapes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u64);
} by_cpu SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

COUNTER(lost);

/* A call that the kernel does not have, and the thread that asks for it: the test puts its own number in the place of this one. */
enum { NO_SUCH_CALL = 1000 };
const volatile __u32 only_thread = 0x5eedca11;

static __attribute__((noinline)) __u64 twice(__u64 number)
{
	return number * 2;
}

SEC("raw_tp/sys_enter")
int fill(__u64 *ctx)
{
	__u32 first = 0;
	__u64 key = twice(21), one = 1;
	struct shapes *told = bpf_map_lookup_elem(&shapes, &first);

	if (!told || ctx[1] != NO_SUCH_CALL || (__u32)bpf_get_current_pid_tgid() != only_thread)
		return 0;
	told->byte = 200;
	told->least = -128;
	told->half = 60000;
	told->minus = -2;
	told->word = 4000000000u;
	told->negative = -3;
	told->wide = 18000000000000000000ull;
	told->most = -4;
	told->yes = 1;
	told->colour = GREEN;
	told->unknown = 7;
	told->sign = MINUS;
	__builtin_memcpy(told->text, "word", 5);
	told->pair[1].bytes[2] = 9;
	told->pair[1].less = -9;
	told->low = 5;
	told->across = 4000;
	told->below = -7;
	told->inside = 77;
	__u64 *known = bpf_map_lookup_elem(&by_cpu, &key);
	if (known)
		*known += 1;
	else
		bpf_map_update_elem(&by_cpu, &key, &one, 0);
	struct event *event = bpf_ringbuf_reserve(&ring, sizeof(*event), 0);
	if (!event) {
		count(&lost);
		return 0;
	}
	event->number = 5;
	__builtin_memcpy(event->word, "abcd", 4);
	bpf_ringbuf_submit(event, 1);
	return 0;
}
