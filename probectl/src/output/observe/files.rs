//! Files that were opened as rows: who opened most, then what was opened last.

use shared_protocol::report::{FilesSeen, Opener, Opening};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for FilesSeen {
    fn summary(&self) -> String {
        format!("{} files opened, {} could not be", self.totals.opened, self.totals.failed)
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![("file_opens", self.totals.opened.into()), ("failed", self.totals.failed.into())]
    }

    fn details(&self) -> Details {
        Details {
            columns: &["command", "pid", "user", "opened", "failed", "errno", "writes", "file"],
            rows: self.openers.iter().map(opener).chain(self.openings.iter().map(opening)).collect(),
        }
    }
}

fn opener(opener: &Opener) -> Vec<Cell> {
    vec![
        Cell::of(opener.command.as_ref()),
        opener.pid.into(),
        opener.user.into(),
        opener.opened.into(),
        opener.failed.into(),
        Cell::Absent,
        Cell::Absent,
        Cell::Absent,
    ]
}

fn opening(opening: &Opening) -> Vec<Cell> {
    vec![
        Cell::of(opening.command.as_ref()),
        opening.pid.into(),
        opening.user.into(),
        Cell::Absent,
        Cell::Absent,
        Cell::of(opening.errno),
        if opening.writes { "yes" } else { "no" }.into(),
        Cell::of(opening.file.as_ref()),
    ]
}
