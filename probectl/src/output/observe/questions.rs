//! Questions to DNS as rows.

use shared_protocol::report::{DnsSeen, QuestionSeen};

use super::Shown;
use crate::output::Cell;
use crate::output::probe::Details;

impl Shown for DnsSeen {
    fn summary(&self) -> String {
        let totals = &self.totals;
        let times = self
            .latencies
            .as_ref()
            .map(|latencies| format!(": {} us on average, {} us at most", latencies.avg_us, latencies.max_us));
        format!(
            "{} questions, {} sent again; {} without an answer, {} answered with an error, {} answers{}",
            totals.questions,
            totals.sent_again,
            totals.unanswered,
            totals.failed,
            totals.answered,
            times.unwrap_or_default()
        )
    }

    fn numbers(&self) -> Vec<(&'static str, Cell)> {
        let totals = &self.totals;
        let mut numbers = vec![
            ("questions", totals.questions.into()),
            ("unanswered", totals.unanswered.into()),
            ("failed", totals.failed.into()),
        ];
        if let Some(latencies) = &self.latencies {
            numbers.push(("answer_avg_us", Cell::Micros(latencies.avg_us)));
            numbers.push(("answer_max_us", Cell::Micros(latencies.max_us)));
        }
        numbers
    }

    fn details(&self) -> Details {
        Details {
            columns: &[
                "command",
                "name",
                "type",
                "server",
                "answered",
                "failed",
                "unanswered",
                "avg_us",
                "max_us",
                "rcode",
                "pid",
            ],
            rows: self.questions.iter().map(row).collect(),
        }
    }
}

fn row(one: &QuestionSeen) -> Vec<Cell> {
    vec![
        Cell::of(one.command.as_ref()),
        Cell::of(one.name.as_ref()),
        Cell::of(one.record_type.as_ref()),
        one.server.to_string().into(),
        one.answered.into(),
        one.failed.into(),
        one.unanswered.into(),
        Cell::of(one.avg_us.map(Cell::Micros)),
        Cell::of(one.max_us.map(Cell::Micros)),
        Cell::of(one.rcode.map(u32::from)),
        one.pid.into(),
    ]
}
