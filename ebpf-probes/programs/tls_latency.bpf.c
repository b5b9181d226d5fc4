/* How long programs that use OpenSSL take to shake hands, to read and to write: counted by command. What they say to each other is not looked
 * at: of what a function is given only the connection is read, as a number, and of what it answers whether it came to something. */
#include "vmlinux.h"
#include "bpf.h"
#include "costs.h"
#include "check.h"
#include "calls.h"
#include "slots.h"

enum { BPF_MAP_TYPE_LRU_HASH = 9 };

enum kind { HANDSHAKE, READING, WRITING };

/* What SSL_get_error answers (include/openssl/ssl.h of OpenSSL). */
enum { SSL_ERROR_SSL = 1, SSL_ERROR_SYSCALL = 5, SSL_ERROR_ZERO_RETURN = 6 };

/* Set before the program is loaded. Zero: every process. */
const volatile __u32 only_pid = 0;

/* What whoever asked gives to a function of its own in a connection's place, to see that the programs run. Zero: there is no check. */
const volatile __u64 check_mark = 0;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
/* Where a function leaves its answer on x86-64. */
struct pt_regs___answer {
	unsigned long ax;
};
#pragma clang attribute pop

struct call {
	__u64 task;
	__u32 kind;
	__u32 unused;
};

struct begun {
	__u64 at_ns;
	__u64 connection;
	/* Calls within it that are about the same: SSL_connect calls SSL_do_handshake, and a file that is known by two names is looked at twice. */
	__u64 within;
};

struct fruitless {
	__u64 connection;
	__u64 kind;
};

struct connection {
	__u64 address;
	__u64 pid;
};

struct user {
	char command[16];
	__u32 kind;
};

struct spent {
	__u64 count;
	__u64 failed;
	__u64 total_ns;
	__u64 max_ns;
	__u32 pid;
	__u32 slots[SLOTS];
	__u32 unused;
};

/* What has begun, by task and kind. A task that is killed meanwhile leaves its entry behind: the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct call);
	__type(value, struct begun);
} begun SEC(".maps");

/* The last call of a task that came to nothing, until it asks why. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct fruitless);
} fruitless SEC(".maps");

/* Since when connections shake hands, which may take many calls. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct connection);
	__type(value, __u64);
} handshakes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct user);
	__type(value, struct spent);
} users SEC(".maps");

/* The first thing that a function is given: the connection. */
static __always_inline __u64 connection_of(struct pt_regs *regs)
{
	if (architecture_of(regs) == X86_64)
		return READ(PLAIN, ((struct pt_regs___x86_64 *)regs)->di);
	return READ(PLAIN, ((struct pt_regs___arm64 *)regs)->regs[0]);
}

static __always_inline int answer_of(struct pt_regs *regs)
{
	if (architecture_of(regs) == X86_64)
		return (int)READ(PLAIN, ((struct pt_regs___answer *)regs)->ax);
	return (int)READ(PLAIN, ((struct pt_regs___arm64 *)regs)->regs[0]);
}

static __always_inline int is_wanted(__u64 task)
{
	return !only_pid || task >> 32 == only_pid;
}

static __always_inline struct spent *spent_of(__u32 kind)
{
	struct user user = {};

	bpf_get_current_comm(user.command, sizeof(user.command));
	user.kind = kind;
	struct spent *known = bpf_map_lookup_elem(&users, &user);
	if (!known) {
		struct spent fresh = {};
		/* Somebody else may have been faster. */
		bpf_map_update_elem(&users, &user, &fresh, BPF_NOEXIST);
		known = bpf_map_lookup_elem(&users, &user);
	}
	if (!known)
		count_lost(LOST_TABLE);
	else
		known->pid = bpf_get_current_pid_tgid() >> 32;
	return known;
}

static __always_inline void count_done(__u32 kind, __u64 began_ns)
{
	struct spent *spent = spent_of(kind);
	__u64 took_ns = bpf_ktime_get_ns() - began_ns;
	__u32 slot = slot_of(took_ns / 1000);

	if (!spent)
		return;
	__sync_fetch_and_add(&spent->count, 1);
	__sync_fetch_and_add(&spent->total_ns, took_ns);
	if (took_ns > spent->max_ns)
		spent->max_ns = took_ns;
	if (slot < SLOTS)
		__sync_fetch_and_add(&spent->slots[slot], 1);
}

static __always_inline void count_failed(__u32 kind)
{
	struct spent *spent = spent_of(kind);
	if (spent)
		__sync_fetch_and_add(&spent->failed, 1);
}

static __always_inline int begins(struct pt_regs *regs, __u32 kind)
{
	__u64 address = connection_of(regs);
	__u64 task = bpf_get_current_pid_tgid();
	struct call call = {.task = task, .kind = kind};

	if (check_mark && address == check_mark) {
		note_check();
		return 0;
	}
	if (!is_wanted(task))
		return 0;
	struct begun *known = bpf_map_lookup_elem(&begun, &call);
	if (known && known->connection == address) {
		known->within += 1;
		return 0;
	}
	struct begun fresh = {.at_ns = bpf_ktime_get_ns(), .connection = address};
	bpf_map_update_elem(&begun, &call, &fresh, BPF_ANY);
	bpf_map_delete_elem(&fruitless, &task);
	if (kind == HANDSHAKE) {
		struct connection connection = {.address = address, .pid = task >> 32};
		/* The first call counts. */
		bpf_map_update_elem(&handshakes, &connection, &fresh.at_ns, BPF_NOEXIST);
	}
	return 0;
}

static __always_inline int ends(struct pt_regs *regs, __u32 kind)
{
	__u64 task = bpf_get_current_pid_tgid();
	struct call call = {.task = task, .kind = kind};

	if (!is_wanted(task))
		return 0;
	struct begun *known = bpf_map_lookup_elem(&begun, &call);
	if (!known) {
		count_lost(LOST_TABLE);
		return 0;
	}
	if (known->within) {
		known->within -= 1;
		return 0;
	}
	struct begun was = *known;
	bpf_map_delete_elem(&begun, &call);
	if (answer_of(regs) <= 0) {
		struct fruitless why = {.connection = was.connection, .kind = kind};
		bpf_map_update_elem(&fruitless, &task, &why, BPF_ANY);
		return 0;
	}
	if (kind == HANDSHAKE) {
		struct connection connection = {.address = was.connection, .pid = task >> 32};
		__u64 *first_ns = bpf_map_lookup_elem(&handshakes, &connection);
		if (first_ns)
			was.at_ns = *first_ns;
		bpf_map_delete_elem(&handshakes, &connection);
	}
	count_done(kind, was.at_ns);
	return 0;
}

/* A handshake is counted as failed by the one who takes it out of the table. */
static __always_inline void fails(__u64 address, __u64 task)
{
	struct connection connection = {.address = address, .pid = task >> 32};
	if (!bpf_map_delete_elem(&handshakes, &connection))
		count_failed(HANDSHAKE);
}

SEC("uprobe/handshake_begin")
int handshake_begin(struct pt_regs *regs)
{
	return COSTED(ON_NO_HOOK, begins(regs, HANDSHAKE));
}

SEC("uretprobe/handshake_end")
int handshake_end(struct pt_regs *regs)
{
	return COSTED(ON_NO_HOOK, ends(regs, HANDSHAKE));
}

SEC("uprobe/read_begin")
int read_begin(struct pt_regs *regs)
{
	return COSTED(0, begins(regs, READING));
}

SEC("uretprobe/read_end")
int read_end(struct pt_regs *regs)
{
	return COSTED(0, ends(regs, READING));
}

SEC("uprobe/write_begin")
int write_begin(struct pt_regs *regs)
{
	return COSTED(1, begins(regs, WRITING));
}

SEC("uretprobe/write_end")
int write_end(struct pt_regs *regs)
{
	return COSTED(1, ends(regs, WRITING));
}

/* Why a call came to nothing: most often because there was nothing to do yet, which is no failure. */
static __always_inline int error_is_told(struct pt_regs *regs)
{
	__u64 task = bpf_get_current_pid_tgid();
	struct fruitless *known = bpf_map_lookup_elem(&fruitless, &task);

	if (!known)
		return 0;
	struct fruitless was = *known;
	bpf_map_delete_elem(&fruitless, &task);
	int error = answer_of(regs);
	if (was.kind == HANDSHAKE) {
		if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL || error == SSL_ERROR_ZERO_RETURN)
			fails(was.connection, task);
	} else if (error == SSL_ERROR_SSL || error == SSL_ERROR_SYSCALL) {
		count_failed(was.kind);
	}
	return 0;
}

SEC("uretprobe/error_told")
int error_told(struct pt_regs *regs)
{
	return COSTED(ON_NO_HOOK, error_is_told(regs));
}

/* A connection that is let go of before it has shaken hands. */
static __always_inline int goes(struct pt_regs *regs)
{
	__u64 task = bpf_get_current_pid_tgid();

	if (is_wanted(task))
		fails(connection_of(regs), task);
	return 0;
}

SEC("uprobe/gone")
int gone(struct pt_regs *regs)
{
	return COSTED(ON_NO_HOOK, goes(regs));
}
