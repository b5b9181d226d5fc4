/* Times counted by their size: how many took from two to the power of the place to twice that, microseconds. */
#ifndef PROBEOPS_SLOTS_H
#define PROBEOPS_SLOTS_H

enum { SLOTS = 28 };

/* What is below one goes to the first slot, what is too long for the last into the last. */
static __always_inline __u32 slot_of(__u64 us)
{
	__u32 slot = 0;

	for (int bits = 32; bits; bits /= 2)
		if (us >> bits) {
			us >>= bits;
			slot += bits;
		}
	return slot < SLOTS ? slot : SLOTS - 1;
}

#endif
