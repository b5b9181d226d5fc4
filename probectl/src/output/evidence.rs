//! What the agent's host has to say about a probe, where it comes to something.

use shared_protocol::report::{Cause, Evidence};

use super::Line;
use super::ping::milliseconds;

/// One line a cause.
pub(crate) fn lines(evidence: &Evidence) -> Vec<Line> {
    evidence
        .causes
        .iter()
        .map(|cause| Line::warning(format!("  host: {}", told(*cause, evidence))))
        .collect()
}

fn told(cause: Cause, evidence: &Evidence) -> String {
    match (cause, evidence.processor) {
        (Cause::Starved, Some(wait)) => format!(
            "the agent was starved: it waited {} ms for a processor and ran {} ms",
            milliseconds(wait.longest_us),
            milliseconds(wait.ran_us)
        ),
        (Cause::Starved, None) => "the agent was starved".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use shared_protocol::report::ProcessorWait;

    use super::*;

    #[test]
    fn a_cause_is_one_line_with_what_it_rests_on() {
        let mut evidence = Evidence {
            version: 1,
            causes: Vec::new(),
            processor: Some(ProcessorWait {
                waited_us: 99_000,
                longest_us: 31_250,
                ran_us: 4_000,
            }),
        };
        assert_eq!(lines(&evidence), []);
        evidence.causes.push(Cause::Starved);
        let told: Vec<String> = lines(&evidence).into_iter().map(|line| line.text).collect();
        assert_eq!(told, ["  host: the agent was starved: it waited 31.250 ms for a processor and ran 4.000 ms"]);
    }
}
