//! The first measurement.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::house::House;
use super::http;
use super::outcome::Outcome;
use super::privilege::Degraded;
use super::voice::Voice;

/// Pings this machine from the agent with `probectl`, every packet appearing as it comes, and fetches what was stored.
pub(super) fn run(house: &House<'_>, agent: &Value, voice: &Voice) -> Result<Outcome> {
    let name = agent.get("name").and_then(Value::as_str).context("the agent has no name")?;
    let id = agent.get("id").and_then(Value::as_str).context("the agent has no id")?;
    voice.say(&format!("       {}", house.probectl_line(name)));
    let mut call = vec!["--config".to_owned(), house.data().probectl_config().display().to_string()];
    call.extend(["ping", "127.0.0.1", "--from", id, "--count", "4", "--interval-ms", "200"].map(str::to_owned));
    let before = newest(house)?;
    let status = super::child::show(&house.program("probectl")?, &call, voice.stream()?, LIMIT, house.signals()).context("calling probectl")?;
    let measurement = newest(house)?.filter(|newest| before.as_ref().is_none_or(|before| id_of(before) != id_of(newest)));
    let Some(measurement) = measurement else {
        bail!("probectl ping ended with {status}, and no measurement was made")
    };
    let reports = get(
        house,
        &format!("/api/v1/measurements/{}/reports", id_of(&measurement).context("the measurement has no id")?),
    )?;
    let reports = reports.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    if !status.success() && !matches!(voice.degraded(), Some(Degraded::NoPing(_))) {
        bail!("the first ping did not succeed: probectl ended with {status}");
    }
    Ok(Outcome {
        address: house.address().to_owned(),
        agent: agent.clone(),
        measurement,
        reports,
        degraded: voice.degraded().map(|degraded| degraded.sentence().to_owned()),
    })
}

/// The newest measurement: ids are UUIDv7, so the greatest.
fn newest(house: &House<'_>) -> Result<Option<Value>> {
    let list = get(house, "/api/v1/measurements?limit=200")?;
    let items = list.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(items.into_iter().max_by(|one, other| id_of(one).cmp(&id_of(other))))
}

fn id_of(measurement: &Value) -> Option<&str> {
    measurement.get("id").and_then(Value::as_str)
}

fn get(house: &House<'_>, path: &str) -> Result<Value> {
    http::get(house.address(), path, Some(house.key()))?
        .json()
        .with_context(|| format!("asking for {path}"))
}

const LIMIT: Duration = Duration::from_mins(1);
