/* What the kernel knows of a task. */
#ifndef PROBEOPS_TASKS_H
#define PROBEOPS_TASKS_H

#include "reading.h"

enum { TASK_RUNNING = 0, TASK_DEAD = 0x80 };

static __always_inline unsigned int state_of(struct task_struct *task, const int typed)
{
	if (KERNEL_HAS_FIELD(task->__state))
		return READ(typed, task->__state);
	struct task_struct___before_5_14 *old = (struct task_struct___before_5_14 *)task;
	return READ(typed, old->state);
}

/* Whether it would go on if it were left to. */
static __always_inline int can_run(struct task_struct *task, const int typed)
{
	return state_of(task, typed) == TASK_RUNNING;
}

#endif
