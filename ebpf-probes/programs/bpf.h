/* What every program needs of the kernel: sections, shapes of maps, helpers by their numbers (include/uapi/linux/bpf.h). */
#ifndef PROBEOPS_BPF_H
#define PROBEOPS_BPF_H

#define SEC(name) __attribute__((section(name), used))
#define __uint(name, value) int(*name)[value]
#define __type(name, value) typeof(value) *name
#define __always_inline inline __attribute__((always_inline))

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum { BPF_ANY = 0, BPF_NOEXIST = 1 };

/* Whoever reads the ring looks at it by a clock of its own: the kernel wakes nobody. */
enum { BPF_RB_NO_WAKEUP = 1 };

/* Whether the running kernel has a type: a constant by the time it looks at the program, so that what needs it is no part of it elsewhere. */
#define KERNEL_HAS(type) __builtin_preserve_type_info(*(type *)0, 0)

/* The same of a field. */
#define KERNEL_HAS_FIELD(field) __builtin_preserve_field_info(field, 2)

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static __u64 (*bpf_get_current_uid_gid)(void) = (void *)15;
static long (*bpf_get_current_comm)(void *buffer, __u32 size) = (void *)16;
static __u64 (*bpf_jiffies64)(void) = (void *)118;
static __u64 (*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_get_stack)(void *ctx, void *buffer, __u32 size, __u64 flags) = (void *)67;
static long (*bpf_probe_read_user)(void *to, __u32 size, const void *from) = (void *)112;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*bpf_probe_read_user_str)(void *to, __u32 size, const void *from) = (void *)114;
static long (*bpf_probe_read_kernel_str)(void *to, __u32 size, const void *from) = (void *)115;
static long (*bpf_seq_printf)(void *seq, const char *format, __u32 format_size, const void *data, __u32 data_size) = (void *)126;
static long (*bpf_seq_write)(void *seq, const void *data, __u32 size) = (void *)127;
static long (*bpf_ringbuf_output)(void *ring, void *data, __u64 size, __u64 flags) = (void *)130;
static void *(*bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static void *(*bpf_skc_to_tcp_sock)(void *sk) = (void *)137;
static long (*bpf_get_task_stack)(void *task, void *buffer, __u32 size, __u64 flags) = (void *)141;
static long (*bpf_d_path)(void *path, char *buffer, __u32 size) = (void *)147;

/* What could not be told, by why: the reader has to say so. */
enum { LOST_TABLE = 0, LOST_RING = 1, LOST_KINDS = 2 };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, LOST_KINDS);
	__type(key, __u32);
	__type(value, __u64);
} lost SEC(".maps");

static __always_inline void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&lost, &kind);
	if (count)
		*count += 1;
}

char license_text[] SEC("license") = "GPL";

#endif
