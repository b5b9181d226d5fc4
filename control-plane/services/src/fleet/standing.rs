//! Standing work on its way to the agents: what one holds is compared with what is wanted of it whenever either changes, and what differs is
//! said. So nothing depends on a message that got lost.

use aws_lc_rs::digest;
use control_core::authorize::SystemScope;
use control_store::StoreError;
use control_store::standing::{self, WantedRow};
use shared_protocol::id::{AgentId, Epoch};
use shared_protocol::standing::{StandingHeld, StandingItem, difference};

use super::Fleet;
use super::outlet::SessionCommand;
use crate::clock;

impl Fleet {
    /// Takes what an agent holds when its session begins; `None` where it does not know what standing work is.
    pub(super) async fn begins_with(&self, agent: AgentId, epoch: Epoch, held: Option<Vec<StandingHeld>>) {
        let holds_nothing = held.as_ref().is_none_or(Vec::is_empty);
        if let Some(held) = &held {
            self.registry().holds(agent, epoch, held.clone());
        }
        let concerned = if holds_nothing { self.is_concerned(agent).await } else { Ok(true) };
        let told = match (concerned, held) {
            (Ok(false), _) => return,
            (Ok(true), Some(held)) => self.keep_told(agent, held).await,
            (Ok(true), None) => self.keep_unsupported(agent).await,
            (Err(error), _) => Err(error),
        };
        if let Err(error) = told {
            tracing::warn!(%error, %agent, "how standing work fares could not be written");
        }
        self.say_what_is_wanted(agent).await;
    }

    /// Takes what an agent says of its standing work.
    pub(super) async fn holds(&self, agent: AgentId, epoch: Epoch, held: Vec<StandingHeld>) {
        if !self.registry().holds(agent, epoch, held.clone()) {
            return;
        }
        if let Err(error) = self.keep_told(agent, held).await {
            tracing::warn!(%error, %agent, "how standing work fares could not be written");
        }
        self.say_what_is_wanted(agent).await;
    }

    /// Says to an agent that is here what it does not have yet, or has and should not.
    pub(crate) async fn say_what_is_wanted(&self, agent: AgentId) {
        if self.registry().held(agent).is_none() {
            return;
        }
        let wanted = match self.wanted_of(agent).await {
            Ok(wanted) => wanted,
            Err(error) => {
                tracing::warn!(%error, %agent, "what is wanted of an agent could not be read; it hears of it later");
                return;
            }
        };
        // Read again: what it said meanwhile counts.
        let Some(held) = self.registry().held(agent) else { return };
        let change = difference(&wanted, &held);
        if !change.is_empty() {
            self.registry().say_change(agent, change);
        }
    }

    async fn wanted_of(&self, agent: AgentId) -> Result<Vec<StandingItem>, StoreError> {
        let rows = standing::wanted(&mut self.store().reader().await?, SystemScope::for_own_work(), agent).await?;
        Ok(rows.into_iter().map(|row| self.item(row)).collect())
    }

    fn item(&self, row: WantedRow) -> StandingItem {
        let limits = self.lifecycle().tiers.limits_in_run(row.tier);
        StandingItem {
            id: row.id,
            revision: row.revision,
            mark: mark(&(&row.spec, &limits)),
            spec: row.spec,
            limits,
        }
    }

    /// Whether anything is, or was, wanted of an agent: of most of a fleet nothing ever is.
    async fn is_concerned(&self, agent: AgentId) -> Result<bool, StoreError> {
        standing::concerns(&mut self.store().reader().await?, SystemScope::for_own_work(), agent).await
    }

    async fn keep_told(&self, agent: AgentId, held: Vec<StandingHeld>) -> Result<(), StoreError> {
        let (system, at) = (SystemScope::for_own_work(), clock::now());
        self.store()
            .write(move |tx| Box::pin(async move { standing::told(tx, system, agent, &held, at).await }))
            .await
    }

    async fn keep_unsupported(&self, agent: AgentId) -> Result<(), StoreError> {
        let (system, at) = (SystemScope::for_own_work(), clock::now());
        self.store()
            .write(move |tx| Box::pin(async move { standing::unsupported(tx, system, agent, UNSUPPORTED, at).await }))
            .await
    }
}

/// What tells two texts of one revision apart: half of a hash is enough.
fn mark(of: &impl serde::Serialize) -> String {
    let text = serde_json::to_vec(of).unwrap_or_default();
    let sha256 = digest::digest(&digest::SHA256, &text);
    let mut half = [0; 16];
    half.iter_mut().zip(sha256.as_ref()).for_each(|(to, from)| *to = *from);
    format!("{:032x}", u128::from_be_bytes(half))
}

impl SessionCommand {
    pub(super) fn configure(change: shared_protocol::standing::Configure) -> Self {
        Self::Configure(Box::new(change))
    }
}

const UNSUPPORTED: &str = "the agent's version does not know standing observations; install a newer one";
