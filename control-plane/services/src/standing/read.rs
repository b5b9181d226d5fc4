//! Reading standing observations: what is wanted, how it fares on each agent, and what was seen.

use control_api::page::{Page, PageQuery};
use control_api::standing::{StandingAgent, StandingObservation, StandingWindow, StandingWindowQuery};
use control_core::authorize::Grant;
use control_store::standing::{self, FareRow, StandingRow, WindowFilter, WindowRow};
use shared_protocol::codec::decode_report;
use shared_protocol::id::{AgentId, JobId, StandingId};

use super::Standing;
use super::spec::shown;
use crate::error::ServiceError;
use crate::jobs::read::{cut, filter_id, page, parse_id};
use crate::reports::instant;

impl Standing {
    /// The tenant's standing observations, newest first.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for a bad page.
    pub async fn observations(&self, grant: &Grant, query: &PageQuery) -> Result<Page<StandingObservation>, ServiceError> {
        let page = page::<StandingId>(query.limit, query.cursor.as_deref())?;
        let rows = standing::list(&mut self.store().reader().await?, grant.scope()?, &page).await?;
        let items = rows.into_iter().map(|row| Ok((row.id, to_observation(row)?)));
        Ok(cut(items.collect::<Result<_, ServiceError>>()?, &page))
    }

    /// One of them.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has none such.
    pub async fn observation(&self, grant: &Grant, id: &str) -> Result<StandingObservation, ServiceError> {
        to_observation(self.row(grant, id).await?)
    }

    /// How it fares on each agent that it is, or was, wanted of; newest agent first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has none such, [`ServiceError::Invalid`] for a bad page.
    pub async fn agents(&self, grant: &Grant, id: &str, query: &PageQuery) -> Result<Page<StandingAgent>, ServiceError> {
        let row = self.row(grant, id).await?;
        let page = page::<AgentId>(query.limit, query.cursor.as_deref())?;
        let rows = standing::fares(&mut self.store().reader().await?, grant.scope()?, row.id, &page).await?;
        let items = rows.into_iter().map(|fare| (fare.agent, to_agent(fare, row.is_running)));
        Ok(cut(items.collect(), &page))
    }

    /// Its windows, newest first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] where the tenant has none such, [`ServiceError::Invalid`] for a bad page or condition.
    pub async fn windows(&self, grant: &Grant, id: &str, query: &StandingWindowQuery) -> Result<Page<StandingWindow>, ServiceError> {
        let row = self.row(grant, id).await?;
        let page = page::<JobId>(query.limit, query.cursor.as_deref())?;
        let filter = WindowFilter {
            agent: query.agent.as_deref().map(|id| filter_id::<AgentId>("agent", id)).transpose()?,
            from: query.from.as_deref().map(|text| instant("from", text)).transpose()?,
            to: query.to.as_deref().map(|text| instant("to", text)).transpose()?,
        };
        if filter.from.zip(filter.to).is_some_and(|(from, to)| from >= to) {
            return Err(ServiceError::invalid("from", "must be before `to`"));
        }
        let rows = standing::windows(&mut self.store().reader().await?, grant.scope()?, row.id, &filter, &page).await?;
        Ok(cut(rows.into_iter().filter_map(|row| Some((row.id, to_window(row)?))).collect(), &page))
    }

    async fn row(&self, grant: &Grant, id: &str) -> Result<StandingRow, ServiceError> {
        let (scope, id) = (grant.scope()?, parse_id::<StandingId>(id)?);
        let row = standing::find(&mut self.store().reader().await?, scope, id).await?;
        row.ok_or(ServiceError::NotFound)
    }
}

pub(super) fn to_observation(row: StandingRow) -> Result<StandingObservation, ServiceError> {
    let (spec, window_s) = shown(row.spec);
    Ok(StandingObservation {
        id: row.id.to_string(),
        name: row.name,
        revision: row.revision,
        state: if row.is_running { "running" } else { "stopped" }.to_owned(),
        spec,
        window_s,
        selection: serde_json::from_value(row.selection).map_err(|_| ServiceError::Internal)?,
        agents: row.agents,
        created_by: row.created_by,
        created_at: row.created_at.into(),
        updated_at: row.updated_at.into(),
    })
}

fn to_agent(row: FareRow, is_running: bool) -> StandingAgent {
    let state = match (row.is_chosen && is_running, row.applied) {
        (true, _) => row.state.as_str(),
        (false, Some(_)) => "stopping",
        (false, None) => "stopped",
    };
    StandingAgent {
        agent: row.agent.to_string(),
        agent_name: row.agent_name,
        state: state.to_owned(),
        revision: row.applied,
        reason: row.reason,
        message: row.message,
        windows_lost: row.lost,
        last_window_at: row.last_window_at.map(Into::into),
        told_at: row.told_at.map(Into::into),
    }
}

/// A report that was stored was read before; one that cannot be read any more is left out, and the log says so.
fn to_window(row: WindowRow) -> Option<StandingWindow> {
    let report = decode_report(row.body.get())
        .inspect_err(|error| tracing::error!(%error, window = %row.id, "the report of a window cannot be read"))
        .ok()?;
    Some(StandingWindow {
        id: row.id.to_string(),
        agent: row.agent.to_string(),
        agent_name: row.agent_name,
        revision: row.revision,
        started_at: row.started_at.into(),
        measured_at: row.measured_at.into(),
        skewed: row.skewed,
        received_at: row.received_at.into(),
        report,
    })
}
