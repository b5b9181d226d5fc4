//! Programs that were run as rows.

use shared_protocol::report::{Execution, ExecutionsSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for ExecutionsSeen {
    fn summary(&self) -> String {
        let totals = self.totals;
        format!(
            "{} programs run: {} ended, {} of them badly; {} could not be run",
            totals.executions, totals.ended, totals.failed, totals.refused
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        vec![
            ("executions", self.totals.executions.into()),
            ("ended", self.totals.ended.into()),
            ("failed", self.totals.failed.into()),
            ("refused", self.totals.refused.into()),
        ]
    }

    fn details(&self) -> Details {
        Details {
            columns: &[
                "command",
                "pid",
                "parent",
                "user",
                "ran_us",
                "exit_code",
                "signal",
                "errno",
                "file",
                "arguments",
            ],
            rows: self.executions.iter().map(row).collect(),
        }
    }
}

/// A program that was run.
fn row(execution: &Execution) -> Vec<Cell> {
    vec![
        Cell::of(execution.command.as_ref()),
        execution.pid.into(),
        execution.parent.into(),
        execution.user.into(),
        Cell::of(execution.ran_us.map(Cell::Micros)),
        Cell::of(execution.exit_code),
        Cell::of(execution.signal),
        Cell::of(execution.errno),
        Cell::of(execution.file.as_ref()),
        Cell::of(execution.arguments.as_ref()),
    ]
}
