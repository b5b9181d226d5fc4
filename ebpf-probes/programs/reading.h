/* One body for two kinds of hook: where the kernel knows what an argument points to, fields are read as they are; where it takes it for a
 * plain number, by a helper that may fail. `typed` is a constant where it is used, so that each program holds one way only. */
#ifndef PROBEOPS_READING_H
#define PROBEOPS_READING_H

#define READ(typed, field)                                                     \
	({                                                                     \
		typeof(field) value_ = 0;                                      \
		if (typed)                                                     \
			value_ = (field);                                      \
		else                                                           \
			bpf_probe_read_kernel(&value_, sizeof(value_), &(field)); \
		value_;                                                        \
	})

enum { PLAIN = 0, TYPED = 1 };

#endif
