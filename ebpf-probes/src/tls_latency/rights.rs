//! Rights that the observer holds and has in use for a moment only.

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// While it lasts, this thread uses what it takes to put programs onto functions of other programs, as far as it holds it.
#[derive(Debug)]
pub(super) struct Raised(Option<CapabilitySets>);

impl Raised {
    pub(super) fn begin() -> Self {
        let Ok(before) = capabilities(None) else { return Self(None) };
        let raised = CapabilitySets {
            effective: before.effective | (before.permitted & RIGHTS),
            ..before
        };
        // Without them, what is tried next says so.
        Self(set_capabilities(None, raised).is_ok().then_some(before))
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some(before) = self.0 {
            let _less_is_always_granted = set_capabilities(None, before);
        }
    }
}

/// Whether this thread may see what every process has mapped.
pub(super) fn may_look_at_all() -> bool {
    capabilities(None).is_ok_and(|own| own.effective.contains(CapabilitySet::SYS_PTRACE))
}

/// To put a program onto a function of a file; to see which files processes have mapped, and to open these where a process is somebody else's.
const RIGHTS: CapabilitySet = CapabilitySet::SYS_ADMIN.union(CapabilitySet::SYS_PTRACE).union(CapabilitySet::DAC_READ_SEARCH);
