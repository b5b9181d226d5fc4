//! The local agent as the control plane sees it.

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::http;

/// What the local agent is called.
pub(super) const NAME: &str = "local";
/// The label by which `up` finds it again under whatever name it has been given since.
pub(super) const LABEL: &str = "started-by=up";

/// The local agent, if it is active and online.
pub(super) fn online(address: &str, key: &str) -> Result<Option<Value>> {
    let list = http::get(address, "/api/v1/agents?limit=200", Some(key))?
        .json()
        .context("asking for the agents")?;
    let agents = list.get("items").and_then(Value::as_array).context("the list of agents has no `items`")?;
    Ok(agents.iter().find(|agent| is_ours(agent) && is(agent, "presence", "online")).cloned())
}

fn is_ours(agent: &Value) -> bool {
    let labelled = LABEL
        .split_once('=')
        .is_some_and(|(name, value)| agent.pointer(&format!("/labels/{name}")).and_then(Value::as_str) == Some(value));
    labelled && is(agent, "state", "active")
}

fn is(agent: &Value, field: &str, value: &str) -> bool {
    agent.get(field).and_then(Value::as_str) == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_local_agent_is_known_by_its_label_and_state() {
        let agent = serde_json::json!({"labels": {"started-by": "up"}, "state": "active"});
        assert!(is_ours(&agent));
        assert!(!is_ours(&serde_json::json!({"labels": {"started-by": "up"}, "state": "revoked"})));
        assert!(!is_ours(&serde_json::json!({"labels": {}, "state": "active"})));
    }
}
