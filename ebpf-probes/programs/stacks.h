/* Where tasks are, in the kernel and in their own programs: stacks counted by whose they are, and what gives their addresses names. */
#ifndef PROBEOPS_STACKS_H
#define PROBEOPS_STACKS_H

enum { FRAMES = 127, BPF_F_USER_STACK = 1 << 8 };

/* Numbers of stacks: none, one that there was no room for, and one that nobody looked at. */
enum { NO_STACK = 0, LOST_STACK = 1, UNREAD_STACK = 2, FIRST_STACK = 3 };

struct place {
	__u64 kernel_stack;
	__u64 user_stack;
	__u32 pid;
	__u32 unused;
	char command[16];
};

struct spent {
	__u64 times;
	__u64 total_ns;
};

/* Addresses, the innermost first, up to the first that is none. */
struct stack {
	__u64 at[FRAMES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct stack);
} reading SEC(".maps");

/* Stacks by numbers that are made of them: the kernel's own map of stacks has room for one of a few only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct stack);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct place);
	__type(value, struct spent);
} places SEC(".maps");

/* Functions of their own, not parts of the programs: the kernel looks at each once, whatever is known where it is called. */
__attribute__((noinline)) __u64 number_of(__u32 count)
{
	__u64 number = 0xcbf29ce484222325;
	__u32 only = 0;

	struct stack *stack = bpf_map_lookup_elem(&reading, &only);
	if (!stack)
		return LOST_STACK;
	for (__u32 place = 0; place < FRAMES && place < count; place++) {
		number = (number ^ stack->at[place]) * 0x9e3779b97f4a7c15;
		number ^= number >> 32;
	}
	return number < FIRST_STACK ? number + FIRST_STACK : number;
}

__attribute__((noinline)) __u64 keep_stack(__u64 number, __u32 count)
{
	__u32 only = 0;

	struct stack *stack = bpf_map_lookup_elem(&reading, &only);
	if (!stack)
		return LOST_STACK;
	/* What the one before left behind. */
	for (__u32 place = 0; place < FRAMES; place++)
		if (place >= count)
			stack->at[place] = 0;
	/* Somebody else may have been faster. */
	if (bpf_map_update_elem(&stacks, &number, stack, BPF_NOEXIST) && !bpf_map_lookup_elem(&stacks, &number)) {
		count_lost(LOST_TABLE);
		return LOST_STACK;
	}
	return number;
}

/* The number of a stack of so many bytes that was just read. */
static __always_inline __u64 number_kept(long bytes)
{
	if (bytes <= 0)
		return NO_STACK;
	__u32 count = (__u32)bytes / sizeof(__u64);
	__u64 number = number_of(count);
	if (number == LOST_STACK || bpf_map_lookup_elem(&stacks, &number))
		return number;
	return keep_stack(number, count);
}

static __always_inline __u64 read_stack(void *ctx, __u64 flags)
{
	__u32 only = 0;

	struct stack *stack = bpf_map_lookup_elem(&reading, &only);
	if (!stack)
		return LOST_STACK;
	return number_kept(bpf_get_stack(ctx, stack, sizeof(*stack), flags));
}

/* The stacks of the current task. */
static __always_inline void read_stacks(void *ctx, struct place *place)
{
	place->kernel_stack = read_stack(ctx, 0);
	place->user_stack = read_stack(ctx, BPF_F_USER_STACK);
}

static __always_inline void spend(const struct place *place, __u64 took_ns)
{
	struct spent *spent = bpf_map_lookup_elem(&places, place);
	if (!spent) {
		struct spent fresh = {};
		/* Somebody else may have been faster. */
		bpf_map_update_elem(&places, place, &fresh, BPF_NOEXIST);
		spent = bpf_map_lookup_elem(&places, place);
	}
	if (!spent) {
		count_lost(LOST_TABLE);
		return;
	}
	__sync_fetch_and_add(&spent->times, 1);
	/* Adding nothing would become an instruction that kernels before 5.12 do not have. */
	if (took_ns)
		__sync_fetch_and_add(&spent->total_ns, took_ns);
}

/* Processes whose mappings are asked for. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} asked SEC(".maps");

enum { VM_EXEC = 4, PATH_BYTES = 256, PAGE_SHIFT = 12 };

/* A part of a file that a process executes. */
struct mapping {
	__u64 from;
	__u64 to;
	__u64 file_offset;
	__u64 inode;
	__u32 device;
	__u32 pid;
	char path[PATH_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct mapping);
} telling SEC(".maps");

/* The mappings of those that were asked for, to whoever reads. */
static __always_inline int tells_mappings(__u64 *ctx)
{
	struct bpf_iter_meta *meta = (struct bpf_iter_meta *)ctx[0];
	struct task_struct *task = (struct task_struct *)ctx[1];
	struct vm_area_struct *area = (struct vm_area_struct *)ctx[2];
	__u32 only = 0;

	if (!task || !area)
		return 0;
	__u32 pid = task->tgid;
	struct mapping *mapping = bpf_map_lookup_elem(&telling, &only);
	if (!mapping || !bpf_map_lookup_elem(&asked, &pid))
		return 0;
	struct file *file = area->vm_file;
	if (!file || !(area->vm_flags & VM_EXEC))
		return 0;
	mapping->pid = pid;
	mapping->from = area->vm_start;
	mapping->to = area->vm_end;
	mapping->file_offset = (__u64)area->vm_pgoff << PAGE_SHIFT;
	mapping->inode = file->f_inode->i_ino;
	mapping->device = file->f_inode->i_sb->s_dev;
	mapping->path[0] = 0;
	bpf_d_path(&file->f_path, mapping->path, sizeof(mapping->path));
	bpf_seq_write(meta->seq, mapping, sizeof(*mapping));
	return 0;
}

SEC("iter/task_vma")
int tell_mappings(__u64 *ctx)
{
	return COSTED(ON_NO_HOOK, tells_mappings(ctx));
}

/* Addresses of the kernel whose names are asked for, up to the first that is none. */
enum { ADDRESSES = 128 };

struct addresses {
	__u64 at[ADDRESSES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct addresses);
} nameless SEC(".maps");

/* Kernels before 5.13 know only this way of writing a name: it looks one before the address, as behind a call, and adds the place in it. */
static const char name_line[] = "%pB\n";

/* Their names, one a line, at the first of all tasks. The kernel itself knows them, also for readers to whom it shows no addresses. */
static __always_inline int tells_names(__u64 *ctx)
{
	struct bpf_iter_meta *meta = (struct bpf_iter_meta *)ctx[0];
	__u32 only = 0;

	struct addresses *addresses = bpf_map_lookup_elem(&nameless, &only);
	if (meta->seq_num || !addresses)
		return 0;
	for (int place = 0; place < ADDRESSES && addresses->at[place]; place++)
		bpf_seq_printf(meta->seq, name_line, sizeof(name_line), &addresses->at[place], sizeof(__u64));
	return 0;
}

SEC("iter/task")
int tell_names(__u64 *ctx)
{
	return COSTED(ON_NO_HOOK, tells_names(ctx));
}

#endif
