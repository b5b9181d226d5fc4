//! Standing observations: made, changed, stopped, taken away, and read. What is wanted goes to the agents by their sessions
//! (`fleet::standing`); what they saw comes by the way of all reports.

mod change;
mod create;
mod read;
mod spec;

use control_store::Store;

use crate::fleet::Fleet;
use crate::jobs::Jobs;

/// Standing observations; a handle that is cheap to clone.
#[derive(Clone)]
pub struct Standing {
    jobs: Jobs,
    fleet: Fleet,
}

impl Standing {
    pub(crate) const fn new(jobs: Jobs, fleet: Fleet) -> Self {
        Self { jobs, fleet }
    }

    fn store(&self) -> &Store {
        self.fleet.store()
    }
}
