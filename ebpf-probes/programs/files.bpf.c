/* Who opens what: counted by process, and one message for each. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "calls.h"
#include "process.h"

enum { FILE_BYTES = 256 };

/* The numbers of open, creat, openat and openat2. */
enum { X86_OPEN = 2, X86_CREAT = 85, X86_OPENAT = 257, ARM64_OPENAT = 56, OPENAT2 = 437 };

/* The bits of the flags by which a file is opened to read (zero) or to write (also). */
enum { ACCESS_BITS = 3 };

struct opener {
	__u32 pid;
	__u32 user;
	char command[16];
};

struct opens {
	__u64 opened;
	__u64 failed;
};

struct opening {
	struct opener opener;
	/* Why it could not be opened; zero: it was. */
	__u32 error;
	/* Whether to write. */
	__u32 writes;
	char file[FILE_BYTES];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct opener);
	__type(value, struct opens);
} openers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} told SEC(".maps");

/* For the reader's description of the types: a ring has none of its own. */
const struct opening *const unused_opening __attribute__((unused));

enum shape { NO_OPENING, FILE_FIRST, CREATION, FILE_SECOND, FLAGS_AT };

static __always_inline enum shape shape_of(struct pt_regs *regs, long number)
{
	if (number == OPENAT2)
		return FLAGS_AT;
	if (architecture_of(regs) != X86_64)
		return number == ARM64_OPENAT ? FILE_SECOND : NO_OPENING;
	if (number == X86_OPENAT)
		return FILE_SECOND;
	if (number == X86_OPEN)
		return FILE_FIRST;
	return number == X86_CREAT ? CREATION : NO_OPENING;
}

/* What is read of registers and what is read of the stack stay two instructions: a verifier that knows types takes each for one kind of
 * pointer, and the compiler would make one of them ("same insn cannot be used with different pointers"). */
#define APART(value) asm volatile("" : "+r"(value))

static __always_inline int writes(struct pt_regs *regs, enum shape shape, const int typed)
{
	if (shape == CREATION)
		return 1;
	__u64 flags = shape == FILE_FIRST ? second_of(regs, typed) : third_of(regs, typed);
	APART(flags);
	if (shape == FLAGS_AT) {
		__u64 first = 0;
		/* They are the first that its options hold. */
		bpf_probe_read_user(&first, sizeof(first), (const void *)flags);
		flags = first;
		APART(flags);
	}
	return (flags & ACCESS_BITS) != 0;
}

static __always_inline struct opens *opens_of(const struct opener *opener)
{
	struct opens *known = bpf_map_lookup_elem(&openers, opener);
	if (known)
		return known;
	struct opens fresh = {};
	/* Somebody else may have been faster. */
	bpf_map_update_elem(&openers, opener, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&openers, opener);
}

static __always_inline int opening(__u64 *ctx, const int typed)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	long answer = ctx[1];
	enum shape shape = shape_of(regs, number_of(regs, typed));

	if (shape == NO_OPENING || is_narrow(regs, typed))
		return 0;
	const void *file = (const void *)(shape == FILE_FIRST || shape == CREATION ? first_of(regs, typed) : second_of(regs, typed));
	if (was_check(file, answer) || !is_wanted_process())
		return 0;
	struct opener opener = {};
	opener.pid = bpf_get_current_pid_tgid() >> 32;
	opener.user = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(opener.command, sizeof(opener.command));
	struct opens *opens = opens_of(&opener);
	if (!opens)
		count_lost(LOST_TABLE);
	else
		__sync_fetch_and_add(answer < 0 ? &opens->failed : &opens->opened, 1);
	struct opening *opening = bpf_ringbuf_reserve(&told, sizeof(*opening), 0);
	if (!opening) {
		count_lost(LOST_RING);
		return 0;
	}
	opening->opener = opener;
	opening->error = answer < 0 ? -answer : 0;
	opening->writes = writes(regs, shape, typed);
	if (bpf_probe_read_user_str(opening->file, FILE_BYTES, file) < 0)
		opening->file[0] = 0;
	bpf_ringbuf_submit(opening, BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("tp_btf/sys_exit")
int opened(__u64 *ctx)
{
	return COSTED(0, opening(ctx, TYPED));
}

SEC("raw_tp/sys_exit")
int opened_plain(__u64 *ctx)
{
	return COSTED(0, opening(ctx, PLAIN));
}
