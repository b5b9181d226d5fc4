//! What the agent knows of the observer beside it.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shared_protocol::frame::{Capability, CapabilityLevel, ObservationCapability};
use shared_protocol::spec::{Observation, ProbeKind};

use super::facts::Facts;
use super::message::{Ask, Told};
use crate::net::observer::Conversation;

/// The observer beside the agent, which may be there or not, and come and go.
#[derive(Debug)]
pub struct Observer {
    socket: PathBuf,
    known: Mutex<Known>,
    facts: Facts,
}

/// What it last said.
#[derive(Debug, Clone, Default)]
enum Known {
    #[default]
    NeverAsked,
    Observations(Vec<ObservationCapability>),
    Absent(String),
}

impl Observer {
    /// The one that listens there, if one does.
    pub fn at(socket: PathBuf) -> Self {
        Self {
            facts: Facts::at(socket.clone()),
            socket,
            known: Mutex::new(Known::NeverAsked),
        }
    }

    /// Asks it what can be observed, and keeps the answer.
    pub async fn refresh(&self) {
        let known = match tokio::time::timeout(ANSWER_TIME, self.ask()).await {
            Ok(Ok(observations)) => Known::Observations(observations),
            Ok(Err(why)) => Known::Absent(why),
            Err(_) => Known::Absent(format!("the observer at {} does not answer", self.socket.display())),
        };
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
    }

    async fn ask(&self) -> Result<Vec<ObservationCapability>, String> {
        let mut conversation = self.converse().await?;
        let heard = async {
            conversation.ask(&Ask::Capabilities).await?;
            conversation.hear().await
        };
        match heard.await {
            Ok(Told::Capabilities { observations }) => Ok(observations),
            Ok(Told::Refused { message, .. }) => Err(message),
            Ok(_) => Err("the observer answered something else than was asked".to_owned()),
            Err(cause) => Err(format!("the observer at {} gave no answer: {cause}", self.socket.display())),
        }
    }

    /// Begins a conversation, with its own user or root only.
    pub(crate) async fn converse(&self) -> Result<Conversation, String> {
        Conversation::begin(&self.socket)
            .await
            .map_err(|cause| format!("no observer can be asked at {}: {cause}", self.socket.display()))
    }

    /// What it sees of the agent's own probes.
    pub(crate) const fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What can be observed, as it last said. One that came since has not said anything yet, and is tried.
    pub(crate) fn capability(&self) -> Capability {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Known::Observations(observations) => of_all(observations),
            Known::NeverAsked if self.socket.exists() => not_yet("the observer has not said yet what can be observed"),
            Known::Absent(why) if self.socket.exists() => not_yet(&why),
            Known::NeverAsked | Known::Absent(_) => observe(
                CapabilityLevel::Unavailable,
                &format!("no observer runs on this host: there is nothing at {}", self.socket.display()),
                "systemctl enable --now probe-agent-observe",
            ),
        }
    }
}

/// What takes rights of its own, which an owner may well not have given, does not count for the whole.
fn of_all(observations: Vec<ObservationCapability>) -> Capability {
    let is_extra = |one: &&ObservationCapability| one.observation.parse::<Observation>().is_ok_and(Observation::is_extra);
    let counted: Vec<&ObservationCapability> = observations.iter().filter(|one| !is_extra(one)).collect();
    let with = |level| counted.iter().filter(move |observation| observation.level == level);
    let level = if with(CapabilityLevel::Full).count() == counted.len() {
        CapabilityLevel::Full
    } else if with(CapabilityLevel::Unavailable).count() == counted.len() {
        CapabilityLevel::Unavailable
    } else {
        CapabilityLevel::Degraded
    };
    let worst = with(CapabilityLevel::Unavailable).chain(with(CapabilityLevel::Degraded)).next();
    Capability {
        probe: ProbeKind::Observe,
        level,
        reason: worst.and_then(|worst| worst.reason.clone()),
        remedy: worst.and_then(|worst| worst.remedy.clone()),
        observations,
    }
}

fn not_yet(why: &str) -> Capability {
    observe(CapabilityLevel::Degraded, why, "it is asked again when the agent next connects")
}

fn observe(level: CapabilityLevel, reason: &str, remedy: &str) -> Capability {
    Capability {
        probe: ProbeKind::Observe,
        level,
        reason: Some(reason.to_owned()),
        remedy: Some(remedy.to_owned()),
        observations: Vec::new(),
    }
}

/// How long an observer may take to say what it can.
const ANSWER_TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(level: CapabilityLevel) -> ObservationCapability {
        ObservationCapability {
            observation: "x".to_owned(),
            level,
            reason: Some("why".to_owned()),
            remedy: None,
        }
    }

    #[tokio::test]
    async fn without_an_observer_it_is_said_what_mends_that() {
        let observer = Observer::at("/nonexistent/observe.sock".into());
        observer.refresh().await;
        let told = observer.capability();
        assert_eq!(
            (told.level, told.remedy.as_deref()),
            (CapabilityLevel::Unavailable, Some("systemctl enable --now probe-agent-observe"))
        );
    }

    #[test]
    fn all_observations_together_are_as_good_as_what_is_missing_lets_them() {
        use CapabilityLevel::{Degraded, Full, Unavailable};
        for (levels, all) in [
            ([Full, Full], Full),
            ([Full, Unavailable], Degraded),
            ([Degraded, Full], Degraded),
            ([Unavailable, Unavailable], Unavailable),
        ] {
            let told = of_all(levels.map(capability).to_vec());
            assert_eq!((told.level, told.reason.is_some()), (all, all != Full));
            // What wants a right of its own changes nothing, and is told.
            let extra = ObservationCapability {
                observation: Observation::TlsLatency.as_str().to_owned(),
                ..capability(Unavailable)
            };
            let told = of_all(levels.map(capability).into_iter().chain([extra]).collect());
            assert_eq!((told.level, told.observations.len()), (all, 3));
        }
    }
}
