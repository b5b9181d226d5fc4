/* Who ran what: one message for each program that a process becomes or could not become, one for each process that ends. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "calls.h"

enum { FILE_BYTES = 128, ARGUMENT_BYTES = 256 };

struct execution {
	__u64 began_ns;
	__u32 pid;
	__u32 parent;
	__u32 user;
	/* Bytes of `arguments` that are in use. */
	__u32 length;
	/* Why it could not be run; zero: it was. */
	__u32 error;
	__u32 unused;
	char command[16];
	char file[FILE_BYTES];
	char arguments[ARGUMENT_BYTES];
};

struct ending {
	__u64 ended_ns;
	__u32 pid;
	__u32 status;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} told SEC(".maps");

/* For the reader's description of the types: a ring has none of its own. */
const struct execution *const unused_execution __attribute__((unused));
const struct ending *const unused_ending __attribute__((unused));

/* The numbers of execve and execveat. */
enum { X86_EXECVE = 59, X86_EXECVEAT = 322, ARM64_EXECVE = 221, ARM64_EXECVEAT = 281 };

static __always_inline int execution(__u64 *ctx, const int typed)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	struct linux_binprm *program = (struct linux_binprm *)ctx[2];
	struct execution *execution = bpf_ringbuf_reserve(&told, sizeof(*execution), 0);

	if (!execution) {
		count_lost(LOST_RING);
		return 0;
	}
	struct task_struct *parent = READ(typed, task->real_parent);
	struct mm_struct *mm = READ(typed, task->mm);
	const char *file = READ(typed, program->filename);
	execution->began_ns = bpf_ktime_get_ns();
	execution->pid = READ(typed, task->tgid);
	execution->parent = READ(typed, parent->tgid);
	execution->user = (__u32)bpf_get_current_uid_gid();
	execution->length = 0;
	execution->error = 0;
	execution->unused = 0;
	bpf_get_current_comm(execution->command, sizeof(execution->command));
	if (bpf_probe_read_kernel_str(execution->file, FILE_BYTES, file) < 0)
		execution->file[0] = 0;
	unsigned long from = READ(typed, mm->arg_start);
	unsigned long length = READ(typed, mm->arg_end) - from;
	if (length > ARGUMENT_BYTES)
		length = ARGUMENT_BYTES;
	if (!bpf_probe_read_user(execution->arguments, length, (const void *)from))
		execution->length = length;
	bpf_ringbuf_submit(execution, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline int refusal(__u64 *ctx, const int typed)
{
	struct pt_regs *regs = (struct pt_regs *)ctx[0];
	long answer = ctx[1];

	/* What was run ends with zero, as a program of its own. */
	if (answer >= 0)
		return 0;
	long number = number_of(regs, typed);
	int at = architecture_of(regs) == X86_64 ? number == X86_EXECVEAT : number == ARM64_EXECVEAT;
	if (!at && number != (architecture_of(regs) == X86_64 ? X86_EXECVE : ARM64_EXECVE))
		return 0;
	if (is_narrow(regs, typed))
		return 0;
	struct execution *execution = bpf_ringbuf_reserve(&told, sizeof(*execution), 0);
	if (!execution) {
		count_lost(LOST_RING);
		return 0;
	}
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	struct task_struct *parent = READ(PLAIN, task->real_parent);
	unsigned long file = at ? second_of(regs, typed) : first_of(regs, typed);
	execution->began_ns = bpf_ktime_get_ns();
	execution->pid = bpf_get_current_pid_tgid() >> 32;
	execution->parent = READ(PLAIN, parent->tgid);
	execution->user = (__u32)bpf_get_current_uid_gid();
	execution->length = 0;
	execution->error = -answer;
	execution->unused = 0;
	bpf_get_current_comm(execution->command, sizeof(execution->command));
	if (bpf_probe_read_user_str(execution->file, FILE_BYTES, (const void *)file) < 0)
		execution->file[0] = 0;
	bpf_ringbuf_submit(execution, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline int ending(__u64 *ctx, const int typed)
{
	struct task_struct *task = (struct task_struct *)ctx[0];
	__u32 pid = READ(typed, task->tgid);

	/* A thread, while its process goes on. */
	if (READ(typed, task->pid) != pid)
		return 0;
	struct ending ending = {};
	ending.ended_ns = bpf_ktime_get_ns();
	ending.pid = pid;
	ending.status = READ(typed, task->exit_code);
	if (bpf_ringbuf_output(&told, &ending, sizeof(ending), BPF_RB_NO_WAKEUP))
		count_lost(LOST_RING);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int exec_begin(__u64 *ctx)
{
	return COSTED(0, execution(ctx, TYPED));
}

SEC("raw_tp/sched_process_exec")
int exec_begin_plain(__u64 *ctx)
{
	return COSTED(0, execution(ctx, PLAIN));
}

SEC("tp_btf/sys_exit")
int exec_refused(__u64 *ctx)
{
	return COSTED(2, refusal(ctx, TYPED));
}

SEC("raw_tp/sys_exit")
int exec_refused_plain(__u64 *ctx)
{
	return COSTED(2, refusal(ctx, PLAIN));
}

SEC("tp_btf/sched_process_exit")
int exec_end(__u64 *ctx)
{
	return COSTED(1, ending(ctx, TYPED));
}

SEC("raw_tp/sched_process_exit")
int exec_end_plain(__u64 *ctx)
{
	return COSTED(1, ending(ctx, PLAIN));
}
