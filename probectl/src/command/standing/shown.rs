//! How standing observations look: themselves, how they fare, and their windows.

use control_api::standing::{StandingAgent, StandingObservation, StandingWindow};
use serde_json::Value;
use shared_protocol::report::Findings;

use crate::cli::Format;
use crate::command::cell;
use crate::error::Error;
use crate::output::observe::summary;
use crate::output::{Cell, Listing, Screen};

pub(super) fn tell(found: &StandingObservation, format: Format, screen: &mut Screen<'_>) -> Result<(), Error> {
    let fields = [
        ("id", found.id.as_str().into()),
        ("name", found.name.as_str().into()),
        ("state", found.state.as_str().into()),
        ("revision", found.revision.into()),
        ("observation", observation(found)),
        ("window", format!("{} s", found.window_s).into()),
        ("agents", found.agents.into()),
        ("made", found.created_at.into()),
        ("changed", found.updated_at.into()),
    ];
    Ok(screen.item(format, &listing(std::slice::from_ref(found)), &fields)?)
}

fn observation(found: &StandingObservation) -> Cell {
    cell(found.spec.get("observation").and_then(Value::as_str).map(str::to_owned).as_ref())
}

pub(super) fn listing(found: &[StandingObservation]) -> Listing<'_, StandingObservation> {
    Listing {
        noun: "standing_observations",
        single: "standing_observation",
        items: found,
        columns: &["id", "name", "state", "revision", "observation", "window_s", "agents", "changed"],
        row: |found| {
            vec![
                found.id.as_str().into(),
                found.name.as_str().into(),
                found.state.as_str().into(),
                found.revision.into(),
                observation(found),
                found.window_s.into(),
                found.agents.into(),
                found.updated_at.into(),
            ]
        },
    }
}

pub(super) fn fares(agents: &[StandingAgent]) -> Listing<'_, StandingAgent> {
    Listing {
        noun: "agents",
        single: "agent",
        items: agents,
        columns: &["agent", "state", "revision", "reason", "last_window", "windows_lost", "message"],
        row: |agent| {
            vec![
                agent.agent_name.as_str().into(),
                agent.state.as_str().into(),
                Cell::of(agent.revision),
                cell(agent.reason.as_ref()),
                cell(agent.last_window_at.as_ref()),
                agent.windows_lost.into(),
                cell(agent.message.as_ref()),
            ]
        },
    }
}

pub(super) fn seen(windows: &[StandingWindow]) -> Listing<'_, StandingWindow> {
    Listing {
        noun: "windows",
        single: "window",
        items: windows,
        columns: &["started", "agent", "revision", "status", "duration_us", "seen"],
        row: |window| {
            let report = &window.report;
            let seen = match &report.findings {
                Some(Findings::Observe(found)) => Cell::from(summary(found)),
                Some(_) | None => cell(report.error.as_ref().map(|error| &error.message)),
            };
            vec![
                window.measured_at.into(),
                window.agent_name.as_str().into(),
                window.revision.into(),
                report.status.as_str().into(),
                Cell::Micros(report.duration_us),
                seen,
            ]
        },
    }
}
