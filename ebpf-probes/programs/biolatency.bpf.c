/* How long block devices take for a request, from having it to being done with it: counted by device and kind of request. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "slots.h"

enum { KIND_MASK = 0xff };

/* Which argument of block_rq_issue is the request: before 5.11 its queue comes first. Set before the program is loaded. */
const volatile __u32 queue_comes_first = 0;

struct begun {
	__u64 began_ns;
	__u64 bytes;
};

/* By number: a name would cost more to find than the rest. */
struct whose {
	__u32 major;
	__u32 minor;
	__u32 kind;
};

struct requests {
	__u64 bytes;
	__u64 total_ns;
	__u64 max_ns;
	__u64 slots[SLOTS];
	/* What the device is called: on the CPU that met it first. */
	char device[32];
};

/* Requests that a device has, by where they lie in memory. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct begun);
} issued SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, struct whose);
	__type(value, struct requests);
} done SEC(".maps");

static __always_inline int begin(struct request *request, const int typed)
{
	__u64 key = (__u64)request;
	struct begun begun = {};

	begun.began_ns = bpf_ktime_get_ns();
	begun.bytes = READ(typed, request->__data_len);
	/* One that the device could not take comes again: what counts is the last time. */
	if (bpf_map_update_elem(&issued, &key, &begun, BPF_ANY))
		count_lost(LOST_TABLE);
	return 0;
}

static __always_inline int issues(__u64 *ctx, const int typed)
{
	if (queue_comes_first) {
		/* Or both places would be read by one instruction, which the kernel refuses. */
		asm volatile("" ::: "memory");
		return begin((struct request *)ctx[1], typed);
	}
	asm volatile("" ::: "memory");
	return begin((struct request *)ctx[0], typed);
}

static __always_inline struct gendisk *disk_of(struct request *request, const int typed)
{
	struct request___before_5_17 *old = (struct request___before_5_17 *)request;

	if (KERNEL_HAS_FIELD(old->rq_disk))
		return READ(typed, old->rq_disk);
	struct request_queue *queue = READ(typed, request->q);
	return READ(typed, queue->disk);
}

static __always_inline struct requests *requests_of(const struct whose *whose, struct gendisk *disk)
{
	struct requests *known = bpf_map_lookup_elem(&done, whose);
	if (known)
		return known;
	struct requests fresh = {};
	bpf_probe_read_kernel(fresh.device, sizeof(fresh.device), &disk->disk_name);
	/* Another CPU may have been faster. */
	bpf_map_update_elem(&done, whose, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&done, whose);
}

static __always_inline int completes(__u64 *ctx, const int typed)
{
	struct request *request = (struct request *)ctx[0];
	__u32 bytes = (__u32)ctx[2];
	__u64 key = (__u64)request;
	struct whose whose = {};

	struct begun *found = bpf_map_lookup_elem(&issued, &key);
	/* The device may be done with the first part only. */
	if (!found || bytes < READ(typed, request->__data_len))
		return 0;
	struct begun begun = *found;
	bpf_map_delete_elem(&issued, &key);
	whose.kind = READ(typed, request->cmd_flags) & KIND_MASK;
	struct gendisk *disk = disk_of(request, typed);
	whose.major = READ(typed, disk->major);
	whose.minor = READ(typed, disk->first_minor);
	__s64 took_ns = bpf_ktime_get_ns() - begun.began_ns;
	/* Clocks of two CPUs may differ by a little. */
	if (took_ns < 0)
		took_ns = 0;
	struct requests *requests = requests_of(&whose, disk);
	if (!requests) {
		count_lost(LOST_TABLE);
		return 0;
	}
	__u32 slot = slot_of((__u64)took_ns / 1000);
	requests->bytes += begun.bytes;
	requests->total_ns += took_ns;
	if ((__u64)took_ns > requests->max_ns)
		requests->max_ns = took_ns;
	if (slot < SLOTS)
		requests->slots[slot] += 1;
	return 0;
}

SEC("tp_btf/block_rq_issue")
int issue(__u64 *ctx)
{
	return COSTED(1, issues(ctx, TYPED));
}

SEC("raw_tp/block_rq_issue")
int issue_plain(__u64 *ctx)
{
	return COSTED(1, issues(ctx, PLAIN));
}

SEC("tp_btf/block_rq_complete")
int complete(__u64 *ctx)
{
	return COSTED(0, completes(ctx, TYPED));
}

SEC("raw_tp/block_rq_complete")
int complete_plain(__u64 *ctx)
{
	return COSTED(0, completes(ctx, PLAIN));
}
