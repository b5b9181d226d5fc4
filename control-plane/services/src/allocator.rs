//! Where the control plane's memory comes from. Stated here and not in the program, so that whatever runs its services is measured with it.

use tikv_jemallocator::Jemalloc;

/// Also of the parts in C: its `malloc` takes the place of libc's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;
