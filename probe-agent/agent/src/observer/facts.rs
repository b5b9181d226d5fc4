//! The conversation about the agent's own probes: whom they speak with is looked at until they say that they are done.

use std::io;
use std::time::Duration;

use agent_probes::observe::message::{Ask, Inbox, Told};
use ebpf_probes::{Facts, Kernel, ObserveError};
use shared_protocol::fault::ErrorCode;
use shared_protocol::report::Peer;
use tokio::net::UnixStream;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Observer;
use super::conversation::{refuse, tell};
use super::governor::Governed;
use super::watch::Going;
use super::watchlist::{Added, Watchlist};
use crate::clock;

/// Holds it until nobody has been looked at for a while, or the agent ends it.
pub(super) async fn hold(stream: &mut UnixStream, inbox: &mut Inbox, observer: &Observer, namespace: u32, stop: &CancellationToken) -> io::Result<()> {
    if !observer.settings.beside_probes {
        let message = "the owner of this agent does not want probes to be looked at (observe.beside_probes)";
        return refuse(stream, ErrorCode::PolicyDenied, message).await;
    }
    let Ok(_place) = observer.beside.try_acquire() else {
        return refuse(stream, ErrorCode::Resource, "the probes of as many agents are looked at on this host as can be").await;
    };
    // Read each time: kept, it would be most of what this process needs.
    let started = Kernel::read(observer.settings.btf.as_deref()).and_then(|kernel| Facts::start(&kernel, namespace));
    let mut looking = match started {
        Ok(facts) => Looking {
            facts,
            list: Watchlist::new(clock::monotonic()),
            governed: Governed::begin(&observer.governor),
        },
        Err(error) => return refuse(stream, ErrorCode::PermissionMissing, &format!("{error} ({})", error.remedy())).await,
    };
    tell(stream, &Told::Ready).await?;
    let mut rests = tokio::time::interval(REST);
    rests.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            asked = inbox.receive(stream) => match asked? {
                Ask::Watch { number, peer } => {
                    let watched = looking.watch(number, peer);
                    tell(stream, &Told::Watching { number, watched }).await?;
                }
                Ask::Tell { number, local_ports } => {
                    let told = looking.tell(number, local_ports.as_slice()).unwrap_or_else(|error| Told::Facts {
                        number,
                        flows: Vec::new(),
                        missing: vec![error.to_string()],
                    });
                    tell(stream, &told).await?;
                }
                Ask::Capabilities | Ask::Observe { .. } | Ask::Stop | Ask::Facts { .. } => {
                    return refuse(stream, ErrorCode::Internal, "this conversation is about what probes do").await;
                }
            },
            _ = rests.tick() => {
                if looking.is_idle() {
                    return Ok(());
                }
                if looking.govern() == Going::TooDear {
                    let message = "looking at probes costs more than the owner allows (observe.max_cpu_percent)";
                    return refuse(stream, ErrorCode::Resource, message).await;
                }
            }
        }
    }
}

/// The programs, and for whom they look.
struct Looking {
    facts: Facts,
    list: Watchlist,
    governed: Governed,
}

impl Looking {
    fn watch(&mut self, number: u64, peer: Peer) -> bool {
        let now = clock::monotonic();
        match self.list.add(number, peer, now) {
            Added::Again => true,
            Added::Refused => false,
            Added::First => match self.facts.watch(peer) {
                Ok(()) => true,
                Err(error) => {
                    tracing::debug!(%error, "somebody cannot be looked at");
                    self.list.remove(number, now);
                    false
                }
            },
        }
    }

    fn tell(&mut self, number: u64, local_ports: &[u16]) -> Result<Told, ObserveError> {
        let now = clock::monotonic();
        let Some(removed) = self.list.remove(number, now) else {
            return Ok(Told::Facts {
                number,
                flows: Vec::new(),
                missing: vec!["nobody is looked at by this number".to_owned()],
            });
        };
        let flows = self.facts.flows(removed.peer, local_ports, now);
        if removed.last {
            self.facts.forget(removed.peer)?;
        }
        let mut missing = self.facts.attachment().missing.clone();
        let lost = self.facts.lost()?;
        if lost > 0 {
            missing.push(format!("{lost} things that the kernel could not tell since the programs were loaded"));
        }
        Ok(Told::Facts {
            number,
            flows: flows?,
            missing,
        })
    }

    fn is_idle(&mut self) -> bool {
        let now = clock::monotonic();
        if let Some(number) = self.list.forgotten(now)
            && let Err(error) = self.tell(number, &[])
        {
            tracing::debug!(%error, "somebody cannot be forgotten");
        }
        self.list.is_idle(now)
    }

    /// Keeps within the owner's share of a CPU: what can be done without is given up first.
    fn govern(&mut self) -> Going {
        let Some((over, budget)) = self.governed.over(clock::monotonic(), || self.facts.cost()) else {
            return Going::On;
        };
        let next = self.facts.give_up_one();
        tracing::warn!(share = %over.share, together = %over.together, %budget, gives_up = next, "looking at probes costs more than the owner allows");
        if next.is_some() { Going::On } else { Going::TooDear }
    }
}

/// Time between two looks at whether it is still wanted, and at what it costs.
const REST: Duration = Duration::from_secs(1);
