/* A system call as a tracepoint shows it: its number and what it was given, out of the registers of whoever called. */
#ifndef PROBEOPS_CALLS_H
#define PROBEOPS_CALLS_H

#include "reading.h"

/* The segment of programs of 32 bits on x86-64, and the mark of theirs on arm64: their calls have numbers of their own. */
enum { X86_CS_32 = 0x23, ARM64_MODE_32 = 0x10 };

/* What lives in registers and the number of a call are written differently by each architecture. */
enum architecture { X86_64, ARM64, OTHER };

static __always_inline enum architecture architecture_of(struct pt_regs *regs)
{
	if (KERNEL_HAS_FIELD(((struct pt_regs___x86_64 *)regs)->orig_ax))
		return X86_64;
	if (KERNEL_HAS_FIELD(((struct pt_regs___arm64 *)regs)->syscallno))
		return ARM64;
	return OTHER;
}

/* Whether a program of 32 bits calls. */
static __always_inline int is_narrow(struct pt_regs *regs, const int typed)
{
	switch (architecture_of(regs)) {
	case X86_64:
		return (READ(typed, ((struct pt_regs___x86_64 *)regs)->cs) & 0xff) == X86_CS_32;
	case ARM64:
		return (READ(typed, ((struct pt_regs___arm64 *)regs)->pstate) & ARM64_MODE_32) != 0;
	default:
		return 1;
	}
}

/* The number of the call that ends; below zero where none is known. */
static __always_inline long number_of(struct pt_regs *regs, const int typed)
{
	switch (architecture_of(regs)) {
	case X86_64:
		return (long)READ(typed, ((struct pt_regs___x86_64 *)regs)->orig_ax);
	case ARM64:
		return READ(typed, ((struct pt_regs___arm64 *)regs)->syscallno);
	default:
		return -1;
	}
}

/* The first thing that a call was given, which an answer does not write over. */
static __always_inline unsigned long first_of(struct pt_regs *regs, const int typed)
{
	if (architecture_of(regs) == X86_64)
		return READ(typed, ((struct pt_regs___x86_64 *)regs)->di);
	return READ(typed, ((struct pt_regs___arm64 *)regs)->orig_x0);
}

/* The second. */
static __always_inline unsigned long second_of(struct pt_regs *regs, const int typed)
{
	if (architecture_of(regs) == X86_64)
		return READ(typed, ((struct pt_regs___x86_64 *)regs)->si);
	return READ(typed, ((struct pt_regs___arm64 *)regs)->regs[1]);
}

/* The third. */
static __always_inline unsigned long third_of(struct pt_regs *regs, const int typed)
{
	if (architecture_of(regs) == X86_64)
		return READ(typed, ((struct pt_regs___x86_64 *)regs)->dx);
	return READ(typed, ((struct pt_regs___arm64 *)regs)->regs[2]);
}

#endif
