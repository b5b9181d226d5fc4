//! One page of a list, keyed by the last id seen: never by offset.

use shared_protocol::id::{AgentId, JobId, MeasurementId};
use uuid::Uuid;

/// Which page of a list is wanted; lists are newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Id> {
    /// The last id of the page before; none for the first page.
    pub after: Option<Id>,
    /// Most items of the page.
    pub limit: u32,
}

impl<Id> Page<Id> {
    /// The first page.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// An id that sorts by its time, so that "newest first" is "highest first".
pub(crate) trait TimeOrdered: Copy {
    fn key(self) -> Uuid;
}

impl TimeOrdered for AgentId {
    fn key(self) -> Uuid {
        self.uuid()
    }
}

impl TimeOrdered for JobId {
    fn key(self) -> Uuid {
        self.uuid()
    }
}

impl TimeOrdered for MeasurementId {
    fn key(self) -> Uuid {
        self.uuid()
    }
}

/// The id below which a page begins; above every id for the first page.
pub(crate) fn before(page: &Page<impl TimeOrdered>) -> Uuid {
    page.after.map_or(Uuid::max(), TimeOrdered::key)
}
