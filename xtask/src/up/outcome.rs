//! What came of it, as the one document `--once --json` prints.

use serde_json::{Value, json};

use super::voice::Step;

/// The first measurement and who made it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) address: String,
    pub(super) agent: Value,
    pub(super) measurement: Value,
    pub(super) reports: Vec<Value>,
    pub(super) degraded: Option<String>,
}

impl Outcome {
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(super) fn agent_name(&self) -> String {
        self.agent.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn document(&self, steps: &[Step]) -> Value {
        json!({
            "url": self.url(),
            "agent": self.agent,
            "measurement": self.measurement,
            "report": self.reports.first(),
            "reports": self.reports,
            "steps": steps,
            "degraded": self.degraded,
        })
    }
}

/// What a document lacks to show that the whole way was gone: a packet, and both clocks in each.
pub(crate) fn missing_figures(document: &Value) -> Option<String> {
    let packets = document.pointer("/report").and_then(packets_in);
    let Some(packets) = packets.filter(|packets| !packets.is_empty()) else {
        return Some("has no packets in its report".to_owned());
    };
    for (packet, number) in packets.iter().zip(1_usize..) {
        for figure in ["rtt_us", "user_rtt_us"] {
            if packet.get(figure).and_then(Value::as_u64).is_none() {
                return Some(format!("has no `{figure}` in packet {number} of its report"));
            }
        }
    }
    None
}

/// The packets, wherever in the report the findings stand.
fn packets_in(value: &Value) -> Option<&Vec<Value>> {
    match value {
        Value::Object(fields) => fields.get("packets").and_then(Value::as_array).or_else(|| fields.values().find_map(packets_in)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_are_needed_in_every_packet() {
        let document = |packets: Value| json!({"report": {"report": {"findings": {"packets": packets}}}});
        assert_eq!(missing_figures(&document(json!([{"rtt_us": 5, "user_rtt_us": 9}]))), None);
        assert!(
            missing_figures(&document(json!([{"rtt_us": 5, "user_rtt_us": 9}, {"rtt_us": null, "user_rtt_us": 9}])))
                .unwrap()
                .contains("packet 2")
        );
        assert!(missing_figures(&document(json!([]))).is_some());
        assert!(missing_figures(&json!({"report": null})).is_some());
    }
}
