//! Which agents are here: the one source of presence, and the way to a live session.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shared_protocol::close::CloseReason;
use shared_protocol::frame::AgentKeepalive;
use shared_protocol::host::HostLoad;
use shared_protocol::id::{AgentId, Epoch, InstanceId};
use shared_protocol::limits::{KEEPALIVE_INTERVAL, KEEPALIVES_MISSED};
use shared_protocol::standing::{Configure, StandingHeld};
use shared_protocol::time::MonotonicMicros;

use super::outlet::{Outlet, SessionCommand};

/// Every live session of this process, one an agent.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    live: Mutex<HashMap<AgentId, Live>>,
}

/// A live session.
#[derive(Debug, Clone)]
pub(crate) struct Live {
    pub(crate) epoch: Epoch,
    pub(crate) instance: InstanceId,
    pub(crate) address: SocketAddr,
    pub(crate) commands: Outlet,
    pub(crate) heard: MonotonicMicros,
    /// Another instance that wants this one's place, and since when.
    pub(crate) rival: Option<(InstanceId, MonotonicMicros)>,
    /// What its last keepalive told.
    pub(crate) told: Option<Arc<Told>>,
    /// Its standing work; absent where it does not know what that is.
    pub(crate) standing: Option<Standing>,
}

/// The standing work of an agent, as it last told it, and what was said of it last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Standing {
    held: Vec<StandingHeld>,
    said: Option<Configure>,
}

/// What an agent told of itself in a keepalive.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    /// When it came.
    pub(crate) at: MonotonicMicros,
    pub(crate) running: u32,
    pub(crate) outbox_depth: u64,
    /// Work it takes at once, agent-seconds.
    pub(crate) capacity: Option<u32>,
    /// How busy its host was when that was last read.
    pub(crate) host: Option<HostLoad>,
}

/// Whether an agent is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Heard within 20 seconds.
    Online,
    /// Has a session, and is silent for longer than a keepalive should take.
    Late,
    /// Has no session.
    Offline,
}

impl Presence {
    /// The name in the API.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Late => "late",
            Self::Offline => "offline",
        }
    }
}

/// What a new session of an agent means for the one that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rivalry {
    /// Nobody else is there.
    Alone,
    /// The same instance came again, or the other one fell silent: the newer session counts.
    Replaces,
    /// Another instance was heard a moment ago, which a host that just restarted looks like too: the newcomer comes back in a while.
    Unclear,
    /// Another instance was heard again since the newcomer first came: a copied identity.
    Conflict,
}

impl Registry {
    /// Judges a new session of an agent.
    pub(crate) fn rivalry(&self, agent: AgentId, instance: InstanceId, now: MonotonicMicros) -> Rivalry {
        let mut live = self.lock();
        let Some(present) = live.get_mut(&agent) else { return Rivalry::Alone };
        if present.instance == instance || present.commands.is_closed() || now.since(present.heard) >= SILENT {
            return Rivalry::Replaces;
        }
        match present.rival {
            Some((rival, since)) if rival == instance && present.heard > since => Rivalry::Conflict,
            Some((rival, _)) if rival == instance => Rivalry::Unclear,
            Some(_) | None => {
                present.rival = Some((instance, now));
                Rivalry::Unclear
            }
        }
    }

    /// Puts a session in its agent's place; the one that was there is closed as replaced. One with a higher epoch stays.
    pub(crate) fn insert(&self, agent: AgentId, session: Live) {
        let mut live = self.lock();
        if live.get(&agent).is_some_and(|present| present.epoch > session.epoch) {
            return;
        }
        if let Some(replaced) = live.insert(agent, session) {
            close(&replaced, CloseReason::Replaced);
        }
    }

    /// Lets go of a session, unless a newer one took its place.
    pub(crate) fn remove(&self, agent: AgentId, epoch: Epoch) {
        let mut live = self.lock();
        if live.get(&agent).is_some_and(|present| present.epoch == epoch) {
            live.remove(&agent);
        }
    }

    /// Takes note that something was heard of an agent.
    pub(crate) fn heard(&self, agent: AgentId, epoch: Epoch, now: MonotonicMicros) {
        if let Some(present) = self.lock().get_mut(&agent).filter(|present| present.epoch == epoch) {
            present.heard = now;
        }
    }

    /// Keeps what a keepalive told; a host's load that it does not tell anew stays. Returns the load before and the one told, where it told one.
    pub(crate) fn told(&self, agent: AgentId, epoch: Epoch, keepalive: AgentKeepalive, now: MonotonicMicros) -> Option<(Option<HostLoad>, Arc<Told>)> {
        let mut live = self.lock();
        let present = live.get_mut(&agent).filter(|present| present.epoch == epoch)?;
        let before = present.told.take().and_then(|told| told.host.clone());
        let is_news = keepalive.load.is_some();
        let told = Arc::new(Told {
            at: now,
            running: keepalive.running,
            outbox_depth: keepalive.outbox_depth,
            capacity: keepalive.capacity,
            host: keepalive.load.map(|load| *load).or_else(|| before.clone()),
        });
        present.told = Some(Arc::clone(&told));
        is_news.then_some((before, told))
    }

    /// Keeps what an agent says of its standing work, and says whether that is news. What was said to it may be said again once it holds
    /// something else than before.
    pub(crate) fn holds(&self, agent: AgentId, epoch: Epoch, held: Vec<StandingHeld>) -> bool {
        let mut live = self.lock();
        let Some(present) = live.get_mut(&agent).filter(|present| present.epoch == epoch) else {
            return false;
        };
        let standing = present.standing.get_or_insert_default();
        let which = |held: &[StandingHeld]| held.iter().map(|item| (item.id, item.revision, item.mark.clone())).collect::<Vec<_>>();
        if which(&standing.held) != which(&held) {
            standing.said = None;
        }
        let is_news = standing.held != held;
        standing.held = held;
        is_news
    }

    /// The standing work of an agent that is here and knows what that is.
    pub(crate) fn held(&self, agent: AgentId) -> Option<Vec<StandingHeld>> {
        Some(self.lock().get(&agent)?.standing.as_ref()?.held.clone())
    }

    /// Says to an agent what changes of its standing work, unless it was the last thing said and nothing came of it: an agent that will not
    /// take it is not asked again and again.
    pub(crate) fn say_change(&self, agent: AgentId, change: Configure) {
        let mut live = self.lock();
        let Some(present) = live.get_mut(&agent) else { return };
        let Some(standing) = present.standing.as_mut().filter(|standing| standing.said.as_ref() != Some(&change)) else {
            return;
        };
        standing.said = Some(change.clone());
        // One that does not keep up is cut, and hears of it in its next session.
        let _ = present.commands.tell(SessionCommand::configure(change));
    }

    /// What an agent that is here told last.
    pub(crate) fn load(&self, agent: AgentId) -> Option<Arc<Told>> {
        self.lock().get(&agent)?.told.clone()
    }

    /// Whether an agent is here.
    pub(crate) fn presence(&self, agent: AgentId, now: MonotonicMicros) -> Presence {
        match self.lock().get(&agent) {
            None => Presence::Offline,
            Some(live) if now.since(live.heard) > LATE => Presence::Late,
            Some(_) => Presence::Online,
        }
    }

    /// How long nothing was heard of an agent that has a session.
    pub(crate) fn silence(&self, agent: AgentId, now: MonotonicMicros) -> Option<Duration> {
        self.lock().get(&agent).map(|live| now.since(live.heard))
    }

    /// Closes an agent's session, if it has one; returns where it was from.
    pub(crate) fn close(&self, agent: AgentId, reason: CloseReason) -> Option<SocketAddr> {
        let removed = self.lock().remove(&agent)?;
        close(&removed, reason);
        Some(removed.address)
    }

    /// How many sessions are alive.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<AgentId, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A session whose channel is full is closed all the same, only without its reason.
fn close(live: &Live, reason: CloseReason) {
    let _ = live.commands.tell(SessionCommand::Close(reason));
}

/// Silence after which an agent is late.
const LATE: Duration = Duration::from_secs(20);
/// Silence after which a session is dead, by the reader's clock.
const SILENT: Duration = Duration::from_secs(KEEPALIVE_INTERVAL.as_secs() * 3);
const _: () = assert!(KEEPALIVES_MISSED == 3);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::outlet::{Inlet, outlet};
    use shared_protocol::time::UnixMicros;

    fn agent() -> AgentId {
        AgentId::new(UnixMicros::from_micros(1_000_000), [1; 10])
    }

    fn instance(seed: u8) -> InstanceId {
        InstanceId::new(UnixMicros::from_micros(1_000_000), [seed; 10])
    }

    fn at(seconds: u64) -> MonotonicMicros {
        MonotonicMicros::from_micros(seconds * 1_000_000)
    }

    fn session(epoch: u32, seed: u8, heard: u64) -> (Live, Inlet) {
        let (commands, receiver) = outlet();
        let address = "127.0.0.1:1".parse().unwrap();
        (
            Live {
                epoch: Epoch(epoch),
                instance: instance(seed),
                address,
                commands,
                heard: at(heard),
                rival: None,
                told: None,
                standing: None,
            },
            receiver,
        )
    }

    #[test]
    fn enr_21_another_instance_conflicts_only_once_the_first_was_heard_again() {
        let registry = Registry::default();
        assert_eq!(registry.rivalry(agent(), instance(1), at(0)), Rivalry::Alone);
        let (live, receiver) = session(1, 1, 0);
        registry.insert(agent(), live);
        assert_eq!(registry.rivalry(agent(), instance(1), at(10)), Rivalry::Replaces);
        assert_eq!(registry.rivalry(agent(), instance(2), at(10)), Rivalry::Unclear);
        assert_eq!(registry.rivalry(agent(), instance(2), at(15)), Rivalry::Unclear);
        assert_eq!(
            registry.rivalry(agent(), instance(2), at(45)),
            Rivalry::Replaces,
            "a host that restarted gets its place back"
        );
        registry.heard(agent(), Epoch(1), at(16));
        assert_eq!(registry.rivalry(agent(), instance(2), at(17)), Rivalry::Conflict, "two hosts with one identity");
        drop(receiver);
        assert_eq!(registry.rivalry(agent(), instance(2), at(18)), Rivalry::Replaces);
    }

    #[test]
    fn the_newer_epoch_counts_and_the_older_session_is_told() {
        let registry = Registry::default();
        let (old, mut old_commands) = session(1, 1, 0);
        let (new, _new_commands) = session(2, 1, 0);
        registry.insert(agent(), old.clone());
        registry.insert(agent(), new);
        assert_eq!(old_commands.try_next(), Some(SessionCommand::Close(CloseReason::Replaced)));
        registry.insert(agent(), old);
        registry.remove(agent(), Epoch(1));
        assert_eq!(registry.len(), 1, "an older session changes nothing");
    }

    #[test]
    fn what_a_keepalive_told_stays_until_the_next_one_tells_otherwise_and_goes_with_the_session() {
        let keepalive = |running, load: Option<u64>| AgentKeepalive {
            seq: 1,
            monotonic_us: at(1),
            outbox_depth: 2,
            running,
            capacity: Some(64),
            load: load.map(|bytes| {
                Box::new(HostLoad {
                    memory_used_bytes: Some(bytes),
                    ..HostLoad::default()
                })
            }),
        };
        let registry = Registry::default();
        let (live, _commands) = session(3, 1, 0);
        registry.insert(agent(), live);
        assert_eq!(registry.told(agent(), Epoch(2), keepalive(9, Some(9)), at(1)), None, "of an older session");
        let (before, told) = registry.told(agent(), Epoch(3), keepalive(1, Some(7)), at(1)).unwrap();
        assert_eq!((before, told.running, told.capacity), (None, 1, Some(64)));
        assert_eq!(registry.told(agent(), Epoch(3), keepalive(2, None), at(2)), None, "it tells no new load");
        let shown = registry.load(agent()).unwrap();
        assert_eq!(
            (shown.running, shown.at, shown.host.as_ref().and_then(|host| host.memory_used_bytes)),
            (2, at(2), Some(7))
        );
        let (before, _) = registry.told(agent(), Epoch(3), keepalive(0, Some(8)), at(3)).unwrap();
        assert_eq!(before.and_then(|host| host.memory_used_bytes), Some(7));
        registry.remove(agent(), Epoch(3));
        assert_eq!(registry.load(agent()), None);
    }

    #[test]
    fn frm_07_presence_follows_what_was_heard() {
        let registry = Registry::default();
        assert_eq!(registry.presence(agent(), at(0)), Presence::Offline);
        let (live, _commands) = session(1, 1, 0);
        registry.insert(agent(), live);
        assert_eq!(registry.presence(agent(), at(20)), Presence::Online);
        assert_eq!(registry.presence(agent(), at(21)), Presence::Late);
        registry.heard(agent(), Epoch(1), at(21));
        assert_eq!(registry.presence(agent(), at(22)), Presence::Online);
        assert_eq!(registry.silence(agent(), at(22)), Some(Duration::from_secs(1)));
        assert!(registry.close(agent(), CloseReason::Revoked).is_some());
        assert_eq!(registry.presence(agent(), at(22)), Presence::Offline);
    }
}
