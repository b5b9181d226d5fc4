//! From options to a selection of agents.

use control_api::agent::Agent;
use control_api::measurement::Selection;

use crate::cli::Origin;
use crate::client::Client;
use crate::command::agents;
use crate::error::Error;
use crate::output::Screen;

/// What the options say about agents.
#[derive(Debug, Clone, Copy)]
pub(in crate::command) struct Wanted<'a> {
    pub(in crate::command) from: &'a [Origin],
    pub(in crate::command) label: &'a [(String, String)],
    pub(in crate::command) region: Option<&'a str>,
    pub(in crate::command) same_as: Option<&'a str>,
    pub(in crate::command) limit: Option<u32>,
}

/// Which agents the options mean. Only `all` has to ask which there are.
pub(in crate::command) async fn selection(arguments: Wanted<'_>, client: &Client, screen: &mut Screen<'_>) -> Result<Selection, Error> {
    let mut selection = Selection {
        region: arguments.region.map(str::to_owned),
        same_as: arguments.same_as.map(str::to_owned),
        count: arguments.limit,
        ..Selection::default()
    };
    for (key, value) in arguments.label {
        require(&mut selection, key, value)?;
    }
    if arguments.from.contains(&Origin::All) {
        if arguments.from.iter().any(|origin| *origin != Origin::All) || !arguments.label.is_empty() || arguments.region.is_some() {
            return Err(Error::Usage("--from all goes with no other --from, no --label and no --region"));
        }
        selection.agents = online(client, screen).await?;
        return Ok(selection);
    }
    for origin in arguments.from {
        match origin {
            Origin::All => {}
            Origin::Label(key, value) => require(&mut selection, key, value)?,
            Origin::Agent(agent) => selection.agents.push(agent.clone()),
        }
    }
    Ok(selection)
}

fn require(selection: &mut Selection, key: &str, value: &str) -> Result<(), Error> {
    let before = selection.labels.insert(key.to_owned(), value.to_owned());
    if before.is_some_and(|before| before != value) {
        return Err(Error::Usage("no agent has two values of one label"));
    }
    Ok(())
}

async fn online(client: &Client, screen: &mut Screen<'_>) -> Result<Vec<String>, Error> {
    let (online, away): (Vec<_>, Vec<_>) = agents::all(client)
        .await?
        .into_iter()
        .filter(|agent| agent.state == "active" && agent.duty == "working")
        .partition(is_there);
    if !away.is_empty() {
        screen.say(&format!("left out because they are offline: {}", away.len()));
    }
    if online.is_empty() {
        return Err(Error::NoAgentOnline);
    }
    Ok(online.into_iter().map(|agent| agent.id).collect())
}

fn is_there(agent: &Agent) -> bool {
    matches!(agent.presence.as_str(), "online" | "late")
}
