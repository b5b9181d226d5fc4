//! The connections and exchanges of one probe at which the observer is asked to look: who is spoken with is named before the first packet
//! leaves, and which flows were the probe's own when it is over.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shared_protocol::report::{FLOWS_MAX, FlowFacts, KernelFacts, Peer, Transport};

use crate::clock;
use crate::observe::message::LocalPorts;
use crate::observe::{Failing, Observer};

/// What one probe has looked at. Clones are about the same probe.
#[derive(Debug, Clone, Default)]
pub struct Flows(Option<Arc<Looking>>);

#[derive(Debug)]
struct Looking {
    observer: Arc<Observer>,
    noted: Mutex<Noted>,
}

#[derive(Debug)]
struct Noted {
    /// What is left of the time by which the probe may be held up.
    left: Duration,
    watched: Vec<Watched>,
    /// Why nothing more can be known.
    failed: Option<String>,
    /// Flows that there was no room for.
    beyond: usize,
}

#[derive(Debug)]
struct Watched {
    number: u64,
    peer: Peer,
    local_ports: Vec<u16>,
}

impl Flows {
    /// At nothing: what a context is made with.
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Has the observer ready, where there is one that may be asked.
    pub(crate) async fn begin(observer: &Arc<Observer>) -> Self {
        let mut noted = Noted {
            left: BUDGET,
            watched: Vec::new(),
            failed: None,
            beyond: 0,
        };
        let began = clock::monotonic();
        let ready = observer.facts().prepare(noted.left).await;
        noted.left = noted.left.saturating_sub(clock::monotonic().since(began));
        match ready {
            Ok(()) => {}
            Err(Failing::Unwanted) => return Self::nobody(),
            Err(Failing::Missing(why)) => noted.failed = Some(why),
        }
        Self(Some(Arc::new(Looking {
            observer: Arc::clone(observer),
            noted: Mutex::new(noted),
        })))
    }

    /// Somebody is about to be spoken with. Once is enough for all that is said to the same.
    pub(crate) async fn watch(&self, transport: Transport, remote: SocketAddr) {
        let Some(looking) = &self.0 else { return };
        let peer = Peer { transport, remote };
        let left = {
            let noted = looking.noted();
            if noted.failed.is_some() || noted.watched.iter().any(|watched| watched.peer == peer) {
                return;
            }
            noted.left
        };
        let number = looking.observer.facts().number();
        let began = clock::monotonic();
        let watching = looking.observer.facts().watch(number, peer, left).await;
        let mut noted = looking.noted();
        noted.spend(clock::monotonic().since(began));
        match watching {
            Ok(()) => noted.watched.push(Watched {
                number,
                peer,
                local_ports: Vec::new(),
            }),
            Err(failing) => noted.failed = Some(failing.why()),
        }
    }

    /// This port was at this host's end.
    pub(crate) fn note(&self, transport: Transport, remote: SocketAddr, local_port: u16) {
        let Some(looking) = &self.0 else { return };
        let mut noted = looking.noted();
        let flows: usize = noted.watched.iter().map(|watched| watched.local_ports.len()).sum();
        let peer = Peer { transport, remote };
        let Some(watched) = noted.watched.iter_mut().find(|watched| watched.peer == peer) else {
            return;
        };
        if watched.local_ports.contains(&local_port) {
            return;
        }
        if flows < FLOWS_MAX {
            watched.local_ports.push(local_port);
        } else {
            noted.beyond += 1;
        }
    }

    /// The probe is over: what was seen of it. None where nobody looks on this host, and where nothing was spoken with anybody.
    pub(crate) async fn end(&self) -> Option<KernelFacts> {
        let looking = self.0.as_ref()?;
        let (watched, mut left, failed, beyond) = {
            let mut noted = looking.noted();
            (std::mem::take(&mut noted.watched), noted.left, noted.failed.take(), noted.beyond)
        };
        let mut facts = KernelFacts::default();
        facts.missing.extend(failed);
        for watched in watched {
            let began = clock::monotonic();
            let Ok(local_ports) = LocalPorts::try_from(watched.local_ports) else {
                continue;
            };
            match looking.observer.facts().tell(watched.number, local_ports, left).await {
                Ok((flows, missing)) => take(&mut facts, flows, missing),
                Err(failing) => take(&mut facts, Vec::new(), vec![failing.why()]),
            }
            left = left.saturating_sub(clock::monotonic().since(began));
        }
        if beyond > 0 {
            facts.missing.push(format!("{beyond} more connections than {FLOWS_MAX}"));
        }
        (facts != KernelFacts::default()).then_some(facts)
    }
}

impl Looking {
    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Noted {
    const fn spend(&mut self, time: Duration) {
        self.left = self.left.saturating_sub(time);
    }
}

impl Failing {
    fn why(self) -> String {
        match self {
            Self::Unwanted => "the observer is gone".to_owned(),
            Self::Missing(why) => why,
        }
    }
}

fn take(facts: &mut KernelFacts, flows: Vec<FlowFacts>, missing: Vec<String>) {
    let unseen = flows.iter().filter(|flow| flow.transport == Transport::Tcp && flow.tcp.is_none());
    // The probe's own connections are what the programs are checked by.
    let unseen = unseen.map(|flow| format!("the connection from port {}: the programs did not see it", flow.local_port));
    for why in unseen.chain(missing) {
        if !facts.missing.contains(&why) {
            facts.missing.push(why);
        }
    }
    facts.flows.extend(flows);
}

/// By how much all that is asked of the observer may hold up one probe. Loading the programs takes less on a host that is not busy.
const BUDGET: Duration = Duration::from_millis(300);
