//! `probectl tiers`.

use control_api::page::Page;
use control_api::tier::Tier;
use serde_json::{Map, Value, json};

use crate::cli::Format;
use crate::client::Client;
use crate::error::Error;
use crate::exit::Exit;
use crate::output::{Cell, Screen, markdown, table};

pub(super) async fn run(format: Format, client: &Client, screen: &mut Screen<'_>) -> Result<Exit, Error> {
    let tiers: Page<Tier> = client.get(&["tiers"], &[]).await?;
    let limits: Vec<Map<String, Value>> = tiers.items.iter().map(limits).collect();
    // One row a limit, one column a tier: people compare tiers, limits are many.
    let columns: Vec<&str> = std::iter::once("limit").chain(tiers.items.iter().map(|tier| tier.name.as_str())).collect();
    let rows: Vec<Vec<Cell>> = limits
        .first()
        .into_iter()
        .flat_map(Map::keys)
        .map(|name| std::iter::once(Cell::from(name)).chain(limits.iter().map(|of| shown(of.get(name)))).collect())
        .collect();
    match format {
        Format::Table => table(&columns, &rows).iter().try_for_each(|line| screen.line(line))?,
        Format::Csv => screen.csv(&columns, &rows)?,
        Format::Markdown | Format::Prometheus => screen.raw(markdown(&columns, &rows).as_bytes())?,
        Format::Json => screen.document(vec![("tiers", json!(tiers.items))])?,
        Format::Ndjson => tiers.items.iter().try_for_each(|tier| screen.record(vec![("tier", json!(tier))]))?,
    }
    Ok(Exit::Ok)
}

fn limits(tier: &Tier) -> Map<String, Value> {
    json!(tier.limits).as_object().cloned().unwrap_or_default()
}

fn shown(limit: Option<&Value>) -> Cell {
    match limit {
        Some(Value::Number(number)) => Cell::of(number.as_u64().map(|number| Cell::within(number, number))),
        Some(Value::Array(names)) => {
            let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
            names.join(" ").into()
        }
        Some(other) => other.to_string().into(),
        None => Cell::Absent,
    }
}
