/* Whose call it is, whether somebody asked for it, and the call by which the programs are checked. */
#ifndef PROBEOPS_PROCESS_H
#define PROBEOPS_PROCESS_H

#include "calls.h"
#include "check.h"

/* Set before the program is loaded. Zero: every process. */
const volatile __u32 only_pid = 0;

/* The file that whoever asked tries to open, which is not there: the zero at its end is its last byte. */
enum { CHECK_BYTES = 24, ENOENT = 2 };
const volatile char check_file[CHECK_BYTES] __attribute__((aligned(8))) = {};

static __always_inline int is_wanted_process(void)
{
	return !only_pid || bpf_get_current_pid_tgid() >> 32 == only_pid;
}

/* Whether it is that try: it is noted, and counts nowhere else. */
static __always_inline int was_check(const void *file, long answer)
{
	const volatile __u64 *check = (const volatile __u64 *)check_file;
	__u64 is[CHECK_BYTES / 8] = {};

	if (!check_port || answer != -ENOENT)
		return 0;
	if (bpf_probe_read_user(is, CHECK_BYTES, file))
		return 0;
	if (is[0] != check[0] || is[1] != check[1] || is[2] != check[2])
		return 0;
	note_check();
	return 1;
}

#endif
